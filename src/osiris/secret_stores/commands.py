"""Secrets that a command prints: `${cmd:pass show warehouse}`.

A command of a project's file is code from that project, so it runs only if both of these agree:

| who asks | runs it |
|---|---|
| a person or a scheduler, by `osiris run`, `copy`, `preview`, `replay`, `discover` or `connections doctor` | yes |
| `osiris schedule`, which starts `osiris run` | yes |
| `osiris compile`, `validate` and every other command | no |
| an agent: `osiris mcp`, `osiris chat`, `osiris new` | no |
| completion, and calls from Python | no |

and the user's own configuration, outside of any project, lists exactly its words under `secrets.commands`. `fetch` is
the one place that decides. It starts the program with these words and no shell, in the user's home folder.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import stat
import subprocess
import threading
from contextlib import closing, suppress
from io import BytesIO
from pathlib import Path
from signal import SIGKILL
from typing import TYPE_CHECKING

from osiris.errors import OsirisError
from osiris.path_policy import MARKER
from osiris.secret_stores import LIMIT, StoreError, asking

if TYPE_CHECKING:
    from collections.abc import Mapping

CALLERS = ("run", "copy", "preview", "replay", "discover", "connections doctor")
"""The commands that may run others for a secret."""

_SECONDS = LIMIT - 5
_LARGEST = 1 << 16


def fetch(path: str, field: str | None, environ: Mapping[str, str], timeout: float) -> str:  # noqa: ARG001
    """Return what a command prints, without the last line break. The variables are those of the process."""
    text = path if field is None else f"{path}#{field}"
    if asking.command not in CALLERS:
        who = f"'osiris {asking.command}'" if asking.command else "a call of an agent or from Python"
        remedy = f"use one of: {', '.join(f'osiris {name}' for name in CALLERS)}, osiris schedule"
        raise StoreError("denied", f"{who} runs no commands for secrets", remedy)
    try:
        words = shlex.split(text)
    except ValueError:
        raise StoreError("unusable", "its quotes are not closed") from None
    file = _file()
    if not words or words not in _listed(file):
        line = f"secrets: {{commands: [{json.dumps(words, ensure_ascii=False)}]}}"
        reason = "your own configuration does not list this command"
        raise StoreError("denied", reason, f"if you trust it, write into {file}: {line}")
    return _printed([_program(words[0]), *words[1:]])


def _file() -> Path:
    """Return the user's own configuration; the project's `.env` has no say in where it is."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return Path(base if os.path.isabs(base) else Path.home() / ".config") / "osiris" / "config.yaml"  # noqa: PTH117


def _listed(file: Path) -> list[list[str]]:
    """Return the commands that the user allows; none if there is no such file."""
    from osiris.document import load_text, read_document

    if not file.exists():
        return []
    _check_owner(file)
    try:
        data = read_document(load_text(file, str(file)), str(file)).data
    except OsirisError as error:
        raise StoreError("unusable", f"your own configuration cannot be read: {error.diagnostics[0].message}") from None
    commands = (data.get("secrets") or {}).get("commands") if isinstance(data, dict) else None
    if not isinstance(commands, list) or not all(map(_is_command, commands)):
        form = 'secrets: {commands: [["pass", "show", "warehouse"]]}'
        raise StoreError("unusable", f"{file} does not have the form {form}", f"correct {file}")
    return commands


def _is_command(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(word, str) for word in value)


def _check_owner(file: Path) -> None:
    """Raise StoreError if others can change a file, or a project has it."""
    real = file.resolve()
    if _in_project(file) or _in_project(real):
        raise StoreError("denied", f"{file} is inside a project, so it is not your own", "move it out of the project")
    for place in (real, *real.parents):
        about = place.stat()
        shared = about.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not about.st_mode & stat.S_ISVTX
        if shared or about.st_uid not in (0, os.geteuid()):
            raise StoreError("denied", f"others can change {place}", f"run: chmod go-w {shlex.quote(str(place))}")


def _in_project(path: Path) -> bool:
    return any((folder / MARKER).exists() for folder in path.parents)


def _program(name: str) -> str:
    """Return the program of a name, from absolute folders of PATH outside of projects."""
    if os.path.isabs(name):  # noqa: PTH117
        if shutil.which(name) is None:
            raise StoreError("unusable", "it does not start: there is no such program, or you may not run it")
        return name
    folders = [each for each in os.environ.get("PATH", "").split(os.pathsep) if os.path.isabs(each)]  # noqa: PTH117
    program = None if "/" in name else shutil.which(name, path=os.pathsep.join(folders))
    if program is None or _in_project(Path(program)):
        remedy = "write its whole path, here and in your own configuration"
        raise StoreError("unusable", f"PATH has no program '{name}' outside of projects", remedy)
    return program


_GUARDED = """
exec 3<&0
( { read -r _ <&3 || kill -KILL 0; } > /dev/null & )
exec "$@" < /dev/null 3<&-
"""
"""Replaces a shell by a program once a guard waits in its process group, which ends the group with this process.

The guard reads a pipe, which the system closes however its writer ends, also by SIGKILL. It starts before the program,
so there is no moment in which nothing would end the program. It is no child of the program, which may wait for all of
its children.
"""


def _printed(argv: list[str]) -> str:
    late = threading.Event()
    process = subprocess.Popen(
        ["/bin/sh", "-c", _GUARDED, "osiris", *argv],
        cwd=Path.home(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # as Ctrl-C in a terminal must not end it before this process
    )

    def stop() -> None:
        late.set()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, SIGKILL)

    timer = threading.Timer(_SECONDS, stop)
    timer.daemon = True
    timer.start()
    with process, closing(process.stdout or BytesIO()) as output:
        printed = output.read(_LARGEST + 1)
        if len(printed) > _LARGEST:
            stop()
        process.wait()
        if process.stdin and not late.is_set():
            os.write(process.stdin.fileno(), b"\n")  # the guard ends, and what the program left behind lives on
    timer.cancel()
    return _checked(printed, process.returncode, late=late.is_set())


def _checked(printed: bytes, code: int, *, late: bool) -> str:
    if len(printed) > _LARGEST:
        raise StoreError("missing", f"it printed more than {_LARGEST >> 10} KiB")
    if late:
        raise StoreError("denied", f"it did not end within {_SECONDS:.0f} s")
    if code != 0:
        raise StoreError("missing", f"it exited with {code}", "run it yourself to see why")
    try:
        return printed.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise StoreError("missing", "it printed something that is not text in UTF-8") from None
