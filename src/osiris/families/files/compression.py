"""How a file is packed: told by its name or said in a config, undone for a reader and done for a writer."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Protocol, cast

import pyarrow as pa

from osiris.errors import fail

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator

    from _typeshed import ReadableBuffer


PIECE = 1 << 20
BROKEN = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, gzip.BadGzipFile, NotImplementedError)
"""What the libraries raise for bytes that are not packed as they should be; Arrow's is an OSError without a number."""

_SUFFIXES = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".xz": "xz", ".zip": "zip"}
_WRITTEN = ("none", "gzip", "zstd")


class Sink(Protocol):
    """What takes the bytes of a file."""

    def write(self, data: ReadableBuffer, /) -> object:
        """Take all of `data`."""
        ...


class Named(Protocol):
    """What has the name of a file: a path, or an object of a store."""

    @property
    def name(self) -> str:
        """What stands behind the last slash."""
        ...

    @property
    def suffix(self) -> str:
        """The ending of the name."""
        ...


def packing_of(path: Named) -> str:
    """Return how a file of this name is packed: gzip, zstd, bz2, xz, zip or none."""
    return _SUFFIXES.get(path.suffix.lower(), "none")


def written_packing(path: Named, compression: str) -> str:
    """Return how a writer packs a file; fails with DRV007 where its name would say something else, or it cannot."""
    named = packing_of(path)
    packing = named if compression == "infer" else compression
    problem = None
    if packing not in _WRITTEN:
        problem = f"the name says that it is packed ({path.suffix}); this component packs as .gz and .zst"
    elif named not in ("none", packing):
        problem = f"the name says {named}, and compression says {compression}"
    return fail("DRV007", path=path.name, problem=problem) if problem else packing


def unpacking(raw: io.RawIOBase, packing: str, label: str) -> IO[bytes] | io.BufferedIOBase | io.RawIOBase:
    """Return a stream of what is packed in `raw`; fails with DAT013 for an archive of more than one file."""
    if packing == "gzip":
        return gzip.GzipFile(fileobj=raw)
    if packing == "bz2":
        return bz2.BZ2File(raw)
    if packing == "xz":
        return lzma.LZMAFile(cast("IO[bytes]", raw))
    if packing == "zstd":
        return pa.CompressedInputStream(raw, "zstd")  # type: ignore[no-any-return]
    return _only_member(raw, label) if packing == "zip" else raw


def _only_member(raw: io.RawIOBase, label: str) -> IO[bytes]:
    archive = zipfile.ZipFile(raw)
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) != 1:
        fail("DAT013", file=label, problem=f"the archive holds {len(members)} files, and one is needed")
    if members[0].flag_bits & 1:
        fail("DAT013", file=label, problem="the archive is encrypted")
    return archive.open(members[0])


@contextmanager
def packed(output: Sink, packing: str) -> Iterator[Sink]:
    """Give a sink that packs into `output`: the same bytes for the same content, in whatever pieces it comes."""
    if packing == "none":
        yield output
        return
    pieces = _Pieces(output, *(_gzip() if packing == "gzip" else _zstd()))
    yield pieces
    pieces.finish()


def _gzip() -> tuple[Callable[[bytes], bytes], Callable[[], bytes]]:
    """Return what packs a piece, and what ends the file: one member without name and time."""
    member = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return member.compress, member.flush


def _zstd() -> tuple[Callable[[bytes], bytes], Callable[[], bytes]]:
    """Return what packs a piece as a frame of its own, and what ends the file, which is nothing."""
    codec = pa.Codec("zstd")
    return lambda piece: codec.compress(piece, asbytes=True), lambda: b""


class _Pieces:
    """Packs in pieces of one size, so that the bytes do not depend on how the content comes.

    Nothing here writes when it is collected: by then the descriptor may be that of another file.
    """

    def __init__(self, output: Sink, pack: Callable[[bytes], bytes], end: Callable[[], bytes]) -> None:
        self._output = output
        self._pack = pack
        self._end = end
        self._waiting = bytearray()

    def write(self, data: ReadableBuffer) -> None:
        self._waiting += data
        whole = len(self._waiting) // PIECE * PIECE
        for start in range(0, whole, PIECE):
            self._output.write(self._pack(bytes(self._waiting[start : start + PIECE])))
        del self._waiting[:whole]

    def finish(self) -> None:
        """Pack what is left, and end the file."""
        self._output.write(self._pack(bytes(self._waiting)))
        self._output.write(self._end())
