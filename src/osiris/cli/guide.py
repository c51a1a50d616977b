"""The guide: numbered questions on a terminal or a pipe, or arrow keys and a list that narrows as one types."""

from __future__ import annotations

import shutil
import sys
import termios
import time
import tty
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.chat.environment import Waiting
from osiris.chat.guide.draft import RELATIONS, Answer, Ask, Option, narrowed
from osiris.chat.guide.flow import READ
from osiris.chat.replies import meaning
from osiris.cli.render import diagnostic_lines, safe, shortened
from osiris.cli.talk import Terminal, clean
from osiris.cli.typed_answers import SENTENCE, NoAnswer, named, needs_sign, problem_of, quoted, read, typed_as
from osiris.errors import Diagnostic, fail

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from typing import TypeVar

    from osiris.chat.guide.environment import Command, Offered
    from osiris.cli.render import Console, Line
    from osiris.model import JsonValue
    from osiris.runner.host.preview import Table

    T = TypeVar("T")

    from prompt_toolkit.application import Application
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

    Result = Answer | Command


SHOWN = 20
"""Maximum number of options listed at once."""

_HELP = ":back, :look (show rows), :quit"
_NOTHING_BUT_BACK = "there is nothing to choose, go back"
_TICK = 0.1
_PATIENCE = 20.0
"""Seconds to wait for slow sources without a terminal."""


class GuideTerminal(Terminal):
    """What a conversation shows besides its questions: plans, saved files, the status of runs."""

    def show(self, kind: str, data: Mapping[str, JsonValue]) -> None:
        """Show an event unless a question shows it; of a plan its effect, not its steps."""
        if kind == "plan":
            for line in _plan(data["check"], data["command"]):
                self._console.talk(line)
        elif kind not in ("assistant_response", "user_message", "discovery_done"):
            super().show(kind, data)


def _plan(check: Mapping[str, JsonValue], command: str | None) -> Iterator[Line]:
    yield [("ok", "plan "), ("bold", f"{check['name']} {check['short']}")]
    for output in check["plan"]["read_back"] or ():
        yield from (f"  {line}" for line in output["lines"])
    yield from (f"  {line}" for line in check["measured"])
    warnings = [Diagnostic.from_json(item) for item in check["diagnostics"] if item["severity"] == "warning"]
    yield from diagnostic_lines(warnings)
    if command:
        yield [("dim", "  as a command: "), ("", command)]


class Plain:
    """Questions with numbers; typed text is compared with names, and always echoed."""

    _ask = Ask("", "")
    _choices: Sequence[Option] = ()
    _words: str | None = None
    """The last answer that this process read, None before it."""
    _rejected: tuple[str, str, str] | None = None
    """The last answer, its question and the problem, if it is invalid."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def offer(self) -> str:
        """Return what can be answered to the last question."""
        choices, typed = self._choices, self._ask.typed
        if not choices and not typed:
            return "" if self._ask.source else f"{_NOTHING_BUT_BACK} (:back)"
        listed = [f"choose {'from ' if len(choices) > 1 else ''}{named(choices)}"] if choices else []
        return ", ".join([*listed, *([typed_as(self._ask)] if typed else [])])

    def say(self, text: str) -> None:
        """Show a line or some."""
        for line in text.splitlines():
            self._console.talk(line)

    def rows(self, tables: Iterable[Table]) -> None:
        """Show the first rows of steps, as `osiris preview` does."""
        from osiris.cli.plan import table_lines

        for each in tables:
            shown = replace(each, rows=self._console.clean(each.rows))
            for line in table_lines(shown):
                self._console.talk(line)

    def wait(self, future: Future[T]) -> T:
        """Return the result of something that may take a while."""
        return future.result()

    def choose(self, ask: Ask, options: Offered) -> Answer | Command:
        """Return the answer in the next lines of input; raises `Waiting` at the end of input."""
        options.start()
        self._wait_for_sources(options)
        choices = list(options.available())
        for name, why in options.silent().items():
            self.say(f"{safe(name)} cannot be read: {why}")
        self._ask, self._choices = ask, choices
        if not choices and ask.source == RELATIONS:
            self.say(NOTHING)
            raise Waiting
        self._fail_if_rejected()
        self._show(ask, choices, 0)
        shown = SHOWN
        while True:
            words = self._words = self._line()
            if words in (":more", "more") and shown < len(choices):
                self._list(choices, shown, ask)
                shown += SHOWN
                continue
            try:
                answer = read(ask, choices, words)
            except NoAnswer as why:
                near = self._near(why)
                if near is None:
                    continue
                answer = near
            if isinstance(answer, Answer):
                self.say(f"{ask.text} {echo(choices, answer)}")
            return answer

    def refuse(self, why: str) -> None:
        """Say why the last answer is invalid; without a terminal the next question fails, as other lines follow.

        An answer that an earlier process read is only shown as invalid.
        """
        if self._words is None or sys.stdin.isatty():
            self.say(why)
            return
        answer = quoted(self._words) if self._words.strip() else "an empty line"
        problem = " ".join(why.split()).rstrip(".")
        self._rejected = (answer, safe(self._ask.text), problem)

    def _fail_if_rejected(self, instead: str = "") -> None:
        """Fail with CHT055 if the last answer is invalid; `instead` is what to type, by default what is offered now."""
        if self._rejected:
            answer, question, problem = self._rejected
            now = safe(self._ask.text)
            following = "" if now == question else f"the next question is '{now}', "
            hint = f"{following}{instead or self.offer()}; continue: osiris new --resume"
            fail("CHT055", answer=answer, question=question, problem=problem, hint=hint)

    def _near(self, why: NoAnswer) -> Answer | None:
        """Return the only option that is near, if the person means it; else say why there is no answer."""
        match = why.match
        if match.near and sys.stdin.isatty():
            self.say(f"{why}. Is that meant? (yes, no)")
            return Answer((match.near.key,)) if meaning(self._line()) == "yes" else None
        self.refuse(str(why))
        one_of = "one of these: " if len(match.candidates) > 1 else ""
        self._fail_if_rejected(f"type {one_of}{named(match.candidates)}" if match.candidates else "")
        for each in match.candidates[:SHOWN]:
            self.say(f"{self._choices.index(each) + 1:>5}  {safe(each.label)}")
        return None

    def _wait_for_sources(self, options: Offered) -> None:
        deadline = time.monotonic() + _PATIENCE
        while options.waiting() and time.monotonic() < deadline:
            time.sleep(_TICK)

    def _show(self, ask: Ask, choices: Sequence[Option], first: int) -> None:
        self.say("\n".join(["", *(f"  {safe(line)}" for line in ask.head), ask.text]))
        if not choices and not ask.typed:
            self.say(f"     {_NOTHING_BUT_BACK} (:back)")
        self._list(choices, first, ask)
        several = "several: numbers, or names with commas; " if ask.several else ""
        skip = "" if ask.default is None else "empty to skip; "
        typed = f"{typed_as(ask)}; " if ask.typed else ""
        self.say(f"  ({several}{typed}{skip}{_HELP})")

    def _list(self, choices: Sequence[Option], first: int, ask: Ask) -> None:
        sign = "#" if needs_sign(ask) else ""
        width = shutil.get_terminal_size().columns - 8
        for number, each in enumerate(choices[first : first + SHOWN], first + 1):
            label = safe(each.label)
            note = f"  {safe(each.note)}" if each.note else ""
            self.say(f"{sign}{number:>3}  {shortened(label + note, width)}")
        if len(choices) > first + SHOWN:
            self.say(f"     … and {len(choices) - first - SHOWN:,} more (:more, or type a part of a name)")

    def _line(self) -> str:
        if sys.stdin.isatty():
            self._console.err.write("> ")
            self._console.err.flush()
        line = sys.stdin.readline()
        if not line:
            raise Waiting
        return clean(line.rstrip("\r\n"))


NOTHING = (
    "There are no sources: the project has no data files, and no connection has tables. "
    "Add files to the project, or declare a connection in osiris_connections.yaml."
)


def echo(choices: Sequence[Option], answer: Answer) -> str:
    """Return the text that echoes an answer."""
    labels = {each.key: each.label for each in choices}
    return safe(answer.text) if answer.text is not None else ", ".join(safe(labels.get(k, k)) for k in answer.keys)


HEIGHT = 12
_REFRESH = 0.2
_CURSOR = ">"
_CUT_LINES, _WRAP_LINES = "\x1b[?7l", "\x1b[?7h"
"""Have the terminal cut long lines, or wrap them."""


class Arrows(Plain):
    """Questions answered with arrow keys; the answer stays on the screen as one line."""

    def choose(self, ask: Ask, options: Offered) -> Answer | Command:
        """Return the person's choice."""
        for line in ask.head:
            self._console.talk([("dim", f"  {line}")])
        picker = _Picker(self._console, ask, options)
        answer = picker.run()
        shown = echo(options.available(), answer) if isinstance(answer, Answer) else f"({answer})"
        self._console.talk([("ok", "? "), ("bold", f"{ask.text} "), ("", shown)])
        return answer


@contextmanager
def _typing_kept() -> Iterator[None]:
    """Have the terminal neither show nor interpret what is typed before the application reads it."""
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin, termios.TCSADRAIN)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


class _Picker:
    """One question on the screen."""

    def __init__(self, console: Console, ask: Ask, options: Offered) -> None:
        self.console, self.ask, self.options = console, ask, options
        self.typed, self.note = "", ""
        self.at = 0
        self.marked: list[str] = []

    def run(self) -> Result:
        """Show it until it is answered.

        Importing prompt_toolkit takes longer than all before: the question is on the screen first.
        """
        if "prompt_toolkit" in sys.modules:
            return self._application().run()
        with _typing_kept():
            self._show()
            return self._application().run()

    def _show(self) -> None:
        """Print the question, and go back to its first line, where the application will print it again."""
        lines = self._lines()
        self.console.err.write(_CUT_LINES)
        for line in lines:
            self.console.talk(line)
        self.console.err.write(f"{_WRAP_LINES}\x1b[{len(lines)}A")
        self.console.err.flush()

    def _application(self) -> Application[Result]:
        from prompt_toolkit.application import Application
        from prompt_toolkit.formatted_text import ANSI
        from prompt_toolkit.layout import Layout, Window
        from prompt_toolkit.layout.controls import FormattedTextControl
        from prompt_toolkit.output.vt100 import Vt100_Output

        output = Vt100_Output.from_pty(sys.stderr)
        output.enable_cpr = False  # some terminals do not answer, and nothing here needs it
        text = lambda: ANSI("".join(f"{self.console.styled(line)}\n" for line in self._lines()))  # noqa: E731
        window = Window(FormattedTextControl(text, focusable=True, show_cursor=False), wrap_lines=True)
        return Application(
            Layout(window),
            key_bindings=self._keys(),
            erase_when_done=True,
            output=output,
            after_render=lambda _app: self.options.start(),
            refresh_interval=_REFRESH if self.ask.source else None,
        )

    def shown(self) -> Sequence[Option]:
        """Return the options that match the typed text, prefixes first, and the text itself where free text is allowed.

        The key of the text is empty.
        """
        choices, text = self.options.available(), self.typed.strip()
        if not text:
            return choices
        low = text.casefold()
        matches = sorted(
            narrowed(text, choices), key=lambda each: (each.label != text, not each.label.casefold().startswith(low))
        )
        free = self.ask.typed and not problem_of(self.ask, text) and all(each.label != text for each in matches)
        typed = [Option("", text, "as typed")] if free else []
        return [*typed, *matches] if self.ask.typed == "name" else [*matches, *typed]

    def _lines(self) -> list[Line]:
        size = shutil.get_terminal_size()
        width, height = size.columns - 1, max(min(HEIGHT, size.lines - 5), 3)
        choices = self.shown()
        self.at = max(min(self.at, len(choices) - 1), 0)
        first = max(min(self.at - height // 2, len(choices) - height), 0)
        lines: list[Line] = [[("bold", f"? {self.ask.text} "), ("", f"{safe(self.typed)}▏")]]
        lines += [self._line(number, each, width) for number, each in enumerate(choices[first : first + height], first)]
        if len(choices) > height:
            lines.append([("dim", f"  {self.at + 1:,} of {len(choices):,}, type to narrow")])
        return [*lines, *([("dim", f"  {line}")] for line in self._remarks(width, len(choices)))]

    def _line(self, number: int, option: Option, width: int) -> Line:
        mark = ("◉ " if option.key in self.marked else "○ ") if self.ask.several else ""
        begin = f"{_CURSOR if number == self.at else ' '} {mark}"
        label = shortened(safe(option.label), width - len(begin))
        room = width - len(begin) - len(label) - 2
        note = shortened(safe(option.note), room) if option.note and room > 1 else ""
        return [("note" if number == self.at else "", begin + label), ("dim", f"  {note}" if note else "")]

    def _remarks(self, width: int, count: int) -> list[str]:
        labels = {each.key: safe(each.label) for each in self.options.available()}
        marked, waiting = (
            ", ".join(names) for names in ((labels[k] for k in self.marked), map(safe, self.options.waiting()))
        )
        remarks = [
            f"marked: {marked}" if marked else "",
            self.note,
            f"listing {waiting} …" if waiting else "",
            *(f"{safe(name)} cannot be read: {safe(why)}" for name, why in self.options.silent().items()),
            _NOTHING_BUT_BACK if not (count or self.typed or self.ask.source or self.ask.typed) else "",
            "no choice matches" if not count and self.typed else "",
        ]
        return [*filter(None, remarks), shortened(self._help(), width - 2)]

    def _help(self) -> str:
        keys = "Tab marks several, Enter continues" if self.ask.several else "Enter chooses"
        typed = f", {typed_as(self.ask)}" if self.ask.typed else ""
        return f"{keys}{typed}, Esc back, Ctrl-L look, Ctrl-C quit"

    def _enter(self, event: KeyPressEvent) -> None:
        choices, typed = self.shown(), self.typed.strip()
        if self.marked and typed:
            self._enter_with_marks(event, choices)
        elif self.marked:
            event.app.exit(result=Answer(tuple(self.marked)))
        elif self.ask.default is not None and not self.typed:
            event.app.exit(result=Answer(self.ask.default))
        elif choices:
            key = choices[self.at].key
            event.app.exit(result=Answer((key,)) if key else Answer(text=typed))
        else:
            self.note = self._unanswered(typed)

    def _unanswered(self, typed: str) -> str:
        """Return the message for typed text that is neither a choice nor an answer."""
        if self.ask.about == READ and " " in typed:
            return SENTENCE
        return (problem_of(self.ask, typed) or "") if self.ask.typed else self.note

    def _enter_with_marks(self, event: KeyPressEvent, choices: Sequence[Option]) -> None:
        """Answer with the marked choices and the typed one; other typed text cannot be combined with them."""
        key = choices[self.at].key if choices else ""
        if key:
            event.app.exit(result=Answer(tuple(dict.fromkeys([*self.marked, key]))))
        else:
            self.note = f"{safe(self.typed.strip())} is not one of the choices and cannot be combined with them"

    def _clear(self) -> None:
        self.typed, self.at = "", 0

    def _mark(self) -> None:
        choices = self.shown()
        key = choices[self.at].key if choices else ""  # typed text cannot be marked
        if key in self.marked:
            self.marked.remove(key)
        elif key:
            self.marked.append(key)
        self.typed = ""
        self.at = next((n for n, each in enumerate(self.shown()) if each.key == key), 0)

    def _keys(self) -> KeyBindings:
        from prompt_toolkit.key_binding import KeyBindings
        from prompt_toolkit.keys import Keys

        keys = KeyBindings()

        def moves(by: int) -> None:
            self.at += by

        for names, by in ((("up",), -1), (("down",), 1), (("pageup",), -HEIGHT), (("pagedown",), HEIGHT)):
            keys.add(*names)(lambda _event, by=by: moves(by))
        keys.add("enter")(self._enter)
        keys.add("escape", eager=True)(lambda event: self._clear() if self.typed else event.app.exit(result="back"))
        keys.add("tab")(lambda _event: self._mark() if self.ask.several else None)
        keys.add("c-l")(lambda event: event.app.exit(result="look"))
        for name in ("c-c", "<sigint>"):
            keys.add(name)(lambda event: event.app.exit(exception=KeyboardInterrupt))
        keys.add("c-d")(lambda event: event.app.exit(result="quit"))

        @keys.add("backspace")
        def _erase(_event: KeyPressEvent) -> None:
            self.typed, self.at = self.typed[:-1], 0

        @keys.add(Keys.Any)
        def _insert(event: KeyPressEvent) -> None:
            if event.data.isprintable():
                self.typed, self.at = self.typed + event.data, 0

        @keys.add(Keys.BracketedPaste)
        def _paste(event: KeyPressEvent) -> None:
            self.typed, self.at = self.typed + " ".join(event.data.split()), 0

        return keys
