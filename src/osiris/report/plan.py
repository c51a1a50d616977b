"""What there is to see of a plan: its steps, what it will write, and where data newly flows. Plain frozen values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from osiris.model import schema_from_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.model import Delivery, JsonValue, Mode, Order, Schema


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
class PlanView:
    """A plan as people see it. `previous` is the plan it is compared with; without one, all flows are new.

    `read_back` has what each output is, as `compare.OutputText.to_json` gives it; None if nobody asked for that.
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

    def to_json(self) -> dict[str, JsonValue]:
        """Return the view as plain data."""
        return asdict(self)


def view_of(data: Mapping[str, JsonValue]) -> PlanView:
    """Return the view that `to_json` wrote."""
    steps = [
        StepView(
            **{
                **step,
                "inputs": tuple(step["inputs"]),
                "after": tuple(step["after"]),
                "fused": tuple(step["fused"]),
                "columns": schema_from_json(step["columns"]),
            }
        )
        for step in data["steps"]
    ]
    views = {
        "steps": tuple(steps),
        "targets": tuple(TargetView(**target) for target in data["targets"]),
        "flows": tuple(FlowView(**flow) for flow in data["flows"]),
        "new_flows": tuple(FlowView(**flow) for flow in data["new_flows"]),
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
    """Return what a writer will do in words: `replaces output/x.parquet (12 MB)`."""
    size = "" if target.bytes is None else f" ({size_text(target.bytes)})"
    return f"{target.action} {target.target}{size}{f' ({target.note})' if target.note else ''}"


def flow_text(flow: FlowView, most: int | None = None) -> str:
    """Return a flow in words; at most so many columns are named, if `most` is given."""
    return f"{flow.source} -> {flow.target}: {listed([_made(*item) for item in flow.columns.items()], most)}"


def columns_text(columns: Schema, most: int | None = None) -> str:
    """Return columns with their types; at most so many, if `most` is given."""
    return listed([f"{column.name} {column.type}" for column in columns], most)


def listed(words: list[str], most: int | None) -> str:
    """Return words on one line, and how many there are where not all are shown."""
    if most is None or len(words) <= most:
        return ", ".join(words) or "no column"
    return f"{', '.join(words[:most])}, … ({len(words)} columns)"


def _made(name: str, kind: str) -> str:
    return name if kind == "copy" else f"{name} ({kind})"
