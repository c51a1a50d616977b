"""How a file is packed, told by its name or said in a config, and what is between its bytes and its text.

A reader gets the content of a file in pieces: unpacked, decoded, without comments, as a stream. A writer has a sink
that packs.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import re
import threading
import zipfile
import zlib
from contextlib import contextmanager
from itertools import chain
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Protocol, cast

import pyarrow as pa

from osiris.errors import Location, fail
from osiris.families.files.source_files import opened
from osiris.files import fail_os

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from _typeshed import ReadableBuffer

    from osiris.families.files.source_files import Place

PIECE = 1 << 20
_BROKEN = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError)
"""What the libraries raise for bytes that are not packed as they should be; the rest is an OSError without a number."""

PACKED = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".xz": "xz", ".zip": "zip"}
"""Ending of a name to what packs a file so."""

_WRITTEN = ("none", "gzip", "zstd")
_TAKES_MARK = ("utf-16", "utf-32")
"""Encodings whose decoders take the byte order mark away themselves: what follows it is data."""
_QUOTED = re.compile(r'[^"]*(?:""[^"]*)*"(?!")')
"""The rest of a quoted text, up to its last quote."""


class Sink(Protocol):
    """What takes the bytes of a file."""

    def write(self, data: ReadableBuffer, /) -> object:
        """Take all of `data`."""
        ...


def _packing_of(name: str) -> str:
    """Return how a file of this name is packed: gzip, zstd, bz2, xz, zip or none."""
    return PACKED.get(PurePosixPath(name).suffix.lower(), "none")


def written_packing(name: str, compression: str) -> str:
    """Return how a writer packs a file; fails with DRV007 where its name would say something else, or it cannot."""
    named = _packing_of(name)
    packing = named if compression == "infer" else compression
    problem = None
    if packing not in _WRITTEN:
        suffix = PurePosixPath(name).suffix
        problem = f"the name says that it is packed ({suffix}); this component packs as .gz and .zst"
    elif named not in ("none", packing):
        problem = f"the name says {named}, and compression says {compression}"
    return fail("DRV007", path=name, problem=problem) if problem else packing


def unpacked(path: Place, label: str, compression: str, on_bytes: Callable[[int], None]) -> Generator[bytes]:
    """Give the content of a file in pieces; `on_bytes` gets the number of bytes as they are taken from the disk."""
    with _translated(label), opened(path) as raw:
        stream = _unpacking(raw, _packing_of(path.name) if compression == "infer" else compression, label)
        before = 0
        while piece := stream.read(PIECE):
            now = raw.tell()
            on_bytes(now - before)
            before = now
            yield piece


@contextmanager
def _translated(label: str) -> Iterator[None]:
    try:
        yield
    except (*_BROKEN, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            fail_os(error, label)
        fail("DAT013", file=label, problem=f"it cannot be decompressed: {error}")


def _unpacking(raw: io.RawIOBase, packing: str, label: str) -> IO[bytes] | io.BufferedIOBase | io.RawIOBase:
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
        fail("DAT013", file=label, problem=f"the archive contains {len(members)} files, but must contain exactly one")
    if members[0].flag_bits & 1:
        fail("DAT013", file=label, problem="the archive is encrypted")
    return archive.open(members[0])


def decoded(pieces: Iterable[bytes], encoding: str, label: str) -> Iterator[str]:
    """Give the text of `pieces`, without the byte order mark before it.

    Fails with DAT003, naming the first byte that is not of the encoding, and its line.
    """
    codec = codecs.lookup(encoding).name.removesuffix("-sig")
    decoder = codecs.getincrementaldecoder(codec)()
    fed, line, at_start = 0, 1, codec not in _TAKES_MARK
    for piece in chain(pieces, [b""]):
        try:
            text = decoder.decode(piece, not piece)
        except UnicodeDecodeError as error:
            # The decoder had kept the beginning of a character from the piece before.
            offset = fed + len(piece) - len(error.object) + error.start
            line += error.object[: error.start].decode(codec, "ignore").count("\n")
            fail("DAT003", at=Location(label, line), file=label, offset=offset, encoding=codec)
        except UnicodeError:  # UTF-16 without a byte order mark
            fail("DAT003", at=Location(label), file=label, offset=fed, encoding=codec)
        yield text.removeprefix("\ufeff") if at_start else text
        at_start = at_start and not text
        fed += len(piece)
        line += text.count("\n")


def without_mark(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Give the bytes of UTF-8 text without the byte order mark that they may begin with, and with any that follows."""
    source, begin = iter(pieces), b""
    while codecs.BOM_UTF8.startswith(begin) and begin != codecs.BOM_UTF8 and (piece := next(source, b"")):
        begin += piece
    yield begin.removeprefix(codecs.BOM_UTF8)
    yield from source


def line_lists(texts: Iterable[str]) -> Iterator[list[str]]:
    """Give the lines of a text with their ends (CR, LF or both), in lists about as long as its pieces."""
    rest: list[str] = []  # what has no end yet, in parts, so that a line of any length is put together once
    for text in texts:
        rest.append(text)
        if "\n" in text or "\r" in text:
            lines = io.StringIO("".join(rest), newline="").readlines()
            rest = [] if lines[-1].endswith("\n") else [lines.pop()]
            yield lines
    yield io.StringIO("".join(rest), newline="").readlines()


def without_comments(texts: Iterable[str], mark: str, delimiter: str, skip: int) -> Iterator[str]:
    """Give the text without what follows `mark` outside of quotes; every line stays, if only as an empty one.

    As for the parser, a quote opens only where a cell begins. The first `skip` lines are none of the table, and stay.
    """
    quoted, outside = False, re.compile(f"[^{re.escape(mark + delimiter)}]*")
    for lines in line_lists(texts):
        kept, skip = lines[:skip], skip - min(skip, len(lines))
        for line in lines[len(kept) :]:
            text, quoted = _uncommented(line, mark, outside, quoted=quoted)
            kept.append(text)
        yield "".join(kept)


def _uncommented(line: str, mark: str, outside: re.Pattern[str], *, quoted: bool) -> tuple[str, bool]:
    """Return a line without its comment, and whether it ends within quotes; `quoted` tells whether it begins so."""
    if not quoted and mark not in line and '"' not in line:
        return line, False
    at, end = 0, len(line)
    while True:
        if quoted or line.startswith('"', at):
            closed = _QUOTED.match(line, at + (not quoted))  # behind the quote that opens it
            if closed is None:
                return line, True
            at, quoted = closed.end(), False
        at = outside.match(line, at).end()  # type: ignore[union-attr]  # it matches nothing, too
        if at == end:
            return line, False
        if line.startswith(mark, at):
            return line[:at] + line[len(line.rstrip("\r\n")) :], False
        at += 1


class PieceStream(io.RawIOBase):
    """An iterator of bytes as a file to read, which hands pieces on without copying them where it can.

    A read gives about half of what it was asked for, or more, until the end. A parser may read ahead in a thread of its
    own, even after it failed: once closed, a stream is at its end. What is read never ends between CR and LF: Arrow's
    CSV parser drops an LF at the beginning of a block, also inside of quotes.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""
        self._lock = threading.Lock()

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, at most `size`; nothing at the end."""
        with self._lock:
            parts: list[bytes] = []
            found = 0
            while (size < 0 or found * 2 < size) and self._fill():
                part = self._rest if size < 0 else self._rest[: size - found]
                self._rest = self._rest[len(part) :]
                parts.append(part)
                found += len(part)
            whole = parts[0] if len(parts) == 1 else b"".join(parts)
            if size > 1 and len(whole) > 1 and whole.endswith(b"\r"):
                self._rest = b"\r" + self._rest
                whole = whole[:-1]
            return whole

    def _fill(self) -> bool:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self._rest = piece
        return True

    def close(self) -> None:
        """Wait for a read that is under way; later ones get nothing."""
        with self._lock:
            self._pieces = iter(())
            self._rest = b""


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
