"""The fields of connections as a worker gets them: resolved by the host, plain and secret apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.canonical import canonical_bytes, sha256_hex
from osiris.connections import Connections, parse_ref, resolve
from osiris.errors import Diagnostic, OsirisError, diagnostic, raise_all
from osiris.runner.protocol import Secrets
from osiris.secret import Scrubber, Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from osiris.model import JsonValue
    from osiris.registry import Registry


def resolve_secrets(
    written: Mapping[str, Mapping[str, JsonValue]],
    sensitive: Iterable[str],
    registry: Registry,
    environ: Mapping[str, str],
) -> Secrets:
    """Resolve each connection (fields as written, by `@family.alias`) and each sensitive parameter from `environ`.

    Raises all problems at once: CON005 for a variable that is not set, OML022 for a parameter without a value.
    """
    secrets, found = Secrets(), list[Diagnostic]()
    for text, fields in written.items():
        ref = parse_ref(text)
        declared = Connections({ref.family: {ref.alias or "default": dict(fields)}})
        try:
            resolved = resolve(declared, ref, environ, registry.family(ref.family))
        except OsirisError as error:
            found += error.diagnostics
            continue
        secrets.plain[text] = {k: v for k, v in resolved.items() if not isinstance(v, Secret)}
        secrets.secret[text] = {k: v.reveal() for k, v in resolved.items() if isinstance(v, Secret)}
    for name in sensitive:
        variable = f"OSIRIS_PARAM_{name.upper()}"
        if variable in environ:
            secrets.params[name] = environ[variable]
        else:
            found.append(diagnostic("OML022", name=name, hint=f"export {variable}"))
    if found:
        raise_all(found)
    return secrets


def scrubber_of(secrets: Secrets) -> Scrubber:
    """Return the scrubber that knows all of them."""
    fields = [text for group in secrets.secret.values() for text in group.values()]
    return Scrubber([Secret(text) for text in [*fields, *secrets.params.values()]])


def digests_of(secrets: Secrets) -> dict[str, str]:
    """Return per connection the SHA-256 of its resolved fields that are not secret, so that a change can be named."""
    return {ref: sha256_hex(canonical_bytes(fields)) for ref, fields in secrets.plain.items()}
