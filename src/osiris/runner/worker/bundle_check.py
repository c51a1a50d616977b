"""Checks of a remote worker before its job, and its outputs to be fetched afterwards."""

from __future__ import annotations

import hashlib
import importlib.metadata
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.delivery import inspect_file
from osiris.errors import diagnostic, fail, raise_all
from osiris.files import fail_os

if TYPE_CHECKING:
    from osiris.model import JsonValue
    from osiris.runner.protocol import Job


def check_arrived(job: Job) -> None:
    """Fail with SBX013 for files that differ from those sent, and SBX016 for engines of another version."""
    root = Path(job.root)
    wrong = [path for path, sha256 in job.carried.items() if _digest(root / path) != sha256]
    if wrong:
        raise_all(diagnostic("SBX013", path=path, where="in the sandbox") for path in wrong)
    for name, planned in job.engines.items():
        installed = _version(name)
        if installed != planned:
            fail("SBX016", engine=name, found=installed or "none", planned=planned)


def hand_over(job: Job, step: str, database: str) -> JsonValue:
    """Copy a database file before a later step changes it; returns path, size and SHA-256 of the copy."""
    copy = Path(job.handover) / step
    try:
        shutil.copyfile(Path(job.root) / database, copy)
    except OSError as error:
        fail_os(error, copy)
    return inspect_file(Path(job.handover), step).to_json()


def left_in(folder: str) -> list[JsonValue]:
    """Return path, size and SHA-256 of each file below a folder."""
    root = Path(folder)
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return [inspect_file(root, path.relative_to(root).as_posix()).to_json() for path in files]


def _digest(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
