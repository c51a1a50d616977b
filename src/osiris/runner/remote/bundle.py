"""The bundle sent to a remote target: the worker's code and the files that steps read, never secrets."""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import osiris
from osiris.distribution import DISTRIBUTION
from osiris.errors import fail
from osiris.files import fail_os, relative
from osiris.path_policy import PathPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from osiris.runner.remote.sandbox_scope import SandboxScope

CODE, PROJECT, SPOOLS = "code", "project", "spools"
"""Folders of a bundle."""

TRAVELS = (
    *(
        "__init__",
        "codes",
        "errors",
        "fault",
        "durable",
        "model",
        "distribution",
        "document",
        "kernels",
        "json_schema",
        "units",
        "urls",
        "path_policy",
        "family_spec",
        "types",
        "secret",
        "canonical",
        "replication",
        "sql",
    ),
    *("table", "driver", "delivery", "files", "families", "components", "registry", "connections", "runner"),
)
"""The modules of osiris that the worker may import."""

_METADATA = ("METADATA", "entry_points.txt")


@dataclass(frozen=True, slots=True)
class Packed:
    """The archive's size in bytes, and the SHA-256 of each packed file by its path in the project."""

    size: int
    carried: Mapping[str, str]


def refuse_outside(root: Path, scope: SandboxScope, target: str) -> None:
    """Fail with SBX010 for the first path that lies outside of the project or is absolute, or as `PathPolicy` does."""
    outside = [str(path) for path in (*scope.reads, *scope.targets) if not path.is_relative_to(root)]
    for path in (*scope.absolute, *outside):
        fail("SBX010", path=path, target=target)
    policy = PathPolicy()
    for file in scope.reads:
        policy.readable(root, file)
    for file in scope.targets:
        policy.writable(root, file, scope.formats.get(file))


def pack(out: IO[bytes], root: Path, scope: SandboxScope, spools: Mapping[str, Path], limit: int | None) -> Packed:
    """Write an archive of code, files below `root` and spools; fails with SBX011 if files exceed `limit` bytes."""
    size = sum(path.stat().st_size for path in (*scope.reads, *spools.values()))
    if limit is not None and size > limit:
        fail("SBX011", size=f"{size:,}", limit=f"{limit:,}")
    carried = {}
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as archive:
        _add_code(archive)
        for path in scope.reads:
            name = relative(root, path)
            carried[name] = _add(archive, f"{PROJECT}/{name}", path)
        for name, path in spools.items():
            _add(archive, f"{SPOOLS}/{name}.arrow", path)
    return Packed(out.tell(), carried)


def pack_code(out: IO[bytes]) -> None:
    """Write an archive of the code alone."""
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as archive:
        _add_code(archive)


def _add_code(archive: tarfile.TarFile) -> None:
    for name, path in code_files():
        _add(archive, f"{CODE}/{name}", path)


def code_files() -> Iterator[tuple[str, Path]]:
    """Yield the files of the worker's code, each with its path below the folder on `sys.path`."""
    package = Path(osiris.__file__).parent
    for name in TRAVELS:
        yield from ((f"osiris/{path.relative_to(package).as_posix()}", path) for path in _files(package / name))
    distribution = importlib.metadata.distribution(DISTRIBUTION)
    folder = f"{DISTRIBUTION.replace('-', '_')}-{distribution.version}.dist-info"
    for file in distribution.files or ():
        if file.name in _METADATA and file.parent.name == folder:
            yield f"{folder}/{file.name}", Path(str(file.locate()))


def _files(module: Path) -> Iterable[Path]:
    if module.is_dir():
        return sorted(path for path in module.rglob("*") if path.is_file() and path.suffix not in (".pyc", ".md"))
    return [module.with_suffix(".py")]


def _add(archive: tarfile.TarFile, name: str, path: Path) -> str:
    """Add a file in its current size, and return its SHA-256; bytes appended meanwhile are ignored."""
    try:
        with path.open("rb") as file:
            entry = tarfile.TarInfo(name)
            stat = path.stat()
            entry.size, entry.mtime, entry.mode = stat.st_size, int(stat.st_mtime), 0o644
            hashed = _Seen(file)
            archive.addfile(entry, hashed)
            return hashed.digest.hexdigest()
    except OSError as error:
        fail_os(error, path)


class _Seen(io.RawIOBase):
    """A file that computes the SHA-256 of everything read from it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.digest = hashlib.sha256()
        self._file = file

    def read(self, size: int = -1) -> bytes:
        """Read, and add the bytes to the digest."""
        data = self._file.read(size)
        self.digest.update(data)
        return data
