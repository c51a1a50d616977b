"""The lines that show a plan: steps, targets and new data flows."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.cli.command import console
from osiris.cli.render import figures, safe, shortened, table
from osiris.report.plan import columns_text, flow_text, target_text
from osiris.units import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from osiris.api import Measured
    from osiris.cli.render import Line
    from osiris.model import JsonValue
    from osiris.report.plan import PlanView, StepView
    from osiris.runner.host.preview import Table


SHOWN_COLUMNS = 4
SHOWN_FLOWS = 20
SHOWN_PAIRS = 100
SHOWN_GONE = 5


def plan_lines(view: PlanView, *, verbose: bool = False) -> list[Line]:
    """Return the lines of a plan; columns and flows are abbreviated where they are many, unless `verbose`."""
    most = None if verbose else SHOWN_COLUMNS
    pairs = list(_pair_lines(view, verbose=verbose))
    if view.pairs:
        view = _without_pairs(view)
    rows = [(s.id, s.component, _reads(s), s.rows, s.order, _gives(s, most)) for s in view.steps]
    titles = ("step", "component", "reads", "~rows", "order", "gives")
    steps = _filled_columns(titles, rows) if rows else []
    fused = [
        f"{step.id} computes {', '.join(step.fused)} inside its own statement" for step in view.steps if step.fused
    ]
    targets = [f"{target.step} {target_text(target)}, {target.delivery}" for target in view.targets]
    return [*pairs, *steps, *fused, *targets, *_flow_lines(view, most), *_read_back_lines(view), *_cut_lines(view)]


def _filled_columns(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> list[Line]:
    """Return a table without the columns that are empty in all rows."""
    columns = zip(titles, *rows, strict=True)
    header, *cells = zip(*(column for column in columns if {*column[1:]} != {None}), strict=True)
    return figures(cells, [str(title) for title in header])


def _pair_lines(view: PlanView, *, verbose: bool) -> Iterator[Line]:
    """Yield the tables of entries of `replicate` as one table, new ones first; then counts."""
    if not view.pairs:
        return
    pairs = sorted(view.pairs, key=lambda pair: not pair.is_new)
    shown = pairs if verbose else pairs[:SHOWN_PAIRS]
    rows = [(p.source, p.target, p.mode, p.cursor, p.deletes, "new" if p.is_new else None) for p in shown]
    yield from _filled_columns(("table", "target", "mode", "cursor", "deletes", "since the last plan"), rows)
    if len(pairs) > len(shown):
        yield f"… and {count(len(pairs) - len(shown), 'table')} more (see --verbose)"
    yield from _pair_counts(view)


def _pair_counts(view: PlanView) -> Iterator[Line]:
    """Yield how many tables are replicated, and which no longer are."""
    new = sum(pair.is_new for pair in view.pairs)
    modes = sorted(Counter(pair.mode for pair in view.pairs).items())
    counts = ", ".join(f"{number:,} {mode}" for mode, number in modes)
    yield f"{count(len(view.pairs), 'table')} replicated: {counts}" + (f"; {new:,} new" if new else "")
    if view.gone:
        more = f" and {len(view.gone) - SHOWN_GONE:,} more" if len(view.gone) > SHOWN_GONE else ""
        yield [("warning", f"no longer in the plan: {', '.join(view.gone[:SHOWN_GONE])}{more}")]


def _without_pairs(view: PlanView) -> PlanView:
    """Return a view without the steps, targets and flows of pairs."""
    writers = {pair.step for pair in view.pairs}
    readers = {name for step in view.steps if step.id in writers for name in step.inputs}
    flows = {(pair.source, pair.target) for pair in view.pairs}
    return replace(
        view,
        steps=tuple(step for step in view.steps if step.id not in writers | readers),
        targets=tuple(target for target in view.targets if target.step not in writers),
        new_flows=tuple(flow for flow in view.new_flows if (flow.source, flow.target) not in flows),
    )


def measured_lines(figures_of: Measured) -> list[Line]:
    """Return the lines of measured figures and the first rows of each output."""
    shown = [replace(each, rows=console().clean(each.rows)) for each in figures_of.outputs.values()]
    return [*map(safe, figures_of.lines()), *(line for each in shown for line in ("", *table_lines(each)))]


def _read_back_lines(view: PlanView) -> list[Line]:
    return [safe(line) for output in view.read_back or () for line in ("", *output["lines"])]


def _cut_lines(view: PlanView) -> list[Line]:
    return ["", *(safe(each["text"]) for each in view.cuts)] if view.cuts else []


def _gives(step: StepView, most: int | None) -> str:
    return f"-> {step.label}" if step.mode == "write" else columns_text(step.columns, most)


def _reads(step: StepView) -> str:
    """Return what a step reads, then the steps that it only waits for."""
    source = [step.label] if step.mode == "read" and step.label else []
    waits = [f"after {', '.join(step.after)}"] if step.after else []
    return "; ".join([*source, *([", ".join(step.inputs)] if step.inputs else []), *waits])


def _flow_lines(view: PlanView, most: int | None) -> list[Line]:
    word = "new flow" if view.previous else "flow"
    shown = view.new_flows if most is None else view.new_flows[:SHOWN_FLOWS]
    lines: list[Line] = [
        [("warning" if view.previous else "dim", f"{word} "), ("", flow_text(flow, most))] for flow in shown
    ]
    left = len(view.new_flows) - len(shown)
    return [*lines, f"… and {left} more (see --verbose)"] if left else lines


WIDEST = 40
"""Maximum characters of a value on a terminal."""
GAP = 2
_NUMBERS = ("int", "uint", "float", "decimal")


def table_lines(rows_of: Table) -> Iterator[Line]:
    """Yield a step's name, how much of it is shown, and its rows below the names and types of its columns."""
    total = rows_of.total or 0
    size = count(total, "row") if len(rows_of.rows) == total else f"{len(rows_of.rows):,} of {count(total, 'row')}"
    yield [("bold", rows_of.step), ("", f"  {size}")]
    columns = [
        _column(column.name, column.type, [row[n] for row in rows_of.rows]) for n, column in enumerate(rows_of.schema)
    ]
    fitting = _fitting(columns)
    header, *rows = zip(*columns[:fitting], strict=True)
    names, kinds, *lines = table(rows, header)
    yield from (names, [("dim", str(kinds))], *lines)
    if more := [column.name for column in rows_of.schema[fitting:]]:
        yield f"… and {count(len(more), 'column')} more: {', '.join(more)}"


def _fitting(columns: Sequence[Sequence[str]]) -> int:
    """Return how many columns fit on the terminal, at least one; all without a terminal."""
    if not sys.stdout.isatty():
        return len(columns)
    room = shutil.get_terminal_size().columns + GAP
    for number, cells in enumerate(columns):
        room -= max(map(len, cells)) + GAP
        if room < 0:
            return max(number, 1)
    return len(columns)


def _column(name: str, kind: str, values: Sequence[JsonValue]) -> list[str]:
    """Return the cells of a column: its name, its type and its values, numbers to the right."""
    cells = [shortened(text, WIDEST) for text in (safe(name), safe(kind), *(shown(value, kind) for value in values))]
    width = max(map(len, cells)) if kind.startswith(_NUMBERS) else 0
    return [cell.rjust(width) for cell in cells]


def shown(value: JsonValue, kind: str) -> str:
    """Return a value on one line; ambiguous text (NULL, '', blanks around) is quoted."""
    if value is None:
        return "NULL"
    if not isinstance(value, str):
        return safe(json.dumps(value, ensure_ascii=False))
    unclear = kind == "utf8" and (value != value.strip() or value in ("", "NULL") or value.startswith("'"))
    return safe(f"'{value}'" if unclear else value)
