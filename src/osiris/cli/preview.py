"""`osiris preview`: show the first rows of a step."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from osiris import api
from osiris.api.previews import LIMIT, SAMPLE
from osiris.cli.command import FILE, PARAM, PROFILE, SELECT, answers, brief, console, opened
from osiris.cli.figures import count
from osiris.cli.render import Answer, safe, table
from osiris.cli.watch import WATCH, keep_showing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from osiris.api import Preview
    from osiris.cli.render import Line
    from osiris.model import JsonValue
    from osiris.runner.host.preview import Table

WIDEST = 40
"""So many characters of a value are shown on a terminal."""

GAP = 2
MOST_ROWS = 10_000

_NUMBERS = ("int", "uint", "float", "decimal")

OPTIONS = (
    FILE,
    click.argument("step", metavar="[STEP]", required=False),
    SELECT,
    click.option("--limit", type=click.IntRange(0, MOST_ROWS), default=LIMIT, help=f"Rows to show ({LIMIT})."),
    click.option(
        "--sample", type=click.IntRange(0), default=SAMPLE, help=f"Rows to read of each source ({SAMPLE:,}; 0: all)."
    ),
    PARAM,
    PROFILE,
    WATCH,
)


@answers("preview", *OPTIONS)
def command(file: str, step: str | None, **options: Any) -> Answer:  # noqa: ANN401 - one per option
    """Show the first rows of STEP in FILE: of the input of the last writer, if none is named. Nothing is written."""
    if step and options["select"]:
        raise click.UsageError("name a STEP or --select, not both")
    words = {key: options[key] for key in ("params", "limit", "sample")}

    def answer() -> Answer:
        return _answer(api.preview(opened(options["profile"]), file, step or options["select"], **words))

    return keep_showing(file, answer) if options["watch"] else answer()


def _answer(seen: Preview) -> Answer:
    seen = replace(seen, tables=[replace(each, rows=console().clean(each.rows)) for each in seen.tables])
    diagnostics, more = brief(seen.diagnostics, seen.file)
    text = [line for each in seen.tables for line in (*table_lines(each), "")]
    return Answer(_data(seen), [*text, *left_out_lines(seen), *more], diagnostics)


def _data(seen: Preview) -> dict[str, JsonValue]:
    """Return the exact values, one table a step."""
    tables = [
        {
            "step": table.step,
            "columns": [column.to_json() for column in table.schema],
            "rows": table.rows,
            "rows_in_all": table.total,
        }
        for table in seen.tables
    ]
    return {"tables": tables, "sample": seen.sample, "cut": list(seen.cut), "unchecked": list(seen.unchecked)}


def left_out_lines(seen: Preview) -> Iterator[str]:
    """Yield what was not read, and what was not checked."""
    if seen.cut:
        yield f"on the first {count(seen.sample, 'row')} of {', '.join(seen.cut)} (--sample 0 reads all)"
    if seen.unchecked:
        yield f"the checks of {', '.join(seen.unchecked)} are left to a run"


def table_lines(found: Table) -> Iterator[Line]:
    """Yield a step's name, how much of it is shown, and its rows below the names and types of its columns."""
    total = found.total or 0
    size = count(total, "row") if len(found.rows) == total else f"{len(found.rows):,} of {count(total, 'row')}"
    yield [("bold", found.step), ("", f"  {size}")]
    columns = [
        _column(column.name, column.type, [row[n] for row in found.rows]) for n, column in enumerate(found.schema)
    ]
    fitting = _fitting(columns)
    header, *rows = zip(*columns[:fitting], strict=True)
    names, kinds, *lines = table(rows, header)
    yield from (names, [("dim", str(kinds))], *lines)
    if more := [column.name for column in found.schema[fitting:]]:
        yield f"… and {count(len(more), 'column')} more: {', '.join(more)}"


def _fitting(columns: Sequence[Sequence[str]]) -> int:
    """Return how many columns stand beside each other on the terminal, at least one; all where there is none."""
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
    cells = [_shortened(text) for text in (safe(name), safe(kind), *(shown(value, kind) for value in values))]
    width = max(map(len, cells)) if kind.startswith(_NUMBERS) else 0
    return [cell.rjust(width) for cell in cells]


def _shortened(text: str) -> str:
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def shown(value: JsonValue, kind: str) -> str:
    """Return a value on one line; text that could be taken for something else (NULL, nothing, '') stands in quotes."""
    if value is None:
        return "NULL"
    if not isinstance(value, str):
        return safe(json.dumps(value, ensure_ascii=False))
    unclear = kind == "utf8" and (value != value.strip() or value in ("", "NULL") or value.startswith("'"))
    return safe(f"'{value}'" if unclear else value)
