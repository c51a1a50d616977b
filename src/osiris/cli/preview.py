"""`osiris preview`: show the first rows of a step."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from osiris import api
from osiris.api.previews import LIMIT, SAMPLE
from osiris.cli.command import FILE, PARAM, PROFILE, SELECT, WATCH, answers, brief, console, keep_showing, opened
from osiris.cli.plan import table_lines
from osiris.cli.render import Answer, count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.api import Preview
    from osiris.model import JsonValue


MOST_ROWS = 10_000


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
def preview(file: str, step: str | None, **options: Any) -> Answer:  # noqa: ANN401 - one per option
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
