"""Diagrams as Mermaid text, for pages and reviews that draw it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.report.plan import listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from osiris.compare import Arrow
    from osiris.report.plan import PlanView, StepView

SHAPES = {"read": ("[(", ")]"), "transform": ("[", "]"), "write": ("[/", "/]")}
_PLAIN = " _.,:@/*-"
_SHOWN_COLUMNS = 4


def plan_mermaid(view: PlanView) -> list[str]:
    """Return the lines of a flowchart of a plan: a node a step; a dotted arrow where a step only waits."""
    number = {step.id: f"s{index}" for index, step in enumerate(view.steps)}
    nodes = [_node(number[step.id], SHAPES[step.mode], _lines(step)) for step in view.steps]
    return ["flowchart TD", *nodes, *(line for step in view.steps for line in _edges(step, number))]


def lineage_mermaid(arrows: Iterable[Arrow]) -> list[str]:
    """Return the lines of a flowchart of columns, grouped by step; each arrow says how a column is made."""
    found = list(dict.fromkeys(arrows))
    columns = sorted({column for arrow in found for column in (arrow.source, arrow.target)})
    number = {column: f"c{index}" for index, column in enumerate(columns)}
    groups = {
        step: [column for column in columns if column.step == step] for step in dict.fromkeys(c.step for c in columns)
    }
    lines = ["flowchart LR"]
    for index, (step, members) in enumerate(groups.items()):
        lines += [f'  subgraph g{index}["{escaped(step)}"]']
        lines += [f"  {_node(number[column], SHAPES['transform'], [column.name])}" for column in members]
        lines += ["  end"]
    return [*lines, *(f"  {number[a.source]} -->|{a.kind}| {number[a.target]}" for a in found)]


def escaped(text: str) -> str:
    """Return a text that is nothing but text in a label: all but letters, digits and a few marks become entities."""
    return "".join(c if c.isalnum() or c in _PLAIN else f"#{ord(c)};" for c in text)


def _node(name: str, shape: tuple[str, str], lines: Iterable[str]) -> str:
    return f'  {name}{shape[0]}"{"<br>".join(escaped(line) for line in lines)}"{shape[1]}'


def _lines(step: StepView) -> Iterator[str]:
    yield step.id
    yield step.label or step.component
    if step.columns:
        yield listed([column.name for column in step.columns], _SHOWN_COLUMNS)


def _edges(step: StepView, number: dict[str, str]) -> Iterator[str]:
    for source in step.inputs:
        arrow = "==>" if source in step.fused else "-->"
        yield f"  {number[source]} {arrow} {number[step.id]}"
    for needed in step.after:
        yield f"  {number[needed]} -.-> {number[step.id]}"
