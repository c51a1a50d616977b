"""`osiris chat`: describe a pipeline in words; `osiris prompts`: view and customize model prompts."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from osiris.chat.provider_api import GROUNDING, MODE, REPLACE
from osiris.cli.command import PATH, answers, choice, console, flag, noun, opened, valued
from osiris.cli.render import Answer
from osiris.errors import diagnostic
from osiris.registry import load_registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from osiris.api import Workspace
    from osiris.chat.conversation import Outcome
    from osiris.chat.provider_api import Options
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue


DIR = valued("--dir folder", "DIR", "Write to DIR instead of .osiris_prompts/.", type=PATH)
FORCE = flag("--force", "Overwrite existing files.")


@answers("dump", DIR, FORCE)
def dump(folder: Path | None, force: bool) -> Answer:
    """Write the prompts to .osiris_prompts/, where you can edit them.

    'osiris chat --pro-mode' uses the edited prompts.
    """
    from osiris.chat.prompts.compose import FOLDER, dump_prompts

    target = folder or opened().root / FOLDER
    files = dump_prompts(target, force=force)
    text = [f"{len(files)} prompts in {target}", *(f"  {name}" for name in files)]
    return Answer({"dir": str(target), "files": files}, text, next=[] if folder else ["osiris chat --pro-mode"])


@answers("context")
def context() -> Answer:
    """Show what models are given about the installed components.

    Shows the size and fingerprint of that document, which contains no secrets; --json prints it.
    """
    from osiris.chat.prompts.compose import context_document

    document = context_document(load_registry())
    components = document["document"]["components"]
    size = f"{document['size_bytes']:,} bytes, about {document['token_estimate']:,} tokens (a quarter of the bytes)"
    text = [
        f"{len(components)} components, {size}",
        f"fingerprint {document['fingerprint']}",
        "--json prints the document",
    ]
    return Answer(document, text)


MESSAGE = click.argument("message", required=False)
PROVIDER = valued("-p --provider", "NAME", "Model provider: openai, anthropic, gemini or compatible.")
MODEL = valued("--model", "NAME", "Model name; optional except for compatible.")
FAST = flag("--fast", "Make assumptions instead of asking, and list them.")
RESUME = valued("--resume", "[ID]", "Resume a conversation (default: the newest).", is_flag=False, flag_value="")
REPLAY = valued("--replay", "ID", "Rebuild the pipeline of a conversation from its record.")
PRO = flag("--pro-mode", "Use the prompts in .osiris_prompts/ (see 'osiris prompts dump').")
SAMPLES = choice("--samples", "none masked raw", "Sample rows that the model may see (chat.samples; default: none).")
OUT = valued("--out", "DIR", "Save pipelines to DIR (default: output/).")
_ID = re.compile(r"\d{8}")
"""How a session id begins (its date): any other value of --resume is an answer."""

_MODES = {REPLACE: "--mode replace", MODE: "--mode append, --mode replace or --mode upsert"}
"""Options that answer a question, by the question's key."""

YES = flag("--yes", "Accept the plan and run it; other questions stay open.")
WRITE = choice(
    "--mode", "append replace upsert", "How rows are written to a table; replace also confirms replacing its data."
)


@answers("chat", MESSAGE, PROVIDER, MODEL, FAST, RESUME, REPLAY, PRO, SAMPLES, OUT, WRITE, YES)
def chat(
    message: str | None, resume: str | None, replay: str | None, mode: str | None, yes: bool, **chosen: JsonValue
) -> Answer:
    """Describe a pipeline in words and let a model write it.

    Osiris inspects your sources, shows a plan and runs it when you agree; nothing is written before you accept the plan
    by its fingerprint. MESSAGE is your first message or, with --resume, your answer. Without a terminal and MESSAGE,
    lines of standard input are your messages. When input ends, the conversation waits; --resume continues it.

    """
    if replay is not None:
        return _replayed(replay)
    from osiris.chat.provider_api import Options

    if resume and message is None and not _ID.match(resume):
        message, resume = resume, ""
    options = Options(**chosen)
    if resume is not None and (options.fast or options.pro_mode):
        raise click.UsageError("--fast and --pro-mode can only be given when a conversation starts")
    words = [] if message is None else [message]
    is_bare = not any((words, mode is not None, yes, replace(options, out=None) != Options()))
    return _talk(options, words, resume, mode, accepts=yes, may_guide=is_bare and resume is None)


def _talk(
    options: Options, words: list[str], resume: str | None, mode: str | None, *, accepts: bool, may_guide: bool
) -> Answer:
    """Start or resume a conversation; without a configured model, and if `may_guide`, start the guide."""
    from osiris.chat import conversation
    from osiris.chat.providers.settings import provider_name
    from osiris.cli.talk import Terminal

    typed = sys.stdin.isatty() and console().is_terminal()
    workspace = opened()
    if typed and may_guide and provider_name(workspace.config, None) is None:
        return _guided(workspace, options.out)
    reads = not console().wants_json and (typed or not words)
    mouth = Terminal(console(), words, accepts=accepts, reads=reads, mode=mode)
    if resume is None:
        return _answer(conversation.begin(workspace, options, mouth), accepts=accepts)
    return _answer(conversation.resume(workspace, resume or None, options, mouth), accepts=accepts)


def _guided(workspace: Workspace, out: str | None) -> Answer:
    """Start the guide, as no model is configured."""
    from osiris.chat import conversation
    from osiris.cli.guide import Arrows, GuideTerminal
    from osiris.cli.new import answer_of

    warning = diagnostic("CHT065")
    console().talk([("warning", f"{warning.message}; "), ("", "starting the guide instead, as 'osiris new' does")])
    mouth = GuideTerminal(console(), [], accepts=False, reads=False)
    place = out or workspace.project.pipelines.name
    screen = Arrows(console())
    return answer_of(conversation.begin_guided(workspace, mouth, screen, place), screen)


def _replayed(name: str) -> Answer:
    from osiris.chat import conversation

    replayed = conversation.replay(opened(), name)
    console().write(replayed.oml)
    return Answer({"conversation": replayed.id, "oml": replayed.oml}, diagnostics=replayed.notes)


def _answer(outcome: Outcome, *, accepts: bool) -> Answer:
    summary, question = outcome.summary, outcome.question
    diagnostics = [*outcome.notes, *_open(summary, question["about"] if question else None, accepts=accepts)]
    if summary["last_run"] == "failed":
        diagnostics.append(diagnostic("CHT028", session=summary["runs"][-1]))
    keys = ("session", "status", "state", "question", "said", "pipeline", "fingerprint", "file", "runs", "usage", "oml")
    return Answer({key: summary.get(key) for key in keys}, (), diagnostics, _next(summary, question))


def _open(summary: dict[str, JsonValue], about: str | None, *, accepts: bool) -> Iterator[Diagnostic]:
    """Yield what a conversation is waiting for; `about` is the key of its question."""
    name, question = str(summary["session"]), summary["said"]
    has_not_run = summary["status"] == "waiting" and summary["last_run"] is None
    if _is_refused(summary):
        yield diagnostic("CHT034", reason=question, hint=f"rephrase it: {_resume(name, 'WORDS')}")
    elif accepts and about in (GROUNDING, REPLACE, MODE):
        yield diagnostic("CHT067", question=question, hint=_naming(about, name))
    elif question is None:
        yield diagnostic("CHT027", question="nothing was said yet", hint=_resume(name, "WORDS"))
    elif about not in (None, "accept") or (accepts and has_not_run):
        yield diagnostic("CHT027", question=question, hint=_resume(name, "ANSWER"))


def _naming(about: str | None, name: str) -> str:
    """Return how to answer a question that `--yes` does not answer."""
    named = _MODES.get(about or "")
    return f"{_resume(name, 'ANSWER')}{f'; or pass it: {named}' if named else ''}"


def _is_refused(summary: dict[str, JsonValue]) -> bool:
    """Return whether the last request was rejected: there is no question to answer."""
    return bool(summary.get("refused")) and summary["status"] == "waiting"


def _next(summary: dict[str, JsonValue], question: dict[str, JsonValue] | None) -> Sequence[str]:
    name = str(summary["session"])
    if _is_refused(summary):
        return []
    if question and question["about"] == "accept":
        return [_resume(name, "yes"), _resume(name)]
    if summary["status"] == "waiting":
        return [_resume(name, "again" if summary["last_run"] == "failed" else None)]
    return [f"osiris logs show {summary['runs'][-1]}"] if summary["runs"] else []


def _resume(name: str, words: str | None = None) -> str:
    return shlex.join(["osiris", "chat", "--resume", name, *([words] if words else [])])


prompts = noun("prompts", "View and customize model prompts.", dump, context)
