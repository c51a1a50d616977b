"""Validate a document into a pipeline, or report all its problems at once."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.document import Document, join
from osiris.document.edits import add, drop, put, rename
from osiris.errors import Diagnostic, OsirisError, certain, diagnostic, has_errors, raise_all, sort_diagnostics
from osiris.model import Pipeline, Step
from osiris.oml.config import CONNECTION, Configs, needed_version
from osiris.oml.order import Links
from osiris.oml.params import Params, resolve_params
from osiris.oml.placeholders import Substitution
from osiris.oml.remedies import OTHER_NAMES, SpareIds, file_name, ids_of, mappings
from osiris.oml.replicate import NEEDED, duplicate_ids, expand, read_entries
from osiris.oml.schedule import NEEDED as SCHEDULED
from osiris.oml.schedule import schedule_problems
from osiris.oml.schema import KeyNames, schema_problems
from osiris.registry import resolve_component
from osiris.secret import find_literal_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import TypeAlias

    from osiris.errors import Fix, Location
    from osiris.model import ComponentSpec, JsonValue
    from osiris.oml.replicate import Catalogue, Entry, Text
    from osiris.registry import Registry

    Catalogues: TypeAlias = Callable[[str, Sequence[Entry]], Mapping[str, Catalogue]]
    """Returns the tables of the sources of a pipeline's entries, by entry."""

OML_VERSION = "0.3.0"
"""Newest version of the language; files of earlier versions mean the same in it."""
OLDEST = "0.1.0"
_VERSIONS = (OLDEST, "0.2.0", OML_VERSION)
MAX_PROBLEMS = 1000
"""Problems reported per kind; a hostile file may have a million."""

_FORBIDDEN = {
    "version": "write 'oml_version'",
    "connectors": "declare connections in osiris_connections.yaml",
    "tasks": "write 'steps'",
    "outputs": "add a step with mode: write",
    "run": "use 'osiris run FILE --run-id ID --profile NAME'",
}
_FORBIDDEN_IN_STEPS = {"outputs": "remove it; other steps read the output by the step's id, in 'needs' or 'inputs'"}
ALL_MODES = ("read", "transform", "write")
_CURRENT = {"version": "oml_version", "tasks": "steps"}
_DEFAULTED = ("oml_version", "name", "id", "mode")
"""Required keys with a known or arbitrary default."""
_EARLIER_MODES = {"extract": "read", "load": "write"}
_EARLIER_COMPONENTS = {
    "s3.csv_writer": ("filesystem.csv_writer", "@s3"),
    "azure_blob.csv_writer": ("filesystem.csv_writer", "@azure"),
    "gcs.csv_writer": ("filesystem.csv_writer", "@gcs"),
}
"""Old names of components, and the connection that such a step has by default."""

_EARLIER_KEYS = {"uses": "component", "with": "config", "depends_on": "needs"}


def _tables(document: Document, name: str, entries: Sequence[Entry], catalogues: Catalogues) -> Mapping[str, Catalogue]:
    """Return the tables of the sources of entries; problems without a file are those of an entry."""
    try:
        return catalogues(name, entries)
    except OsirisError as error:
        at = (document.where(item.location.pointer or "/replicate") for item in error.diagnostics)
        raise_all(i if i.location.file else replace(i, location=a) for i, a in zip(error.diagnostics, at, strict=True))


def validate(
    document: Document,
    registry: Registry,
    *,
    params: Mapping[str, str],
    env: Mapping[str, str],
    profile: str | None,
    defaults: Mapping[str, JsonValue],
    catalogues: Catalogues = lambda _name, _entries: {},
) -> tuple[Pipeline, list[Diagnostic]]:
    """Return the pipeline, with warnings and notes; raises InvalidInput with all errors.

    `catalogues` returns the tables of the sources of entries of `replicate`; it is called for a file that has some and
    is valid so far. Entries without a catalogue have no steps.

    `params` are the command line's, `env` the environment including `.env`, `profile` falls back to `OSIRIS_PROFILE`,
    `defaults` are shared config keys that the project sets for every step. Components that are not installed are left
    to the compiler; their config is not validated.
    """
    data, diagnostics = _modernized(document)
    chosen = profile or env.get("OSIRIS_PROFILE") or None
    values, problems = resolve_params(document, arguments=params, env=env, profile=chosen)
    substitution = Substitution(document, values, problems)
    data |= {key: substitution.value(data[key], f"/{key}") for key in ("replicate",) if key in data}
    diagnostics += _file_problems(document, data, registry)
    entries, entry_problems = _entries(document, data, registry)
    diagnostics += entry_problems
    texts = _steps(data)
    specs = _specs(registry, (text["component"] for text in texts.values()))
    configs = Configs(document, registry, substitution, defaults)
    steps = [_step(pointer, text, specs, configs) for pointer, text in texts.items()]
    is_asked = entries and not has_errors([*diagnostics, *problems])
    by_entry = _tables(document, str(data["name"]), entries, catalogues) if is_asked else {}
    replicated, entry_problems = _expanded(document, registry, entries, by_entry)
    diagnostics += entry_problems
    specs |= _specs(registry, (text["component"] for text in replicated))
    steps += _replicated_steps(replicated, specs, configs)
    links = Links(document, specs, [*ids_of(data.get("steps")), *(text["id"] for text in replicated)])
    written = _without_entries(texts.values(), ids_of(data.get("replicate")), replicated)
    linked = links.link(steps, [*written, *replicated])
    if has_errors([*diagnostics, *problems, *links.problems]):
        diagnostics += _wrong_modes(document, linked[: len(texts)], specs)
    pipeline = None if has_errors(diagnostics) else _pipeline(document, linked, values, substitution, entries)
    diagnostics = _unique_fixes(sort_diagnostics([*diagnostics, *problems, *links.problems]))
    if pipeline is None or has_errors(diagnostics):
        raise_all(filter(lambda item: item.severity != "note", diagnostics))
    return pipeline, diagnostics


def _file_problems(document: Document, data: Mapping[str, JsonValue], registry: Registry) -> Iterator[Diagnostic]:
    """Yield the problems of a file as a whole: schema violations, notes, and secrets in it."""
    refine = _Refiner(document, data, registry)
    schema = _schema(needs_steps="replicate" not in data)
    problems = schema_problems(schema, data, document, "", KeyNames(OTHER_NAMES, advice=refine))
    yield from map(refine.refined, islice(problems, MAX_PROBLEMS))
    yield from schedule_problems(document)
    for pointer, kind in find_literal_secrets(data.get("profiles"), "/profiles"):
        yield diagnostic("CMP006", at=document.where(pointer), where=pointer, kind=kind)


def _unique_fixes(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Return the diagnostics in order; of those with the same fix, only the first keeps it.

    So all fixes can be applied one after the other.
    """
    fixes: list[Fix] = []
    result: list[Diagnostic] = []
    for each in diagnostics:
        is_known = each.fix in fixes
        result.append(replace(each, fix=()) if is_known else each)
        fixes += [each.fix] if each.fix and not is_known else []
    return result


def _modernized(document: Document) -> tuple[dict[str, JsonValue], list[Diagnostic]]:
    """Return the data without old keys, and diagnostics about them."""
    data = document.data
    forbidden = [key for key in data if key in _FORBIDDEN]
    diagnostics = [_forbidden(document, join("", key), _FORBIDDEN[key], _renamed(key, data)) for key in forbidden]
    data = {key: value for key, value in data.items() if key not in forbidden}
    if isinstance(data.get("steps"), list):
        data["steps"] = [_modern_step(document, step, index, diagnostics) for index, step in enumerate(data["steps"])]
    return data, diagnostics


def _forbidden(document: Document, pointer: str, instead: str, fix: Fix) -> Diagnostic:
    """Return the error for a key of the earlier implementation that is not supported."""
    declared, key = document.data.get("oml_version"), pointer.rpartition("/")[2]
    version = declared if declared in _VERSIONS else OML_VERSION
    return diagnostic("OML004", at=document.where_key(pointer), fix=fix, key=key, version=version, instead=instead)


def _modern_step(document: Document, step: JsonValue, index: int, diagnostics: list[Diagnostic]) -> JsonValue:
    """Return a step with current keys and component; diagnostics are added to `diagnostics`."""
    if not isinstance(step, dict):
        return step
    for key in _FORBIDDEN_IN_STEPS.keys() & step.keys():
        pointer = f"/steps/{index}/{key}"
        diagnostics.append(_forbidden(document, pointer, _FORBIDDEN_IN_STEPS[key], () if step[key] else drop(pointer)))
    renamed = _EARLIER_KEYS if "id" not in step else {**_EARLIER_KEYS, "name": "description"}
    for key in renamed.keys() & step.keys():
        pointer, new = f"/steps/{index}/{key}", renamed[key]
        fix = rename(pointer, new) if new not in step else drop(pointer) if step[new] == step[key] else ()
        diagnostics.append(diagnostic("OML029", at=document.where_key(pointer), fix=fix, old=key, new=new))
    step = {renamed.get(key, key): value for key, value in step.items() if key not in _FORBIDDEN_IN_STEPS}
    old = step.get("component")
    if not isinstance(old, str) or old not in _EARLIER_COMPONENTS:
        return step
    new, connection = _EARLIER_COMPONENTS[old]
    diagnostics.append(diagnostic("OML031", at=document.where(f"/steps/{index}/component"), old=old, new=new))
    if isinstance(step.get("config"), dict):
        step["config"] = {"connection": connection, **step["config"]}
    return {**step, "component": new}


def oml_schema() -> dict[str, JsonValue]:
    """Return the JSON Schema of the newest version of the language."""
    text = Path(__file__).with_name(f"oml-{OML_VERSION}.schema.json").read_text(encoding="utf-8")
    schema: dict[str, JsonValue] = json.loads(text)
    return schema


@cache
def _schema(*, needs_steps: bool) -> dict[str, JsonValue]:
    schema = {key: value for key, value in oml_schema().items() if key != "anyOf"}
    return {**schema, "required": [*schema["required"], *(["steps"] if needs_steps else [])]}


def _entries(
    document: Document, data: Mapping[str, JsonValue], registry: Registry
) -> tuple[list[Entry], list[Diagnostic]]:
    """Return the valid entries of `replicate`, and the problems of all."""
    if "replicate" not in data:
        return [], []
    version = data.get("oml_version")
    if isinstance(version, str) and version < NEEDED:
        at = document.where_key("/replicate")
        fix = put("/oml_version", NEEDED)
        return [], [diagnostic("OML035", at=at, fix=fix, key="replicate", needed=NEEDED)]
    schema = _schema(needs_steps=False)["properties"]["replicate"]["items"]
    entries, problems = read_entries(document, data["replicate"], schema, registry)
    return entries, [*problems, *duplicate_ids(entries, ids_of(data.get("steps")), document)]


def _expanded(
    document: Document, registry: Registry, entries: Iterable[Entry], catalogues: Mapping[str, Catalogue]
) -> tuple[list[Text], list[Diagnostic]]:
    """Return the steps of all entries whose source is known, and the problems of these entries."""
    texts: list[Text] = []
    problems: list[Diagnostic] = []
    for entry in entries:
        if entry.id in catalogues:
            steps, more = expand(entry, catalogues[entry.id], registry, document)
            texts += steps.values()
            problems += more
    return texts, problems


def _replicated_steps(texts: Iterable[Text], specs: Mapping[str, ComponentSpec], configs: Configs) -> list[Step]:
    """Return expanded steps; problems of their config are reported once, without fixes: the file has no such steps."""
    problems = configs.substitution.problems
    before = len(problems)
    steps = [_step(text["pointer"], text, specs, configs) for text in texts]
    problems[before:] = dict.fromkeys(replace(each, fix=()) for each in problems[before:])
    return steps


def _without_entries(
    texts: Iterable[Mapping[str, JsonValue]], entries: Iterable[str], replicated: Iterable[Text]
) -> list[Mapping[str, JsonValue]]:
    """Return steps as written, with the writers of an entry in place of the entry that a step needs."""
    writers: dict[str, list[str]] = {name: [] for name in entries}
    for step in replicated:
        if step["mode"] == "write":
            writers[step["entry"]].append(step["id"])
    return [_needing_writers(text, writers) for text in texts] if writers else [*texts]


def _needing_writers(text: Mapping[str, JsonValue], writers: Mapping[str, list[str]]) -> Mapping[str, JsonValue]:
    needs = text.get("needs")
    if not isinstance(needs, list):
        return text
    names = ((name, writers.get(name)) if isinstance(name, str) else (name, None) for name in needs)
    return {**text, "needs": [each for name, steps in names for each in ([name] if steps is None else steps)]}


def _renamed(key: str, data: Mapping[str, JsonValue]) -> Fix:
    """Return the fix of a forbidden key: its current name, if free, else its removal.

    A key that says what a pipeline reads or writes is never removed.
    """
    new = _CURRENT.get(key)
    if new is None or (new in data and key == "tasks"):
        return drop(join("", key)) if not data[key] else ()
    if new in data:
        return drop(join("", key))
    return (*rename(join("", key), new), *(put("/oml_version", OLDEST) if key == "version" else ()))


class _Refiner:
    """Refines schema violations with what the component, the file or the other steps tell."""

    def __init__(self, document: Document, data: Mapping[str, JsonValue], registry: Registry) -> None:
        self._document = document
        self._data = data
        self._registry = registry
        self._spare = SpareIds(data.get("steps"))

    def refined(self, problem: Diagnostic) -> Diagnostic:
        """Return the most specific diagnostic, with a fix where there is one."""
        pointer = problem.location.pointer or ""
        if pointer == "/oml_version" and problem.code == "OML005":
            display, fix = json.dumps(self._data["oml_version"])[:60], put(pointer, self._version())
            return diagnostic("OML012", at=problem.location, fix=fix, found=display)
        if pointer == "/steps" and problem.code == "OML028":
            return diagnostic("OML027", at=problem.location)
        return self._with_value(problem, pointer)

    def _with_value(self, problem: Diagnostic, pointer: str) -> Diagnostic:
        """Return the diagnostic with the required or default value as fix."""
        _, *parts = pointer.split("/")
        key = parts[-1] if len(parts) in (1, 3) else ""
        if (key, problem.code) in (("mode", "OML005"), ("mode", "OML006")):
            return self._mode(problem, pointer)
        if (key, problem.code) == ("component", "OML014"):
            name, config = str(self._document.value(pointer)), self._document.value(f"{pointer[:-10]}/config")
            match, hint = resolve_component(name, self._registry.names(), _family(config))
            return replace(problem, hint=hint, fix=put(pointer, match) if match else ())
        if problem.fix:
            return problem
        if (key, problem.code) == ("name", "OML014"):
            return replace(problem, fix=put(pointer, file_name(self._document.file)))
        if key in _DEFAULTED and problem.code == "OML006" and not pointer.startswith("/replicate/"):
            value = self._default(pointer.rpartition("/")[0], key)
            return replace(problem, fix=put(pointer, value) if value else ())
        return problem

    def _mode(self, problem: Diagnostic, pointer: str) -> Diagnostic:
        old, value = self._document.value(pointer), self._default(pointer.rpartition("/")[0], "mode")
        earlier = _EARLIER_MODES.get(old) if isinstance(old, str) else None
        target = value if old is None else earlier or certain(str(old), ALL_MODES)
        hint = f"write 'mode: {earlier}'" if earlier else problem.hint
        return replace(problem, hint=hint, fix=put(pointer, target) if target and target == value else ())

    def inside(self, pointer: str) -> set[str]:
        """Return the keys that the config of the step at a pointer accepts, with all their names."""
        spec = self._spec(self._data.get("steps", [])[int(pointer.rpartition("/")[2])])
        keys = {*spec.config["properties"], *spec.hints.get("synonyms", {})} if spec is not None else set()
        return {CONNECTION, *keys}

    def supplied(self, pointer: str, key: str) -> Fix:
        """Return the fix that adds a missing key, if its value is certain or arbitrary."""
        old = next((earlier for earlier, new in _CURRENT.items() if new == key and not pointer), None)
        if old in self._document.data:
            return _renamed(str(old), self._document.data)
        is_default = key in _DEFAULTED and not pointer.startswith("/replicate/")
        value = self._default(pointer, key) if is_default else None
        return add(join(pointer, key), value) if value else ()

    def _default(self, pointer: str, key: str) -> str | None:
        """Return the required or default value of a missing key."""
        if key == "oml_version":
            return self._version()
        if key == "name":
            old = self._data.get("name")
            return str(old) if isinstance(old, (int, float)) else file_name(self._document.file)
        step = self._data["steps"][int(pointer.rpartition("/")[2])]
        if key == "id":
            return self._spare.get(f"step_{int(pointer.rpartition('/')[2]) + 1}")
        spec = self._spec(step)
        return spec.modes[0] if spec is not None and len(spec.modes) == 1 else None

    def _spec(self, step: JsonValue) -> ComponentSpec | None:
        """Return the component that a step names or certainly means."""
        component = step.get("component") if isinstance(step, dict) else None
        if not isinstance(component, str):
            return None
        match, _ = resolve_component(component, self._registry.names(), _family(step.get("config")))
        return self._registry.find(component) or (self._registry.find(match) if match else None)

    def _version(self) -> str:
        """Return the oldest version that supports what the file uses."""
        configs = (step.get("config") for step in mappings(self._data.get("steps")))
        needed = [needed_version(config) for config in configs if isinstance(config, dict)]
        needed += [SCHEDULED] if isinstance(self._data.get("schedule"), dict) else []
        needed += [NEEDED] if "replicate" in self._data else []
        return max(needed, default=OLDEST)


def _steps(data: Mapping[str, JsonValue]) -> dict[str, Mapping[str, JsonValue]]:
    """Return the usable steps by pointer; the schema has reported the others."""
    steps = data.get("steps")
    steps_by_pointer: dict[str, Mapping[str, JsonValue]] = {}
    for index, step in enumerate(steps if isinstance(steps, list) else ()):
        if isinstance(step, dict) and all(isinstance(step.get(key), str) for key in ("id", "component")):
            steps_by_pointer[f"/steps/{index}"] = step
    return steps_by_pointer


def _wrong_modes(document: Document, steps: Iterable[Step], specs: Mapping[str, ComponentSpec]) -> list[Diagnostic]:
    """Return the compiler's errors about modes, since it is not reached."""
    installed = [(step, specs[step.component]) for step in steps if step.component in specs]
    explicit = [(step, spec) for step, spec in installed if document.value(f"{step.pointer}/mode") in ALL_MODES]
    wrong = [(step, spec) for step, spec in explicit if step.mode not in spec.modes]
    return [wrong_mode(step, spec, document.where(f"{step.pointer}/mode")) for step, spec in wrong]


def wrong_mode(step: Step, spec: ComponentSpec, at: Location) -> Diagnostic:
    """Return the diagnostic for a mode that a component does not support."""
    return diagnostic("CMP003", at=at, component=spec.name, mode=step.mode, modes=", ".join(spec.modes))


def _family(config: JsonValue) -> str | None:
    """Return the family of the connection that a config names."""
    reference = config.get(CONNECTION) if isinstance(config, dict) else None
    return reference[1:].partition(".")[0] if isinstance(reference, str) and reference[:1] == "@" else None


def _specs(registry: Registry, names: Iterable[str]) -> dict[str, ComponentSpec]:
    """Return the installed components by name; one with a broken spec is reported by the compiler."""
    specs = {name: registry.find(name) for name in dict.fromkeys(names) if not registry.problems(name)}
    return {name: spec for name, spec in specs.items() if spec is not None}


def _step(pointer: str, text: Mapping[str, JsonValue], specs: Mapping[str, ComponentSpec], configs: Configs) -> Step:
    """Return a step with its config validated; needs and inputs are not explicit yet."""
    config, connection = configs.config(text, pointer, specs.get(text["component"]))
    return Step(
        id=text["id"],
        component=text["component"],
        mode=text.get("mode", "read"),
        config=config,
        description=configs.substitution.value(text.get("description"), f"{pointer}/description", prose=True),
        extensions={key: value for key, value in text.items() if key.startswith("x-")},
        connection=connection,
        pointer=pointer,
        entry=text.get("entry"),
    )


def _pipeline(
    document: Document, steps: list[Step], values: Params, substitution: Substitution, entries: Iterable[Entry]
) -> Pipeline:
    data = document.data
    return Pipeline(
        name=data["name"],
        steps=tuple(steps),
        oml_version=data["oml_version"],
        description=substitution.value(data.get("description"), "/description", prose=True),
        metadata=substitution.value(data.get("metadata", {}), "/metadata", prose=True),
        params=values.values,
        sensitive=values.sensitive,
        replicate=tuple(entry.to_json() for entry in entries),
        extensions={key: value for key, value in data.items() if key.startswith("x-")},
        file=document.file,
        positions=document.positions,
        keys=document.keys,
        text=document.text,
    )
