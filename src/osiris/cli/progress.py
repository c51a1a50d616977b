"""Progress of a run: a live table on a terminal, one line per step elsewhere, one per event with --verbose.

Of entries of `replicate`, tables are counted together: on a terminal those at work have a line each, elsewhere those
that failed.
"""

from __future__ import annotations

import io
import time
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO, cast

from osiris.cli.render import safe
from osiris.units import count, duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from osiris.cli.render import Console
    from osiris.model import JsonValue

    Event = dict[str, JsonValue]

FIRST = ("ts", "event", "step")
LEFT_OUT = ("seq", "session", "wseq")
ENDS = ("step_complete", "step_failed", "step_cancelled", "step_skipped")
PLAIN_SECONDS = 5.0
TABLES_SECONDS, TABLES_SHARE = 10.0, 0.1
"""Without a terminal, a line on all tables is shown after these seconds, or this share of them."""

_FEW_TABLES = 10
"""Ended tables from which the time left is estimated."""
PER_SECOND = 4
"""How often the table is drawn, so that elapsed times are right without any event."""


def event_line(event: Event) -> str:
    """Return an event on one line: time, name, step, then `key=value` in the order in which they were written."""
    rest = [f"{key}={_value(value)}" for key, value in event.items() if key not in (*FIRST, *LEFT_OUT)]
    return " ".join([str(event.get("ts", "")), str(event["event"]), str(event.get("step", "-")), *rest])


def _value(value: JsonValue) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def watch(console: Console, every: float = PLAIN_SECONDS) -> AbstractContextManager[Callable[[Event], None]]:
    """Return a context that gives the listener for a run's events; `every` is the seconds between plain lines."""
    if console.verbose:
        return nullcontext(lambda event: console.talk(event_line(event)))
    if console.wants_json:
        return nullcontext(lambda _event: None)
    return _moving(console) if console.is_terminal() else nullcontext(_now_and_then(console, every))


def _waits_for(event: Event) -> str | None:
    """Return what a run is waiting for, before any step starts or after its end; None if nothing."""
    if event["event"] == "run_start" and event["adapter"] == "e2b":
        return "creating the sandbox"
    if event["event"] == "project_busy":
        return f"waiting for {event['holder']}"
    if event["event"] == "reporting":
        return f"reporting to {event['to']}"
    return "installing packages" if event["event"] == "packages_missing" else None


def _now_and_then(console: Console, every: float) -> Callable[[Event], None]:
    """Return a listener that shows a line for each ended step, and every few seconds one for a running step."""
    shown_at, steps = time.monotonic(), Steps()

    def listen(event: Event) -> None:
        nonlocal shown_at
        if waits := _waits_for(event):
            console.talk(waits)
        step = steps.take(event)
        now = time.monotonic()
        if step and step.entry:
            if step.state == "failed":
                console.talk(f"{event['step']}: {', '.join(filter(None, step.cells()))}")
            if line := steps.tables.line_now_and_then(now):
                console.talk(line)
        elif step and (step.ended or (event["event"] == "step_progress" and now - shown_at >= every)):
            shown_at = now
            console.talk(f"{event['step']}: {', '.join(filter(None, step.cells()))}")

    return listen


@contextmanager
def _moving(console: Console) -> Iterator[Callable[[Event], None]]:
    from rich.console import Console as Terminal
    from rich.live import Live

    steps, screen, waits = Steps(), Terminal(file=cast("TextIO", _Screen(console.err)), highlight=False), ""

    def drawn() -> Any:  # noqa: ANN401 - a rich renderable; rich is imported late
        from rich.text import Text

        lines = [waits] if waits else steps.lines(screen.width, screen.height - 1)
        return Text("\n".join(lines), no_wrap=True, overflow="crop")

    def listen(event: Event) -> None:
        nonlocal waits
        waits = _waits_for(event) or ("" if event.get("step") else waits)
        steps.take(event)

    with Live(console=screen, transient=True, refresh_per_second=PER_SECOND, get_renderable=drawn):
        yield listen


class _Screen(io.TextIOBase):
    """A terminal that may be closed: output errors must not fail a run."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Show a text, if that is possible."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Show it now."""
        with suppress(OSError):
            self._stream.flush()

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Return the file descriptor, used to get the terminal's size."""
        return self._stream.fileno()


@dataclass
class Step:
    """One step: its state, the rows it has returned or written and of how many, those it has read, and its times.

    `entry` is that of `replicate` that it belongs to, if any.
    """

    name: str
    began: float
    state: str = "running"
    rows: int = 0
    read: int = 0
    expected: int | None = None
    rate: int = 0
    seconds: float | None = None
    entry: str | None = None
    mode: str = ""

    @property
    def ended(self) -> bool:
        """Whether the step has ended."""
        return self.seconds is not None

    def take(self, event: Event) -> None:
        """Record an event of the step."""
        self.entry, self.mode = event.get("entry", self.entry), event.get("mode", self.mode)
        self.rows = event.get("rows", event.get("rows_out", self.rows)) or 0
        self.read, self.rate = event.get("rows_in") or self.read, event.get("rate", self.rate)
        self.expected = event.get("rows_expected", self.expected)
        if event["event"] in ENDS:
            self.state, self.rate = str(event["event"]).removeprefix("step_"), 0
            self.seconds = (event.get("duration_ms") or 0) / 1000

    def cells(self) -> tuple[str, str, str, str]:
        """Return state, rows, rate and time: while it runs the rate and whole seconds, nothing if it was skipped."""
        if self.state == "skipped":
            return self.state, "", "", ""
        if self.seconds is not None:
            return self.state, self._counted(), "", duration_text(self.seconds)
        rate = f"{self.rate:,} rows/s" if self.rate else ""
        return self.state, self._counted(), rate, _whole(time.monotonic() - self.began)

    def _counted(self) -> str:
        """Return the rows so far: of a step that has read rows and returned none yet, those that it has read."""
        if self.ended:
            return count(self.rows, "row")
        if self.expected and not (self.rows or self.read):
            return f"{self.expected:,} rows to read"
        rows, verb = (self.read, " read") if self.read and not self.rows else (self.rows, "")
        if self.expected is None or rows > self.expected:
            return f"{count(rows, 'row')}{verb}"
        return f"{rows:,} of {self.expected:,} rows{verb}"


class Tables:
    """The tables of entries of `replicate`: how many there are and have ended, and the rows that were written.

    A table has ended when it was written, or when one of its two steps failed.
    """

    def __init__(self) -> None:
        self.total = 0
        self._writers: dict[str, Step] = {}
        self._failed: set[str] = set()
        self._began = time.monotonic()
        self._shown_at, self._shown_share = self._began, 0.0

    def take(self, step: Step) -> None:
        """Record a step of an entry."""
        from osiris.oml.replicate import SOURCE  # is not needed before a run, and takes long to import

        if not (self._writers or self._failed):
            self._began = self._shown_at = time.monotonic()
        name = step.name.removesuffix(SOURCE)
        if step.mode == "write" or name == step.name:
            self._writers[name] = step
        if step.state == "failed":
            self._failed.add(name)

    @property
    def done(self) -> int:
        """How many have ended."""
        return len({name for name, step in self._writers.items() if step.ended} | self._failed)

    def line(self) -> str:
        """Return how far all tables are, with the time left once enough have ended."""
        done, seconds = self.done, time.monotonic() - self._began
        rows, failed = sum(step.rows for step in self._writers.values()), len(self._failed)
        words = [f"{done:,} of {count(max(self.total, done), 'table')}", *([f"{failed:,} failed"] if failed else [])]
        words += [count(rows, "row"), *([f"{rows / seconds:,.0f} rows/s"] if rows and seconds >= 1 else [])]
        if _FEW_TABLES <= done < self.total:
            words.append(f"about {_whole(seconds * (self.total - done) / done)} left")
        return ", ".join(words)

    def line_now_and_then(self, now: float) -> str | None:
        """Return a line on all tables if the last one was long ago, or many have ended since; None otherwise."""
        share = self.done / self.total if self.total else 0.0
        is_due = now - self._shown_at >= TABLES_SECONDS or share - self._shown_share >= TABLES_SHARE
        if not is_due and not (share == 1 and self._shown_share < 1):
            return None
        self._shown_at, self._shown_share = now, share
        return self.line()


class Steps:
    """The steps that were seen, in the order of their start; those of tables are counted together."""

    def __init__(self) -> None:
        self.tables = Tables()
        self._steps: dict[str, Step] = {}
        self._widths = [0, 0, 0, 0]

    def take(self, event: Event) -> Step | None:
        """Record an event; returns its step, if it is of one."""
        if event["event"] == "run_start":
            self.tables.total = event.get("tables", 0)
        name = event.get("step")
        if name is None:
            return None
        step = self._steps.setdefault(str(name), Step(safe(str(name)), time.monotonic()))
        step.take(event)
        if step.entry:
            self.tables.take(step)
        return step

    def lines(self, width: int, height: int) -> list[str]:
        """Return one line per step for a terminal of this size; where steps are many, those that run come first.

        Columns never become narrower, so that the table stays in place; what does not fit is left out, the rate first.
        """
        tables = [self.tables.line()] if self.tables.total else []
        steps = [step for step in self._steps.values() if not step.entry or (step.mode == "write" and not step.ended)]
        return [*tables, *self._lines(steps, width, height - len(tables))]

    def _lines(self, steps: list[Step], width: int, height: int) -> list[str]:
        running = [step for step in steps if not step.ended]
        done = [step for step in steps if step.ended]
        if len(steps) <= height:
            return self._table(steps, width)
        shown = [*done[len(done) - max(0, height - 1 - len(running)) :], *running][: height - 1]
        return [f"{len(done):,} steps have ended, {len(running):,} run", *self._table(shown, width)]

    def _table(self, steps: list[Step], width: int) -> list[str]:
        rows = [step.cells() for step in steps]
        columns = zip(self._widths, *([len(cell) for cell in row] for row in rows), strict=True)
        self._widths = [max(column) for column in columns]
        state, counted, rate, elapsed = self._widths
        longest = max((len(step.name) for step in steps), default=0)
        shows_rate = longest + state + counted + rate + elapsed + 8 <= width
        name = max(1, min(longest, width - state - counted - elapsed - 6 - (rate + 2 if shows_rate else 0)))
        return [
            "  ".join(
                [
                    _clipped(step.name, name).ljust(name),
                    row[0].ljust(state),
                    row[1].rjust(counted),
                    *([row[2].rjust(rate)] if shows_rate else []),
                    row[3].rjust(elapsed),
                ]
            )
            for step, row in zip(steps, rows, strict=True)
        ]


def _whole(seconds: float) -> str:
    return duration_text(int(seconds)) if seconds >= 1 else "0 s"


def _clipped(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
