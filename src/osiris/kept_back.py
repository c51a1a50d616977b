"""The files of a project that its steps may not touch: secrets lie in them, or they decide what runs.

Steps are given paths by whoever writes a pipeline, which may be an agent that was talked into one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.errors import fail

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from osiris.model import JsonValue

MARKER = "osiris.yaml"
ENV_FILE = ".env"
CONNECTIONS_FILE = "osiris_connections.yaml"
LOCK_FILE = "osiris.lock"
STATE = ".osiris"
LOGS = "logs"

_READ_AS_DATA = (LOGS,)
"""May be read: what sessions tell is data too."""

_WHAT = {
    ENV_FILE: "it holds secrets",
    MARKER: "it holds the settings of the project",
    CONNECTIONS_FILE: "it holds the connections of the project",
    LOCK_FILE: "it holds the pinned schemas",
    STATE: "that folder holds the state of the project",
    LOGS: "that folder holds the records of runs, and steps may only read them",
}


def refuse_kept_back(root: Path, path: Path, *, writing: bool = False, keys: Iterable[Path] = ()) -> None:
    """Fail with DRV049 if `path`, links followed, is a file that steps of the project at `root` may not touch.

    `keys` are files that connections name as keys. Nothing needs to exist.
    """
    real, home = Path(os.path.realpath(path)), Path(os.path.realpath(root))
    why = next((why for name, why in _WHAT.items() if _lies_in(real, home / name, name, writing=writing)), None)
    if any(real == Path(os.path.realpath(key)) for key in keys):
        why = "a connection has its key there"
    if why:
        shown = path.relative_to(root) if path.is_relative_to(root) else path
        fail("DRV049", path=shown, why=why)


def _lies_in(real: Path, kept: Path, name: str, *, writing: bool) -> bool:
    if name in _READ_AS_DATA and not writing:
        return False
    return real.is_relative_to(os.path.realpath(kept))


def key_files(root: Path, fields: Mapping[str, JsonValue], schema: Mapping[str, JsonValue]) -> Iterator[Path]:
    """Yield the files that hold secrets of a connection; `schema` is its family's, where `x-content` marks them."""
    for name, told in schema.get("properties", {}).items():
        text = fields.get(name)
        if "x-content" in told and isinstance(text, str) and text:
            yield root / text
