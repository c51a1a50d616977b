"""A document becomes a pipeline, or everything that keeps it from being one is reported at once."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from importlib import resources
from itertools import islice
from typing import TYPE_CHECKING

from osiris.document import Document, join
from osiris.errors import Diagnostic, diagnostic, has_errors, raise_all, sort_diagnostics
from osiris.model import Pipeline, Step
from osiris.oml.config import Configs
from osiris.oml.order import Links
from osiris.oml.params import Params, resolve_params
from osiris.oml.placeholders import Substitution
from osiris.oml.schema import schema_problems, schema_validator
from osiris.secret import find_literal_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jsonschema import Draft202012Validator

    from osiris.model import ComponentSpec, JsonValue
    from osiris.registry import Registry

OML_VERSION = "0.2.0"
"""The newest version of the language; a file of an earlier one means the same in it."""
MAX_PROBLEMS = 1000
"""So many problems of one kind are reported; nobody reads more, and a hostile file may have a million."""

_FORBIDDEN = {
    "version": "write oml_version",
    "connectors": "declare connections in osiris_connections.yaml",
    "tasks": "write steps",
    "outputs": "write with a step of mode write",
}
_EARLIER_MODES = {"extract": "read", "load": "write"}
_EARLIER_COMPONENTS = {
    "s3.csv_writer": ("filesystem.csv_writer", "@s3"),
    "azure_blob.csv_writer": ("filesystem.csv_writer", "@azure"),
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
    found += [
        _sharpened(each, data) for each in islice(schema_problems(_validator(), data, document, ""), MAX_PROBLEMS)
    ]
    chosen = profile or env.get("OSIRIS_PROFILE") or None
    values, problems = resolve_params(document, given=params, env=env, profile=chosen)
    substitution = Substitution(document, values, problems)
    found += _notes(document, data)
    found += [
        diagnostic("CMP006", at=document.where(pointer), where=pointer, kind=kind)
        for pointer, kind in find_literal_secrets(data.get("profiles"), "/profiles")
    ]
    texts = _steps(data)
    specs = _specs(registry, (text["component"] for text in texts.values()))
    configs = Configs(document, registry, substitution, defaults)
    steps = [_step(pointer, text, specs, configs) for pointer, text in texts.items()]
    links = Links(document, specs, (str(text["id"]) for text in texts.values()))
    linked = links.link(steps, list(texts.values()))
    pipeline = None if has_errors(found) else _pipeline(document, linked, values, substitution)
    found = sort_diagnostics([*found, *problems, *links.found])
    if pipeline is None or has_errors(found):
        raise_all(item for item in found if item.severity != "note")
    return pipeline, found


def _today(document: Document) -> tuple[dict[str, JsonValue], list[Diagnostic]]:
    """Return the data with earlier keys out of the way, and what is to be said of them."""
    found: list[Diagnostic] = []
    data = dict(document.data)
    for key in _FORBIDDEN.keys() & data.keys():
        del data[key]
        at = document.where_key(join("", key))
        found.append(diagnostic("OML004", at=at, key=key, version=OML_VERSION, instead=_FORBIDDEN[key]))
    steps = data.get("steps")
    if not isinstance(steps, list):
        return data, found
    data["steps"] = list(steps)
    for index, step in enumerate(steps):
        old = _EARLIER_KEYS.keys() & step.keys() if isinstance(step, dict) else ()
        if old:
            data["steps"][index] = {_EARLIER_KEYS.get(key, key): value for key, value in step.items()}
        for key in old:
            at = document.where_key(f"/steps/{index}/{key}")
            found.append(diagnostic("OML029", at=at, old=key, new=_EARLIER_KEYS[key]))
    for index, step in enumerate(data["steps"]):
        old_name = step.get("component") if isinstance(step, dict) else None
        if isinstance(old_name, str) and old_name in _EARLIER_COMPONENTS:
            data["steps"][index] = new = _renamed(step)
            at = document.where(f"/steps/{index}/component")
            found.append(diagnostic("OML031", at=at, old=old_name, new=new["component"]))
    return data, found


def _renamed(step: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return a step with today's name of its component, and the connection that the earlier name meant."""
    name, connection = _EARLIER_COMPONENTS[step["component"]]
    config = step.get("config")
    named = {"config": {"connection": connection, **config}} if isinstance(config, dict) else {}
    return {**step, "component": name, **named}


@cache
def _validator() -> Draft202012Validator:
    text = resources.files("osiris.oml").joinpath(f"oml-{OML_VERSION}.schema.json").read_text(encoding="utf-8")
    return schema_validator(json.loads(text))


def _sharpened(found: Diagnostic, data: Mapping[str, JsonValue]) -> Diagnostic:
    """Return the code that says it best, where there is one."""
    at = found.location
    if at.pointer == "/oml_version" and found.code == "OML005":
        return diagnostic("OML012", at=at, found=json.dumps(data["oml_version"])[:60])
    if at.pointer == "/steps" and found.code == "OML028":
        return diagnostic("OML027", at=at)
    if found.code == "OML005" and (at.pointer or "").endswith("/mode"):
        old = data["steps"][int((at.pointer or "").split("/")[2])]["mode"]
        return replace(found, hint=f"write {_EARLIER_MODES[old]}") if str(old) in _EARLIER_MODES else found
    return found


def _notes(document: Document, data: Mapping[str, JsonValue]) -> list[Diagnostic]:
    if "schedule" not in data:
        return []
    what = "'schedule' starts nothing here; it is for a scheduler that reads this file and calls 'osiris run'"
    return [diagnostic("OML032", at=document.where_key("/schedule"), what=what)]


def _steps(data: Mapping[str, JsonValue]) -> dict[str, Mapping[str, JsonValue]]:
    """Return the steps that can be looked into by pointer; what others lack was said by the schema."""
    steps = data.get("steps")
    numbered = enumerate(steps if isinstance(steps, list) else ())
    return {f"/steps/{index}": step for index, step in numbered if _has_name(step)}


def _has_name(step: JsonValue) -> bool:
    return isinstance(step, dict) and all(isinstance(step.get(key), str) for key in ("id", "component"))


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
    )
