"""Showing an answer anew whenever what it was made from is saved."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from osiris.cli.command import PROJECT, console
from osiris.cli.render import Answer
from osiris.errors import OsirisError
from osiris.project import find_project

if TYPE_CHECKING:
    from collections.abc import Callable

    State = list[tuple[int, int] | None]

EVERY = 0.3
"""Seconds between two looks at the files; looking works on every file system, and asks for no library."""

WATCH = click.option("--watch", is_flag=True, help="Show it again whenever FILE is saved, until Ctrl-C.")


def keep_showing(file: str, make: Callable[[], Answer]) -> Answer:
    """Show an answer now and after each change of the pipeline's files; returns when somebody presses Ctrl-C.

    What is wrong is shown like anything else, and it goes on. Fails with PRJ001 outside of a project.
    """
    start = Path() if click.get_current_context().meta.get(PROJECT) else None
    root = find_project(start, os.environ).root
    own = ("osiris.yaml", "osiris_connections.yaml", ".env")
    watched = [Path(file).absolute(), root / file, *(root / name for name in own)]
    try:
        while True:
            before = _states(watched)
            console().finish(_answer(make))
            _await_change(watched, before)
            console().result([("dim", f"── {time.strftime('%H:%M:%S')} {'─' * 40}")])
    except KeyboardInterrupt as stop:
        if type(stop) is not KeyboardInterrupt:  # SIGTERM, which ends a command with another code
            raise
        return Answer(exit_code=0)


def _await_change(watched: list[Path], before: State) -> None:
    """Return when a file has changed, and no more does: a file that is being written is half of one."""
    while _states(watched) == before:
        time.sleep(EVERY)
    now: State | None = None
    while now != (now := _states(watched)):
        time.sleep(EVERY / 3)


def _answer(make: Callable[[], Answer]) -> Answer:
    try:
        return make()
    except OsirisError as error:
        return Answer(diagnostics=error.diagnostics)


def _states(paths: list[Path]) -> State:
    return [_state(path) for path in paths]


def _state(path: Path) -> tuple[int, int] | None:
    """Return what changes when a file is saved; None where there is none, as for a moment while an editor saves it."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
