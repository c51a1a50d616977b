"""All durable disk operations of the host, each with a fault point and a coded error.

Files in logs/ and .osiris/ may contain data, so they are `private`: readable by their owner only, whatever the umask.
Other files (plans, the lock, pages) have default permissions.
"""

from __future__ import annotations

import errno
import glob
import os
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

from osiris.errors import fail
from osiris.fault import fault
from osiris.files import make_folders, publish, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND
READ_AND_APPEND = os.O_RDWR | os.O_CREAT | os.O_APPEND
LOCKED = os.O_RDWR | os.O_CREAT

_REMEDIES = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some space there, or have the quota raised",
    errno.EFBIG: "raise the limit of the size of files (ulimit -f)",
    errno.EROFS: "the file system is read-only: mount it for writing, or work on a copy of the project",
    errno.EACCES: "check who owns it, and its permissions",
    errno.EPERM: "check who owns it, and its permissions",
    errno.ENOTDIR: "there is a file where a folder is needed: move it away",
    errno.EEXIST: "it is there already: move it away",
    errno.EISDIR: "there is a folder where a file is needed: move it away",
    errno.ENOENT: "a parent folder is missing: check whether the project was moved or removed",
}
"""Hints by errno."""


def refuse(error: OSError, path: Path | str, *, written: int = 0) -> NoReturn:  # noqa: ARG001 - the form of publish
    """Fail with PRJ006: path, reason and hint."""
    reason = os.strerror(error.errno) if error.errno else str(error) or type(error).__name__
    fail("PRJ006", path=path, reason=reason, hint=_REMEDIES.get(error.errno or 0))


@contextmanager
def guarded(path: Path | str) -> Iterator[None]:
    """Convert an OSError to PRJ006 for a path."""
    try:
        yield
    except OSError as error:
        refuse(error, path)


def write_file(path: Path, content: bytes, *, private: bool) -> None:
    """Replace a file atomically and durably; fails with PRJ006."""
    with publish(path, mode=PRIVATE_FILE if private else None, refuse=refuse) as file:
        file.write(content)


def create_file(path: Path, content: bytes) -> None:
    """Write a new file with default permissions; fails with PRJ006, also if it exists."""
    with guarded(path), path.open("xb", buffering=0) as file:
        fault("file.create")
        append(file.fileno(), content)


def make_folder(path: Path, *, private: bool) -> None:
    """Create a folder and its parents if missing; fails with PRJ006."""
    with guarded(path):
        fault("folder.make")
        make_folders(path, PRIVATE_FOLDER if private else 0o777)


def open_file(path: Path, flags: int) -> int:
    """Return a file descriptor of a private file, created if the flags say so; raises OSError."""
    return os.open(path, flags | os.O_CLOEXEC, PRIVATE_FILE)


def append(descriptor: int, content: bytes) -> None:
    """Append all bytes, normally in one write; a full disk is reported by the next write. Raises OSError."""
    fault("journal.append", lambda: os.write(descriptor, content[: len(content) // 2]))
    while content:
        content = content[os.write(descriptor, content) :]


def append_durably(descriptor: int, content: bytes) -> None:
    """Append all bytes as `append` does, and return when they are on disk. Raises OSError."""
    append(descriptor, content)
    fault("journal.sync")
    os.fsync(descriptor)


def append_line(path: Path, content: bytes) -> None:
    """Append to a private file in one write, so that readers never see part of a line; fails with PRJ006."""
    with guarded(path):
        descriptor = open_file(path, APPEND)
        try:
            append(descriptor, content)
        finally:
            os.close(descriptor)


def make_marker(path: Path) -> None:
    """Create an empty private file durably; fails with PRJ006."""
    make_folder(path.parent, private=True)
    with guarded(path):
        fault("marker.make")
        os.close(open_file(path, LOCKED))
        sync_folder(path.parent)


def move(path: Path, target: Path) -> None:
    """Rename a file or folder durably; raises OSError."""
    fault("name.move")
    path.rename(target)
    fault("name.moved")
    sync_folder(target.parent)


def lead(link: Path, target: Path) -> None:
    """Create or replace a relative symbolic link atomically; fails with PRJ006."""
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    with guarded(link):
        _sweep_links(link)
        fault("link.replace")
        temporary.symlink_to(os.path.relpath(target, link.parent))
        temporary.replace(link)


def _sweep_links(link: Path) -> None:
    """Remove temporary links left by dead processes or by this one."""
    for left in link.parent.glob(f".{glob.escape(link.name)}.*"):
        number = left.name.rpartition(".")[2]
        if number.isdecimal() and (int(number) == os.getpid() or not _is_alive(int(number))):
            remove(left)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def remove(path: Path) -> None:
    """Remove a file if it exists; raises OSError."""
    fault("file.remove")
    path.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    """Remove a folder with its content, as far as possible; a later run removes the rest."""
    with suppress(OSError):
        fault("folder.remove")
        shutil.rmtree(path, ignore_errors=True)
