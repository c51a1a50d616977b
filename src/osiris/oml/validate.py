"""A document becomes a pipeline, or everything that keeps it from being one is reported at once."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.document import Document, join
from osiris.document.edits import add, drop, put, rename
from osiris.errors import Diagnostic, certain, diagnostic, has_errors, raise_all, sort_diagnostics
from osiris.model import Pipeline, Step
from osiris.oml.config import CONNECTION, Configs
from osiris.oml.order import Links
from osiris.oml.params import Params, resolve_params
from osiris.oml.placeholders import Substitution
from osiris.oml.remedies import OTHER_NAMES, SpareIds, file_name, ids_of, mappings
from osiris.oml.schema import KeyNames, schema_problems
from osiris.registry import meant_component
from osiris.secret import find_literal_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from osiris.errors import Fix, Location
    from osiris.model import ComponentSpec, JsonValue
    from osiris.registry import Registry

OML_VERSION = "0.2.0"
"""The newest version of the language; a file of an earlier one means the same in it."""
OLDEST = "0.1.0"
MAX_PROBLEMS = 1000
"""So many problems of one kind are reported; nobody reads more, and a hostile file may have a million."""

_FORBIDDEN = {
    "version": "write 'oml_version'",
    "connectors": "declare connections in osiris_connections.yaml",
    "tasks": "write 'steps'",
    "outputs": "add a step with mode: write",
    "run": "use 'osiris run FILE --run-id ID --profile NAME'",
}
_FORBIDDEN_IN_STEPS = {"outputs": "remove it; other steps read the output by the step's id, in 'needs' or 'inputs'"}
ALL_MODES = ("read", "transform", "write")
_TODAY = {"version": "oml_version", "tasks": "steps"}
_DEFAULTED = ("oml_version", "name", "id", "mode")
"""The required keys whose value is known where none is given, or may be any."""
_EARLIER_MODES = {"extract": "read", "load": "write"}
_EARLIER_COMPONENTS = {
    "s3.csv_writer": ("filesystem.csv_writer", "@s3"),
    "azure_blob.csv_writer": ("filesystem.csv_writer", "@azure"),
    "gcs.csv_writer": ("filesystem.csv_writer", "@gcs"),
}
"""Names under which earlier plans have components of today, and the connection that such a step has by default."""

_EARLIER_KEYS = {"uses": "component", "with": "config", "depends_on": "needs"}


def validate(
    document: Document,
    registry: Registry,
    *,
    params: Mapping[str, str],
    env: Mapping[str, str],
    profile: str | None,
    defaults: Mapping[str, JsonValue],
) -> tuple[Pipeline, list[Diagnostic]]:
    """Return the pipeline, with warnings and notes; raises InvalidInput with every error there is.

    `params` are the command line's, `env` the environment with `.env` in it, `profile` falls back to `OSIRIS_PROFILE`,
    `defaults` are shared config keys that the project sets for every step. A component that is not installed is left to
    the compiler; its config is not looked at.
    """
    data, found = _today(document)
    found += _file_problems(document, data, registry)
    chosen = profile or env.get("OSIRIS_PROFILE") or None
    values, problems = resolve_params(document, given=params, env=env, profile=chosen)
    substitution = Substitution(document, values, problems)
    texts = _steps(data)
    specs = _specs(registry, (text["component"] for text in texts.values()))
    configs = Configs(document, registry, substitution, defaults)
    steps = [_step(pointer, text, specs, configs) for pointer, text in texts.items()]
    links = Links(document, specs, ids_of(data.get("steps")))
    linked = links.link(steps, list(texts.values()))
    if has_errors([*found, *problems, *links.found]):
        found += _wrong_modes(document, linked, specs)
    pipeline = None if has_errors(found) else _pipeline(document, linked, values, substitution)
    found = _mended_once(sort_diagnostics([*found, *problems, *links.found]))
    if pipeline is None or has_errors(found):
        raise_all(filter(lambda item: item.severity != "note", found))
    return pipeline, found


def _file_problems(document: Document, data: Mapping[str, JsonValue], registry: Registry) -> Iterator[Diagnostic]:
    """Yield what is to be said of a file as a whole: where it departs from the schema, notes, and secrets in it."""
    sharpen = _Sharpener(document, data, registry)
    problems = schema_problems(_schema(), data, document, "", KeyNames(OTHER_NAMES, advice=sharpen))
    yield from map(sharpen.sharpened, islice(problems, MAX_PROBLEMS))
    if "schedule" in data:
        what = "'schedule' starts nothing here; it is for a scheduler that reads this file and calls 'osiris run'"
        yield diagnostic("OML032", at=document.where_key("/schedule"), what=what)
    for pointer, kind in find_literal_secrets(data.get("profiles"), "/profiles"):
        yield diagnostic("CMP006", at=document.where(pointer), where=pointer, kind=kind)


def _mended_once(found: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Return the diagnostics in their order; of those that have the same fix, the first one keeps it.

    So all fixes can be applied one after the other.
    """
    fixes: list[Fix] = []
    told: list[Diagnostic] = []
    for each in found:
        is_known = each.fix in fixes
        told.append(replace(each, fix=()) if is_known else each)
        fixes += [each.fix] if each.fix and not is_known else []
    return told


def _today(document: Document) -> tuple[dict[str, JsonValue], list[Diagnostic]]:
    """Return the data with earlier keys out of the way, and what is to be said of them."""
    data = document.data
    forbidden = [key for key in data if key in _FORBIDDEN]
    found = [_forbidden(document, join("", key), _FORBIDDEN[key], _renamed(key, data)) for key in forbidden]
    data = {key: value for key, value in data.items() if key not in forbidden}
    if isinstance(data.get("steps"), list):
        data["steps"] = [_step_of_today(document, step, index, found) for index, step in enumerate(data["steps"])]
    return data, found


def _forbidden(document: Document, pointer: str, instead: str, fix: Fix) -> Diagnostic:
    """Return the error for a key of the earlier implementation that this language does not have."""
    said, key = document.data.get("oml_version"), pointer.rpartition("/")[2]
    version = said if said in (OLDEST, OML_VERSION) else OML_VERSION
    return diagnostic("OML004", at=document.where_key(pointer), fix=fix, key=key, version=version, instead=instead)


def _step_of_today(document: Document, step: JsonValue, index: int, found: list[Diagnostic]) -> JsonValue:
    """Return a step with today's keys and component; what is to be said of them is added to `found`."""
    if not isinstance(step, dict):
        return step
    for key in _FORBIDDEN_IN_STEPS.keys() & step.keys():
        pointer = f"/steps/{index}/{key}"
        found.append(_forbidden(document, pointer, _FORBIDDEN_IN_STEPS[key], () if step[key] else drop(pointer)))
    renamed = _EARLIER_KEYS if "id" not in step else {**_EARLIER_KEYS, "name": "description"}
    for key in renamed.keys() & step.keys():
        pointer, new = f"/steps/{index}/{key}", renamed[key]
        fix = rename(pointer, new) if new not in step else drop(pointer) if step[new] == step[key] else ()
        found.append(diagnostic("OML029", at=document.where_key(pointer), fix=fix, old=key, new=new))
    step = {renamed.get(key, key): value for key, value in step.items() if key not in _FORBIDDEN_IN_STEPS}
    old = step.get("component")
    if not isinstance(old, str) or old not in _EARLIER_COMPONENTS:
        return step
    new, connection = _EARLIER_COMPONENTS[old]
    found.append(diagnostic("OML031", at=document.where(f"/steps/{index}/component"), old=old, new=new))
    if isinstance(step.get("config"), dict):
        step["config"] = {"connection": connection, **step["config"]}
    return {**step, "component": new}


def oml_schema() -> dict[str, JsonValue]:
    """Return the JSON Schema of the newest version of the language."""
    text = Path(__file__).with_name(f"oml-{OML_VERSION}.schema.json").read_text(encoding="utf-8")
    schema: dict[str, JsonValue] = json.loads(text)
    return schema


@cache
def _schema() -> dict[str, JsonValue]:
    return oml_schema()


def _renamed(key: str, data: Mapping[str, JsonValue]) -> Fix:
    """Return what mends a forbidden key: its name of today, where that is not taken, or nothing in its place.

    A key that says what a pipeline reads or writes is never taken away.
    """
    new = _TODAY.get(key)
    if new is None or (new in data and key == "tasks"):
        return drop(join("", key)) if not data[key] else ()
    if new in data:
        return drop(join("", key))
    return (*rename(join("", key), new), *(put("/oml_version", OLDEST) if key == "version" else ()))


class _Sharpener:
    """Says of what departs from the schema what the component, the file or the other steps tell of it besides."""

    def __init__(self, document: Document, data: Mapping[str, JsonValue], registry: Registry) -> None:
        self._document = document
        self._data = data
        self._registry = registry
        self._spare = SpareIds(data.get("steps"))

    def sharpened(self, found: Diagnostic) -> Diagnostic:
        """Return the code that says it best, with a fix where there is one."""
        pointer = found.location.pointer or ""
        if pointer == "/oml_version" and found.code == "OML005":
            shown, fix = json.dumps(self._data["oml_version"])[:60], put(pointer, self._version())
            return diagnostic("OML012", at=found.location, fix=fix, found=shown)
        if pointer == "/steps" and found.code == "OML028":
            return diagnostic("OML027", at=found.location)
        return self._with_value(found, pointer)

    def _with_value(self, found: Diagnostic, pointer: str) -> Diagnostic:
        """Return what is said of a value with the one that it must or may have."""
        _, *parts = pointer.split("/")
        key = parts[-1] if len(parts) in (1, 3) else ""
        if (key, found.code) in (("mode", "OML005"), ("mode", "OML006")):
            return self._mode(found, pointer)
        if (key, found.code) == ("component", "OML014"):
            name, config = str(self._document.value(pointer)), self._document.value(f"{pointer[:-10]}/config")
            sure, hint = meant_component(name, self._registry.names(), _family(config))
            return replace(found, hint=hint, fix=put(pointer, sure) if sure else ())
        if found.fix:
            return found
        if (key, found.code) == ("name", "OML014"):
            return replace(found, fix=put(pointer, file_name(self._document.file)))
        if key in _DEFAULTED and found.code == "OML006":
            value = self._default(pointer.rpartition("/")[0], key)
            return replace(found, fix=put(pointer, value) if value else ())
        return found

    def _mode(self, found: Diagnostic, pointer: str) -> Diagnostic:
        old, value = self._document.value(pointer), self._default(pointer.rpartition("/")[0], "mode")
        earlier = _EARLIER_MODES.get(old) if isinstance(old, str) else None
        meant = value if old is None else earlier or certain(str(old), ALL_MODES)
        hint = f"write 'mode: {earlier}'" if earlier else found.hint
        return replace(found, hint=hint, fix=put(pointer, meant) if meant and meant == value else ())

    def inside(self, pointer: str) -> set[str]:
        """Return the keys that the config of the step at a pointer takes, by all their names."""
        spec = self._spec(self._data.get("steps", [])[int(pointer.rpartition("/")[2])])
        own = {*spec.config["properties"], *spec.hints.get("synonyms", {})} if spec is not None else set()
        return {CONNECTION, *own}

    def supplied(self, pointer: str, key: str) -> Fix:
        """Return what gives a mapping a key that it lacks, if there is a value that the key must or may have."""
        old = next((earlier for earlier, new in _TODAY.items() if new == key and not pointer), None)
        if old in self._document.data:
            return _renamed(str(old), self._document.data)
        value = self._default(pointer, key) if key in _DEFAULTED else None
        return add(join(pointer, key), value) if value else ()

    def _default(self, pointer: str, key: str) -> str | None:
        """Return what a key of the file or a step must or may be where it is not said."""
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
        """Return the component that a step names, or that its name surely stands for."""
        component = step.get("component") if isinstance(step, dict) else None
        if not isinstance(component, str):
            return None
        sure, _ = meant_component(component, self._registry.names(), _family(step.get("config")))
        return self._registry.find(component) or (self._registry.find(sure) if sure else None)

    def _version(self) -> str:
        """Return the oldest version that has what the steps use."""
        configs = [step.get("config") for step in mappings(self._data.get("steps"))]
        newer = any(isinstance(config, dict) and "checks" in config for config in configs)
        return OML_VERSION if newer else OLDEST


def _steps(data: Mapping[str, JsonValue]) -> dict[str, Mapping[str, JsonValue]]:
    """Return the steps that can be looked into by pointer; what others lack was said by the schema."""
    steps = data.get("steps")
    named: dict[str, Mapping[str, JsonValue]] = {}
    for index, step in enumerate(steps if isinstance(steps, list) else ()):
        if isinstance(step, dict) and all(isinstance(step.get(key), str) for key in ("id", "component")):
            named[f"/steps/{index}"] = step
    return named


def _wrong_modes(document: Document, steps: Iterable[Step], specs: Mapping[str, ComponentSpec]) -> list[Diagnostic]:
    """Return what the compiler, which is not reached, would say of the modes of steps."""
    known = [(step, specs[step.component]) for step in steps if step.component in specs]
    said = [(step, spec) for step, spec in known if document.value(f"{step.pointer}/mode") in ALL_MODES]
    wrong = [(step, spec) for step, spec in said if step.mode not in spec.modes]
    return [wrong_mode(step, spec, document.where(f"{step.pointer}/mode")) for step, spec in wrong]


def wrong_mode(step: Step, spec: ComponentSpec, at: Location) -> Diagnostic:
    """Return what is to be said of a mode that a step's component does not have; which of the two is meant, is open."""
    return diagnostic("CMP003", at=at, component=spec.name, mode=step.mode, modes=", ".join(spec.modes))


def _family(config: JsonValue) -> str | None:
    """Return the family of the connection that a config names."""
    reference = config.get(CONNECTION) if isinstance(config, dict) else None
    return reference[1:].partition(".")[0] if isinstance(reference, str) and reference[:1] == "@" else None


def _specs(registry: Registry, names: Iterable[str]) -> dict[str, ComponentSpec]:
    """Return the installed components by name; one with a broken spec is reported by the compiler."""
    found = {name: registry.find(name) for name in dict.fromkeys(names) if not registry.problems(name)}
    return {name: spec for name, spec in found.items() if spec is not None}


def _step(pointer: str, text: Mapping[str, JsonValue], specs: Mapping[str, ComponentSpec], configs: Configs) -> Step:
    """Return a step with its config checked; its needs and inputs are not made explicit yet."""
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
    )


def _pipeline(document: Document, steps: list[Step], values: Params, substitution: Substitution) -> Pipeline:
    data = document.data
    return Pipeline(
        name=data["name"],
        steps=tuple(steps),
        oml_version=data["oml_version"],
        description=substitution.value(data.get("description"), "/description", prose=True),
        metadata=substitution.value(data.get("metadata", {}), "/metadata", prose=True),
        params=values.values,
        sensitive=values.sensitive,
        extensions={key: value for key, value in data.items() if key.startswith("x-")},
        file=document.file,
        positions=document.positions,
        keys=document.keys,
        text=document.text,
    )
