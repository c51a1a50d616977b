"""Connections: declarations in `osiris_connections.yaml`, references to them, and resolution of their fields.

Fields stay as written until a run needs them: compiling reads no environment variables and no secrets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from osiris.document import Document, escape, load_text, read_document
from osiris.document.edits import rename
from osiris.errors import (
    Diagnostic,
    InvalidInput,
    Location,
    certain,
    diagnostic,
    did_you_mean,
    fail,
    nearest,
    raise_all,
)
from osiris.model import ConnectionRef, parse_store_reference
from osiris.secret import Secret, find_literal_secrets, is_secret_name
from osiris.secret.references import StoreError, store_names, unknown_store_hint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from osiris.family_spec import FamilySpec
    from osiris.model import JsonValue, StoreReference
    from osiris.secret.references import FetchSecret

    Declared = dict[str, dict[str, dict[str, JsonValue]]]

DEFAULT = "default"
"""The field that marks a family's default, and the default alias if none is marked."""

_REFERENCE = re.compile(r"@([A-Za-z0-9_-]+)(?:\.([A-Za-z0-9_-]+))?")
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_PLACEHOLDER = re.compile(r"\$\{([^{}]*)\}")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_ENV_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "$": "$"}
_TOP = ("version", "connections")
_EARLIER_FIELDS = {
    "alias": "remove it: the alias is the key above the fields, as in '@family.alias'",
    "memory": "set 'run.memory' in osiris.yaml",
    "read_only": "remove it: extractors open databases read-only, writers do not",
    "timeout": "set 'timeout' in the config of the step, or 'connect_timeout' or 'read_timeout' if the family has them",
}
"""Connection fields of the earlier implementation, with hints."""


@dataclass(frozen=True, slots=True)
class Connections:
    """The declared connections: `declared[family][alias]` has the fields as written, including `default`."""

    declared: Mapping[str, Mapping[str, Mapping[str, JsonValue]]] = field(default_factory=dict)
    positions: Mapping[str, Location] = field(default_factory=dict, compare=False, repr=False)


def load_connections(path: Path) -> Connections:
    """Return the connections declared in a file, none if it is missing; raises CON001 and CON007, all at once."""
    if not path.exists():
        return Connections()
    try:
        document = read_document(load_text(path, path.name), path.name, is_secret_name)
    except InvalidInput as error:
        raise_all(_with_own_code(error))
    declared: Declared = {}
    problems = list(_problems(document, declared))
    if problems:
        raise_all(problems)
    return Connections(declared, document.positions)


_FIELDS = {
    "CON011": ("port", "host", "url", "dsn"),
    "CON012": ("user",),
    "CON013": ("database",),
    "CON073": ("host", "url", "dsn"),
}
"""Fields that a code is about, the most likely first."""


def declared_at(
    connections: Connections, ref: ConnectionRef, pointer: str | None = None, code: str = ""
) -> Location | None:
    """Return the location of a pointer, or of a field that a code is about, else of the connection; None if missing."""
    of_connection = f"/connections/{escape(ref.family)}/{escape(ref.alias or '')}"
    places = (pointer, *(f"{of_connection}/{name}" for name in _FIELDS.get(code, ())), of_connection)
    return next((connections.positions[each] for each in places if each and each in connections.positions), None)


def parse_ref(text: str) -> ConnectionRef:
    """Return the reference written as `@family.alias` or `@family`; fails with CON006."""
    match = _REFERENCE.fullmatch(text)
    if match is None:
        fail("CON006", text=f"'{text[:80]}'")
    return ConnectionRef(match[1], match[2])


def resolve_ref(connections: Connections, ref: ConnectionRef) -> ConnectionRef:
    """Return the reference with its alias: the one named, else the marked one, else `default`.

    Fails with CON002 for an unknown family, CON003 for an unknown alias, CON004 where no default is found.
    """
    family = connections.declared.get(ref.family)
    if not family:
        fail("CON002", family=ref.family, hint=_family_hint(ref, connections))
    if ref.alias is not None:
        if ref.alias not in family:
            fail("CON003", family=ref.family, alias=ref.alias, hint=_alias_hint(ref.family, ref.alias, family))
        return ref
    marked = next((alias for alias, fields in family.items() if fields.get(DEFAULT) is True), None)
    alias = marked or (DEFAULT if DEFAULT in family else None)
    if alias is None:
        fail("CON004", family=ref.family, aliases=", ".join(f"@{ref.family}.{each}" for each in sorted(family)))
    return ConnectionRef(ref.family, alias)


def as_written(connections: Connections, ref: ConnectionRef) -> dict[str, JsonValue]:
    """Return the fields of a connection as written, without `default`."""
    full = resolve_ref(connections, ref)
    fields = connections.declared[full.family][str(full.alias)]
    return {name: value for name, value in fields.items() if name != DEFAULT}


def leading_fields(fields: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the fields that say where a connection leads; two connections with the same ones lead to one database."""
    return {name: value for name, value in fields.items() if name not in ("description", DEFAULT)}


def unknown_fields(connections: Connections, ref: ConnectionRef, family: FamilySpec | None) -> Iterator[Diagnostic]:
    """Yield CON008 for each field of a connection that its family does not have, CON077 for each unknown store."""
    full = resolve_ref(connections, ref)
    yield from _unknown_stores(connections, full)
    schemas: Mapping[str, JsonValue] = family.fields.get("properties", {}) if family else {}
    fields = as_written(connections, full)
    for name in fields if schemas else ():
        if name not in schemas:
            pointer = f"/connections/{full.family}/{full.alias}/{escape(name)}"
            at, near = connections.positions.get(pointer, Location(pointer=pointer)), certain(name, schemas)
            fix = rename(pointer, near) if near and near not in fields else ()
            params = {"field": name, "family": full.family, "alias": str(full.alias)}
            yield diagnostic("CON008", at=at, hint=_field_hint(name, schemas), fix=fix, **params)


def _unknown_stores(connections: Connections, ref: ConnectionRef) -> Iterator[Diagnostic]:
    for name, written in as_written(connections, ref).items():
        for reference in store_references(written):
            if reference.scheme not in store_names():
                pointer = f"/connections/{ref.family}/{ref.alias}/{escape(name)}"
                at = connections.positions.get(pointer, Location(pointer=pointer))
                hint = unknown_store_hint(reference.scheme)
                reason = f"there is no secret store '{reference.scheme}'"
                params = {"field": name, "family": ref.family, "alias": str(ref.alias), "reference": reference.text}
                yield diagnostic("CON077", at=at, hint=hint, fix=(), reason=reason, **params)


def _field_hint(name: str, fields: Iterable[str]) -> str | None:
    return _EARLIER_FIELDS.get(name) or did_you_mean(name, fields)


def resolve(
    connections: Connections,
    ref: ConnectionRef,
    env: Mapping[str, str],
    family: FamilySpec | None,
    fetch: FetchSecret,
) -> dict[str, JsonValue | Secret]:
    """Return the fields of a connection with variables and secrets of stores resolved; secret ones are `Secret`.

    An unset or empty variable counts as missing. Text is converted to the type required by the family. `fetch` returns
    the value of a store. Raises CON005, CON008, CON009 and CON074 to CON078, all at once; messages never contain
    values.
    """
    full = resolve_ref(connections, ref)
    fields = as_written(connections, full)
    schemas: Mapping[str, JsonValue] = family.fields.get("properties", {}) if family else {}
    resolver = _Resolver(full, env, fetch, [])
    resolved: dict[str, JsonValue | Secret] = {}
    for name, written in fields.items():
        if family and name not in schemas:
            resolver.report("CON008", name, hint=_field_hint(name, schemas))
        else:
            resolved[name] = resolver.resolved(name, written, schemas.get(name, {}))
    for name in family.fields.get("required", []) if family else []:
        if name not in fields:
            resolver.report("CON009", name, expected="given")
    if resolver.problems:
        raise_all(resolver.problems)
    return resolved


def environment_names(fields: JsonValue) -> list[str]:
    """Return the environment variables that the fields of a connection refer to, sorted."""
    return sorted({match[1] for each in _placeholders(fields) if (match := _VARIABLE.fullmatch(each))})


def store_references(fields: JsonValue) -> list[StoreReference]:
    """Return the references to secret stores in the fields of a connection, sorted."""
    inside = {each for each in _placeholders(fields) if not _VARIABLE.fullmatch(each)}
    return [reference for each in sorted(inside) if (reference := parse_store_reference(each))]


def _placeholders(value: JsonValue) -> list[str]:
    return [each for text in _texts(value) for each in _PLACEHOLDER.findall(text)]


def load_env(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with additions from the file `.env`, which never replaces a variable; fails with CON010.

    A line is `NAME=value`, optionally after `export`; a value in single quotes is literal, in double quotes
    `\\n`, `\\t`, `\\"` and `\\\\` are escapes. Nothing is expanded.
    """
    if not path.exists():
        return dict(environ)
    added, problems = dict[str, str](), list[Diagnostic]()
    try:
        lines = load_text(path, path.name).removeprefix("\ufeff").splitlines()
    except InvalidInput as error:
        raise_all(_with_own_code(error))
    for number, line in enumerate(lines, 1):
        match = _ENV_LINE.fullmatch(line)
        value = _env_value(match[2]) if match else None
        if match and value is not None:
            added[match[1]] = value
        elif line.strip() and not line.lstrip().startswith("#"):
            problems.append(diagnostic("CON010", at=Location(path.name, number), file=path.name, line=number))
    if problems:
        raise_all(problems)
    return {**added, **environ}


@dataclass(frozen=True, slots=True)
class _Resolver:
    """Resolves variables and secrets of stores in the fields of one connection, and collects problems."""

    ref: ConnectionRef
    env: Mapping[str, str]
    fetch: FetchSecret
    problems: list[Diagnostic]

    def report(self, code: str, name: str, *, hint: str | None = None, **params: object) -> None:
        """Add a problem with a field."""
        at = Location(pointer=f"/connections/{self.ref.family}/{self.ref.alias}/{escape(name)}")
        names = {"field": name, "family": self.ref.family, "alias": self.ref.alias}
        self.problems.append(diagnostic(code, at=at, hint=hint, fix=(), **{**names, **params}))

    def resolved(self, name: str, written: JsonValue, schema: Mapping[str, JsonValue]) -> JsonValue | Secret:
        """Return the resolved value of a field; problems are collected."""
        problems_before = len(self.problems)
        value = self.value(name, written)
        if len(self.problems) > problems_before:
            return None
        if schema.get("x-secret") or is_secret_name(name):
            if isinstance(value, str):
                return Secret(value)
            self.report("CON009", name, expected="a text")
        return self.typed(name, value, schema)

    def value(self, name: str, written: JsonValue) -> JsonValue:
        """Return a field's value with every `${NAME}` replaced, at any depth."""
        if isinstance(written, str):
            return _PLACEHOLDER.sub(lambda match: self._text(name, match[1]), written)
        if isinstance(written, list):
            return [self.value(name, item) for item in written]
        if isinstance(written, dict):
            return {key: self.value(name, item) for key, item in written.items()}
        return written

    def typed(self, name: str, value: JsonValue, schema: Mapping[str, JsonValue]) -> JsonValue:
        """Return the value converted to the type required by the family."""
        kind = schema.get("type")
        if kind is None or isinstance(kind, list):
            return value
        expected, types = _TYPES[kind]
        if isinstance(value, str) and kind in _FROM_TEXT:
            value = _FROM_TEXT[kind](value)
        if not isinstance(value, types) or (isinstance(value, bool) and kind != "boolean"):
            self.report("CON009", name, expected=expected)
        elif "enum" in schema and value not in schema["enum"]:
            self.report("CON009", name, expected="one of " + ", ".join(map(str, schema["enum"])))
        return value

    def _text(self, name: str, inside: str) -> str:
        match = _VARIABLE.fullmatch(inside)
        if match is None and (reference := parse_store_reference(inside)):
            return self._stored(name, reference)
        variable, default = (match[1], match[2]) if match else (inside, None)
        given = self.env.get(variable)
        text = given or default
        if text is None:
            self.report("CON005", name, variable=variable, state="not set" if given is None else "empty")
        return text or ""

    def _stored(self, name: str, reference: StoreReference) -> str:
        try:
            return self.fetch(reference, self.env)
        except StoreError as error:
            code = _STORE_CODES[error.kind]
            self.report(code, name, hint=error.remedy, reference=reference.text, reason=error.reason)
        return ""


_STORE_CODES = {
    "missing": "CON074",
    "denied": "CON075",
    "unreachable": "CON076",
    "unusable": "CON077",
    "absent": "CON078",
}
_FROM_TEXT: dict[str, Callable[[str], JsonValue]] = {
    "integer": lambda text: int(text) if re.fullmatch(r"[-+]?[0-9]{1,18}", text) else None,
    "number": lambda text: float(text) if re.fullmatch(r"[-+]?[0-9]{1,18}(\.[0-9]{1,18})?", text) else None,
    "boolean": {"true": True, "false": False}.get,
}
_TYPES: dict[str, tuple[str, tuple[type, ...]]] = {
    "string": ("a text", (str,)),
    "integer": ("a whole number", (int,)),
    "number": ("a number", (int, float)),
    "boolean": ("true or false", (bool,)),
    "object": ("a mapping", (dict,)),
    "array": ("a list", (list,)),
}


def _problems(document: Document, declared: Declared) -> Iterator[Diagnostic]:
    """Yield the problems of the file, and add valid connections to `declared`."""
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        yield _wrong(document, "", "the file must be a mapping with the key 'connections'")
        return
    for key in data:
        if key not in _TOP and not key.startswith("x-"):
            yield _wrong(document, f"/{escape(key)}", f"unknown key '{key}'", did_you_mean(key, _TOP))
    families = data.get("connections")
    if isinstance(families, dict | None):
        yield from _families_problems(document, families or {}, declared)
    else:
        yield _wrong(document, "/connections", "'connections' must be a mapping of families")


def _families_problems(
    document: Document, families: Mapping[str, JsonValue], declared: Declared
) -> Iterator[Diagnostic]:
    for family, aliases in families.items():
        pointer = f"/connections/{escape(family)}"
        if not _NAME.fullmatch(family):
            yield _wrong(document, pointer, f"the family '{family}' must be made of letters, digits, '_' and '-'")
        if not isinstance(aliases, dict | None):
            yield _wrong(document, pointer, f"'{family}' must be a mapping of aliases")
            continue
        declared[family] = {}
        yield from _family_problems(document, pointer, family, aliases or {}, declared[family])


def _family_problems(
    document: Document,
    pointer: str,
    family: str,
    aliases: Mapping[str, JsonValue],
    declared: dict[str, dict[str, JsonValue]],
) -> Iterator[Diagnostic]:
    marked: list[str] = []
    for alias, fields in aliases.items():
        here = f"{pointer}/{escape(alias)}"
        if not _NAME.fullmatch(alias):
            yield _wrong(document, here, f"the alias '{alias}' must be made of letters, digits, '_' and '-'")
        if not isinstance(fields, dict | None):
            yield _wrong(document, here, f"'@{family}.{alias}' must be a mapping of fields")
            continue
        declared[alias] = fields or {}
        mark = declared[alias].get(DEFAULT, False)
        if not isinstance(mark, bool):
            yield _wrong(document, f"{here}/{DEFAULT}", "'default' must be true or false")
        elif mark:
            marked.append(alias)
        yield from _field_problems(document, here, family, alias, declared[alias])
    for alias in marked[1:]:
        hint, place = f"keep one of {', '.join(marked)}", f"{pointer}/{escape(alias)}/{DEFAULT}"
        yield _wrong(document, place, f"'{family}' has two default connections", hint)


def _field_problems(
    document: Document, pointer: str, family: str, alias: str, fields: Mapping[str, JsonValue]
) -> Iterator[Diagnostic]:
    secret = [where for where, _kind in find_literal_secrets(fields, pointer)]
    key = fields.get("key")  # in a connection, unlike elsewhere, `key` is always a secret
    if isinstance(key, str) and key and "${" not in key:
        secret.append(f"{pointer}/key")
    for where in dict.fromkeys(secret):
        name = where.removeprefix(f"{pointer}/").partition("/")[0]
        variable = re.sub(r"\W|-", "_", f"{family}_{alias}_{name}").upper()
        at = document.positions.get(where)
        yield diagnostic("CON007", at=at, field=name, family=family, alias=alias, variable=variable)
    for name, value in fields.items():
        if not all(_VARIABLE.fullmatch(each) or parse_store_reference(each) for each in _placeholders(value)):
            problem = f"'{name}' of @{family}.{alias} refers to something that is no environment variable or secret"
            hint = "write ${NAME} or ${NAME:-default}, or for a secret store ${STORE:PATH#FIELD}"
            yield _wrong(document, f"{pointer}/{escape(name)}", problem, hint)


def _wrong(document: Document, pointer: str, problem: str, hint: str | None = None) -> Diagnostic:
    at = document.keys.get(pointer) or document.positions.get(pointer)
    return diagnostic("CON001", at=at, problem=problem, hint=hint)


def _with_own_code(error: InvalidInput) -> list[Diagnostic]:
    """Return the problems of reading the file as CON001, with the same message and location."""
    return [diagnostic("CON001", at=d.location, problem=d.message, hint=d.hint) for d in error.diagnostics]


_DECLARE = "declare it in osiris_connections.yaml"
_MAX_LISTED = 12
"""Maximum number of names listed in a hint if none is similar."""


def _family_hint(ref: ConnectionRef, connections: Connections) -> str:
    """Return a hint for an undeclared family, with a reference to write."""
    declared = {family: aliases for family, aliases in connections.declared.items() if aliases}
    near = nearest(ref.family, declared)
    if near is None:
        references = [f"@{family}.{alias}" for family, aliases in declared.items() for alias in aliases]
        return (
            f"{_DECLARE}; declared: {', '.join(sorted(references))}" if 0 < len(references) <= _MAX_LISTED else _DECLARE
        )
    if ref.alias is None or ref.alias in declared[near]:
        return f"did you mean '{ConnectionRef(near, ref.alias)}'?"
    return _alias_hint(near, ref.alias, declared[near])


def _alias_hint(family: str, alias: str, aliases: Iterable[str]) -> str:
    """Return a hint for an undeclared alias, with a reference to write."""
    near = nearest(alias, aliases)
    if near is not None:
        return f"did you mean '@{family}.{near}'?"
    names = [f"@{family}.{each}" for each in sorted(aliases)]
    return f"{_DECLARE}; declared: {', '.join(names)}" if 0 < len(names) <= _MAX_LISTED else _DECLARE


def _texts(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)


def _env_value(text: str) -> str | None:
    """Return the value of a line of `.env`; None if its quotes are unbalanced."""
    if text[:1] == "'":
        match = re.fullmatch(r"'([^']*)'\s*(#.*)?", text)
        return match[1] if match else None
    if text[:1] == '"':
        match = re.fullmatch(r'"((?:[^"\\]|\\.)*)"\s*(#.*)?', text)
        return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), match[1]) if match else None
    return re.sub(r"(^|\s+)#.*$", "", text)
