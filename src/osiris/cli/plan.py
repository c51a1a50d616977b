"""The lines that show a plan: its steps, what it will write, and what flows that did not flow before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.cli.command import console
from osiris.cli.figures import figures
from osiris.cli.preview import table_lines
from osiris.cli.render import safe
from osiris.report.plan import columns_text, flow_text, target_text

if TYPE_CHECKING:
    from osiris.api import Measured
    from osiris.cli.render import Line
    from osiris.report.plan import PlanView, StepView

SHOWN_COLUMNS = 4
SHOWN_FLOWS = 20


def plan_lines(view: PlanView, *, verbose: bool = False) -> list[Line]:
    """Return the lines of a plan; columns and flows are abbreviated where they are many, unless `verbose`."""
    most = None if verbose else SHOWN_COLUMNS
    columns: dict[str, list[object]] = {
        "step": [step.id for step in view.steps],
        "component": [step.component for step in view.steps],
        "reads": [_reads(step) for step in view.steps],
        "~rows": [step.rows for step in view.steps],
        "order": [step.order for step in view.steps],
        "gives": [_gives(step, most) for step in view.steps],
    }
    told = {title: cells for title, cells in columns.items() if any(cell is not None for cell in cells)}
    steps = figures(zip(*told.values(), strict=True), tuple(told))
    fused = [
        f"{step.id} computes {', '.join(step.fused)} inside its own statement" for step in view.steps if step.fused
    ]
    targets = [f"{target.step} {target_text(target)}, {target.delivery}" for target in view.targets]
    return [*steps, *fused, *targets, *_flow_lines(view, most), *_read_back_lines(view)]


def measured_lines(found: Measured) -> list[Line]:
    """Return what was measured of a plan: figures, and the first rows of each output."""
    shown = [replace(each, rows=console().clean(each.rows)) for each in found.outputs.values()]
    return [*map(safe, found.lines()), *(line for each in shown for line in ("", *table_lines(each)))]


def _read_back_lines(view: PlanView) -> list[Line]:
    return [safe(line) for output in view.read_back or () for line in ("", *output["lines"])]


def _reads(step: StepView) -> str:
    """Return what a step reads, and behind it what it only waits for."""
    source = [step.label] if step.mode == "read" and step.label else []
    waits = [f"after {', '.join(step.after)}"] if step.after else []
    return "; ".join([*source, *([", ".join(step.inputs)] if step.inputs else []), *waits])


def _gives(step: StepView, most: int | None) -> str:
    return f"-> {step.label}" if step.mode == "write" else columns_text(step.columns, most)


def _flow_lines(view: PlanView, most: int | None) -> list[Line]:
    word = "new flow" if view.previous else "flow"
    shown = view.new_flows if most is None else view.new_flows[:SHOWN_FLOWS]
    lines: list[Line] = [
        [("warning" if view.previous else "dim", f"{word} "), ("", flow_text(flow, most))] for flow in shown
    ]
    left = len(view.new_flows) - len(shown)
    return [*lines, f"… and {left} more (see --verbose)"] if left else lines
