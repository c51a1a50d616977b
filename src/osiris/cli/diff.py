"""`osiris diff`: compare two plans or runs; `verify`: check that two runs wrote the same data; `replay`: repeat a past
run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from osiris import api
from osiris.cli.command import answers, console, flag, opened
from osiris.cli.progress import watch
from osiris.cli.render import Answer, figures
from osiris.units import count

if TYPE_CHECKING:
    from osiris.api import Difference, Replayed, RunDiff, Timing
    from osiris.cli.render import Line


@answers("diff", click.argument("old", metavar="A"), click.argument("new", metavar="B"))
def command(old: str, new: str) -> Answer:
    """Compare two runs or two plans.

    A and B are runs, plan files or fingerprints. Runs are compared by status, plan, versions, limits, connections,
    sources, schemas, rows and data; durations are shown for information. Exits 1 if anything differs, 2 if the two
    cannot be compared.

    """
    result = api.diff_subjects(opened(), old, new)
    return _plans(result) if isinstance(result, list) else _runs(result)


def _plans(differences: list[Difference]) -> Answer:
    text = [str(d) for d in differences] or ["the plans are the same"]
    data = {"same": not differences, "differences": [d.to_json() for d in differences]}
    return Answer(data, text, exit_code=1 if differences else 0)


def _runs(difference: RunDiff) -> Answer:
    from osiris.history.changes import SECTION_TITLES

    differences = difference.differences
    data = {
        "same": not differences,
        "differences": [d.to_json() for d in differences],
        "sections": {name: [d.to_json() for d in items] for name, items in difference.sections.items()},
        "times": [timing.to_json() for timing in difference.times],
    }
    text: list[Line] = [] if differences else ["the runs are the same"]
    for name, items in difference.sections.items():
        text += [[("bold", SECTION_TITLES[name])], *(f"  {item}" for item in items)] if items else []
    return Answer(data, [*text, *_times(difference.times)], exit_code=_exit_code(differences))


def _exit_code(differences: list[Difference]) -> int:
    """Return 1 if anything differs, else 2 if something cannot be compared, else 0."""
    from osiris.compare.differences import INCOMPARABLE

    codes = {item.code for item in differences}
    return 0 if not codes else 2 if codes == {INCOMPARABLE} else 1


def _times(times: tuple[Timing, ...]) -> list[Line]:
    rows = [(timing.what or "the run", timing.old, timing.new) for timing in times]
    return figures(rows, ("took", "ms in A", "ms in B"))


@answers("verify", click.argument("first", metavar="RUN_A"), click.argument("second", metavar="RUN_B"))
def verify(first: str, second: str) -> Answer:
    """Check that two runs wrote the same data.

    Compares the digests of what they wrote. RUN_A and RUN_B are session ids, run ids, 'last' or 'previous'. Exits 1 if
    any output differs, 2 if the runs cannot be compared.
    """
    workspace = opened()
    verdict = api.verify(workspace, first, second)
    text = [] if verdict.diagnostics else [[("ok", "same data"), ("", f" in {count(len(verdict.outputs), 'output')}")]]
    data = {"same": not verdict.diagnostics, "runs": list(verdict.runs), "outputs": list(verdict.outputs)}
    return Answer(data, text, verdict.diagnostics)


_TO_TARGETS = "Write to the plan's targets. By default files go to the session, and other rows are only digested."


@answers(
    "replay",
    click.argument("run", metavar="[RUN]", default="last"),
    flag("--to-targets", _TO_TARGETS),
)
def replay(run: str, to_targets: bool) -> Answer:
    """Repeat a past run and compare what it produces.

    Runs the same plan with the same values; no target is changed. The default is the last run. Exits 0 if the output is
    the same, 2 if it cannot be compared, and 1 if it differs: then the step, the column and the reason are named (a
    source, an engine, the code or the environment has changed).
    """
    workspace = opened()
    with watch(console()) as progress:
        replayed = api.replay(workspace, run, progress, to_targets=to_targets)
    follow_up = [f"osiris diff {replayed.run} {replayed.session}"] if replayed.same is False else []
    return Answer(replayed.to_json(), _lines(replayed), replayed.diagnostics, follow_up, replayed.exit_code)


def _lines(replayed: Replayed) -> list[Line]:
    head: Line
    if replayed.same is None and replayed.differences:
        head = [("warning", "not comparable"), ("", f" with run {replayed.run}")]
        return [head, *(f"  {item}" for item in replayed.differences)]
    if replayed.same is None:
        return [f"not compared: the replay {replayed.session} did not finish"]
    if replayed.same:
        compared = f" as run {replayed.run}: {count(len(replayed.compared), 'output')} compared by digest"
        return [[("ok", "same"), ("", compared)]]
    head = [("error", "differs"), ("", f" from run {replayed.run}")]
    because = [f"  because {reason.text} ({reason.kind})" for reason in replayed.reasons]
    return [head, *(f"  {item}" for item in replayed.differences), *because]
