"""`osiris diff`: name what differs between two plans, or two runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from osiris import api
from osiris.cli.command import answers, opened
from osiris.cli.render import Answer, figures
from osiris.compare.differences import INCOMPARABLE

if TYPE_CHECKING:
    from osiris.api import Difference, RunDiff, Timing
    from osiris.cli.render import Line

_TITLES = {
    "outcome": "how they ended",
    "plan": "the plan",
    "environment": "what was around",
    "schemas": "schemas",
    "rows": "rows",
    "digests": "data",
}


@answers("diff", click.argument("old", metavar="A"), click.argument("new", metavar="B"))
def command(old: str, new: str) -> Answer:
    """Name what differs between two runs, or two plans (files, fingerprints); 1 if anything does, 2 if not comparable.

    Of runs it is how they ended, their plans, versions, limits, connections and sources, schemas, rows and data; the
    times that they took are told beside.
    """
    found = api.diff_subjects(opened(), old, new)
    return _plans(found) if isinstance(found, list) else _runs(found)


def _plans(differences: list[Difference]) -> Answer:
    text = [str(d) for d in differences] or ["the plans are the same"]
    data = {"same": not differences, "differences": [d.to_json() for d in differences]}
    return Answer(data, text, exit_code=1 if differences else 0)


def _runs(found: RunDiff) -> Answer:
    differences = found.differences
    data = {
        "same": not differences,
        "differences": [d.to_json() for d in differences],
        "sections": {name: [d.to_json() for d in items] for name, items in found.sections.items()},
        "times": [timing.to_json() for timing in found.times],
    }
    text: list[Line] = [] if differences else ["the runs are the same"]
    for name, items in found.sections.items():
        text += [[("bold", _TITLES[name])], *(f"  {item}" for item in items)] if items else []
    return Answer(data, [*text, *_times(found.times)], exit_code=_exit_code(differences))


def _exit_code(differences: list[Difference]) -> int:
    """Return 1 if anything is known to differ, else 2 if something cannot be compared."""
    codes = {item.code for item in differences}
    return 0 if not codes else 2 if codes == {INCOMPARABLE} else 1


def _times(times: tuple[Timing, ...]) -> list[Line]:
    rows = [(timing.what or "the run", timing.old, timing.new) for timing in times]
    return figures(rows, ("took", "ms in A", "ms in B"))
