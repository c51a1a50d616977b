"""The host's one way to the disk: every durable action of it, each beside a fault point and with a coded error.

What lies in logs/ and .osiris/ may hold data of others, so it is `private`: readable by its owner only, whatever the
umask. What people keep (plans, the lock, pages) has the permissions of any file.
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
    errno.ENOTDIR: "a file stands where a folder is needed: move it away",
    errno.EEXIST: "it is there already: move it away",
    errno.EISDIR: "a folder stands where a file is needed: move it away",
    errno.ENOENT: "a folder above it is gone: check whether the project was moved or removed",
}
"""What helps against an error, where it is not said by the code itself."""


def refuse(error: OSError, path: Path | str, *, written: int = 0) -> NoReturn:  # noqa: ARG001 - the form of publish
    """Fail with PRJ006: which path, why, and what helps."""
    reason = os.strerror(error.errno) if error.errno else str(error) or type(error).__name__
    fail("PRJ006", path=path, reason=reason, hint=_REMEDIES.get(error.errno or 0))


@contextmanager
def guarded(path: Path | str) -> Iterator[None]:
    """Turn an error of the operating system into PRJ006 at that path."""
    try:
        yield
    except OSError as error:
        refuse(error, path)


def write_file(path: Path, content: bytes, *, private: bool) -> None:
    """Replace a file: it is old or new after a crash, and new for good once this returns; fails with PRJ006."""
    with publish(path, mode=PRIVATE_FILE if private else None, refuse=refuse) as file:
        file.write(content)


def create_file(path: Path, content: bytes) -> None:
    """Write a new file that people keep; fails with PRJ006, also if there is one already."""
    with guarded(path), path.open("xb", buffering=0) as file:
        fault("file.create")
        append(file.fileno(), content)


def make_folder(path: Path, *, private: bool) -> None:
    """Make a folder and those above it, unless they are there; fails with PRJ006."""
    with guarded(path):
        fault("folder.make")
        make_folders(path, PRIVATE_FOLDER if private else 0o777)


def open_file(path: Path, flags: int) -> int:
    """Return a descriptor of a private file, which is made if the flags say so; raises OSError."""
    return os.open(path, flags | os.O_CLOEXEC, PRIVATE_FILE)


def append(descriptor: int, content: bytes) -> None:
    """Append all of it: one write, unless the disk fills up, whose error only the next one tells; raises OSError."""
    fault("journal.append", lambda: os.write(descriptor, content[: len(content) // 2]))
    while content:
        content = content[os.write(descriptor, content) :]


def append_line(path: Path, content: bytes) -> None:
    """Append to a private file, in one write: readers never see a part of it; fails with PRJ006."""
    with guarded(path):
        descriptor = open_file(path, APPEND)
        try:
            append(descriptor, content)
        finally:
            os.close(descriptor)


def make_marker(path: Path) -> None:
    """Make an empty private file, whose name is durable once this returns; fails with PRJ006."""
    make_folder(path.parent, private=True)
    with guarded(path):
        fault("marker.make")
        os.close(open_file(path, LOCKED))
        sync_folder(path.parent)


def move(path: Path, target: Path) -> None:
    """Give a file or folder another name, and make that durable; raises OSError."""
    fault("name.move")
    path.rename(target)
    fault("name.moved")
    sync_folder(target.parent)


def lead(link: Path, target: Path) -> None:
    """Let a symbolic link, which is relative, lead to a target, wherever it led before; fails with PRJ006."""
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    with guarded(link):
        _sweep_links(link)
        fault("link.replace")
        temporary.symlink_to(os.path.relpath(target, link.parent))
        temporary.replace(link)


def _sweep_links(link: Path) -> None:
    """Remove what processes that are gone, or this one, have left behind on their way to a link."""
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
    """Remove a file, if it is there; raises OSError."""
    fault("file.remove")
    path.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    """Remove a folder with all that is in it, as far as that goes: what stays is swept by a later run."""
    with suppress(OSError):
        fault("folder.remove")
        shutil.rmtree(path, ignore_errors=True)
