"""Connection fields as sent to a worker: resolved by the host, plain and secret fields separate."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.canonical import canonical_bytes, sha256_hex
from osiris.connections import (
    Connections,
    as_written,
    declared_at,
    load_connections,
    parse_ref,
    resolve,
    store_references,
)
from osiris.document import load_text
from osiris.errors import Diagnostic, Location, OsirisError, diagnostic, fail, raise_all
from osiris.files import is_outside, resolve_path
from osiris.project import Project
from osiris.runner.protocol import Secrets
from osiris.secret import Scrubber, Secret
from osiris.secret.references import StoreError, shown_forms
from osiris.secret_stores import fetch_secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from osiris.family_spec import FamilySpec
    from osiris.model import ConnectionRef, JsonValue, StoreReference
    from osiris.registry import Registry
    from osiris.secret.references import FetchSecret

_LARGEST = 1 << 16
"""Maximum characters of a secret read from a file; a longer file is assumed to be the wrong one."""


def require_own(connections: Connections, written: Mapping[str, Mapping[str, JsonValue]]) -> None:
    """Fail with CMP050 where a plan's connection (fields as written, by `@family.alias`) differs from the project's.

    Secrets are sent only to hosts that the project itself declares; a plan may come from somebody else.
    """
    problems = [
        diagnostic("CMP050", connection=text, what=what)
        for text, fields in written.items()
        for what in _foreign(connections, parse_ref(text), fields)
    ]
    if problems:
        raise_all(problems)


def _foreign(connections: Connections, ref: ConnectionRef, fields: Mapping[str, JsonValue]) -> list[str]:
    """Return the differences between a plan's connection and the project's connection of that name."""
    if str(ref.alias) not in connections.declared.get(ref.family, {}):
        return ["it is not declared there"]
    own = as_written(connections, ref)
    same = {name for name in own.keys() & fields.keys() if canonical_bytes(own[name]) == canonical_bytes(fields[name])}
    return [f"'{name}'" for name in sorted((own.keys() | fields.keys()) - same)]


def resolve_secrets(
    root: Path,
    written: Mapping[str, Mapping[str, JsonValue]],
    sensitive: Iterable[str],
    registry: Registry,
    environ: Mapping[str, str],
    fetch: FetchSecret = fetch_secret,
) -> Secrets:
    """Resolve each connection (fields as written, by `@family.alias`) and each sensitive parameter from `environ`.

    Secrets in files below the project folder `root` are read here and sent like all others; `fetch` returns those of
    stores. Raises all problems at once: CON005 for a variable that is not set, CON074 to CON078 for a secret of a
    store, CON044 for a secret file, OML022 for a parameter without a value.
    """
    secrets, problems = Secrets(), list[Diagnostic]()
    stored = _recording(fetch, secrets.stored)
    for text, fields in written.items():
        ref = parse_ref(text)
        declared = Connections({ref.family: {ref.alias or "default": dict(fields)}})
        try:
            family = registry.family(ref.family)
            resolved = resolve(declared, ref, environ, family, stored)
            resolved |= dict(_in_files(root, ref, resolved, family))
        except OsirisError as error:
            problems += _in_declaration(root, ref, error.diagnostics)
            continue
        hidden = {name: value.reveal() for name, value in resolved.items() if isinstance(value, Secret)}
        secrets.plain[text] = {name: value for name, value in resolved.items() if name not in hidden}
        secrets.secret[text] = hidden
    problems += _read_params(secrets, sensitive, environ)
    if problems:
        clean = Scrubber(map(Secret, secrets.stored)).text
        raise_all(replace(each, message=clean(each.message)) for each in problems)
    return secrets


def _recording(fetch: FetchSecret, texts: list[str]) -> FetchSecret:
    """Return a function that adds what it fetches to `texts`, and asks a store that was not reached no more."""
    lost: dict[str, StoreError] = {}

    def stored(reference: StoreReference, environ: Mapping[str, str]) -> str:
        if reference.scheme in lost:
            raise lost[reference.scheme]
        try:
            text = fetch(reference, environ)
        except StoreError as error:
            if error.kind == "unreachable":
                lost[reference.scheme] = error
            raise
        texts.extend(shown_forms(text) if text else ())
        return text

    return stored


def _in_declaration(root: Path, ref: ConnectionRef, problems: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Return the problems of a connection, located where the project declares it if it does."""
    try:
        declared = load_connections(Project(root).connections_file)
    except OsirisError:
        return list(problems)
    places = [declared_at(declared, ref, each.location.pointer, each.code) for each in problems]
    return [replace(each, location=at or each.location) for each, at in zip(problems, places, strict=True)]


def _read_params(secrets: Secrets, sensitive: Iterable[str], environ: Mapping[str, str]) -> Iterator[Diagnostic]:
    """Add the sensitive parameters to `secrets`; yields OML022 for each that has no value."""
    for name in sensitive:
        variable = f"OSIRIS_PARAM_{name.upper()}"
        if variable in environ:
            secrets.params[name] = environ[variable]
        else:
            yield diagnostic("OML022", name=name, hint=f"export {variable}")


def _in_files(
    root: Path, ref: ConnectionRef, resolved: Mapping[str, JsonValue | Secret], family: FamilySpec | None
) -> Iterator[tuple[str, Secret]]:
    """Yield the secret fields read from files, named by fields with `x-content` in their schema."""
    for name, schema in (family.fields.get("properties", {}) if family else {}).items():
        text, target = resolved.get(name), schema.get("x-content")
        if not (target and isinstance(text, str) and text):
            continue
        given = resolved.get(target)
        try:
            if isinstance(given, Secret) and given.reveal():
                fail("CON068", fields=f"'{name}' and '{target}'", problem="are both set")
            yield target, Secret(_read_below(root, text))
        except OsirisError as error:
            at = Location(pointer=f"/connections/{ref.family}/{ref.alias}/{name}")
            fail("CON044", at=at, field=name, connection=ref, problem=error.diagnostics[0].message)


def _read_below(root: Path, text: str) -> str:
    path = resolve_path(root, text)
    if is_outside(root, path):
        fail("DRV007", path=text, problem="it leads outside the project")
    content = load_text(path, text)
    if len(content) > _LARGEST:
        fail("OML009", what=text, limit=f"{_LARGEST >> 10} KiB")
    return content


def scrubber_of(secrets: Secrets) -> Scrubber:
    """Return a scrubber for all of these secrets."""
    return Scrubber(map(Secret, secrets.texts()))


def digests_of(secrets: Secrets, written: Mapping[str, Mapping[str, JsonValue]]) -> dict[str, str]:
    """Return the SHA-256 of each connection's resolved non-secret fields, to detect changes.

    A field with a secret of a store counts as `written`: a short value could be guessed from its digest.
    """
    return {ref: sha256_hex(canonical_bytes(_public(fields, written[ref]))) for ref, fields in secrets.plain.items()}


def _public(resolved: Mapping[str, JsonValue], written: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {name: written[name] if store_references(written.get(name)) else value for name, value in resolved.items()}
