"""Local files: which path a text means, which files a pattern names, and how a file appears whole or not at all.

Relative paths start at the project root. A path is refused where it would mean different things on different systems,
or could carry control characters to a terminal. Every error of the operating system is told apart by its number.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import io
import os
import re
import stat
import threading
import zlib
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from osiris.errors import fail, nearest
from osiris.fault import fault
from osiris.path_policy import real_path
from osiris.urls import printable as _printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol

    from _typeshed import ReadableBuffer

    class Refuse(Protocol):
        """Raises what an error of the operating system means at a path, after so many bytes."""

        def __call__(self, error: OSError, path: Path | str, *, written: int = 0) -> NoReturn:
            """Raise it."""


MAX_NAME_BYTES = 200
"""Longest name of a file or folder; leaves room for the name of its temporary within the 255 of a file system."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_TEMPORARY = re.compile(r"\..*\.osiris-[0-9a-f]{8}\.tmp", re.DOTALL)

_CODES = {
    errno.ENOENT: "DRV001",
    errno.ENOTDIR: "DRV001",
    errno.EACCES: "DRV003",
    errno.EPERM: "DRV003",
    errno.EROFS: "DRV003",
    errno.ELOOP: "DRV063",
    errno.ENOSPC: "DRV004",
    errno.EDQUOT: "DRV004",
}
_MAX_COMPARED = 200
"""So many names of a folder are compared with one that is not there."""

_HEAD_BYTES = 4096

_unfinished: set[Path] = set()
_umask_lock = threading.Lock()

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def resolve_path(root: Path, text: str, *, base: str | None = None, writing: bool = False) -> Path:
    """Return the absolute path that `text` means: absolute as it is, else below `base`, which is below `root`.

    Links are not followed and nothing needs to exist. Fails with DRV007 for a path that is empty, a URL, or has a name
    that is not portable; with `writing` also for a folder's path and for names that some systems keep for devices.
    """
    problem = _problem(text, writing=writing) or (base and _problem(base, writing=False))
    if problem:
        fail("DRV007", path=_printable(text), problem=problem)
    return Path(os.path.normpath(root / (base or "") / text))


def _problem(text: str, *, writing: bool) -> str | None:
    if not text:
        return "the path is empty"
    if text.startswith("~"):
        return "a path never begins with ~: write the folder out (or ./~ for that character)"
    if _URL.match(text):
        return "this is a URL, and a local path is needed"
    if writing and text.endswith("/"):
        return "a file is needed, and this names a folder"
    names = [name for name in text.split("/") if name not in ("", ".", "..")]
    return next((problem for name in names if (problem := _name_problem(name, writing=writing))), None)


def _name_problem(name: str, *, writing: bool) -> str | None:
    if _CONTROL.search(name):
        return "it has a control character"
    if any("\ud800" <= char <= "\udfff" for char in name):
        return "it is not Unicode text"
    if name.endswith((".", " ")):
        return f"'{name}' ends with a dot or a space"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"a name is longer than {MAX_NAME_BYTES} bytes"
    if writing and _DEVICE.fullmatch(name):
        return f"'{name}' is the name of a device on some systems"
    return None


def is_outside(root: Path, path: Path) -> bool:
    """Tell whether `path`, links followed, leads out of `root`."""
    return not real_path(path).is_relative_to(real_path(root))


def relative(root: Path, path: Path) -> str:
    """Return `path` as messages and manifests show it: relative to `root` when it is below it, with `/` between."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def is_text(path: str) -> bool:
    """Tell whether a path is UTF-8, so that it can be written down."""
    return not any("\ud800" <= char <= "\udfff" for char in path)


def expand(root: Path, pattern: str, *, base: str | None = None) -> list[Path]:
    """Return the files that a path or a glob pattern (`*`, `?`, `[a-z]`, `**`) names, sorted by name; at least one.

    Hidden files are named only by a pattern that begins with a dot. Fails with DRV001 if there is no such file.
    """
    path = resolve_path(root, pattern, base=base)
    if not glob.has_magic(pattern) or os.path.lexists(path):
        return [path]
    start = root / (base or "")
    names = glob.glob(pattern, root_dir=start, recursive=True)  # noqa: PTH207  a Path has no pattern below a fixed root
    paths = sorted(Path(os.path.normpath(start / name)) for name in names)
    files = [file for file in paths if not file.is_dir()]
    if not files:
        fail("DRV001", path=f"{_printable(pattern)} (no file matches)")
    return files


_FOLDER_FLAGS = os.O_CLOEXEC | os.O_DIRECTORY | getattr(os, "O_PATH", os.O_RDONLY)


def open_folder(real: Path) -> int:
    """Return a descriptor of a folder on whose path is no link: each folder is opened in the one before.

    It only stands for the folder: nothing can be read from it. Raises OSError, also where a link has come between.
    """
    folder = os.open(real.anchor, _FOLDER_FLAGS)
    for name in real.parts[1:]:
        try:
            inner = os.open(name, _FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=folder)
        finally:
            os.close(folder)
        folder = inner
    return folder


def open_real(real: Path, flags: int) -> int:
    """Open what is at a path on which is no link, as `PathPolicy` returns it; raises OSError as `open_folder`."""
    folder = open_folder(real.parent)
    try:
        return os.open(real.name or ".", flags | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=folder)
    finally:
        os.close(folder)


@contextmanager
def steady(real: Path, shown: Path | str) -> Iterator[None]:
    """Fail with DRV063 if what another program opens by its path, in the block, is not what was there before.

    It is not opened itself: closing a file lets go of all locks that this process has on it.
    """
    before = _identity(real)
    yield
    if before not in (None, _identity(real)):
        fail("DRV063", path=shown)


def _identity(real: Path) -> tuple[int, int] | None:
    """Return which file is at a path on which is no link; None if there is none."""
    try:
        folder = open_folder(real.parent)
    except OSError:
        return None
    try:
        status = os.stat(real.name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return None
    finally:
        os.close(folder)
    return None if stat.S_ISLNK(status.st_mode) else (status.st_dev, status.st_ino)


def open_source(real: Path) -> io.FileIO:
    """Open a regular file for reading, without buffering; on its path is no link, as `PathPolicy` returns it.

    Fails with DRV001, DRV003, DRV005, DRV006 or DRV063.
    """
    try:
        # A pipe would wait here for its other end, so its kind is asked for only once it is open.
        descriptor = open_real(real, os.O_RDONLY | os.O_NONBLOCK)
    except NotADirectoryError:
        fail("DRV001", path=real)
    except OSError as error:
        fail_os(error, real)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        fail("DRV005", path=real, kind=_kind(mode))
    return io.FileIO(descriptor, "r")


def check_source(path: Path, name: str) -> None:
    """Fail with DRV001, DRV003, DRV005 or DRV006 unless there is a regular file; `name` is what messages call it."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        fail("DRV001", path=name, hint=_nearest_file(path))
    except OSError as error:
        fail_os(error, name)
    if not stat.S_ISREG(mode):
        fail("DRV005", path=name, kind=_kind(mode))


def _nearest_file(path: Path) -> str | None:
    try:
        near = nearest(path.name, [entry.name for entry in islice(path.parent.iterdir(), _MAX_COMPARED)])
    except OSError:
        return None
    return f"did you mean '{_printable(near)}'?" if near else None


def _kind(mode: int) -> str:
    return next((kind for test, kind in _KINDS if test(mode)), "of another kind")


def fail_os(error: OSError, path: Path | str, *, written: int = 0) -> NoReturn:
    """Raise what an error of the operating system at `path` means; `written` is the number of bytes before it."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno == errno.EISDIR:
        fail("DRV005", path=path, kind="a folder")
    if error.errno in (errno.EEXIST, errno.ENOTDIR) and (file := _file_in_the_way(Path(path))):
        fail("DRV070", path=file)
    hint = "raise the limit of the size of files (ulimit -f)" if error.errno == errno.EFBIG else None
    fail(_CODES.get(error.errno or 0, "DRV006"), path=path, reason=reason, bytes=written, hint=hint)


def _file_in_the_way(path: Path) -> Path | None:
    """Return the part of an absolute path that is there and no folder; None if there is none."""
    parts = (path, *path.parents) if path.is_absolute() else ()
    return next((each for each in parts if os.path.lexists(each) and not each.is_dir()), None)


_SYNC_BYTES = 32 << 20
"""So many bytes begin their way to the disk at once, so that the sync at the end finds little left to do."""

_WRITE = 2
"""SYNC_FILE_RANGE_WRITE of Linux: what is not under way yet begins to be written."""


class Output(io.RawIOBase):
    """A file that is being written: writes all it is given or fails, and counts the bytes in `written`."""

    def __init__(self, descriptor: int, path: Path, refuse: Refuse) -> None:
        self._descriptor = descriptor
        self._path = path
        self._refuse = refuse
        self._digest = hashlib.sha256()
        self._begun = 0
        self.written = 0

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of all that was written, as hex digits."""
        return self._digest.hexdigest()

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self.written

    def write(self, data: ReadableBuffer) -> int:
        """Write all of `data`; fails with DRV004 when there is no space, else by the error's number."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            fault("file.write", lambda: os.write(self._descriptor, rest[: size // 2]))
            while rest:
                count = os.write(self._descriptor, rest)
                self._digest.update(rest[:count])
                self.written += count
                rest = rest[count:]
        except OSError as error:
            self._refuse(error, self._path, written=self.written)
        if self.written - self._begun >= _SYNC_BYTES:
            _begin_sync(self._descriptor, self._begun, self.written - self._begun)
            self._begun = self.written
        return size


def _begin_sync(descriptor: int, start: int, size: int) -> None:
    """Have a part of a file begin its way to the disk, and do not wait; where the system cannot, nothing happens."""
    import ctypes

    if begin := getattr(ctypes.CDLL(None), "sync_file_range", None):
        begin(descriptor, ctypes.c_longlong(start), ctypes.c_longlong(size), _WRITE)


def refuse_foreign(path: Path, is_ours: Callable[[bytes], bool]) -> None:
    """Fail with PRJ014 if a file is in the place that is not of the kind that is to go there: it could be data.

    `is_ours` is given how the file begins, at most 4 KiB. An empty file is nobody's.
    """
    if not path.is_file():
        return
    try:
        with path.open("rb") as file:
            begins = file.read(_HEAD_BYTES)
    except OSError as error:
        fail_os(error, path)
    if begins and not is_ours(begins):
        fail("PRJ014", path=path)


@contextmanager
def publish(
    target: Path, *, real: bool = False, new: bool = False, mode: int | None = None, refuse: Refuse = fail_os
) -> Iterator[Output]:
    """Give a file to write, and put it in `target`'s place when the block ends well: all of it, or nothing.

    If it is to be `new`, one that is there by then stays. With `real` no link is followed to its folder, which one may
    have come between since `PathPolicy` was asked.

    The temporary stands in the same folder, readable by its owner only, locked while its writer lives. It is synced
    before it is renamed, and the folder after. An error removes it and leaves `target` as it was. `target` gets the
    permissions `mode`; without one it keeps those that it has, and a new one gets those of any new file. `refuse` says
    what an error of the operating system means.
    """
    if target.is_dir():
        refuse(IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)), target)
    try:
        folder = open_folder(target.parent if real else Path(os.path.realpath(target.parent)))
    except OSError as error:
        refuse(error, target.parent)
    try:
        with _temporary(folder, target, mode, refuse, new=new) as output:
            yield output
    finally:
        os.close(folder)


@contextmanager
def _temporary(folder: int, target: Path, mode: int | None, refuse: Refuse, *, new: bool) -> Iterator[Output]:
    name, descriptor = _create(folder, target, refuse)
    temporary = target.with_name(name)
    _unfinished.add(temporary)
    try:
        output = Output(descriptor, target, refuse)
        yield output
        try:
            os.fchmod(descriptor, _mode(folder, target.name) if mode is None else mode)
            fault("file.sync")
            os.fsync(descriptor)
            _rename(folder, name, target.name, new=new)
            fault("file.renamed")
            sync_folder(".", folder)
        except OSError as error:
            refuse(error, target, written=output.written)
    finally:
        with suppress(OSError):
            os.unlink(name, dir_fd=folder)  # it has another name by now, unless something failed
        _unfinished.discard(temporary)
        os.close(descriptor)


def abandon() -> None:
    """Remove the temporaries that this process has not finished, from any thread: it is about to end."""
    for path in list(_unfinished):
        with suppress(OSError):
            path.unlink()


def _create(folder: int, target: Path, refuse: Refuse) -> tuple[str, int]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    while True:
        name = f".{target.name}.osiris-{os.urandom(4).hex()}.tmp"
        try:
            descriptor = os.open(name, flags, 0o600, dir_fd=folder)
        except FileExistsError:
            continue
        except OSError as error:
            refuse(error, target)
        take_lock(descriptor, wait=True)
        if os.fstat(descriptor).st_nlink:
            return name, descriptor
        os.close(descriptor)  # a sweep came between the two calls


def _rename(folder: int, name: str, target: str, *, new: bool) -> None:
    """Give a file of a folder its name, unless that is taken and it is to be `new`."""
    fault("file.rename")
    if not new:
        os.replace(name, target, src_dir_fd=folder, dst_dir_fd=folder)
        return
    with suppress(FileExistsError):
        os.link(name, target, src_dir_fd=folder, dst_dir_fd=folder)


def _mode(folder: int, name: str) -> int:
    with suppress(FileNotFoundError):
        return stat.S_IMODE(os.stat(name, dir_fd=folder).st_mode) & 0o777
    with _umask_lock:
        mask = os.umask(0o077)
        os.umask(mask)
    return 0o666 & ~mask


def sync_folder(folder: Path | str, start: int | None = None) -> None:
    """Make the names in `folder` durable, a path from the folder `start` if that is open; raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=start)
    try:
        fault("folder.sync")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for its owner only whatever the umask; raises OSError."""
    make_folders(folder, 0o700)


def make_folders(folder: Path, mode: int) -> None:
    """Make a folder, and those above it that are missing, with these permissions; raises OSError."""
    try:
        folder.mkdir(mode)
    except FileNotFoundError:
        make_folders(folder.parent, mode)
        folder.mkdir(mode, exist_ok=True)
    except FileExistsError:
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None


def take_lock(descriptor: int, *, shared: bool = False, wait: bool = False) -> bool:
    """Lock an open file until it is closed: for this process alone, or `shared` with others that do.

    Returns False if another process has it locked, unless it is to `wait`. What was locked otherwise before is let go
    of first. A killed process leaves no lock.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def private(path: Path | str, flags: int) -> int:
    """Return the descriptor of a file that is for its owner only, whatever the umask; raises OSError."""
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def is_temporary(name: str) -> bool:
    """Tell whether a name is one that `publish` gives to what it has not finished."""
    return _TEMPORARY.fullmatch(name) is not None


def sweep(folder: Path) -> list[Path]:
    """Remove the temporaries in `folder` whose writer is gone, and return them; one that is being written stays."""
    with suppress(FileNotFoundError):
        return [path for path in sorted(folder.iterdir()) if is_temporary(path.name) and _remove_dead(path)]
    return []


def _remove_dead(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        if not take_lock(descriptor):
            return False
        path.unlink()
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


_BLOCK = 1 << 18
READ_WHOLE = 64 << 20
"""Bytes of a source that are read for its state: a touch is no change. Of a larger one sizes and times are compared."""


def content_of(file: io.RawIOBase) -> str:
    """Return a text that stays equal while the bytes of a file do.

    It is made of a checksum for each block: no more than one change of 4 billion, in a block and of no size, stays
    unnoticed. A cryptographic digest would take seven times as long, in every run.
    """
    digest, block = hashlib.blake2b(digest_size=16), memoryview(bytearray(_BLOCK))
    while filled := _fill(file, block):
        digest.update(zlib.crc32(block[:filled]).to_bytes(4, "little"))
    return digest.hexdigest()


def _fill(file: io.RawIOBase, block: memoryview) -> int:
    filled = 0
    while filled < len(block) and (count := file.readinto(block[filled:])):
        filled += count
    return filled
