"""The view of a plan, as frozen values and as Mermaid text."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from osiris.model import schema_from_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from osiris.compare.lineage import Arrow
    from osiris.model import Delivery, JsonValue, Mode, Order, Schema

SHAPES = {"read": ("[(", ")]"), "transform": ("[", "]"), "write": ("[/", "/]")}
_PLAIN = " _.,:@/*-"
_SHOWN_COLUMNS = 4


@dataclass(frozen=True, slots=True)
class StepView:
    """One step. `inputs` are the steps it reads, `after` those it only waits for, `label` what it reads or writes.

    `columns` and `order` are those of its output, None and empty for a writer; `rows` is how many there are, None where
    that is not certain. `fused` are the read steps that are computed inside this step's own statement.
    """

    id: str
    component: str
    mode: Mode
    inputs: tuple[str, ...]
    after: tuple[str, ...]
    label: str | None
    columns: Schema
    order: Order | None
    rows: int | None
    fused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TargetView:
    """What a writer will do to its target; `bytes` is the size of the file that is there now, if there is one.

    `note` says of a table that is not there, or of which it is not known, what becomes of it.
    """

    step: str
    target: str
    action: str
    delivery: Delivery | None
    bytes: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class FlowView:
    """Data that goes from a source to a target: its columns, each with how it gets there (`compare.KINDS`).

    `whole` is true of a flow that the plan before did not have at all.
    """

    source: str
    target: str
    columns: Mapping[str, str]
    whole: bool = True


@dataclass(frozen=True, slots=True)
class PairView:
    """A table of an entry of `replicate`: the writer's `step`, source and target as labels, and how it is written.

    `mode` is the write mode; `cursor` and `deletes` are texts, None without one. `is_new`: the plan before had no such
    step.
    """

    step: str
    entry: str
    source: str
    target: str
    mode: str
    cursor: str | None = None
    deletes: str | None = None
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class PlanView:
    """A plan as people see it. `previous` is the plan it is compared with; without one, all flows are new.

    `read_back` describes each output (`compare.OutputText.to_json`), and `cuts` how each SQL step can be computed in
    parts (`compare.StepCut.to_json`); they are None unless they were asked for.
    `pairs` are the tables of entries of `replicate`, and `gone` the sources of those that only the plan before has.
    """

    name: str
    fingerprint: str
    description: str | None
    previous: str | None
    steps: tuple[StepView, ...]
    targets: tuple[TargetView, ...]
    flows: tuple[FlowView, ...]
    new_flows: tuple[FlowView, ...]
    read_back: tuple[Mapping[str, JsonValue], ...] | None = None
    pairs: tuple[PairView, ...] = ()
    gone: tuple[str, ...] = ()
    cuts: tuple[Mapping[str, JsonValue], ...] | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the view as plain data; `pairs`, `gone` and `cuts` only where there are any."""
        data = asdict(self)
        return {key: value for key, value in data.items() if value or key not in ("pairs", "gone", "cuts")}


def view_of(data: Mapping[str, JsonValue]) -> PlanView:
    """Return the view that `to_json` wrote."""
    steps = []
    for step in data["steps"]:
        lists = {key: tuple(step[key]) for key in ("inputs", "after", "fused")}
        steps.append(StepView(**{**step, **lists, "columns": schema_from_json(step["columns"])}))
    views = {
        "steps": tuple(steps),
        "targets": tuple(TargetView(**target) for target in data["targets"]),
        "flows": tuple(FlowView(**flow) for flow in data["flows"]),
        "new_flows": tuple(FlowView(**flow) for flow in data["new_flows"]),
        "pairs": tuple(PairView(**pair) for pair in data.get("pairs", ())),
        "gone": tuple(data.get("gone", ())),
        "cuts": tuple(data["cuts"]) if "cuts" in data else None,
    }
    outputs = data.get("read_back")
    return PlanView(**{**data, **views, "read_back": None if outputs is None else tuple(outputs)})


def size_text(number: int) -> str:
    """Return a number of bytes for people: `12 MB`, in steps of a thousand."""
    amount, units = float(number), ["bytes", "kB", "MB", "GB", "TB"]
    while amount >= 999.5 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{amount:.0f} {units[0]}"


def target_text(target: TargetView) -> str:
    """Return the action of a writer as text: `replaces output/x.parquet (12 MB)`."""
    size = "" if target.bytes is None else f" ({size_text(target.bytes)})"
    return f"{target.action} {target.target}{size}{f' ({target.note})' if target.note else ''}"


def flow_text(flow: FlowView, most: int | None = None) -> str:
    """Return a flow as text, with at most `most` columns."""
    columns = [name if kind == "copy" else f"{name} ({kind})" for name, kind in flow.columns.items()]
    return f"{flow.source} -> {flow.target}: {listed(columns, most)}"


def columns_text(columns: Schema, most: int | None = None) -> str:
    """Return columns with their types, at most `most`."""
    return listed([f"{column.name} {column.type}" for column in columns], most)


def listed(words: list[str], most: int | None) -> str:
    """Return words on one line, with their number if not all are shown."""
    if most is None or len(words) <= most:
        return ", ".join(words) or "no column"
    return f"{', '.join(words[:most])}, … ({len(words)} columns)"


def plan_mermaid(view: PlanView) -> list[str]:
    """Return the lines of a flowchart of a plan: a node a step; a dotted arrow where a step only waits."""
    number = {step.id: f"s{index}" for index, step in enumerate(view.steps)}
    nodes, arrows = [], []
    for step in view.steps:
        lines = [step.id, step.label or step.component]
        if step.columns:
            lines.append(listed([column.name for column in step.columns], _SHOWN_COLUMNS))
        nodes.append(_node(number[step.id], SHAPES[step.mode], lines))
        kinds = [(source, "==>" if source in step.fused else "-->") for source in step.inputs]
        kinds += [(needed, "-.->") for needed in step.after]
        arrows += [f"  {number[above]} {kind} {number[step.id]}" for above, kind in kinds]
    return ["flowchart TD", *nodes, *arrows]


def lineage_mermaid(arrows: Iterable[Arrow]) -> list[str]:
    """Return the lines of a flowchart of columns, grouped by step; each arrow says how a column is made."""
    unique = list(dict.fromkeys(arrows))
    columns = sorted({column for arrow in unique for column in (arrow.source, arrow.target)})
    number = {column: f"c{index}" for index, column in enumerate(columns)}
    lines = ["flowchart LR"]
    for index, (step, members) in enumerate(groupby(columns, key=lambda column: column.step)):
        lines += [f'  subgraph g{index}["{escaped(step)}"]']
        lines += [f"  {_node(number[column], SHAPES['transform'], [column.name])}" for column in members]
        lines += ["  end"]
    return [*lines, *(f"  {number[a.source]} -->|{a.kind}| {number[a.target]}" for a in unique)]


def escaped(text: str) -> str:
    """Return a text escaped for a label: all but letters, digits and a few marks become entities."""
    return "".join(c if c.isalnum() or c in _PLAIN else f"#{ord(c)};" for c in text)


def _node(name: str, shape: tuple[str, str], lines: Iterable[str]) -> str:
    return f'  {name}{shape[0]}"{"<br>".join(escaped(line) for line in lines)}"{shape[1]}'
