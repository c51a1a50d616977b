"""The guide on a terminal: arrow keys, a list that narrows as one types, several choices with Tab."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from osiris.chat.guide.flow import READ
from osiris.chat.guide.questions import Answer, Option, narrowed
from osiris.cli.asking import SENTENCE, Plain, echo, problem_of, shortened, typed_as
from osiris.cli.render import safe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prompt_toolkit.application import Application
    from prompt_toolkit.formatted_text import StyleAndTextTuples
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

    from osiris.chat.guide.environment import Command, Offered
    from osiris.chat.guide.questions import Ask

    Result = Answer | Command

HEIGHT = 12
_REFRESH = 0.2
_CURSOR = ">"


class Arrows(Plain):
    """Questions with arrow keys; what was chosen stays on the screen as one line."""

    def choose(self, ask: Ask, options: Offered) -> Answer | Command:
        """Return what the person chooses."""
        for line in ask.head:
            self._console.talk([("dim", f"  {line}")])
        picker = _Picker(ask, options)
        answer = picker.run()
        shown = echo(options.found(), answer) if isinstance(answer, Answer) else f"({answer})"
        self._console.talk([("ok", "? "), ("bold", f"{ask.text} "), ("", shown)])
        return answer


class _Picker:
    """One question on the screen."""

    def __init__(self, ask: Ask, options: Offered) -> None:
        self.ask, self.options = ask, options
        self.typed, self.note = "", ""
        self.at = 0
        self.marked: list[str] = []

    def run(self) -> Result:
        """Show it until it is answered."""
        from prompt_toolkit.application import Application
        from prompt_toolkit.layout import Layout, Window
        from prompt_toolkit.layout.controls import FormattedTextControl
        from prompt_toolkit.output.vt100 import Vt100_Output

        output = Vt100_Output.from_pty(sys.stderr)
        output.enable_cpr = False  # some terminals do not answer, and nothing here needs it
        control = FormattedTextControl(self._fragments, focusable=True, show_cursor=False)
        window = Window(control, dont_extend_height=True, wrap_lines=True)
        app: Application[Result] = Application(
            Layout(window),
            key_bindings=self._keys(),
            erase_when_done=True,
            output=output,
            after_render=lambda _app: self.options.start(),
            refresh_interval=_REFRESH if self.ask.source else None,
        )
        return app.run()

    def shown(self) -> Sequence[Option]:
        """Return the options that fit what is typed, what begins so first; and the text itself where it may be typed.

        The key of the text is empty.
        """
        known, text = self.options.found(), self.typed.strip()
        if not text:
            return known
        low = text.casefold()
        found = sorted(
            narrowed(text, known), key=lambda each: (each.label != text, not each.label.casefold().startswith(low))
        )
        free = self.ask.typed and not problem_of(self.ask, text) and all(each.label != text for each in found)
        typed = [Option("", text, "as typed")] if free else []
        return [*typed, *found] if self.ask.typed == "name" else [*found, *typed]

    def _fragments(self) -> StyleAndTextTuples:
        size = shutil.get_terminal_size()
        width, height = size.columns - 1, max(min(HEIGHT, size.lines - 5), 3)
        found = self.shown()
        self.at = max(min(self.at, len(found) - 1), 0)
        first = max(min(self.at - height // 2, len(found) - height), 0)
        lines: StyleAndTextTuples = [("bold", f"? {self.ask.text} "), ("", f"{safe(self.typed)}▏\n")]
        for number, each in enumerate(found[first : first + height], first):
            lines += [*self._line(number, each, width), ("", "\n")]
        if len(found) > height:
            lines.append(("fg:ansibrightblack", f"  {self.at + 1:,} of {len(found):,}, type to narrow\n"))
        lines += [("fg:ansibrightblack", f"  {line}\n") for line in self._remarks(width, len(found))]
        return lines

    def _line(self, number: int, option: Option, width: int) -> list[tuple[str, str]]:
        mark = ("◉ " if option.key in self.marked else "○ ") if self.ask.several else ""
        begin = f"{_CURSOR if number == self.at else ' '} {mark}"
        label = shortened(safe(option.label), width - len(begin))
        room = width - len(begin) - len(label) - 2
        note = shortened(safe(option.note), room) if option.note and room > 1 else ""
        style = "fg:ansicyan" if number == self.at else ""
        return [(style, begin + label), ("fg:ansibrightblack", f"  {note}" if note else "")]

    def _remarks(self, width: int, count: int) -> list[str]:
        waiting = [f"listing {', '.join(map(safe, self.options.waiting()))} …"] if self.options.waiting() else []
        silent = [f"{safe(name)} cannot be read: {safe(why)}" for name, why in self.options.silent().items()]
        nothing = ["no choice has this"]
        keys = "Tab marks several, Enter goes on" if self.ask.several else "Enter chooses"
        typed = f", {typed_as(self.ask)}" if self.ask.typed else ""
        hint = f"{keys}{typed}, Esc back, Ctrl-L look, Ctrl-C quit"
        labels = {each.key: safe(each.label) for each in self.options.found()}
        marked = [f"marked: {', '.join(labels[key] for key in self.marked)}"] if self.marked else []
        lines = [*marked, *([self.note] if self.note else []), *waiting, *silent]
        return [*lines, *(nothing if not count and self.typed else []), shortened(hint, width - 2)]

    def _enter(self, event: KeyPressEvent) -> None:
        found = self.shown()
        if self.marked and self.typed.strip():
            self._enter_with_marks(event, found)
        elif self.marked:
            event.app.exit(result=Answer(tuple(self.marked)))
        elif self.ask.default is not None and not self.typed:
            event.app.exit(result=Answer(self.ask.default))
        elif found:
            key = found[self.at].key
            event.app.exit(result=Answer((key,)) if key else Answer(text=self.typed.strip()))
        elif self.ask.about == READ and " " in self.typed.strip():
            self.note = SENTENCE
        elif self.ask.typed:
            self.note = problem_of(self.ask, self.typed.strip()) or ""

    def _enter_with_marks(self, event: KeyPressEvent, found: Sequence[Option]) -> None:
        """Answer with what is marked and the choice that was typed; typed text that is none cannot go with them."""
        key = found[self.at].key if found else ""
        if key:
            event.app.exit(result=Answer(tuple(dict.fromkeys([*self.marked, key]))))
        else:
            self.note = f"{safe(self.typed.strip())} is none of the choices, and goes with no others"

    def _clear(self) -> None:
        self.typed, self.at = "", 0

    def _mark(self) -> None:
        found = self.shown()
        key = found[self.at].key if found else ""  # typed text cannot be marked
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
