"""A document becomes a pipeline, or everything that keeps it from being one is reported at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from osiris.connections import parse_ref
from osiris.document import Document, join
from osiris.errors import Diagnostic, OsirisError, diagnostic, has_errors, raise_all
from osiris.model import ComponentSpec, ConnectionRef, JsonValue, Pipeline, Step
from osiris.oml.order import link_steps
from osiris.oml.params import Params, resolve_params
from osiris.oml.placeholders import Substitution
from osiris.oml.schema import schema_problems, schema_validator
from osiris.registry import UNSUPPORTED_RESERVED, Registry

if TYPE_CHECKING:
    from collections.abc import Iterator

OML_VERSION = "0.1.0"
_FORBIDDEN = {
    "version": "write oml_version",
    "connectors": "connections stand in osiris_connections.yaml",
    "tasks": "write steps",
    "outputs": "a step's output is read by naming the step in needs or inputs",
}
_EARLIER_STEP_KEYS = {"uses": "component", "with": "config"}


def validate(
    document: Document,
    registry: Registry,
    *,
    params: Mapping[str, str],
    env: Mapping[str, str],
    profile: str | None,
    defaults: Mapping[str, JsonValue],
) -> tuple[Pipeline, list[Diagnostic]]:
    """Return the pipeline with notes and warnings; raises InvalidInput with every error there is.

    `params` are the command line's, `env` the environment with `.env`, `defaults` the project's reserved step config.
    """
    problems = _structure(document)
    values, found = resolve_params(document, given=params, env=env, profile=profile)
    problems += found
    raw = document.data.get("steps")
    texts = [(i, t) for i, t in enumerate(raw if isinstance(raw, list) else ()) if _is_step(t)]
    configs = _Configs(document, registry, values, defaults)
    steps = [configs.step(text, f"/steps/{index}") for index, text in texts]
    linked, found = link_steps(steps, [text for _, text in texts], document, registry)
    problems += configs.problems + found
    if has_errors(problems):
        raise_all(problems)
    return _pipeline(document, linked, values), problems


def _pipeline(document: Document, steps: list[Step], values: Params) -> Pipeline:
    data = document.data
    kept = {key: value for key, value in data.items() if key.startswith("x-")}
    if "schedule" in data:
        kept["schedule"] = data["schedule"]
    return Pipeline(
        name=data["name"],
        steps=tuple(steps),
        description=data.get("description"),
        metadata=data.get("metadata") or {},
        params=values.values,
        sensitive=values.sensitive,
        extensions=kept,
        file=document.file,
        positions=document.positions,
    )


@cache
def _oml_schema() -> Any:  # noqa: ANN401 - a jsonschema validator
    text = resources.files("osiris.oml").joinpath(f"oml-{OML_VERSION}.schema.json").read_text(encoding="utf-8")
    return schema_validator(json.loads(text))


def _structure(document: Document) -> list[Diagnostic]:
    """Return what is wrong with the shape of the file, earlier spellings told apart from mistakes."""
    return [_sharpened(d, document) for d in schema_problems(_oml_schema(), document.data, document, "")]


def _sharpened(found: Diagnostic, document: Document) -> Diagnostic:
    at, pointer = found.location, found.location.pointer or ""
    key = pointer.rpartition("/")[2]
    if found.code == "OML002" and pointer.count("/") == 1 and key in _FORBIDDEN:
        return diagnostic("OML004", at=at, key=key, version=OML_VERSION, instead=_FORBIDDEN[key])
    if found.code == "OML002" and pointer.count("/") == 3 and key in _EARLIER_STEP_KEYS:
        return diagnostic("OML029", at=at, old=key, new=_EARLIER_STEP_KEYS[key])
    if found.code == "OML028" and pointer == "/oml_version":
        return diagnostic("OML012", at=at, found=json.dumps(document.data["oml_version"]))
    if found.code == "OML028" and pointer == "/steps":
        return diagnostic("OML027", at=at)
    return found


def _is_step(text: JsonValue) -> bool:
    """Tell whether a step is whole enough to look into; what it lacks is reported by the schema."""
    if not isinstance(text, dict) or not all(isinstance(text.get(key), str) for key in ("id", "component", "mode")):
        return False
    needs, inputs = text.get("needs") or [], text.get("inputs") or {}
    return (
        isinstance(text.get("config") or {}, dict)
        and isinstance(needs, list)
        and all(isinstance(name, str) for name in needs)
        and isinstance(inputs, dict)
        and all(isinstance(reference, str) for reference in inputs.values())
    )


class _Configs:
    """Turns steps as written into steps with a checked config; one validator per component."""

    def __init__(
        self, document: Document, registry: Registry, values: Params, defaults: Mapping[str, JsonValue]
    ) -> None:
        self.problems: list[Diagnostic] = []
        self._document = document
        self._registry = registry
        self._substitution = Substitution(document, values, self.problems)
        self._defaults = defaults
        self._validators: dict[str, Any] = {}

    def step(self, text: Mapping[str, JsonValue], pointer: str) -> Step:
        """Return one step; its needs and inputs are still as written."""
        spec = self._registry.find(text["component"])
        config = dict(text.get("config") or {})
        connection = self._connection(config, pointer)
        if spec is not None:
            config = self._checked(spec, config, f"{pointer}/config")
        return Step(
            id=text["id"],
            component=text["component"],
            mode=text["mode"],
            config=config,
            description=text.get("description"),
            extensions={key: value for key, value in text.items() if key.startswith("x-")},
            connection=connection,
            pointer=pointer,
        )

    def _connection(self, config: dict[str, JsonValue], pointer: str) -> ConnectionRef | None:
        text = config.pop("connection", None)
        if text is None:
            return None
        try:
            return parse_ref(text, self._document.where(f"{pointer}/config/connection"))
        except OsirisError as error:
            self.problems += error.diagnostics
            return None

    def _checked(self, spec: ComponentSpec, config: dict[str, JsonValue], pointer: str) -> dict[str, JsonValue]:
        properties = spec.config.get("properties", {})
        dialects = {key: rule["x-sql"] for key, rule in properties.items() if "x-sql" in rule}
        before = len(self.problems)
        config = self._normalised(spec, config, pointer)
        config = {**{k: v for k, v in self._defaults.items() if k not in config}, **config}
        config = self._substitution.config(config, pointer, dialects)
        self.problems += self._unsupported(spec, config, pointer)
        if len(self.problems) == before or not has_errors(self.problems[before:]):
            aliases = spec.hints.get("aliases") or {}
            checked = {key: value for key, value in config.items() if key not in _unsupported_keys(spec)}
            validator = self._validator(spec)
            self.problems += schema_problems(validator, checked, self._document, pointer, aliases=aliases)
        return config

    def _validator(self, spec: ComponentSpec) -> Any:  # noqa: ANN401
        if spec.name not in self._validators:
            self._validators[spec.name] = schema_validator(self._registry.config_schema(spec))
        return self._validators[spec.name]

    def _normalised(self, spec: ComponentSpec, config: dict[str, JsonValue], pointer: str) -> dict[str, JsonValue]:
        """Return the config with earlier keys and values in today's spelling, each with a note."""
        keys, values = spec.hints.get("synonyms") or {}, spec.hints.get("values") or {}
        result: dict[str, JsonValue] = {}
        for old, value in config.items():
            key = keys.get(old, old)
            if key != old:
                self._note(old, key, join(pointer, old))
            new = values.get(key, {}).get(value, value) if isinstance(value, str) else value
            if new != value:
                self._note(value, new, join(pointer, old))
            result[key] = new
        return result

    def _unsupported(self, spec: ComponentSpec, config: Mapping[str, JsonValue], pointer: str) -> Iterator[Diagnostic]:
        for key in config.keys() & _unsupported_keys(spec):
            at = self._document.where_key(join(pointer, key))
            yield diagnostic("OML028", at=at, key=key, problem="is not acted on by this version", hint="remove it")

    def _note(self, old: str, new: str, pointer: str) -> None:
        self.problems.append(diagnostic("OML031", at=self._document.where_key(pointer), old=old, new=new))


def _unsupported_keys(spec: ComponentSpec) -> set[str]:
    """Return the shared keys that this version does not act on, but for those that the component declares itself."""
    return set(UNSUPPORTED_RESERVED) - set(spec.config.get("properties", {}))
