"""The compiler's checks once more, on the plan itself: correct hashes prove that it is whole, not who made it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.compiler.checks import CHECKS
from osiris.compiler.context import Context, sql_fields
from osiris.compiler.lineage import lineage_json, lineage_of
from osiris.compiler.statements import findings_of, verdict_of
from osiris.connections import Connections, parse_ref
from osiris.errors import Location, OsirisError
from osiris.model import Pipeline, Step, schema_from_json
from osiris.sql.determinism import diagnostics
from osiris.sql.names import relation_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from osiris.errors import Diagnostic
    from osiris.model import ConnectionRef, JsonValue
    from osiris.registry import Registry


def recheck(data: Mapping[str, JsonValue], registry: Registry) -> list[str]:
    """Return the places of a whole manifest that the compiler would not accept now, each with the reason."""
    connections, problems = _connections(data)
    fits = {name: _fits(name, registry) for name in {step["component"] for step in data["steps"]}}
    for step in data["steps"]:
        problems += [f"steps/{step['id']}/{problem}" for problem in fits[step["component"]](step)]
    if problems:
        return problems
    ctx = Context(_pipeline(data), registry, connections, Path())
    found = [item for check in CHECKS for item in check(ctx) if item.severity == "error"]
    problems = [f"{_leaf(data, item.location.pointer or '')} ({item.code} {item.message})" for item in found]
    return problems or [*_respelled(ctx), *_derived(data, ctx)]


def lint_plan(data: Mapping[str, JsonValue], registry: Registry) -> list[Diagnostic]:
    """Return a warning for all in a whole manifest that may give another result in another run over equal data.

    Their places are the steps: a plan has no file with lines.
    """
    ctx = Context(_pipeline(data), registry, _connections(data)[0], Path())
    steps = {step["id"]: step for step in data["steps"]}
    found: list[Diagnostic] = []
    for step, spec in ctx.known():
        sources = {name: steps[step.inputs[keys[0]]] for name, keys in relation_names(step.inputs).items()}
        schemas = {name: schema_from_json(source["schema"] or []) for name, source in sources.items()}
        free = [name for name, source in sources.items() if source["order"] == "free"]
        for name in sql_fields(spec):
            findings = findings_of(ctx, step, spec, name) if name in step.config else ()
            found += [replace(d, location=Location(f"step {step.id}")) for d in diagnostics(findings, schemas, free)]
    return found


def _connections(data: Mapping[str, JsonValue]) -> tuple[Connections, list[str]]:
    declared: dict[str, dict[str, JsonValue]] = {}
    problems = []
    for text, fields in data["connections"].items():
        ref = _ref(text)
        if ref is None:
            problems.append(f"connections/{text}")
        else:
            declared.setdefault(ref.family, {})[str(ref.alias)] = fields
    used = {step["connection"] for step in data["steps"]} - {None}
    problems += [
        f"steps/{step['id']}/connection"
        for step in data["steps"]
        if step["connection"] not in {None, *data["connections"]}
    ]
    problems += [f"connections/{text} (used by no step)" for text in sorted(data["connections"].keys() - used)]
    return Connections(declared), problems


def _ref(text: str | None) -> ConnectionRef | None:
    try:
        ref = parse_ref(text) if text else None
    except OsirisError:
        return None
    return ref if ref and ref.alias and str(ref) == text else None


def _fits(component: str, registry: Registry) -> Callable[[Mapping[str, JsonValue]], Iterator[str]]:
    """Return what says where a step departs from what its component's specification makes of it."""
    from jsonschema import Draft202012Validator

    spec = registry.get(component)
    fields = sql_fields(spec)
    validator = Draft202012Validator(registry.config_schema(spec))

    def problems(step: Mapping[str, JsonValue]) -> Iterator[str]:
        if step["sql"] != {name: dialect for name, dialect in fields.items() if name in step["config"]}:
            yield "sql"
        if step["delivery"] != (spec.delivery if step["mode"] == "write" else None):
            yield "delivery"
        for error in validator.iter_errors(step["config"]):
            if not (isinstance(error.instance, str) and "${" in error.instance):
                yield "/".join(("config", *map(str, error.absolute_path))) + " (does not fit its schema)"

    return problems


def _pipeline(data: Mapping[str, JsonValue]) -> Pipeline:
    own = data["pipeline"]
    steps = tuple(
        Step(
            id=step["id"],
            component=step["component"],
            mode=step["mode"],
            config=step["config"],
            needs=tuple(step["needs"]),
            inputs=step["inputs"],
            description=step.get("description"),
            extensions=step.get("extensions", {}),
            connection=_ref(step["connection"]),
            pointer=f"/steps/{index}",
        )
        for index, step in enumerate(data["steps"])
    )
    return Pipeline(
        name=own["name"],
        steps=steps,
        oml_version=own["oml_version"],
        description=own.get("description"),
        metadata=own.get("metadata", {}),
        params=data["params"],
        sensitive=tuple(data["sensitive"]),
        extensions=own.get("extensions", {}),
    )


def _leaf(data: Mapping[str, JsonValue], pointer: str) -> str:
    """Return the path of a pointer, with the id of a step instead of its index."""
    parts = pointer.split("/")[1:]
    if len(parts) > 1 and parts[0] == "steps":
        parts[1] = data["steps"][int(parts[1])]["id"]
    return "/".join(parts)


def _respelled(ctx: Context) -> Iterator[str]:
    for step, spec in ctx.known():
        for name in sql_fields(spec):
            if name in step.config and verdict_of(ctx, step, spec, name).canonical != step.config[name]:
                yield f"steps/{step.id}/config/{name} (not the text that the SQL check gives back)"


def _derived(data: Mapping[str, JsonValue], ctx: Context) -> Iterator[str]:
    """Give the places where a step departs from what follows from its SQL and its inputs."""
    steps = {step["id"]: step for step in data["steps"]}
    names = {name: [column["name"] for column in step["schema"] or ()] for name, step in steps.items()}
    related = {step.id for step, spec in ctx.known() if "relation" in spec.capabilities}
    for step, spec in ctx.known():
        found = None
        for name in sql_fields(spec) if step.mode == "transform" else ():
            verdict = verdict_of(ctx, step, spec, name)
            found = lineage_json(lineage_of(verdict, step.inputs, names, names[step.id]), step.inputs)
        if steps[step.id]["lineage"] != found:
            yield f"steps/{step.id}/lineage"
        fused = steps[step.id]["fused"]
        sources = {source for source in step.inputs.values() if steps[source]["mode"] == "read" and found}
        if fused != sorted(related & sources.intersection(fused)):
            yield f"steps/{step.id}/fused"
