"""JSON Schema errors in our own words: the location, the key and the rule; a value only if it cannot be a secret."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import reduce
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from osiris.document import Document, join, kind_of
from osiris.document.edits import put
from osiris.errors import Diagnostic, certain, diagnostic, did_you_mean, nearest
from osiris.json_schema import fits, is_valid, validator_of
from osiris.oml.parse import STEP_KEYS
from osiris.oml.remedies import for_limit, for_misplaced_key, for_unknown_key, for_wrong_type
from osiris.registry import RESERVED
from osiris.secret import is_secret_name, literal_secret_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping, Sequence

    from osiris.errors import Fix
    from osiris.family_spec import FamilySpec
    from osiris.model import JsonValue
    from osiris.oml.remedies import Like

Broken: TypeAlias = Any
"""A jsonschema error, whose fields are untyped."""

_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}
_NOT_OURS = ("^(?!_[oO][sS][iI][rR][iI][sS]_)", "^(?!_osiris_)", r"^(?!(.*\.)?_osiris_)")
"""The patterns of names of tables that a writer may have."""
_PHRASES = {
    "const": "must be {limit}",
    "minimum": "must be at least {limit}",
    "maximum": "must be at most {limit}",
    "exclusiveMinimum": "must be more than {limit}",
    "exclusiveMaximum": "must be less than {limit}",
    "multipleOf": "must be a multiple of {limit}",
    "minLength": "must not be shorter than {limit} characters",
    "maxLength": "must not be longer than {limit} characters",
    "pattern": "must match {limit}",
    "minItems": "must not have fewer than {limit} entries",
    "maxItems": "must not have more than {limit} entries",
    "minProperties": "must not have fewer than {limit} entries",
    "maxProperties": "must not have more than {limit} entries",
}
MAX_MEANT = 20
"""Unknown keys that are considered for a missing one."""

_QUERY_CLAUSES = {
    "columns": "list them in the query",
    "filter": "put WHERE into the query",
    "limit": "put LIMIT into the query",
    "offset": "put OFFSET into the query",
    "order": "put ORDER BY into the query",
}
"""The equivalent in a query of a key of a table."""
_CONNECTION = 'put it into osiris_connections.yaml, and name that connection here: connection: "@{}.ALIAS"'
_NAMES = ("name", "id", "component", "parameter")
_STEP = re.compile(r"/steps/[0-9]+")
_LISTED = {"steps": "step", "replicate": "entry"}
_TEXT_RULES = frozenset(("pattern", "enum", "const", "format", "minLength", "maxLength"))
_OF_KEYS = frozenset(("required", "additionalProperties", "dependentRequired"))
_AT_RUN_TIME = re.compile(r"\$\{run\.")
_WITHOUT_VALUE = re.compile(r"\$\{params\.")


def schema_problems(
    schema: Mapping[str, JsonValue], value: JsonValue, document: Document, pointer: str, names: KeyNames
) -> Iterator[Diagnostic]:
    """Yield every violation of a schema by a value; `pointer` is its place in the document.

    Text that is only known in a run is not validated.
    """
    if fits(value, schema):
        return
    reported: set[tuple[str, str]] = set()
    needed = {"steps", "id", "component", "mode", *schema.get("required", ())}
    broken = validator_of(schema).iter_errors(value)
    for whole, error in ((each, cause) for each in broken for cause in _causes(each)):
        place, rule = reduce(join, error.absolute_path, pointer), str(error.validator)
        if rule in _OF_KEYS:
            if (place, rule) not in reported:
                yield from _keys(error, document, place, names)
            reported.add((place, rule))
        elif not _is_open(error.instance, str(whole.validator)):
            problem = _explain(error, document, place)
            is_needed = error.instance is None and place.rpartition("/")[2] in needed
            yield replace(problem, fix=()) if is_needed else problem


def _causes(error: Broken) -> Iterator[Broken]:
    """Yield what is wrong with a value: of alternatives, in the only one that has the value's type, if there is one."""
    branches = error.validator_value if error.context else ()
    typed = [n for n, branch in enumerate(branches) if _has_type(error.instance, branch)]
    if len(typed) != 1:
        yield error
        return
    for cause in error.context:
        if cause.schema_path[0] == typed[0]:
            yield from _causes(cause)


def _has_type(value: JsonValue, branch: JsonValue) -> bool:
    return is_valid(value, {"type": _types_of(branch)})


def _types_of(branch: JsonValue) -> list[str]:
    """Return the types that an alternative allows: all, if it names none."""
    types = branch.get("type", [*_TYPES]) if isinstance(branch, dict) else [*_TYPES]
    return types if isinstance(types, list) else [types]


def _is_open(value: JsonValue, rule: str) -> bool:
    """Tell whether text cannot be validated: its parameter has no value, which was reported, or it is only known in a
    run.
    """
    if not isinstance(value, str):
        return False
    return bool(_WITHOUT_VALUE.search(value) or (rule in _TEXT_RULES and _AT_RUN_TIME.search(value)))


def _explain(error: Broken, document: Document, pointer: str) -> Diagnostic:
    if "propertyNames" in error.absolute_schema_path:
        kind, at = ("parameter" if pointer == "/params" else "key"), document.where_key(join(pointer, error.instance))
        return diagnostic("OML014", at=at, what=kind, value=error.instance[:60], pattern=error.validator_value)
    return _RULES.get(str(error.validator), _other)(error, document, pointer)


class Advice(Protocol):
    """What components know of the keys of steps."""

    def supplied(self, pointer: str, key: str) -> Fix:
        """Return the fix that adds a missing key, if its value is certain or arbitrary."""

    def inside(self, pointer: str) -> Container[str]:
        """Return the keys that the config of the step at a pointer accepts, with all their names."""


class KeyNames(NamedTuple):
    """What is known of keys besides the schema, for hints.

    `aliases` has other names for keys, `family` the fields of a connection, and `also` keys that were already removed
    from the value; `advice` knows the steps.
    """

    aliases: Mapping[str, Sequence[str]]
    family: FamilySpec | None = None
    also: tuple[str, ...] = ()
    advice: Advice | None = None

    def match(self, key: str, properties: Mapping[str, JsonValue], like: Like) -> str | None:
        """Return the key that an unknown one is an alias of, or similar to; None if none, or if it is a connection
        field.
        """
        by_alias = {alias: name for name, names in self.aliases.items() for alias in names}
        is_foreign = self.is_field(key) and by_alias.get(key) not in properties
        keys = [*properties, *self.also]
        return None if is_foreign else by_alias[key] if by_alias.get(key) in keys else like(key, keys)

    def belongs_inside(self, pointer: str, key: str) -> bool:
        """Tell whether a key belongs in the config of the step at a pointer, if there is a step."""
        if _STEP.fullmatch(pointer) is None:
            return False
        return key in RESERVED or (self.advice is not None and key in self.advice.inside(pointer))

    def is_field(self, key: str) -> bool:
        """Tell whether a connection of the component has a field of that name."""
        return self.family is not None and key in self.family.fields.get("properties", ())


def _keys(error: Broken, document: Document, pointer: str, names: KeyNames) -> Iterator[Diagnostic]:
    """Yield the missing, unknown or lonely keys of a mapping."""
    if error.validator == "dependentRequired":
        yield from _lonely_keys(error, document, pointer)
        return
    properties: Mapping[str, JsonValue] = error.schema.get("properties", {})
    allowed = [re.compile(pattern) for pattern in error.schema.get("patternProperties", ())]
    absent = [key for key in error.instance if key not in properties]
    unknown = [key for key in absent if not any(pattern.search(key) for pattern in allowed)]
    report = _missing_keys if error.validator == "required" else _unknown_keys
    yield from report(error, document, pointer, names, properties, unknown)


def _missing_keys(
    error: Broken, document: Document, pointer: str, names: KeyNames, valid: Mapping[str, JsonValue], unknown: list[str]
) -> Iterator[Diagnostic]:
    where, present = _called(pointer, document), error.instance
    refused = unknown if error.schema.get("additionalProperties") is False else []
    meant = {names.match(key, valid, nearest) for key in islice(refused, MAX_MEANT)}
    step = document.value(pointer.removesuffix("/config"))
    beside = step.keys() - STEP_KEYS if isinstance(step, dict) and step is not present else ()
    for key in error.validator_value:
        # OML002 says which key a misspelt one may mean, and where one beside the config belongs.
        if key not in present and key not in beside and key not in meant:
            fix = names.advice.supplied(pointer, key) if names.advice else ()
            yield diagnostic("OML003", at=document.where(pointer), fix=fix, key=key, where=where)


def _unknown_keys(
    error: Broken, document: Document, pointer: str, names: KeyNames, valid: Mapping[str, JsonValue], unknown: list[str]
) -> Iterator[Diagnostic]:
    where, present = _called(pointer, document), error.instance
    misplaced = [key for key in unknown if names.belongs_inside(pointer, key)]
    for key in unknown:
        at, near = document.where_key(join(pointer, key)), names.match(key, valid, nearest)
        fix: Fix = ()
        hint: str | None
        if near is None and names.is_field(key) and names.family is not None:
            hint = _CONNECTION.format(names.family.name)
        elif key in misplaced:
            hint = f"it belongs into the step's config: config: {{{key}: …}}"
            fix = for_misplaced_key(pointer, key, misplaced, present)
        else:
            hint = f"did you mean '{near}'?" if near else did_you_mean(key, [*valid, *names.also])
            fix = for_unknown_key(pointer, key, names.match(key, valid, certain), present)
        yield diagnostic("OML002", at=at, hint=hint, fix=fix, key=key[:60], where=where)


def _lonely_keys(error: Broken, document: Document, pointer: str) -> Iterator[Diagnostic]:
    for key, others in error.validator_value.items():
        missing = [f"'{other}'" for other in others if other not in error.instance]
        if key in error.instance and missing:
            hint = _QUERY_CLAUSES.get(key) if "query" in error.instance else None
            at = document.where_key(join(pointer, key))
            yield diagnostic("OML039", at=at, hint=hint, key=key, others=" and ".join(missing))


def _wrong_type(error: Broken, document: Document, pointer: str) -> Diagnostic:
    branches = (error.schema,) if error.validator == "type" else error.validator_value
    types = [kind for branch in branches for kind in _types_of(branch)]
    expected, actual = " or ".join(dict.fromkeys(_TYPES[kind] for kind in types)), kind_of(error.instance)
    fix, at, hint = for_wrong_type(pointer, error.instance, types), document.where(pointer), _examples(error, pointer)
    texts = [change["value"] for change in fix if isinstance(change.get("value"), str)]
    fix = fix if all(is_valid(text, error.schema) for text in texts) else ()  # 5 must not become "5" if that is wrong
    return diagnostic("OML006", at=at, hint=hint, fix=fix, key=key_of(pointer), expected=expected, found=actual)


def _examples(error: Broken, pointer: str) -> str | None:
    """Return a hint with the examples of a value, which may be those of all its alternatives."""
    while "examples" not in error.schema and error.parent is not None and not error.path:
        error = error.parent
    texts = [each if isinstance(each, str) else json.dumps(each) for each in error.schema.get("examples", ())]
    return f"for example {key_of(pointer)}: {' or '.join(texts)}" if texts else None


def _not_one_of(error: Broken, document: Document, pointer: str) -> Diagnostic:
    allowed = [str(value) if isinstance(value, str) else json.dumps(value) for value in error.validator_value]
    text = str(error.instance)[:60] if isinstance(error.instance, str) else None
    near = certain(text, allowed) if text is not None else None
    hint = did_you_mean(text, allowed) if text is not None and nearest(text, allowed) else _examples(error, pointer)
    fix = put(pointer, error.validator_value[allowed.index(near)]) if near else ()
    shown = shown_value(key_of(pointer), error.instance)
    return diagnostic("OML005", at=document.where(pointer), hint=hint, fix=fix, value=shown, allowed=", ".join(allowed))


def _bad_text(error: Broken, document: Document, pointer: str) -> Diagnostic:
    key, at = key_of(pointer), document.where(pointer)
    if key in _NAMES and pointer.count("/") != 4:
        display = shown_value(key, error.instance).strip('"')
        spelled = re.sub(r"[^A-Za-z0-9_-]+", "-", error.instance).strip("-")[:64]
        has_no_hint = key == "component" or not spelled or literal_secret_kind(key, error.instance)
        hint = None if has_no_hint else f"write '{spelled}'"
        fix = put(pointer, spelled) if hint else ()
        return diagnostic("OML014", at=at, hint=hint, fix=fix, what=key, value=display, pattern=error.validator_value)
    if error.validator_value in _NOT_OURS:
        problem = "names that begin with _osiris_ are reserved"
        return diagnostic("OML045", at=at, table=f"'{error.instance}'", problem=problem)
    return _other(error, document, pointer)


def _alternatives(error: Broken, document: Document, pointer: str) -> Diagnostic:
    """Describe the alternatives of which none (or more than one) fits."""
    branches = [branch for branch in error.validator_value if isinstance(branch, dict)]
    if all(set(branch) == {"required"} for branch in branches):
        count = {"oneOf": "exactly one", "anyOf": "at least one"}[error.validator]
        keys = ", ".join(map(_key_set, branches))
        return diagnostic("OML040", at=document.where(pointer), key=key_of(pointer), count=count, keys=keys)
    has_a_type = any(_has_type(error.instance, branch) for branch in error.validator_value)
    return (_other if has_a_type else _wrong_type)(error, document, pointer)


def _key_set(branch: Mapping[str, JsonValue]) -> str:
    return " with ".join(f"'{key}'" for key in branch["required"])


def _repeated(error: Broken, document: Document, pointer: str) -> Diagnostic:
    texts = [json.dumps(each) for each in error.instance]
    entry = next((each for n, each in enumerate(texts) if each in texts[:n]), texts[0])
    return diagnostic("OML038", at=document.where(pointer), key=key_of(pointer), entry=entry[:60])


def _other(error: Broken, document: Document, pointer: str) -> Diagnostic:
    limit = error.validator_value
    text = limit if isinstance(limit, str) else json.dumps(limit)
    phrase = _PHRASES.get(str(error.validator), "does not have an allowed form")
    problem, hint = phrase.format(limit=text), _examples(error, pointer)
    at, fix = document.where(pointer), for_limit(pointer, error.instance, str(error.validator), limit)
    return diagnostic("OML028", at=at, fix=fix, key=key_of(pointer), problem=problem, hint=hint)


_RULES: dict[str, Callable[[Broken, Document, str], Diagnostic]] = {
    "type": _wrong_type,
    "enum": _not_one_of,
    "pattern": _bad_text,
    "uniqueItems": _repeated,
    "anyOf": _alternatives,
    "oneOf": _alternatives,
}


def key_of(pointer: str) -> str:
    """Return the last key of a pointer; an index includes the key of its list."""
    before, _, last = pointer.rpartition("/")
    if last.isdigit() and before:
        return f"{key_of(before)}[{last}]"
    return last.replace("~1", "/").replace("~0", "~")[:60] or "the file"


def shown_value(key: str, value: JsonValue) -> str:
    """Return a value as JSON, at most 60 characters; a possible secret is not shown."""
    text = json.dumps(value, ensure_ascii=False)
    if is_secret_name(key) or literal_secret_kind(key, text):
        return "this value"
    return text if len(text) <= 60 else f"{text[:57]}…"


def _called(pointer: str, document: Document) -> str:
    """Return the name of a mapping: the file, a step or entry by its id, or its keys."""
    parts = pointer.split("/")[1:]
    kind = _LISTED.get(parts[0]) if len(parts) > 1 else None
    if kind is None:
        return f"'{'.'.join(parts)[:120]}'" if parts else "the file"
    item: Any = document.data[parts[0]][int(parts[1])]
    name = item.get("id") if isinstance(item, dict) else None
    called = f"{kind} '{name[:60]}'" if isinstance(name, str) else f"{kind} {int(parts[1]) + 1}"
    return f"'{'.'.join(parts[2:])[:120]}' of {called}" if parts[2:] else called
