"""`osiris eval`: how well words become pipelines."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from osiris.cli.command import answers, console
from osiris.cli.figures import figures
from osiris.cli.render import Answer

if TYPE_CHECKING:
    from osiris.cli.render import Line
    from osiris.evaluation.grade import Graded
    from osiris.evaluation.score import Score

SET = click.option(
    "--set", "folder", type=click.Path(path_type=Path), metavar="DIR", help="Another set than the one that is shipped."
)
ONLY = click.option("--case", "only", multiple=True, metavar="ID", help="Only this case; may be repeated.")
PROVIDER = click.option("-p", "--provider", metavar="NAME", help="Who proposes; rules if none is named.")
MODEL = click.option("--model", metavar="NAME", help="Which model of that provider.")

_MARKS = {"right": "ok", "asked": "warning", "refused": "warning", "failed": "error", "wrong": "error"}


@answers("eval", SET, ONLY, PROVIDER, MODEL)
def command(folder: Path | None, only: tuple[str, ...], provider: str | None, model: str | None) -> Answer:
    """Hold every request of a set as a conversation, run what comes of it, and grade it by its rows.

    The set that is shipped was written by somebody who had not seen the program. A request ends right, with a question,
    with a refusal, in a failure, or wrong; wrong without a question ends with 1.
    """
    from osiris.chat.conversation import Options
    from osiris.evaluation.cases import HELD_OUT
    from osiris.evaluation.score import score_set

    options = Options(provider=provider or "rules", model=model)
    with TemporaryDirectory(prefix="osiris-eval-") as scratch:
        score = score_set(folder or HELD_OUT, Path(scratch), options, os.environ, _tell, only)
    return _answer(score)


def _tell(graded: Graded) -> None:
    why = f"  {graded.why}" if graded.why and console().verbose else ""
    console().talk([(_MARKS[graded.verdict], f"{graded.verdict:<8}"), ("", f"{graded.case.id}  "), ("dim", why)])


def _answer(score: Score) -> Answer:
    data = score.to_json()
    header = ("expected", "cases", "right", "asked", "refused", "failed", "wrong")
    rows = [(name, *counts.values()) for name, counts in score.table().items()]
    first, after = data["valid_at_first"], data["valid_after_regeneration"]
    text: list[Line] = [
        *figures(rows, header),
        f"valid at first {first[0]} of {first[1]}, after one regeneration {after[0]} of {after[1]}",
        f"{data['questions']} questions, {data['tokens']} tokens, {data['cost_usd']:.4f} USD",
        f"wrong without asking: {', '.join(score.wrong_without_asking) or 'none'}",
    ]
    return Answer(data, text, exit_code=1 if score.wrong_without_asking else 0)
