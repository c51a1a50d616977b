"""All terminal output: results on stdout, talk on stderr, one JSON envelope where it was asked for.

Everything printed passes `safe`, here and nowhere else, so that no name or value can move a cursor or forge a line.
"""

from __future__ import annotations

import os
import re
import sys
import textwrap
import unicodedata
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TextIO

from osiris.errors import Diagnostic, diagnostic, exit_code
from osiris.path_policy import MARKER
from osiris.project import PIPELINE_ENDINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import TypeAlias

    from osiris.model import JsonValue
    from osiris.secret import Scrubber

    Line: TypeAlias = str | Sequence[tuple[str, str]]
    from collections.abc import Sequence


STYLES = {"error": "31;1", "warning": "33", "note": "36", "dim": "2", "bold": "1", "ok": "32", "": ""}
UNSAFE_CATEGORIES = ("Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn")
_ONE_LINE = ("PRJ018", "STA046")
"""Warnings shown on one line, as they come with every command or once per file."""
SHOWN = 50
"""Maximum diagnostics printed for people; the JSON envelope has all."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a command: `data` for programs, `text` for people, and the next commands.

    Without `exit_code` the gravest diagnostic decides.
    """

    data: JsonValue = None
    text: Sequence[Line] = ()
    diagnostics: Sequence[Diagnostic] = ()
    next: Sequence[str] = ()
    exit_code: int | None = None

    @property
    def code(self) -> int:
        """Return the exit code of the process."""
        return exit_code(self.diagnostics) if self.exit_code is None else self.exit_code


def safe(text: str) -> str:
    """Return `text` on one line, with every character that a terminal might act upon spelled as an escape."""
    return "".join(_escape(c) if c != " " and unicodedata.category(c) in UNSAFE_CATEGORIES else c for c in text)


def shortened(text: str, width: int) -> str:
    """Return a text shortened to at most `width` columns."""
    return text if len(text) <= width else f"{text[: max(width - 1, 1)]}…"


def _escape(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


@dataclass(slots=True)
class Console:
    """Where output goes; `wants_json` keeps stdout for the envelope alone. `root` is where files of diagnostics lie.

    `scrubber` makes one for data that is printed, which knows the secrets of the project. `at_end` is the last thing to
    be done, once the answer of a run is printed, which has ended with `end_code`.
    """

    wants_json: bool = False
    verbose: bool = False
    root: Path | None = None
    out: TextIO = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=lambda: sys.stderr)
    scrubber: Callable[[], Scrubber] | None = None
    at_end: Callable[[], None] | None = None
    end_code: int = 0
    _unsaid: str | None = None

    def talk(self, line: Line) -> None:
        """Print a line for people to stderr; output errors are ignored."""
        try:
            _print(self.err, line)
            self.err.flush()
        except OSError:
            _abandon(self.err)

    def result(self, line: Line) -> None:
        """Print a line of the result to stdout; nothing under --json, where the envelope has the result."""
        if not self.wants_json:
            with self._printing():
                _print(self.out, line)

    def event(self, data: JsonValue, lines: Sequence[Line]) -> None:
        """Print an event of a process that runs on: lines for people to stderr, or one line of JSON to stdout."""
        if self.wants_json:
            with self._printing():
                self.out.write(_json(self.clean(data)) + "\n")
                self.out.flush()
            return
        for line in lines:
            self.talk(line)

    def write(self, text: str) -> None:
        """Print the text of a file to stdout: unchanged to a program, escaped to a terminal; nothing under --json."""
        if self.wants_json:
            return
        with self._printing():
            if not self.out.isatty():
                self.out.write(text)
                return
            for line in text.splitlines():
                _print(self.out, line)

    def styled(self, line: Line) -> str:
        """Return a line as stderr shows it."""
        return _painted([("", line)] if isinstance(line, str) else line, self.err)

    def is_terminal(self) -> bool:
        """Return whether stderr is a terminal for live progress."""
        return self.err.isatty() and os.environ.get("TERM") != "dumb"

    def is_coloured(self) -> bool:
        """Return whether stderr shows colours."""
        return _is_coloured(self.err)

    def finish(self, answer: Answer) -> int:
        """Print an answer and return its exit code; a closed pipe is not an error.

        An answer that cannot be printed is an error, except after a run: its deliveries stay, and running it again
        would be wrong.
        """
        answer = replace(answer, diagnostics=self._concealed(answer.diagnostics))
        with self._printing():
            self._print_answer(answer)
            self.out.flush()
        if self._unsaid is None:
            return self.end_code if self.at_end else answer.code
        failure = diagnostic("PRJ006", path="standard output", reason=self._unsaid)
        self.talk(str(failure))
        return self.end_code if self.at_end else failure.exit_code

    def clean(self, data: JsonValue) -> JsonValue:
        """Return data of a source as it may be printed: without the secrets of the project that was opened."""
        return self.scrubber().json(data) if self.scrubber else data

    def _concealed(self, diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
        if not diagnostics:
            return []
        from osiris.secret import redacted
        from osiris.secret.redact_diagnostic import QUOTING
        from osiris.secret_stores import fetched_texts

        def cleaned(item: Diagnostic) -> Diagnostic:
            message, hint = self.clean([item.message, item.hint])
            return replace(item, message=message, hint=hint)

        has_stored = bool(fetched_texts())
        return [redacted(cleaned(item) if has_stored or item.code in QUOTING else item) for item in diagnostics]

    @contextmanager
    def _printing(self) -> Iterator[None]:
        """Record why stdout cannot be written; nothing more is printed there."""
        try:
            yield
        except BrokenPipeError:
            _abandon(self.out)
        except OSError as error:
            _abandon(self.out)
            self._unsaid = error.strerror or type(error).__name__

    def _print_answer(self, answer: Answer) -> None:
        if self.wants_json:
            self.out.write(envelope(answer) + "\n")
            return
        for line in answer.text:
            self.result(line)
        for line in diagnostic_lines(answer.diagnostics, self.root):
            self.talk(line)
        for command in answer.next:
            self.talk([("dim", "next: "), ("", command)])


def envelope(answer: Answer) -> str:
    """Return the one JSON document of `--json`, in ASCII."""
    document = {
        "ok": answer.code == 0,
        "data": answer.data,
        "diagnostics": [d.to_json() for d in answer.diagnostics],
        "next": list(answer.next),
    }
    return _json(document)


def _json(data: JsonValue) -> str:
    """Return data as one line of ASCII."""
    import json

    return json.dumps(data, ensure_ascii=True, default=str).replace("\x7f", "\\u007f")


def diagnostic_lines(diagnostics: Sequence[Diagnostic], root: Path | None = None) -> list[Line]:
    """Return the lines for people: place, code and message, the line of the file, and the hint; one line for a note.

    Warnings and notes are named so before their code.
    """
    lines: list[Line] = []
    for item in diagnostics[:SHOWN]:
        place = str(item.location)
        kind = "" if item.severity == "error" else f"{item.severity}: "
        head = [("bold", f"{place}: " if place else ""), (item.severity, f"{kind}{item.code}")]
        lines.append([*head, ("", f" {item.message}")])
        if item.severity == "note" or item.code in _ONE_LINE:
            continue
        lines += _excerpt(item, root)
        if item.hint:
            lines.append([("dim", "  hint: "), ("", item.hint)])
    if len(diagnostics) > SHOWN:
        lines.append(f"… and {len(diagnostics) - SHOWN} more (see --json)")
    return lines


def _excerpt(item: Diagnostic, root: Path | None) -> list[Line]:
    """Return the line that a diagnostic points to, unless it might show a secret."""
    at = item.location
    if root is None or at.file is None or at.line is None or not at.file.endswith(PIPELINE_ENDINGS):
        return []
    try:
        lines = (root / at.file).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        return []
    if not 0 < at.line <= len(lines) or _may_hold_secret(item, lines[at.line - 1]):
        return []
    text = lines[at.line - 1].replace("\t", " ")[:160]
    shown: list[Line] = [[("dim", f"{at.line:>5} | "), ("", text)]]
    if at.column is not None and at.column <= len(text):
        shown.append([("dim", f"{'':>5} | "), (item.severity, " " * (at.column - 1) + "^")])
    return shown


def _may_hold_secret(item: Diagnostic, line: str) -> bool:
    """Return whether a line has a field whose name or value looks like a secret."""
    from osiris.secret import literal_secret_kind, sounds_secret

    file = item.location.file or ""
    if item.code in {"CMP006", "CON007"} or "connections" in file or file == MARKER:
        return True
    pairs = (part.partition(":") for part in re.split(r"[,{\[]", line.strip().removeprefix("- ")))
    return any(
        sounds_secret(key.strip(" \"'")) or literal_secret_kind(key.strip(" \"'"), value.strip(" \"'}]"))
        for key, colon, value in pairs
        if colon
    )


class Row(str):
    """A line of a table; `cells` are its cells with their styles, each as wide as its column.

    On a terminal that is too narrow, cells go on further lines, and only a cell that is wider than the terminal is
    broken, between words.
    """

    __slots__ = ("cells",)
    cells: Sequence[tuple[str, str]]

    @classmethod
    def of(cls, cells: Sequence[tuple[str, str]]) -> Row:
        """Return the line of these cells."""
        row = cls("  ".join(text for _, text in cells).rstrip())
        row.cells = cells
        return row

    def lines(self, width: int, style: str) -> list[list[tuple[str, str]]]:
        """Return the parts of each line on a terminal of `width` columns; `style` is for cells that have none."""
        lines: list[list[tuple[str, str]]] = [[]]
        used = 0
        for own, text in self.cells:
            for piece in [text] if len(text) + 2 <= width else _words(text, width - 2):
                if used and used + 2 + len(piece) > width:
                    lines.append([])
                    used = 0
                gap = "  " if used or len(lines) > 1 else ""
                lines[-1].append((own or style, gap + piece))
                used += len(gap + piece)
        return lines


def _words(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 1), break_long_words=False, break_on_hyphens=False)


ENDED_WELL = ("complete", "skipped", "ok")
ENDED_BADLY = ("failed", "lost", "start", "late", "failing", "file")


def status_style(status: str) -> str:
    """Return the style of a status of a step, a session or a pipeline, by its last word."""
    word = status.rpartition(" ")[2]
    return "ok" if word in ENDED_WELL else "error" if word in ENDED_BADLY else "warning"


def table(rows: Iterable[Sequence[object]], header: Sequence[str]) -> list[Line]:
    """Return the lines of a table with aligned columns; cells are escaped before they are measured."""
    cells = [[safe(str("" if cell is None else cell)) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(header), *cells]) for i in range(len(header))]

    def laid_out(row: Sequence[str], styles: Sequence[str]) -> Row:
        return Row.of([(style, cell.ljust(width)) for style, cell, width in zip(styles, row, widths, strict=True)])

    def styles_of(row: Sequence[str]) -> list[str]:
        return [status_style(cell) if title == "status" else "" for title, cell in zip(header, row, strict=True)]

    return [[("bold", laid_out(header, [""] * len(header)))], *(laid_out(row, styles_of(row)) for row in cells)]


def _print(stream: TextIO, line: Line) -> None:
    parts = [("", line)] if isinstance(line, str) else line
    for each in _fitted(parts, _width(stream)):
        stream.write(_painted(each, stream) + "\n")


def _painted(parts: Sequence[tuple[str, str]], stream: TextIO) -> str:
    colour = _is_coloured(stream)
    return "".join(_paint(style, safe(text), colour=colour) for style, text in parts)


def _fitted(parts: Sequence[tuple[str, str]], width: int | None) -> Sequence[Sequence[tuple[str, str]]]:
    """Return the parts of each line: a row of a table may need several on a terminal of `width` columns."""
    style, row = parts[0] if len(parts) == 1 else ("", "")
    return row.lines(width, style) if width is not None and isinstance(row, Row) else [parts]


def _width(stream: TextIO) -> int | None:
    """Return the columns of a terminal; None for everything else."""
    if not stream.isatty():
        return None
    with suppress(OSError, ValueError):
        return os.get_terminal_size(stream.fileno()).columns or None
    return None


def _is_coloured(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _paint(style: str, text: str, *, colour: bool) -> str:
    return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if colour and STYLES[style] and text else text


def _abandon(stream: TextIO) -> None:
    """Point a stream that cannot be written any more to nowhere, so that the interpreter's last flush is quiet."""
    with suppress(OSError, ValueError):
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, stream.fileno())
        os.close(sink)


def figures(rows: Iterable[Sequence[object]], header: Sequence[str]) -> list[Line]:
    """Return the lines of a table; columns with numbers are right-aligned, without decimals, in groups of three."""
    columns = [_column(title, cells) for title, *cells in zip(header, *rows, strict=True)]
    head, *lines = zip(*columns, strict=True)
    return table(lines, head)


def _column(title: str, cells: Sequence[object]) -> list[str]:
    texts = [title, *(_text(cell) for cell in cells)]
    if not any(_is_number(cell) for cell in cells):
        return texts
    width = max(map(len, texts))
    return [text.rjust(width) for text in texts]


def _text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:,.0f}"
    return f"{cell:,}" if _is_number(cell) else str(cell)


def _is_number(cell: object) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)
