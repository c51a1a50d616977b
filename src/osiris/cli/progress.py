"""Progress of a run: a live table on a terminal, one stable line per event with --verbose."""

from __future__ import annotations

import io
import time
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, TextIO, cast

from osiris.cli.render import safe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from osiris.cli.render import Console
    from osiris.model import JsonValue

    Event = dict[str, JsonValue]

FIRST = ("ts", "event", "step")
LEFT_OUT = ("seq", "session", "wseq")
SHOWN_EVENTS = ("step_start", "step_complete", "step_failed", "step_skipped", "run_failed")
REFRESH = 0.1
PLAIN_SECONDS = 5.0


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
    """Return what a run is waiting for before any step starts; None if nothing."""
    if event["event"] == "run_start" and event["adapter"] == "e2b":
        return "creating the sandbox"
    if event["event"] == "project_busy":
        return f"waiting for {event['holder']}"
    return "installing packages" if event["event"] == "packages_missing" else None


def _now_and_then(console: Console, every: float) -> Callable[[Event], None]:
    """Return a listener that shows a line every few seconds: a log shows that a run is alive, and how far it is."""
    shown_at = time.monotonic()

    def listen(event: Event) -> None:
        nonlocal shown_at
        if waits := _waits_for(event):
            console.talk(waits)
        if event["event"] == "step_progress" and time.monotonic() - shown_at >= every:
            shown_at = time.monotonic()
            console.talk(f"{event['step']}: {event['rows']:,} rows, {event['rate']:,} rows/s")

    return listen


@contextmanager
def _moving(console: Console) -> Iterator[Callable[[Event], None]]:
    from rich.console import Console as Terminal
    from rich.live import Live

    table, screen = Steps(), Terminal(file=cast("TextIO", _Screen(console.err)), highlight=False)
    with Live(console=screen, transient=True, auto_refresh=False) as live:

        def listen(event: Event) -> None:
            if waits := _waits_for(event):
                live.update(waits, refresh=True)
            if table.take(event):
                live.update(table.lines(), refresh=True)

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


class Steps:
    """The steps that were seen, each with its state, rows and rate."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Any]] = {}
        self._shown_at = 0.0

    def take(self, event: Event) -> bool:
        """Record an event; returns whether to refresh the screen now."""
        step = event.get("step")
        if step is None:
            return False
        row = self._rows.setdefault(str(step), {"state": "", "rows": 0, "rate": 0})
        row["state"] = str(event["event"]).removeprefix("step_")
        row |= {"rows": event.get("rows", event.get("rows_out", row["rows"])), "rate": event.get("rate", row["rate"])}
        now = time.monotonic()
        due = event["event"] in SHOWN_EVENTS or now - self._shown_at > REFRESH
        self._shown_at = now if due else self._shown_at
        return due

    def lines(self) -> Any:  # noqa: ANN401 - a rich renderable; rich is imported late
        """Return one line per step, as text that is not read as markup."""
        from rich.text import Text

        width = max(len(safe(step)) for step in self._rows)
        return Text("\n").join(
            Text(
                f"{safe(step):<{width}}  {row['state']:<10}  {row['rows'] or 0:>12,} rows  {row['rate']:>12,.0f} rows/s"
            )
            for step, row in self._rows.items()
        )
