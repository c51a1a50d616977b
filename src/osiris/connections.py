"""Connections: what `osiris_connections.yaml` declares, which one a reference means, and what it resolves to at last.

Fields stay as they are written until a run needs them: compiling reads no environment and knows no secret.
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
from osiris.model import ConnectionRef
from osiris.secret import Secret, find_literal_secrets, is_secret_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from osiris.family_spec import FamilySpec
    from osiris.model import JsonValue

    Declared = dict[str, dict[str, dict[str, JsonValue]]]

DEFAULT = "default"
"""The field that marks a family's default, and the alias that is the default where no other is marked."""

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
"""Fields of connections of the earlier implementation, with what to write instead."""


@dataclass(frozen=True, slots=True)
class Connections:
    """The declared connections: `declared[family][alias]` has the fields as written, and the mark of the default."""

    declared: Mapping[str, Mapping[str, Mapping[str, JsonValue]]] = field(default_factory=dict)
    positions: Mapping[str, Location] = field(default_factory=dict, compare=False, repr=False)


def load_connections(path: Path) -> Connections:
    """Return what the file declares, nothing if it is not there; raises CON001 and CON007, all at once."""
    if not path.exists():
        return Connections()
    try:
        document = read_document(load_text(path, path.name), path.name, is_secret_name)
    except InvalidInput as error:
        raise_all(_respoken(error))
    declared: Declared = {}
    found = list(_problems(document, declared))
    if found:
        raise_all(found)
    return Connections(declared, document.positions)


_FIELDS = {"CON011": ("port", "host", "url", "dsn"), "CON012": ("user",), "CON013": ("database",)}
"""Fields that a code is about, the likeliest first."""


def declared_at(
    connections: Connections, ref: ConnectionRef, pointer: str | None = None, code: str = ""
) -> Location | None:
    """Return where the file has what a pointer or a code is about, else the connection; None if it has none of them."""
    whole = f"/connections/{escape(ref.family)}/{escape(ref.alias or '')}"
    places = (pointer, *(f"{whole}/{name}" for name in _FIELDS.get(code, ())), whole)
    return next((connections.positions[each] for each in places if each and each in connections.positions), None)


def parse_ref(text: str) -> ConnectionRef:
    """Return the reference that a text like `@family.alias` or `@family` spells; fails with CON006."""
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
    """Return the fields of a connection as the file has them, without the mark of the default."""
    full = resolve_ref(connections, ref)
    fields = connections.declared[full.family][str(full.alias)]
    return {name: value for name, value in fields.items() if name != DEFAULT}


def unknown_fields(connections: Connections, ref: ConnectionRef, family: FamilySpec | None) -> Iterator[Diagnostic]:
    """Yield a diagnostic (CON008) for each field of a connection that its family does not have."""
    full = resolve_ref(connections, ref)
    schemas: Mapping[str, JsonValue] = family.fields.get("properties", {}) if family else {}
    fields = as_written(connections, full)
    for name in fields if schemas else ():
        if name not in schemas:
            pointer = f"/connections/{full.family}/{full.alias}/{escape(name)}"
            at, near = connections.positions.get(pointer, Location(pointer=pointer)), certain(name, schemas)
            fix = rename(pointer, near) if near and near not in fields else ()
            named = {"field": name, "family": full.family, "alias": str(full.alias)}
            yield diagnostic("CON008", at=at, hint=_field_hint(name, schemas), fix=fix, **named)


def _field_hint(name: str, fields: Iterable[str]) -> str | None:
    return _EARLIER_FIELDS.get(name) or did_you_mean(name, fields)


def resolve(
    connections: Connections, ref: ConnectionRef, env: Mapping[str, str], family: FamilySpec | None
) -> dict[str, JsonValue | Secret]:
    """Return the fields of a connection with the environment's values in them; secret ones are `Secret`.

    A variable that is not set or empty counts as missing. Text from the environment takes the type that the family
    asks for. Raises CON005, CON008 and CON009, all at once; no message has a value in it.
    """
    full = resolve_ref(connections, ref)
    fields = as_written(connections, full)
    schemas: Mapping[str, JsonValue] = family.fields.get("properties", {}) if family else {}
    resolver = _Resolver(full, env, [])
    resolved: dict[str, JsonValue | Secret] = {}
    for name, written in fields.items():
        if family and name not in schemas:
            resolver.report("CON008", name, hint=_field_hint(name, schemas))
        else:
            resolved[name] = resolver.resolved(name, written, schemas.get(name, {}))
    for name in family.fields.get("required", []) if family else []:
        if name not in fields:
            resolver.report("CON009", name, expected="given")
    if resolver.found:
        raise_all(resolver.found)
    return resolved


def environment_names(fields: JsonValue) -> list[str]:
    """Return the environment variables that the fields of a connection refer to, sorted."""
    placeholders = (each for text in _texts(fields) for each in _PLACEHOLDER.findall(text))
    return sorted({match[1] for each in placeholders if (match := _VARIABLE.fullmatch(each))})


def load_env(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with what the file `.env` adds; it never replaces a variable. Fails with CON010.

    A line is `NAME=value`, maybe after `export`; a value in single quotes is taken as it is, in double quotes
    `\\n`, `\\t`, `\\"` and `\\\\` are escapes. Nothing is expanded.
    """
    if not path.exists():
        return dict(environ)
    added, found = dict[str, str](), list[Diagnostic]()
    try:
        lines = load_text(path, path.name).removeprefix("\ufeff").splitlines()
    except InvalidInput as error:
        raise_all(_respoken(error))
    for number, line in enumerate(lines, 1):
        match = _ENV_LINE.fullmatch(line)
        value = _env_value(match[2]) if match else None
        if match and value is not None:
            added[match[1]] = value
        elif line.strip() and not line.lstrip().startswith("#"):
            found.append(diagnostic("CON010", at=Location(path.name, number), file=path.name, line=number))
    if found:
        raise_all(found)
    return {**added, **environ}


@dataclass(frozen=True, slots=True)
class _Resolver:
    """Puts the environment into the fields of one connection; gathers what is missing."""

    ref: ConnectionRef
    env: Mapping[str, str]
    found: list[Diagnostic]

    def report(self, code: str, name: str, *, hint: str | None = None, **params: object) -> None:
        """Note a problem with a field."""
        at = Location(pointer=f"/connections/{self.ref.family}/{self.ref.alias}/{escape(name)}")
        names = {"field": name, "family": self.ref.family, "alias": self.ref.alias}
        self.found.append(diagnostic(code, at=at, hint=hint, fix=(), **{**names, **params}))

    def resolved(self, name: str, written: JsonValue, schema: Mapping[str, JsonValue]) -> JsonValue | Secret:
        """Return what a field is in the end; what is wrong with it is noted."""
        known = len(self.found)
        value = self.value(name, written)
        if len(self.found) > known:
            return None
        if schema.get("x-secret") or is_secret_name(name):
            if isinstance(value, str):
                return Secret(value)
            self.report("CON009", name, expected="a text")
        return self.typed(name, value, schema)

    def value(self, name: str, written: JsonValue) -> JsonValue:
        """Return a field's value with every `${NAME}` in it replaced, at any depth."""
        if isinstance(written, str):
            return _PLACEHOLDER.sub(lambda match: self._text(name, match[1]), written)
        if isinstance(written, list):
            return [self.value(name, item) for item in written]
        if isinstance(written, dict):
            return {key: self.value(name, item) for key, item in written.items()}
        return written

    def typed(self, name: str, value: JsonValue, schema: Mapping[str, JsonValue]) -> JsonValue:
        """Return the value in the type that the family asks for."""
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
        variable, default = (match[1], match[2]) if match else (inside, None)
        text = self.env.get(variable) or default
        if text is None:
            self.report("CON005", name, variable=variable)
        return text or ""


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
    """Yield what is wrong with the file, and put what is right into `declared`."""
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
    key = fields.get("key")  # in a connection, unlike elsewhere, nothing but a secret is called so
    if isinstance(key, str) and key and "${" not in key:
        secret.append(f"{pointer}/key")
    for where in dict.fromkeys(secret):
        name = where.removeprefix(f"{pointer}/").partition("/")[0]
        variable = re.sub(r"\W|-", "_", f"{family}_{alias}_{name}").upper()
        at = document.positions.get(where)
        yield diagnostic("CON007", at=at, field=name, family=family, alias=alias, variable=variable)
    for name, value in fields.items():
        inside = [each for text in _texts(value) for each in _PLACEHOLDER.findall(text)]
        if not all(map(_VARIABLE.fullmatch, inside)):
            problem = f"'{name}' of @{family}.{alias} refers to something that is no environment variable"
            yield _wrong(document, f"{pointer}/{escape(name)}", problem, "write ${NAME} or ${NAME:-default}")


def _wrong(document: Document, pointer: str, problem: str, hint: str | None = None) -> Diagnostic:
    at = document.keys.get(pointer) or document.positions.get(pointer)
    return diagnostic("CON001", at=at, problem=problem, hint=hint)


def _respoken(error: InvalidInput) -> list[Diagnostic]:
    """Return the problems of a file as those of the connections: same words and place, the code of this room."""
    return [diagnostic("CON001", at=d.location, problem=d.message, hint=d.hint) for d in error.diagnostics]


_DECLARE = "declare it in osiris_connections.yaml"
_FEW = 12
"""So many names are listed where none is near."""


def _family_hint(ref: ConnectionRef, connections: Connections) -> str:
    """Return a hint at a family that is not declared, with a reference to write."""
    declared = {family: aliases for family, aliases in connections.declared.items() if aliases}
    near = nearest(ref.family, declared)
    if near is None:
        known = [f"@{family}.{alias}" for family, aliases in declared.items() for alias in aliases]
        return f"{_DECLARE}; declared: {', '.join(sorted(known))}" if 0 < len(known) <= _FEW else _DECLARE
    if ref.alias is None or ref.alias in declared[near]:
        return f"did you mean '{ConnectionRef(near, ref.alias)}'?"
    return _alias_hint(near, ref.alias, declared[near])


def _alias_hint(family: str, alias: str, known: Iterable[str]) -> str:
    """Return a hint at a connection that a family does not have, with a reference to write."""
    near = nearest(alias, known)
    if near is not None:
        return f"did you mean '@{family}.{near}'?"
    names = [f"@{family}.{each}" for each in sorted(known)]
    return f"{_DECLARE}; declared: {', '.join(names)}" if 0 < len(names) <= _FEW else _DECLARE


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
    """Return what the right side of a line of `.env` means; None if its quotes do not close."""
    if text[:1] == "'":
        match = re.fullmatch(r"'([^']*)'\s*(#.*)?", text)
        return match[1] if match else None
    if text[:1] == '"':
        match = re.fullmatch(r'"((?:[^"\\]|\\.)*)"\s*(#.*)?', text)
        return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), match[1]) if match else None
    return re.sub(r"(^|\s+)#.*$", "", text)
