"""The doctor of the filesystem family: checks that the folder exists, and access to it."""

from __future__ import annotations

import os
import shutil
import sys
import time
from itertools import islice
from typing import TYPE_CHECKING

from osiris.errors import fail
from osiris.families.doctor_report import Health, has_access, milliseconds, missing_file_health
from osiris.families.files.source_files import base_folder
from osiris.files import fail_os, relative

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from osiris.driver import StepContext

_LOOKED_AT = 1000
"""The maximum number of entries of a folder that are counted."""


def examine(ctx: StepContext, uses: Collection[str], _seconds: float) -> Health:
    """Check a folder; fails with DRV001, DRV003, DRV005 or DRV006 if it cannot be used, or as `PathPolicy` does.

    A missing folder is accepted if it can be created, unless it is only read from: writers create it.
    """
    path = base_folder(ctx)
    ctx.paths.readable(ctx.root, path)
    if "write" in uses:
        ctx.paths.writable(ctx.root, path, None)
    shown = relative(ctx.root, path)
    if not path.exists() and set(uses) != {"read"}:
        return missing_file_health(path, {"folder": shown})
    began = time.monotonic()
    entries, free = _look(path, shown)
    writable = has_access(path, os.W_OK | os.X_OK)
    return Health(
        grade="writer" if writable else "reader",
        reasons=["the folder may be written"] if writable else [],
        facts={
            "folder": shown,
            "exists": True,
            "entries": entries if entries < _LOOKED_AT else f"{_LOOKED_AT} or more",
            "readable": has_access(path, os.R_OK | os.X_OK),
            "writable": writable,
            "free_bytes": free,
            "encoding": sys.getfilesystemencoding(),
            "query_ms": milliseconds(began),
        },
    )


def _look(path: Path, shown: str) -> tuple[int, int]:
    """Return the number of entries of a folder, at most _LOOKED_AT, and the free bytes of its disk."""
    try:
        return sum(1 for _ in islice(path.iterdir(), _LOOKED_AT)), shutil.disk_usage(path).free
    except FileNotFoundError:
        fail("DRV001", path=shown, hint="create the folder, or correct base_dir of the connection")
    except NotADirectoryError:
        fail("DRV005", path=shown, kind="not a folder", hint="set base_dir of the connection to a folder")
    except OSError as error:
        fail_os(error, shown)
