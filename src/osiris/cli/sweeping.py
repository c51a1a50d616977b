"""`osiris logs bundle` and `osiris logs gc`: handing sessions over, and letting them go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from osiris import api
from osiris.cli.command import answers, opened
from osiris.cli.figures import count, figures
from osiris.cli.render import Answer
from osiris.units import parse_duration, parse_size

if TYPE_CHECKING:
    from osiris.api import Swept
    from osiris.cli.render import Line


@answers(
    "bundle",
    click.argument("session", default="last"),
    click.option(
        "-o", "--output", type=click.Path(path_type=Path), metavar="F", help="The file, or the folder for it."
    ),
    click.option("--artifacts", is_flag=True, help="Also what steps left behind, with rows that were set aside."),
)
def bundle(session: str, output: Path | None, artifacts: bool) -> Answer:
    """Pack a session into one archive, SESSION.zip here if no file is named; the same session gives the same bytes."""
    made = api.bundle(opened(), session, output, artifacts=artifacts)
    text = f"packed {made.session} into {made.path}: {count(len(made.entries), 'file')}, {made.size:,} bytes"
    return Answer(made.to_json(), [text, f"  sha256 {made.sha256}"])


def _duration(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    return _parsed(value, parse_duration(value), "a time like 90s, 12h or 30d")


def _bytes(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    found = parse_size(int(value) if value and value.isdigit() else value)
    return None if _parsed(value, found, "a size like 500MB or 2GB") is None else found


def _parsed(value: str | None, found: float | None, expected: str) -> float | None:
    if value is not None and found is None:
        raise click.BadParameter(f"'{value}' is not {expected}")
    return found


@answers(
    "gc",
    click.option("--older-than", metavar="D", callback=_duration, help="What began longer ago goes (30d, 12h)."),
    click.option(
        "--max-size", metavar="S", callback=_bytes, help="The oldest go until all is no more than this (2GB)."
    ),
    click.option("--keep", metavar="N", type=click.IntRange(min=0), help="All but the N newest of a pipeline go."),
    click.option("--dry-run", is_flag=True, help="Only say what would go."),
)
def sweep(older_than: float | None, max_size: int | None, keep: int | None, dry_run: bool) -> Answer:
    """Remove sessions: those that are too old, too many or too large together.

    Runs in progress stay, and the newest success of each pipeline, and what may still be continued. A run id that was
    given is forgotten with its session.
    """
    from osiris.chat.store import forget_conversations

    limits, workspace = api.Limits(older_than, max_size, keep), opened()
    swept = api.sweep(workspace, limits, dry_run=dry_run)
    if swept.removed and not dry_run:
        forget_conversations(workspace.project, [name for name, _ in swept.removed])
    return Answer({**swept.to_json(), "dry_run": dry_run}, _lines(swept, dry_run=dry_run), swept.diagnostics)


def _lines(swept: Swept, *, dry_run: bool) -> list[Line]:
    rows = list(swept.removed)
    table = figures(rows, ("session", "bytes")) if rows else []
    said = "would go" if dry_run else "removed"
    left = swept.sessions_before - len(rows)
    total = (
        f"{count(len(rows), 'session')} {said}, {swept.bytes_removed:,} of {swept.bytes_before:,} bytes; {left} left"
    )
    return [*table, *(f"kept {each.session}: {each.reason}" for each in swept.kept), total]
