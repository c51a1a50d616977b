"""`osiris new`: a pipeline from choices, without a model."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from osiris.cli.command import answers, console, opened
from osiris.cli.flagged import OPTIONS, Wanted, build, flags_of
from osiris.cli.render import Answer
from osiris.errors import diagnostic, fail

if TYPE_CHECKING:
    from osiris.chat.conversation import Outcome
    from osiris.cli.asking import Plain

PLAIN = click.option("--plain", is_flag=True, help="Ask with numbered questions; answers are lines of standard input.")
RESUME = click.option(
    "--resume", is_flag=False, flag_value="", metavar="[ID]", help="Continue a conversation, by default the newest."
)
EDIT = click.option("--edit", metavar="FILE", help="Change this pipeline, which stays where it is.")
OUT = click.option("--out", metavar="DIR", default="pipelines", help="Save the pipeline there (pipelines/).")


@answers("new", PLAIN, RESUME, EDIT, OUT, *OPTIONS)
def command(
    plain: bool,
    resume: str | None,
    edit: str | None,
    out: str,
    yes: bool,
    outside: bool,
    multiplies: bool,
    **words: Any,  # noqa: ANN401 - one per option
) -> Answer:
    """Build a pipeline from choices: what to read, keep, join, compute, group, and where it goes; no model is needed.

    Nothing is written before you accept the plan. Answers are kept as you give them: --resume continues where a
    conversation was interrupted. Without a terminal, lines of standard input are the answers. With --from and --to the
    flags are the choices, and nothing is asked but whether the plan is accepted.
    """
    flags = flags_of(words)
    if flags:
        if plain or resume is not None or edit:
            raise click.UsageError("--plain, --resume and --edit go without flags that say what the pipeline does")
        return build(opened(), flags, Wanted(outside=outside, multiplies=multiplies, yes=yes, out=out))
    if yes or outside or multiplies:
        raise click.UsageError("--yes, --outside and --multiplies go with flags that say what the pipeline does")
    return guided(resume, edit, out, plain=plain)


def guided(resume: str | None, edit: str | None, out: str, *, plain: bool = False) -> Answer:
    """Have the guide ask: from the start, or where the conversation `resume` was interrupted ("": the newest)."""
    if edit and resume is not None:
        raise click.UsageError("--edit starts a conversation; --resume continues one")
    if console().wants_json:
        fail("CHT053", hint="leave out --json")
    from osiris.api.workspace import find_file
    from osiris.chat import conversation
    from osiris.cli.asking import GuideTerminal

    screen, mouth = _screen(plain=plain), GuideTerminal(console(), [], accepts=False, reads=False)
    workspace = opened()
    try:
        if resume is None:
            edits = find_file(workspace, edit).resolve() if edit else None
            outcome = conversation.begin_guided(workspace, mouth, screen, out, edits)
        else:
            outcome = conversation.resume_guided(workspace, resume or None, mouth, screen)
    except KeyboardInterrupt:
        console().talk("Your answers are kept. Continue: osiris new --resume")
        raise
    return answer_of(outcome)


def _screen(*, plain: bool) -> Plain:
    if not plain and sys.stdin.isatty() and console().is_terminal():
        from osiris.cli.arrows import Arrows

        return Arrows(console())
    from osiris.cli.asking import Plain

    return Plain(console())


def answer_of(outcome: Outcome) -> Answer:
    """Return how a conversation with the guide ended."""
    summary = outcome.summary
    found = [*outcome.notes]
    if summary["status"] == "waiting":
        resume = shlex.join(["osiris", "new", "--resume", str(summary["session"])])
        found.append(diagnostic("CHT051", question=summary["said"] or "the first question", hint=resume))
    if summary["last_run"] not in (None, "complete", "succeeded"):
        found.append(diagnostic("CHT028", session=summary["runs"][-1]))
    keys = ("session", "status", "state", "question", "pipeline", "fingerprint", "file", "runs")
    following = [f"osiris logs show {summary['runs'][-1]}"] if summary["runs"] else []
    if summary.get("file") and not summary["runs"]:
        following = [shlex.join(["osiris", "run", str(summary["file"])])]
    return Answer({key: summary.get(key) for key in keys}, (), found, following)
