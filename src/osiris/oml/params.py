"""Parameters: declared, typed, and resolved before anything else is validated.

A value comes from the command line, else from `OSIRIS_PARAM_<NAME>`, else from the chosen profile, else from the
default. A sensitive parameter has no value here: it comes from the environment when a run starts.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osiris.document import Document, join, kind_of
from osiris.document.edits import put, rename
from osiris.document.reader import exact_float
from osiris.errors import Diagnostic, Fix, Location, certain, diagnostic, did_you_mean, nearest
from osiris.model import JsonValue
from osiris.secret import is_secret_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

_EXACT = 1 << 53
_INTEGER = re.compile(r"[-+]?[0-9]{1,16}")
_NUMBER = re.compile(r"[-+]?([0-9]{1,300}(\.[0-9]{0,300})?|\.[0-9]{1,300})([eE][-+]?[0-9]{1,3})?")
_LONG = re.compile(r"[0-9.]{16}")
_SURROGATE = re.compile("[\ud800-\udfff]")
MAX_REPETITIONS = 3

# Removes escapes and character classes, leaving the groups and repetitions of a pattern.
_ATOMS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_REPEATED_GROUP = re.compile(r"\)(?:[*+]|\{)")
_OPEN_REPETITION = re.compile(r"[*+]|\{[0-9]*,\}")
DECLARATION: dict[str, JsonValue] = json.loads(
    Path(__file__).with_name("parameter.schema.json").read_text(encoding="utf-8")
)
"""JSON Schema of a parameter declaration."""
_KEYS: dict[str, dict[str, JsonValue]] = DECLARATION["properties"]
_FORMS = (("enum", list, "a list of values"), ("sensitive", bool, "true or false"), ("pattern", str, "text"))
"""Keys of a declaration with a fixed type, and how messages name it."""
_ORDERED = ("integer", "number", "date")
_OTHER_NAMES = {"int": "integer", "float": "number", "str": "string", "bool": "boolean", "array": "list"}
_KINDS = {bool: "boolean", int: "integer", float: "number", str: "string", list: "list"}


@dataclass(frozen=True, slots=True)
class Param:
    """A declared parameter. Its rules apply to each entry of a list; `broken`: its declaration is invalid."""

    name: str
    type: str = "string"
    default: JsonValue = None
    enum: tuple[JsonValue, ...] = ()
    minimum: JsonValue = None
    maximum: JsonValue = None
    pattern: str | None = None
    items: str = "string"
    sensitive: bool = False
    broken: bool = False

    @property
    def variable(self) -> str:
        """Return the environment variable that sets it."""
        return f"OSIRIS_PARAM_{self.name.upper()}"

    @property
    def entry(self) -> Param:
        """Return the parameter type for one entry of a list; for other types, itself."""
        return replace(self, type=self.items, default=None) if self.type == "list" else self


@dataclass(frozen=True, slots=True)
class Params:
    """Resolved parameters; sensitive ones have only a name.

    `values` are JSON, `literals` the same for SQL, with dates as dates. `declared` has every name, resolved or not.
    """

    values: Mapping[str, JsonValue] = field(default_factory=dict)
    literals: Mapping[str, Any] = field(default_factory=dict)
    sensitive: tuple[str, ...] = ()
    declared: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Type:
    """A type: its name in messages, a test for YAML values, and a parser of text (None: invalid)."""

    expected: str
    fits: Callable[[JsonValue], bool]
    read: Callable[[str], JsonValue]


def resolve_params(
    document: Document, *, arguments: Mapping[str, str], env: Mapping[str, str], profile: str | None
) -> tuple[Params, list[Diagnostic]]:
    """Return the parameters' values, and all problems."""
    scan = _Scan(document)
    declared = scan.declarations()
    chosen = scan.profile(profile, declared, env)
    scan.undeclared(arguments, declared)
    values, literals = dict[str, JsonValue](), dict[str, Any]()
    for param in declared.values():
        if param.sensitive:
            scan.leaked(param, arguments, chosen)
        elif not param.broken and (value := scan.value(param, arguments, env, chosen)) is not None:
            values[param.name] = value
            literals[param.name] = _literal(param, value)
    sensitive = tuple(param.name for param in declared.values() if param.sensitive)
    return Params(values, literals, sensitive, tuple(declared)), scan.problems


def profile_hint(name: str, declared: Collection[str], env: Mapping[str, str]) -> str | None:
    """Return a hint for an undeclared profile; it names the variable that set it."""
    none = "no profile is declared: declare it under 'profiles' in the pipeline or in osiris.yaml, or name none"
    hint = did_you_mean(name, declared) if declared else none
    if env.get("OSIRIS_PROFILE") != name:
        return hint
    return "; ".join(filter(None, ("it comes from the variable OSIRIS_PROFILE", hint)))


def param_text(value: JsonValue) -> str:
    """Return a parameter's value from a plan as written on a command line."""
    if isinstance(value, list):
        return ",".join(map(param_text, value))
    if isinstance(value, dict):  # a number that JSON cannot carry
        return str(next(iter(value.values())))
    return value if isinstance(value, str) else json.dumps(value)


class _Scan:
    """Reads params and profiles and collects `problems`."""

    def __init__(self, document: Document) -> None:
        self.problems: list[Diagnostic] = []
        self._document = document

    def declarations(self) -> dict[str, Param]:
        """Return the declared parameters, including invalid ones, so that their names are known."""
        declared: dict[str, Param] = {}
        variables: dict[str, str] = {}
        for name, value in _mapping(self._document.data.get("params")).items():
            pointer = join("/params", name)
            if isinstance(value, dict):
                param = self._declared(name, value, pointer)
            else:
                if value is None:
                    self._add(
                        "OML020", pointer, name=name, problem="it has no value; give it one, or declare {type: …}"
                    )
                kind = _KINDS.get(type(value), "string")
                param = Param(name, kind, value, items=_items(value), broken=value is None)
            if param.default is not None and not (param.sensitive or param.broken):
                self._check(param, param.default, f"{pointer}/default" if isinstance(value, dict) else pointer)
            declared[name] = param
            twin = variables.setdefault(declared[name].variable, name)
            if twin != name:
                self._add("OML020", pointer, name=name, problem=f"differs from '{twin}' in upper and lower case only")
        return declared

    def profile(
        self, chosen: str | None, declared: Mapping[str, Param], env: Mapping[str, str]
    ) -> Mapping[str, JsonValue]:
        """Return the values of the chosen profile; all profiles are validated."""
        profiles = _mapping(self._document.data.get("profiles"))
        values = {name: _mapping(_mapping(block).get("params")) for name, block in profiles.items()}
        checked = {name: param for name, param in declared.items() if not (param.sensitive or param.broken)}
        for name, block in values.items():
            pointer = f"{join('/profiles', name)}/params"
            self.undeclared(block, declared, pointer)
            for key in filter(checked.__contains__, block):
                self._check(checked[key], block[key], join(pointer, key))
        if profiles and chosen not in (None, *profiles):
            self._add("OML023", "/profiles", name=chosen, hint=profile_hint(str(chosen), profiles, env))
        return values.get(chosen or "", {})

    def undeclared(self, names: Iterable[str], declared: Mapping[str, Param], pointer: str | None = None) -> None:
        """Report undeclared names; without a `pointer` they are from the command line."""
        for name in names:
            if name not in declared:
                hint, match = did_you_mean(name, declared) or "declare it under params", certain(name, declared)
                at = Location() if pointer is None else self._document.where_key(join(pointer, name))
                fix = rename(join(pointer, name), match) if pointer is not None and match and match not in names else ()
                self.problems.append(diagnostic("OML019", at=at, hint=hint, fix=fix, name=name[:60]))

    def leaked(self, param: Param, arguments: Mapping[str, str], chosen: Mapping[str, JsonValue]) -> None:
        """Report a sensitive parameter that is set where it can be seen."""
        source = "on the command line" if param.name in arguments else "in a profile" if param.name in chosen else None
        if source:
            instead = f"export {param.variable}"
            self._add(
                "OML025", join("/params", param.name), name=param.name, problem=f"is given {source}", instead=instead
            )

    def value(
        self, param: Param, arguments: Mapping[str, str], env: Mapping[str, str], chosen: Mapping[str, JsonValue]
    ) -> JsonValue:
        """Return the effective value, None if it is missing or invalid."""
        pointer = join("/params", param.name)
        text = arguments.get(param.name, env.get(param.variable))
        if text is not None:
            return self._check(param, text, pointer, from_text=True)
        value = chosen.get(param.name, param.default)
        if value is None:
            self._add("OML022", pointer, name=param.name)
            return None
        return value if not any(_problems(param, value)) else None

    def _declared(self, name: str, block: Mapping[str, JsonValue], pointer: str) -> Param:
        count_before = len(self.problems)
        for problem, key, hint in _block_problems(block):
            fix = _spelling_fix(block, join(pointer, key), key)
            self._add("OML020", join(pointer, key), name=name, problem=problem, hint=hint, fix=fix)
        sensitive = block.get("sensitive") is True
        if len(self.problems) > count_before:
            return Param(name, sensitive=sensitive, broken=True)
        default = block.get("default")
        kind = block.get("type") or _KINDS.get(type(default), "string")
        param = Param(
            name,
            type=kind,
            default=default,
            enum=tuple(block.get("enum") or ()),
            minimum=block.get("min"),
            maximum=block.get("max"),
            pattern=block.get("pattern"),
            items=block.get("items") or _items(default),
            sensitive=sensitive,
        )
        for problem, key in _rule_problems(param):
            self._add("OML020", join(pointer, key), name=name, problem=problem)
        return replace(param, broken=len(self.problems) > count_before)

    def _check(self, param: Param, value: JsonValue, pointer: str, *, from_text: bool = False) -> JsonValue:
        """Return a value converted to the parameter's type, None if invalid, which is reported."""
        parsed = _read(param, value) if from_text else value
        expected = next(_problems(param, parsed), None)
        if expected is None:
            return parsed
        display = kind_of(value)
        if isinstance(value, str) and not is_secret_name(param.name):
            display = f"'{value[:40]}'"
        elif isinstance(value, (int, float)):
            display = json.dumps(value)
        at, hint = self._document.where(pointer), None
        if param.entry.type in ("integer", "number") and _LONG.search(str(value)):
            hint = "to keep more digits, declare it as {type: string} and CAST it in the SQL"
        self.problems.append(diagnostic("OML021", at=at, hint=hint, name=param.name, expected=expected, found=display))
        return None

    def _add(self, code: str, pointer: str, *, hint: str | None = None, fix: Fix = (), **params: object) -> None:
        self.problems.append(diagnostic(code, at=self._document.where_key(pointer), hint=hint, fix=fix, **params))


def _spelling_fix(block: Mapping[str, JsonValue], pointer: str, key: str) -> Fix:
    """Return the fix for a misspelt key or type of a declaration."""
    if key in ("type", "items"):
        kind = str(block[key])
        match = _OTHER_NAMES.get(kind) or certain(kind, _TYPES)
        return put(pointer, match) if match else ()
    match = certain(key, _KEYS) if key and key not in _KEYS else None
    return rename(pointer, match) if match and match not in block else ()


def _block_problems(block: Mapping[str, JsonValue]) -> Iterator[tuple[str, str, str | None]]:
    """Yield (problem, key, hint) for each key of a declaration that is unknown or of the wrong type."""
    for key in block:
        if key not in _KEYS and not key.startswith("x-"):
            yield f"unknown key '{key[:60]}'", key, did_you_mean(key, _KEYS)
    yield from _kind_problems("type", block.get("type"))
    yield from _kind_problems("items", block.get("items"))
    for key, form, words in _FORMS:
        if not isinstance(block.get(key, form()), form) or block.get(key) == []:
            yield f"{key} must be {words}", key, None
    if not {"type", "default"} & block.keys() and block.get("sensitive") is not True:
        yield "needs a type or a default", "", None


def _kind_problems(key: str, kind: JsonValue) -> Iterator[tuple[str, str, str | None]]:
    allowed = _KEYS[key]["enum"]
    if kind is not None and kind not in allowed:
        near = _OTHER_NAMES.get(str(kind)) or nearest(str(kind), allowed)
        yield f"{key} must be one of {', '.join(allowed)}", key, f"did you mean '{near}'?" if near else None


def _rule_problems(param: Param) -> Iterator[tuple[str, str]]:
    """Yield (problem, key) for each rule that does not match the parameter's type."""
    kind, pattern = param.entry.type, param.pattern
    if param.sensitive and param.default is not None:
        yield "a sensitive parameter has no default: it comes from the environment", "default"
    for key, values in (("enum", param.enum), ("min", (param.minimum,)), ("max", (param.maximum,))):
        if _has_invalid(Param(param.name, kind), values):
            yield f"{key} must be {_TYPES[kind].expected}", key
    for key, rule in (("min", param.minimum), ("max", param.maximum)):
        if rule is not None and kind not in _ORDERED:
            yield f"{key} needs the type integer, number or date", key
    if pattern is not None:
        yield from ((problem, "pattern") for problem in _pattern_problems(pattern, kind))


def _has_invalid(param: Param, values: Iterable[JsonValue]) -> bool:
    """Tell whether some value is invalid for a parameter."""
    return any(value is not None and any(_problems(param, value)) for value in values)


def _pattern_problems(pattern: str, kind: str) -> Iterator[str]:
    if kind != "string":
        yield "pattern needs the type string"
    reduced = _ATOMS.sub("x", pattern)
    if bool(_REPEATED_GROUP.search(reduced)) or len(_OPEN_REPETITION.findall(reduced)) > MAX_REPETITIONS:
        yield "pattern repeats a group, or repeats without end more than three times"
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        yield "pattern is not a regular expression"


def _problems(param: Param, value: JsonValue) -> Iterator[str]:
    """Yield what a value should be, for the first rule that it violates; for a list, per entry."""
    kind = _TYPES[param.type]
    if value is None or not kind.fits(value):
        yield kind.expected
    elif param.type == "list":
        for item in value:
            yield from (f"a list in which each entry is {rule}" for rule in _problems(param.entry, item))
    else:
        yield from islice(_broken_rules(param, value), 1)


def _broken_rules(param: Param, value: JsonValue) -> Iterator[str]:
    if param.enum and (type(value), value) not in [(type(each), each) for each in param.enum]:
        yield "one of " + ", ".join(map(str, param.enum))
    if param.pattern is not None and not re.fullmatch(param.pattern, str(value)):
        yield f"text that matches {param.pattern} as a whole"
    if param.minimum is not None and value < param.minimum:
        yield f"at least {param.minimum}"
    if param.maximum is not None and value > param.maximum:
        yield f"at most {param.maximum}"


def _read(param: Param, text: str) -> JsonValue:
    """Return the value parsed from text of the command line or environment; None if it, or an entry, is invalid."""
    if param.type != "list":
        return _TYPES[param.type].read(text)
    if text.startswith("["):
        try:
            return json.loads(text, parse_float=exact_float)
        except (ValueError, RecursionError):
            return None
    return [_TYPES[param.items].read(part.strip()) for part in text.split(",")] if text else []


def _is_date(value: JsonValue) -> bool:
    try:
        return isinstance(value, str) and dt.date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def _is_number(value: JsonValue) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < _EXACT if isinstance(value, int) else math.isfinite(value)


_TYPES: dict[str, _Type] = {
    "string": _Type(  # safe anywhere: all characters, and no placeholder of its own
        "text, without '${'",
        lambda value: isinstance(value, str) and "${" not in value and not _SURROGATE.search(value),
        str,
    ),
    "integer": _Type(
        "an integer between -2**53 and 2**53",
        lambda value: _is_number(value) and isinstance(value, int),
        lambda text: int(text) if _INTEGER.fullmatch(text) else None,
    ),
    "number": _Type(
        "a number that a float of 64 bits holds as written",
        _is_number,
        lambda text: int(text) if _INTEGER.fullmatch(text) else exact_float(text) if _NUMBER.fullmatch(text) else None,
    ),
    "boolean": _Type("true or false", lambda value: isinstance(value, bool), {"true": True, "false": False}.get),
    "date": _Type("a date like 2026-01-31", _is_date, lambda text: text if _is_date(text) else None),
    "list": _Type("a list", lambda value: isinstance(value, list), lambda _: None),
}


def _items(default: JsonValue) -> str:
    """Return the type of a list's entries, inferred from its default."""
    kinds = {_KINDS.get(type(item), "string") for item in default} if isinstance(default, list) else set()
    if kinds == {"integer", "number"}:
        return "number"
    return kinds.pop() if len(kinds) == 1 and "list" not in kinds else "string"


def _literal(param: Param, value: JsonValue) -> Any:  # noqa: ANN401  one of the types of the table
    """Return the value for SQL."""
    if param.type == "list":
        return [_literal(param.entry, item) for item in value]
    return dt.date.fromisoformat(value) if param.type == "date" else value


def _mapping(value: JsonValue) -> Mapping[str, JsonValue]:
    return value if isinstance(value, dict) else {}
