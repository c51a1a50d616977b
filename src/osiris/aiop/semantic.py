"""What the pipeline is: its steps, what they use, and where written columns come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.history.causes import clip
from osiris.history.targets import target_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from osiris.history.reading import Reading
    from osiris.model import ComponentSpec, JsonValue

    Item = dict[str, JsonValue]
    FindSpec = Callable[[str], ComponentSpec | None]

MODES = ("summary", "detailed")
_SQL = 400


def pipeline_of(reading: Reading) -> Item:
    """Return what the plan says of the pipeline as a whole."""
    data: Mapping[str, JsonValue] = reading.run.plan.data if reading.run.plan else {}
    about = data.get("pipeline") or {}
    return {
        "name": reading.run.pipeline,
        "description": about.get("description"),
        "oml_version": about.get("oml_version"),
        "file": reading.run.summary.get("oml"),
        "params": {**(data.get("params") or {}), **dict.fromkeys(data.get("sensitive") or ())},
    }


def metadata_of(reading: Reading) -> Mapping[str, JsonValue]:
    """Return the metadata of the OML as it is written."""
    about: Mapping[str, JsonValue] = reading.run.plan.data["pipeline"] if reading.run.plan else {}
    return about.get("metadata") or {}


def nodes_of(reading: Reading, *, detailed: bool) -> list[Item]:
    """Return the steps of the plan; `detailed` with their columns."""
    return [_node(step.plan, detailed=detailed) for step in reading.run.steps if step.plan]


def _node(plan: Mapping[str, JsonValue], *, detailed: bool) -> Item:
    sql = (plan.get("config") or {}).get("query")
    more = {
        "delivery": plan.get("delivery"),
        "connection": plan.get("connection"),
        "target": target_of(plan),
        "sql": clip(sql, _SQL) if isinstance(sql, str) else None,
    }
    if detailed and plan.get("schema"):
        more["columns"] = [f"{column['name']} {column['type']}" for column in plan["schema"]]
    name = plan["id"]
    words = {"component": plan["component"], "version": plan["version"], "mode": plan["mode"]}
    return {"id": f"plan.{name}", "step": name, **words, **{key: value for key, value in more.items() if value}}


def edges_of(reading: Reading) -> list[list[str]]:
    """Return `[from, to, kind]` of each edge."""
    found = []
    for step in reading.run.steps:
        found += [[source, step.id, "data"] for source in step.inputs]
        found += [[name, step.id, "order"] for name in step.needs if name not in step.inputs]
    return found


def components_of(reading: Reading, find_spec: FindSpec) -> list[Item]:
    """Return the components that are used; what the specification adds only if it is the one of the plan."""
    used: dict[str, Mapping[str, JsonValue]] = {step.component: step.plan for step in reading.run.steps if step.plan}
    return [_component(name, used[name], find_spec(name)) for name in sorted(used)]


def _component(name: str, plan: Mapping[str, JsonValue], spec: ComponentSpec | None) -> Item:
    same = spec if spec and spec.digest == plan["spec"] else None
    return {
        "name": name,
        "version": plan["version"],
        "title": same.title if same else None,
        "capabilities": list(same.capabilities) if same else [],
        "spec": str(plan["spec"])[:12],
    }


def lineage_of(reading: Reading) -> list[list[str]]:
    """Return `[step, column, origin step, origin column]` of the columns of each transform."""
    found = []
    for step in reading.run.steps:
        flow = step.plan.get("lineage") or {}
        for column, origins in (flow.get("columns") or {}).items():
            found += [[step.id, column, str(origin[0]), str(origin[1])] for origin in origins]
    return found
