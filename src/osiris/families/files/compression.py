"""Compression and decoding of files; the compression is inferred from the name or configured.

A reader gets the content of a file in pieces: decompressed, decoded, without comments, as a stream. A writer gets a
sink that compresses.
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
from functools import partial
from itertools import chain
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Protocol

import pyarrow as pa

from osiris.errors import Location, fail
from osiris.families.files.source_files import unchanged
from osiris.files import fail_os

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from _typeshed import ReadableBuffer

    from osiris.families.files.source_files import SourceFile

PIECE = 1 << 20
_BROKEN = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError)
"""What the libraries raise for invalid compressed bytes; other such errors are an OSError without errno."""

PACKED = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".xz": "xz", ".zip": "zip"}
"""Suffix of a file name to its compression."""

_XZ_PADDING = 4
_WRITTEN = ("none", "gzip", "zstd")
_TAKES_MARK = ("utf-16", "utf-32")
"""Encodings whose decoders remove the byte order mark themselves: a second one is data."""
_QUOTED = re.compile(r'[^"]*(?:""[^"]*)*"(?!")')
"""The rest of a quoted text, up to its last quote."""


class Sink(Protocol):
    """A writable destination of the bytes of a file."""

    def write(self, data: ReadableBuffer, /) -> object:
        """Write all of `data`."""
        ...


def _compression_of(name: str) -> str:
    """Return the compression that a file name implies: gzip, zstd, bz2, xz, zip or none."""
    return PACKED.get(PurePosixPath(name).suffix.lower(), "none")


def output_compression(name: str, compression: str) -> str:
    """Return the compression of a file to write; fails with DRV007 if unsupported, or if the name implies another."""
    by_suffix = _compression_of(name)
    packing = by_suffix if compression == "infer" else compression
    problem = None
    if packing not in _WRITTEN:
        suffix = PurePosixPath(name).suffix
        problem = f"the name says that it is packed ({suffix}); this component packs as .gz and .zst"
    elif by_suffix not in ("none", packing):
        problem = f"the name says {by_suffix}, and compression says {compression}"
    return fail("DRV007", path=name, problem=problem) if problem else packing


def unpacked(path: SourceFile, label: str, compression: str, on_bytes: Callable[[int], None]) -> Generator[bytes]:
    """Yield the decompressed content of a file in pieces; `on_bytes` gets the number of bytes read from the disk."""
    with _translated(label), unchanged(path, label) as raw:
        stream = _unpacking(raw, _compression_of(path.name) if compression == "infer" else compression, label)
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
        hint = "check that the file is complete; if it is not compressed, rename it or set compression: none"
        fail("DAT013", file=label, problem=f"it cannot be decompressed: {error}", hint=hint)


def _unpacking(raw: io.RawIOBase, packing: str, label: str) -> IO[bytes] | io.BufferedIOBase | io.RawIOBase:
    """Return a stream of the decompressed content of `raw`; fails with DAT013 for an archive of more than one file."""
    if packing == "gzip":
        return gzip.GzipFile(fileobj=raw)
    if packing == "bz2":
        return _Streams(raw, bz2.BZ2Decompressor)
    if packing == "xz":
        return _Streams(raw, lzma.LZMADecompressor)
    if packing == "zstd":
        return pa.CompressedInputStream(raw, "zstd")  # type: ignore[no-any-return]
    return _only_member(raw, label) if packing == "zip" else raw


class _Streams(io.RawIOBase):
    """The content of bz2 or xz streams that follow each other.

    The standard library's files ignore whatever follows a stream and does not begin another: rows would be missing.
    """

    def __init__(self, raw: io.RawIOBase, new: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]) -> None:
        self._raw, self._new, self._decoder = raw, new, new()
        self._waiting = b""

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, none at the end; raises EOFError, LZMAError or OSError for invalid bytes."""
        while not self._decoder.eof or self._begin_next():
            if self._decoder.needs_input:
                self._waiting = self._waiting or self._raw.read(PIECE) or b""
                if not self._waiting:
                    raise EOFError("it ends within a compressed stream")
            piece, self._waiting = self._decoder.decompress(self._waiting, size), b""
            if piece:
                return piece
        return b""

    def _begin_next(self) -> bool:
        """Begin the next stream; False if there is none. Between xz streams there may be zeros, four or a multiple."""
        zeros, rest = 0, b""
        for data in chain([self._decoder.unused_data], iter(partial(self._raw.read, PIECE), b"")):
            rest = data.lstrip(b"\0") if isinstance(self._decoder, lzma.LZMADecompressor) else data
            zeros += len(data) - len(rest)
            if rest:
                break
        if zeros % _XZ_PADDING:
            raise lzma.LZMAError("the zeros after a stream are not a multiple of four")
        self._decoder, self._waiting = self._new(), rest
        return bool(rest)


def _only_member(raw: io.RawIOBase, label: str) -> IO[bytes]:
    archive = zipfile.ZipFile(raw)
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) != 1:
        fail("DAT013", file=label, problem=f"the archive contains {len(members)} files, but must contain exactly one")
    if members[0].flag_bits & 1:
        fail("DAT013", file=label, problem="the archive is encrypted")
    return archive.open(members[0])


def decoded(pieces: Iterable[bytes], encoding: str, label: str) -> Iterator[str]:
    """Yield the text of `pieces`, without a byte order mark at the start.

    Fails with DAT003, naming the offset of the first byte that is invalid in the encoding, and its line.
    """
    codec = codecs.lookup(encoding).name.removesuffix("-sig")
    decoder = codecs.getincrementaldecoder(codec)()
    fed, line, at_start = 0, 1, codec not in _TAKES_MARK
    for piece in chain(pieces, [b""]):
        try:
            text = decoder.decode(piece, not piece)
        except UnicodeDecodeError as error:
            # The decoder may have kept the beginning of a character from the previous piece.
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
    """Yield the bytes of UTF-8 text without a byte order mark at the start; a second one is kept."""
    source, begin = iter(pieces), b""
    while codecs.BOM_UTF8.startswith(begin) and begin != codecs.BOM_UTF8 and (piece := next(source, b"")):
        begin += piece
    yield begin.removeprefix(codecs.BOM_UTF8)
    yield from source


def line_lists(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield the lines of a text with their ends (CR, LF or CRLF), in lists of about the size of its pieces."""
    rest: list[str] = []  # the parts of an incomplete line, so that a long line is joined only once
    for text in texts:
        rest.append(text)
        if "\n" in text or "\r" in text:
            lines = io.StringIO("".join(rest), newline="").readlines()
            rest = [] if lines[-1].endswith("\n") else [lines.pop()]
            yield lines
    yield io.StringIO("".join(rest), newline="").readlines()


def without_comments(texts: Iterable[str], mark: str, delimiter: str, skip: int) -> Iterator[str]:
    """Yield the text without comments, from `mark` outside quotes to the end of the line; lines may become empty.

    As for the parser, a quote opens only at the start of a cell. The first `skip` lines are unchanged.
    """
    quoted, outside = False, re.compile(f"[^{re.escape(mark + delimiter)}]*")
    for lines in line_lists(texts):
        stripped, skip = lines[:skip], skip - min(skip, len(lines))
        for line in lines[len(stripped) :]:
            text, quoted = _uncommented(line, mark, outside, quoted=quoted)
            stripped.append(text)
        yield "".join(stripped)


def _uncommented(line: str, mark: str, outside: re.Pattern[str], *, quoted: bool) -> tuple[str, bool]:
    """Return a line without its comment, and whether it ends within quotes; `quoted`: it begins within quotes."""
    if not quoted and mark not in line and '"' not in line:
        return line, False
    at, end = 0, len(line)
    while True:
        if quoted or line.startswith('"', at):
            closed = _QUOTED.match(line, at + (not quoted))  # after the opening quote
            if closed is None:
                return line, True
            at, quoted = closed.end(), False
        at = outside.match(line, at).end()  # type: ignore[union-attr]  # it also matches the empty string
        if at == end:
            return line, False
        if line.startswith(mark, at):
            return line[:at] + line[len(line.rstrip("\r\n")) :], False
        at += 1


class PieceStream(io.RawIOBase):
    """A readable file over an iterator of bytes, which passes pieces on without copying if possible.

    A read returns at least about half of the requested bytes, until the end. A parser may read ahead in a thread, even
    after it failed: once closed, the stream is at its end. A read never ends between CR and LF, as Arrow's CSV parser
    drops an LF at the start of a block, even within quotes.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""
        self._lock = threading.Lock()

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, at most `size`; empty at the end."""
        with self._lock:
            parts: list[bytes] = []
            count = 0
            while (size < 0 or count * 2 < size) and self._fill():
                part = self._rest if size < 0 else self._rest[: size - count]
                self._rest = self._rest[len(part) :]
                parts.append(part)
                count += len(part)
            joined = parts[0] if len(parts) == 1 else b"".join(parts)
            if size > 1 and len(joined) > 1 and joined.endswith(b"\r"):
                self._rest = b"\r" + self._rest
                joined = joined[:-1]
            return joined

    def _fill(self) -> bool:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self._rest = piece
        return True

    def close(self) -> None:
        """Wait for a read in progress; later ones return nothing."""
        with self._lock:
            self._pieces = iter(())
            self._rest = b""


@contextmanager
def packed(output: Sink, packing: str) -> Iterator[Sink]:
    """Open a sink that compresses into `output`; its bytes do not depend on how the content is split into writes."""
    if packing == "none":
        yield output
        return
    pieces = _Pieces(output, *(_gzip() if packing == "gzip" else _zstd()))
    yield pieces
    pieces.finish()


def _gzip() -> tuple[Callable[[bytes], bytes], Callable[[], bytes]]:
    """Return functions that compress a piece and end the file: one gzip member without name and time."""
    member = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return member.compress, member.flush


def _zstd() -> tuple[Callable[[bytes], bytes], Callable[[], bytes]]:
    """Return functions that compress a piece as a frame of its own and end the file, which adds nothing."""
    codec = pa.Codec("zstd")
    return lambda piece: codec.compress(piece, asbytes=True), lambda: b""


class _Pieces:
    """Compresses in pieces of a fixed size, so that the bytes do not depend on how the content is written.

    Nothing is written on garbage collection: by then the descriptor may be that of another file.
    """

    def __init__(self, output: Sink, pack: Callable[[bytes], bytes], end: Callable[[], bytes]) -> None:
        self._output = output
        self._pack = pack
        self._end = end
        self._waiting = bytearray()

    def write(self, data: ReadableBuffer) -> None:
        self._waiting += data
        full = len(self._waiting) // PIECE * PIECE
        for start in range(0, full, PIECE):
            self._output.write(self._pack(bytes(self._waiting[start : start + PIECE])))
        del self._waiting[:full]

    def finish(self) -> None:
        """Compress the rest, and end the file."""
        self._output.write(self._pack(bytes(self._waiting)))
        self._output.write(self._end())
