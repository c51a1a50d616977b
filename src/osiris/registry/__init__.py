"""The registry of components: discovered by entry point, described by their spec.yaml, imported only when they run.

A component is registered in the group `osiris.components`: its name, and the dotted name of the folder with `spec.yaml`
and `driver.py`. Listing components imports none of their code, and a spec is read on first use. Problems of one
component are kept as diagnostics, and do not affect others.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, fields, is_dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osiris.distribution import NotLoadedError, load_foreign
from osiris.document import escape
from osiris.errors import Diagnostic, Location, certain, diagnostic, fail, nearest, raise_all, sort_diagnostics
from osiris.family_spec import (
    COMPONENTS,
    FAMILIES,
    all_families,
    by_name,
    entries_of,
    installed_families,
    package_folder,
    read_yaml,
)
from osiris.json_schema import fits, is_schema, is_valid, validator_of
from osiris.model import ComponentSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from osiris.family_spec import Entry, Families, FamilySpec
    from osiris.model import JsonValue


KINDS = ("extractor", "writer", "processor")
LIST = "see 'osiris components list'"
_KINDS = {
    "reader": "extractor",
    "read": "extractor",
    "extract": "extractor",
    "source": "extractor",
    "sink": "writer",
    "write": "writer",
    "target": "writer",
    "destination": "writer",
    "transform": "processor",
    "transformer": "processor",
    "transformation": "processor",
}
"""Other tools' names for kinds of components, without ambiguous ones like "loader"."""

_FORMATS = {
    **dict.fromkeys(("jsonl", "ndjson"), "json"),
    **dict.fromkeys(("tsv", "txt"), "csv"),
    "pq": "parquet",
    "mssql": "mssql",  # one letter from mysql, and another server
}
"""Other names of formats, and a word that is not a typo of another."""

_WORD = 4
_SLIP = 0.75
"""The minimum length and similarity of a word that hints treat as a typo."""


def resolve_component(name: str, names: Iterable[str], family: str | None = None) -> tuple[str | None, str | None]:
    """Return the component that a name certainly means, and a hint at what it may mean; each can be None.

    Neither turns a reader into a writer, nor the reverse. `family` is that of the step's connection.
    """
    components = list(names)
    canonical = re.sub(r"[a-z]+$", lambda match: _KINDS.get(match[0], match[0]), name.lower())
    if f"{family}.{canonical}" in components:
        canonical = f"{family}.{canonical}"
    same_kind = [component for component in components if component.partition(".")[2] == canonical]
    match = same_kind[0] if len(same_kind) == 1 else certain(canonical, components)
    return match, f"did you mean '{match}'?" if match else hint_at(name, components)


def hint_at(name: str, names: Iterable[str]) -> str:
    """Return a hint at the components that a name may mean, or at the list of all."""
    families = _stores()
    stores = [families[text] for text in _words(name) if text in families]
    matches = matching(name, names, loosely=True)
    if stores and matches:
        reached = f'connection: "@{stores[0]}.ALIAS"'
        return f"files of a store are reached by a component for files and a connection: '{matches[0]}' with {reached}"
    if len(matches) == 1:
        return f"did you mean '{matches[0]}'?"
    return f"one of: {', '.join(matches)}" if matches else LIST


def matching(text: str, names: Iterable[str], *, loosely: bool = False) -> list[str]:
    """Return the components whose names contain all words of a text, aliases and typos included.

    With `loosely`, words that are in no name are ignored. The text must name more than a kind of component.
    """
    words = {name: {*_words(name)} for name in names}
    vocabulary = set().union(*words.values())
    aliases = {**_KINDS, **_FORMATS, **_subjects(), **{item: item for item in vocabulary}}
    required = {aliases.get(item, item) for item in (_likely(item, aliases) for item in _words(text))}
    required = required & vocabulary if loosely else required
    return [name for name, parts in words.items() if required <= parts] if required - {*KINDS} else []


def _likely(word: str, vocabulary: Iterable[str]) -> str:
    """Return the word of the vocabulary that a word may be a typo of, or the word itself."""
    if len(word) < _WORD:
        return word
    return nearest(word, (entry for entry in vocabulary if len(entry) >= _WORD), _SLIP) or word


def _stores() -> dict[str, str]:
    """Return the families of object stores, by their schemes, names and aliases."""
    stores = [family for family in all_families() if family.scheme]
    return {name: family.name for family in stores for name in (family.scheme, family.name, *family.aliases)}


def _subjects() -> dict[str, str]:
    """Return the families by their aliases; object stores map to the family of files."""
    families = [family for family in all_families() if not family.scheme]
    aliases = {alias: family.name for family in families for alias in family.aliases}
    files = [family.name for family in families if family.local_files]
    return {**aliases, **dict.fromkeys(_stores() if files else (), *files[:1])}


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z][a-z0-9]*", text.lower())


RESERVED: dict[str, dict[str, JsonValue]] = json.loads(
    Path(__file__).with_name("shared-config.schema.json").read_text(encoding="utf-8")
)
"""The config keys that all components share, unless a component declares one of that name."""

UNSUPPORTED_RESERVED = ("max_cell_bytes", "deterministic")
"""Shared config keys that this version accepts without effect, with a warning."""

INCREMENTAL = ("cursor", "state", "deletes")
"""The capabilities behind the keys `cursor` and `deletes`, which are in OML since 0.3.0."""

_SHARED = {key: schema for key, schema in RESERVED.items() if key not in UNSUPPORTED_RESERVED}
_LISTS = ("modes", "capabilities", "families", "secrets", "requirements", "examples")
_TEXTS = ("name", "version", "title", "description", "family", "connection")
_REQUIRED = (*_TEXTS, "modes", "inputs", "output", "config")
_SHAPE: dict[str, type] = {
    **dict.fromkeys(_TEXTS, str),
    **dict.fromkeys(_LISTS, list),
    "inputs": dict,
    "output": bool,
    "config": dict,
    "delivery": str,
    "hints": dict,
}
"""The types needed to build a ComponentSpec; all else is validated by component-spec.schema.json."""


@dataclass(frozen=True, slots=True)
class _Component:
    document: JsonValue = None
    spec: ComponentSpec | None = None
    problems: tuple[Diagnostic, ...] = ()


class Registry:
    """The installed components and families; made by `load_registry`."""

    def __init__(self, components: Iterable[Entry], families: Families) -> None:
        self._entries = by_name(components)
        self._families = families
        # Each is read and checked on first use.
        self._component = cache(lambda name: _read_component(self._entries[name]))
        self._check = cache(self._checked)

    def _checked(self, name: str) -> tuple[Diagnostic, ...]:
        component = self._component(name)
        checked = _schema_problems(self._entries[name], component.document) if component.spec else ()
        return component.problems or checked

    def names(self) -> list[str]:
        """Return the names of all registered components, sorted; some may have an invalid spec."""
        return sorted(self._entries)

    def families(self) -> list[str]:
        """Return the names of all registered families, sorted."""
        return self._families.names()

    def all(self) -> list[ComponentSpec]:
        """Return the spec of every component whose spec can be read, by name."""
        return [spec for name in self.names() if (spec := self.find(name))]

    def find(self, name: str) -> ComponentSpec | None:
        """Return the spec of a component; None if it is not registered or its spec cannot be read."""
        return self._component(name).spec if name in self._entries else None

    def get(self, name: str) -> ComponentSpec:
        """Return the spec of a component; fails with CMP001 if it is not registered, REG001 or REG003 if invalid."""
        if name not in self._entries:
            fail("CMP001", name=name, hint=hint_at(name, self.names()))
        component = self._component(name)
        if component.spec is None:
            raise_all(component.problems)
        return component.spec

    def problems(self, name: str | None = None) -> list[Diagnostic]:
        """Return the problems in the spec of one component, or of all; reads and checks them in full."""
        names = self.names() if name is None else [name] if name in self._entries else []
        return sort_diagnostics(problem for component in names for problem in self._check(component))

    def owner(self, name: str) -> str:
        """Return the distribution that registers a component; raises KeyError if it is not registered."""
        return self._entries[name].owner

    def config_schema(self, spec: ComponentSpec) -> dict[str, JsonValue]:
        """Return the JSON Schema of a step's config: the component's own keys and the shared ones of this version.

        Fails with REG001 if the spec is invalid.
        """
        if problems := self._check(spec.name):
            raise_all(problems)
        return {**spec.config, "properties": {**_SHARED, **spec.config["properties"]}}

    def shared_config(self, name: str) -> dict[str, dict[str, JsonValue]]:
        """Return the shared config keys that have an effect on a component; fails as `get` does."""
        spec = self.get(name)
        needed = {"on_reject": "rejects", "cursor": "cursor", "deletes": "deletes"}
        lacking = (key for key, capability in needed.items() if capability not in spec.capabilities)
        left_out = {*spec.config["properties"], *lacking}
        return {key: schema for key, schema in _SHARED.items() if key not in left_out}

    def load_driver(self, name: str) -> tuple[type[Any], type[Any]]:
        """Import a component's driver and return its Config and Driver classes; fails with REG002 if that fails."""
        spec = self.get(name)
        try:
            module = load_foreign(partial(importlib.import_module, f"{spec.module}.driver"))
        except NotLoadedError as error:
            fail("REG002", name=name, reason=error)
        config, driver = (getattr(module, attribute, None) for attribute in ("Config", "Driver"))
        if not (isinstance(config, type) and is_dataclass(config)):
            fail("REG002", name=name, reason="driver.py has no dataclass Config")
        if not isinstance(driver, type):
            fail("REG002", name=name, reason="driver.py has no class Driver")
        return config, driver

    def family(self, name: str) -> FamilySpec | None:
        """Return the spec of a family; None if it is not registered. Fails with REG001 if its file cannot be read."""
        return self._families.get(name)


def load_registry() -> Registry:
    """Return the registry of everything installed; reads only the lists of entry points."""
    components, families = entries_of(COMPONENTS, FAMILIES)
    return Registry(components, installed_families(families))


def build_config(config: type[Any], values: Mapping[str, JsonValue]) -> object:
    """Build a driver's Config from a step's config, without keys that the component does not declare."""
    return config(**{field.name: values[field.name] for field in fields(config) if field.name in values})


def filled(value: JsonValue, schema: JsonValue) -> JsonValue:
    """Return a value with the defaults of its JSON Schema for missing properties, at any depth."""
    if not isinstance(schema, Mapping):
        return value
    if isinstance(value, Mapping):
        properties = schema.get("properties", {})
        declared = {name: inner for name, inner in properties.items() if isinstance(inner, Mapping)}
        defaults = {name: deepcopy(inner["default"]) for name, inner in declared.items() if "default" in inner}
        return {key: filled(item, properties.get(key, {})) for key, item in {**defaults, **value}.items()}
    if isinstance(value, (list, tuple)):
        return [filled(item, schema.get("items", {})) for item in value]
    return value


def _read_component(entry: Entry) -> _Component:
    if entry.rival is not None:
        return _Component(problems=(diagnostic("REG003", name=entry.name, first=entry.owner, second=entry.rival),))
    document, problem = read_yaml(entry, package_folder(entry.target), "spec.yaml")
    problem = problem or _shape_problem(entry.name, document)
    if problem:
        return _Component(document, problems=(_problem(entry, problem),))
    fields_of_spec = {key: value for key, value in document.items() if key not in ("inputs", *_LISTS)}
    lists = {key: tuple(document.get(key) or ()) for key in _LISTS}
    inputs = (document["inputs"].get("min", 0), document["inputs"].get("max"))
    digest = digest_of_spec(document)
    return _Component(
        document, ComponentSpec(**{**fields_of_spec, **lists}, inputs=inputs, digest=digest, module=entry.target)
    )


def _shape_problem(name: str, document: JsonValue) -> str | None:
    if not isinstance(document, dict):
        return "spec.yaml must be a mapping"
    for key in (*_REQUIRED, *document):
        if key not in document:
            return f"spec.yaml: '{key}' is missing"
        if not isinstance(document[key], _SHAPE.get(key, ())):
            return f"spec.yaml: '{key}' is unknown or of the wrong type"
    if document["name"] != name:
        return f"it is registered as '{name}' and calls itself '{document['name']}'"
    if not isinstance(document["config"].get("properties"), dict):
        return "spec.yaml: 'config' must be a JSON Schema of an object, with properties"
    return None


_WORDS = ("title", "description", "examples")
_NAMED_SCHEMAS = ("properties", "patternProperties", "$defs", "dependentSchemas")
_SCHEMAS = (
    *("items", "prefixItems", "contains", "additionalProperties", "propertyNames", "unevaluatedProperties"),
    *("anyOf", "oneOf", "allOf", "not", "if", "then", "else"),
)
"""Keywords of JSON Schema whose values are schemas: by name, or one or a list."""


def digest_of_spec(document: Mapping[str, JsonValue]) -> str:
    """Return the SHA-256, in hex, of a spec without its texts, so that rewording does not change fingerprints.

    Capabilities and config keys of later versions of the language are left out too: plans of earlier files keep their
    fingerprints.
    """
    from osiris.canonical import fingerprint

    meaning = {key: value for key, value in document.items() if key not in (*_WORDS, "hints")}
    if "capabilities" in meaning:
        meaning["capabilities"] = [name for name in meaning["capabilities"] if name not in INCREMENTAL]
    config = _without_texts(document["config"])
    properties = {key: value for key, value in config.get("properties", {}).items() if "x-since" not in value}
    return fingerprint({**meaning, "config": {**config, "properties": properties}})


def _without_texts(schema: JsonValue) -> JsonValue:
    """Return a JSON Schema without titles, descriptions and examples."""
    if isinstance(schema, (list, tuple)):
        return [_without_texts(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {key: _value_without_texts(key, value) for key, value in schema.items() if key not in _WORDS}


def _value_without_texts(key: str, value: JsonValue) -> JsonValue:
    if key in _NAMED_SCHEMAS and isinstance(value, Mapping):
        return {name: _without_texts(inner) for name, inner in value.items()}
    return _without_texts(value) if key in _SCHEMAS else value


def _schema_problems(entry: Entry, document: JsonValue) -> tuple[Diagnostic, ...]:
    """Return all violations of the schema of specs, and of JSON Schema in the spec's config."""
    problems = []
    if not fits(document, _meta_schema()):
        errors = sorted(validator_of(_meta_schema()).iter_errors(document), key=lambda e: list(map(str, e.path)))
        problems += [_problem(entry, f"spec.yaml: {e.message[:200]}", e.absolute_path) for e in errors]
    if not is_schema(document["config"]):
        problems += _config_problems(entry, document["config"])
    if not problems:
        further = (*_default_problems(document["config"], ("config",)), *_filled_problems(document))
        problems += (_problem(entry, problem, at) for at, problem in further)
    return tuple(problems)


def _config_problems(entry: Entry, config: Mapping[str, JsonValue]) -> Iterator[Diagnostic]:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(config)
    except SchemaError as error:
        yield _problem(entry, f"config is not a JSON Schema: {error.message[:200]}", ["config", *error.path])


def _default_problems(schema: JsonValue, at: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield each default that its own schema rejects, or that requires a key that may be absent."""
    if not isinstance(schema, Mapping):
        return
    if "default" in schema and not is_valid(schema["default"], schema):
        yield (*at, "default"), "the default does not fit its own schema"
    yield from _dependent_defaults(schema, at)
    for name, inner in schema.get("properties", {}).items():
        yield from _default_problems(inner, (*at, "properties", name))
    yield from _default_problems(schema.get("items"), (*at, "items"))


def _dependent_defaults(schema: Mapping[str, JsonValue], at: tuple[str | int, ...]) -> Iterator[tuple[Any, str]]:
    properties, required = schema.get("properties", {}), schema.get("required", ())
    for name, needed in schema.get("dependentRequired", {}).items():
        absent = [key for key in needed if key not in required]
        if absent and "default" in (properties.get(name) or {}):
            yield (*at, "properties", name), f"a default is written into every config, and this one needs '{absent[0]}'"


def _filled_problems(document: Mapping[str, JsonValue]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield each valid example that becomes invalid when defaults are written out, as in a plan."""
    config = document["config"]
    schema = {**config, "properties": {**_SHARED, **config["properties"]}}
    for number, example in enumerate(document.get("examples") or ()):
        written = {key: value for key, value in example["config"].items() if key != "connection"}
        explicit = filled(written, config)
        if is_valid(written, schema) and not is_valid(explicit, schema):
            error = next(validator_of(schema).iter_errors(explicit))
            yield ("examples", number), f"with its defaults written out it is not valid: {error.message[:200]}"


@cache
def _meta_schema() -> dict[str, JsonValue]:
    path = Path(__file__).with_name("component-spec.schema.json")
    schema: dict[str, JsonValue] = json.loads(path.read_text(encoding="utf-8"))
    return schema


def _problem(entry: Entry, problem: str, path: Iterable[str | int] = ()) -> Diagnostic:
    pointer = "".join(f"/{escape(str(part))}" for part in path)
    at = Location(f"{entry.target.replace('.', '/')}/spec.yaml", pointer=pointer or None)
    return diagnostic("REG001", at=at, name=entry.name, problem=problem)
