"""The person's side of a conversation: output on the terminal, and the source of messages."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from osiris.chat.environment import Waiting
from osiris.chat.provider_api import ACCEPT, MODE, REPLACE
from osiris.cli.render import diagnostic_lines, safe
from osiris.errors import Diagnostic, diagnostic
from osiris.units import count

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from osiris.chat.provider_api import Question
    from osiris.cli.render import Console, Line
    from osiris.model import JsonValue

    Data = Mapping[str, JsonValue]

_PROMPT = "> "


def clean(words: str) -> str:
    """Return text that can be encoded as UTF-8, which typed text is not always."""
    return words.encode("utf-8", "replace").decode()


class Terminal:
    """Words come from the command line first, then from the keyboard, or from lines of standard input.

    With `accepts` a plan is accepted by itself. With `reads` off nothing but the command line is read. `mode` answers
    how rows go into a table, and, where it is replace, whether data may be replaced.
    """

    def __init__(
        self, console: Console, words: Sequence[str], *, accepts: bool, reads: bool, mode: str | None = None
    ) -> None:
        self._console = console
        self._words = [clean(each) for each in words]
        self._reads = reads
        self._answers = {MODE: mode, REPLACE: "yes" if mode == "replace" else None, ACCEPT: "yes" if accepts else None}
        self._running = ExitStack()
        self._progress: Callable[[dict[str, JsonValue]], None] | None = None

    def ask_user(self, question: Question | None) -> str:
        """Return the person's next message; raises `Waiting` at the end of input."""
        if self._words:
            return self._words.pop(0)
        if question and (answer := self._answers.get(question.about)):
            return answer
        if not self._reads:
            raise Waiting
        return self._line()

    def edit(self, text: str) -> str:
        """Return a text as saved in an editor; unchanged, with a message, if no editor can be opened."""
        named = os.environ.get("VISUAL") or os.environ.get("EDITOR")
        if not named and not sys.stdin.isatty():
            return self._unedited(text, "no terminal is available")
        try:
            return click.edit(text, editor=named, extension=".yaml") or text
        except click.ClickException as error:
            return self._unedited(text, error.message)
        except UnicodeDecodeError:
            return self._unedited(text, "the saved text is not UTF-8")

    def show(self, kind: str, data: Data) -> None:
        """Show an event of the agent."""
        if kind == "run_result":
            self._running.close()
            self._progress = None
        shown = _SHOWN.get(kind)
        for line in shown(data) if shown else ():
            self._console.talk(line)
        if kind == "plan":
            self._show_pipeline(str(data["check"]["oml"]))

    def progress(self, event: Data) -> None:
        """Show how a run is getting on."""
        from osiris.cli.progress import watch

        if self._progress is None:
            self._progress = self._running.enter_context(watch(self._console))
        self._progress(dict(event))

    def _unedited(self, text: str, reason: str) -> str:
        for line in diagnostic_lines([diagnostic("CHT026", reason=reason)]):
            self._console.talk(line)
        return text

    def _line(self) -> str:
        """Return a line that was typed, or that standard input has."""
        try:
            if sys.stdin.isatty() and sys.stdout.isatty():
                import readline  # noqa: F401  arrow keys and history, from its import alone

                words = input(_PROMPT)
            else:
                words = input()
        except EOFError:
            raise Waiting from None
        return clean(words)

    def _show_pipeline(self, text: str) -> None:
        """Show OML, highlighted on a terminal; control characters are escaped."""
        lines = [safe(line) for line in text.splitlines()]
        if not self._console.is_coloured():
            for line in lines:
                self._console.talk(f"  {line}")
            return
        from rich.console import Console as Rich
        from rich.syntax import Syntax

        Rich(file=self._console.err).print(Syntax("\n".join(lines), "yaml", theme="ansi_dark", padding=(0, 2)))


def _response(data: Data) -> list[Line]:
    first, *rest = str(data["text"]).splitlines() or [""]
    choices = [f"    {number}  {text}" for number, text in enumerate(data.get("choices") or (), 1)]
    return [[("bold", "osiris "), ("", first)], *(f"       {line}" for line in rest), *choices]


def _discovered(data: Data) -> list[Line]:
    tables = int(data["tables"])
    recalled = f", {data['recalled']} of them from the cache" if data["recalled"] else ""
    return [[("dim", f"inspected {count(tables, 'table')}{recalled}")]]


def _plan(data: Data) -> list[Line]:
    from osiris.cli.plan import plan_lines
    from osiris.report.plan import view_of

    check = data["check"]
    head: Line = [("ok", "plan "), ("bold", f"{check['name']} {check['short']}")]
    assumed: list[Line] = [[("warning", "assumed "), ("", text)] for text in data["assumptions"]]
    changed: list[Line] = [[("dim", "changed "), ("", safe(line))] for line in data.get("changes") or ()]
    reads = [f"reads {', '.join(data['tables'])}"] if data["tables"] else []
    warnings = [Diagnostic.from_json(item) for item in check["diagnostics"] if item["severity"] == "warning"]
    return [head, *reads, *assumed, *plan_lines(view_of(check["plan"])), *changed, *diagnostic_lines(warnings)]


def _run(data: Data) -> list[Line]:
    from osiris.cli.sessions import finding_lines, step_lines, written_lines

    style = "ok" if data["ok"] else "error"
    diagnostics = data["diagnostics"] if data["ok"] else ()
    loud = [Diagnostic.from_json(item) for item in diagnostics if item["severity"] != "note"]
    head: Line = [(style, str(data["status"])), ("", f"  session {data['session']}")]
    written = written_lines(dict(data), data.get("targets") or {})
    odd = finding_lines(data.get("findings") or ())
    return [*step_lines(dict(data["steps"])), *written, *odd, head, *diagnostic_lines(loud)]


_SHOWN: dict[str, Callable[[Data], list[Line]]] = {
    "chat_resumed": lambda data: [[("dim", f"resuming {data['conversation']}")]],
    "warning": lambda data: diagnostic_lines([Diagnostic.from_json(item) for item in data["diagnostics"]]),
    "assistant_response": _response,
    "discovery_done": _discovered,
    "plan": _plan,
    "saved": lambda data: [[("ok", f"{data['state']} "), ("", f"{data['file']}, plan {data['manifest']}")]],
    "run_result": _run,
}
"""What is shown of each kind of event; other kinds are not shown."""
