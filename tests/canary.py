"""Canaries: secrets that occur nowhere else, and the search for them in everything that a command leaves.

    canaries = Canaries({"password": "…"})
    seen = watch([OSIRIS, "run", "x.yaml"], cwd=folder, env={…})
    hits = canaries.hits(seen.parts(), files(folder))

The search does not use our scrubber: a canary is found by any 12 consecutive characters, in each encoding of
`SPELLINGS`, also inside compressed data, base64 and Parquet.
"""

from __future__ import annotations

import base64
import codecs
import html
import io
import json
import re
import subprocess
import threading
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, quote_plus

from tests.patience import SOON

WINDOW = 12
DEEPEST = 4
"""Maximum nesting depth of unpacking."""


def _lower_escapes(text):
    return re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), quote(text, safe=""))


def _base64(text, at):
    """Return the base64 encoding of the text at each alignment: after 3 n + `at` bytes."""
    data = text.encode()
    coded = base64.b64encode(b"\0" * at + data)
    return coded[-(-at * 8 // 6) : (at + len(data)) * 8 // 6]


SPELLINGS = {
    "as it is": str.encode,
    "reversed": lambda text: text[::-1].encode(),
    "UTF-16": lambda text: text.encode("utf-16-le"),
    "UTF-16, big end first": lambda text: text.encode("utf-16-be"),
    "Latin-1": lambda text: text.encode("latin-1", "backslashreplace"),
    "URL": lambda text: quote(text, safe="").encode(),
    "URL path": lambda text: quote(text).encode(),
    "URL form": lambda text: quote_plus(text).encode(),
    "URL in lower case": lambda text: _lower_escapes(text).encode(),
    "URL twice": lambda text: quote(quote(text, safe=""), safe="").encode(),
    "JSON": lambda text: json.dumps(text)[1:-1].encode(),
    "JSON in UTF-8": lambda text: json.dumps(text, ensure_ascii=False)[1:-1].encode(),
    "JSON twice": lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1].encode(),
    "HTML": lambda text: html.escape(text).encode(),
    "HTML with numbers": lambda text: html.escape(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;").encode(),
    "repr": lambda text: repr(text)[1:-1].encode(),
    "ascii": lambda text: ascii(text)[1:-1].encode(),
    "repr of bytes": lambda text: repr(text.encode())[2:-1].encode(),
    "SQL": lambda text: text.replace("'", "''").encode(),
    "CSV": lambda text: text.replace('"', '""').encode(),
    "backslashes": lambda text: text.replace("\\", "\\\\").replace("'", "\\'").encode(),
    "hex": lambda text: text.encode().hex().encode(),
    "hex in upper case": lambda text: text.encode().hex().upper().encode(),
    **{f"base64 at {at}": lambda text, at=at: _base64(text, at) for at in range(3)},
    **{
        f"base64 for URLs at {at}": lambda text, at=at: _base64(text, at).translate(bytes.maketrans(b"+/", b"-_"))
        for at in range(3)
    },
}


@dataclass(frozen=True)
class Hit:
    """A canary that was found: where, which one, and in which encoding."""

    where: str
    slot: str
    spelling: str


class Canaries:
    """The search for secrets, each with the name of the slot that it was put into."""

    def __init__(self, values):
        self._needles = {}
        self._clean = set()
        for slot, value in values.items():
            for at in range(max(1, len(value) - WINDOW + 1)):
                for spelling, spell in SPELLINGS.items():
                    self._needles.setdefault(spell(value[at : at + WINDOW]), (slot, spelling))

    def hits(self, *parts):
        """Return all hits in parts, each an iterable of (where, bytes)."""
        found = []
        for where, data in (pair for part in parts for pair in part):
            found += [Hit(where, slot, spelling) for slot, spelling in sorted(self._in(where.encode() + b"\n" + data))]
            found += [
                Hit(f"{where} {how}", slot, spelling)
                for how, inner in unpacked(data)
                for slot, spelling in sorted(self._in(inner))
            ]
        return found

    def _in(self, data):
        """Return the hits in some bytes; remembers the digests of clean ones, so that they are searched once."""
        key = hash(data)
        if key in self._clean:
            return set()
        found = {name for needle, name in self._needles.items() if needle in data}
        if not found:
            self._clean.add(key)
        return found


_PACKED = re.compile(rb"(?:H4sI|UEsD|eJ|eN|eA|UEFS)[A-Za-z0-9+/]{20,}={0,2}")
"""Base64 of what begins as gzip, zip, zlib and Parquet do."""


def unpacked(data, deep=DEEPEST):
    """Yield (how, bytes) of everything that is packed in some bytes, recursively."""
    if deep:
        for how, inner in (*_opened(data), *(("base64", _decoded(run[0])) for run in _PACKED.finditer(data))):
            yield how, inner
            yield from ((f"{how} {further}", rest) for further, rest in unpacked(inner, deep - 1))


def _decoded(text):
    return base64.b64decode(text[: len(text) // 4 * 4])


def _opened(data):
    """Return the contents of an archive as (how, bytes); data that only begins like an archive has none."""
    for begins, how, open_ in _ARCHIVES:
        if data.startswith(begins):
            try:
                return [(f"{how}{name}", inner) for name, inner in open_(data)]
            except _DAMAGED:
                return []
    return []


def _deflated(data):
    yield "", zlib.decompressobj(47).decompress(data)


def _zipped(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        yield from ((f" {name}", archive.read(name)) for name in archive.namelist())


def _cells(data):
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(data))
    yield "", repr((table.schema, table.to_pylist())).encode()


_ARCHIVES = (
    (b"\x1f\x8b", "gzip", _deflated),
    ((b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"), "zlib", _deflated),
    (b"PK\x03\x04", "zip", _zipped),
    (b"PAR1", "Parquet", _cells),
)
_DAMAGED = (zlib.error, zipfile.BadZipFile, OSError, ValueError)


def files(*folders, but=()):
    """Yield (path, bytes) of all files below folders; `but` are names of files that are meant to have the secrets."""
    for folder in folders:
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file() and not path.is_symlink() and path.name not in but:
                yield str(path.relative_to(folder)), path.read_bytes()


TRACED = (
    "-f",
    "-y",
    "-qq",
    "-s",
    "100000000",
    "-e",
    "trace=write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,dup2",
)
"""Options with which strace shows everything that processes write, uncut, with the name of the file."""
_WRITE = re.compile(rb"\d+ +(?:p?write|send)\w*\(\d+<(.*?)>, ")
_STRING = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_STDIN = re.compile(rb"\d+ +dup2\(\d+<(pipe:\[\d+\])>, 0<")


def written(trace):
    """Yield (where, bytes) of all writes in a trace, including files that no longer exist."""
    for line in trace.splitlines():
        if found := _WRITE.match(line):
            texts = b"".join(_STRING.findall(line, found.end()))
            yield found[1].decode(), codecs.escape_decode(texts)[0]


def stdins(trace):
    """Return the pipes that became the standard input of a process."""
    return {found[1].decode() for found in map(_STDIN.match, trace.splitlines()) if found}


@dataclass
class Seen:
    """What was observed of a command: its exit code, its output, and the processes that it started."""

    code: int
    out: bytes
    err: bytes
    processes: set = field(default_factory=set)

    def parts(self):
        """Return everything as (where, bytes)."""
        yield from (("stdout", self.out), ("stderr", self.err))
        for command, environment in sorted(self.processes):
            yield from (("argv", command), ("environ", environment))


def watch(command, *, cwd, env, say=b"", answers=0, ends=None):
    """Run a command and observe the processes that it starts.

    `say` is written to its stdin, which is closed after the given number of answer lines. `ends(process)` is called
    repeatedly until it returns true, and may end the process.
    """
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen([*map(str, command)], cwd=cwd, env=env, **pipes)
    seen, done = Seen(0, b"", b""), threading.Event()
    watcher = threading.Thread(target=_look, args=(process, seen.processes, done, ends))
    watcher.start()
    try:
        first = b""
        if say:
            process.stdin.write(say)
            process.stdin.flush()
            first = b"".join(process.stdout.readline() for _ in range(answers))
        out, seen.err = process.communicate(timeout=SOON)
        seen.out, seen.code = first + out, process.returncode
    finally:
        process.kill()
        done.set()
        watcher.join()
    return seen


def _look(process, found, done, ends):
    while not done.wait(0.02):
        for pid in below(process.pid):
            found |= _told_of(pid)
        if ends is not None and ends(process):
            ends = None


def _told_of(pid):
    """Return the command line and environment of a process.

    Two kinds of processes inherit the environment of their starter: a server for agents, which resolves what it is
    asked about, and a forked process before its exec.
    """
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        same = command == Path(f"/proc/{_parent(pid)}/cmdline").read_bytes()
    except (OSError, IndexError):
        return set()
    return {(command, b"" if same or b"osiris.mcp.call" in command else environment)}


def _parent(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]


def below(pid):
    try:
        texts = [(task / "children").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []
    return [each for text in texts for child in text.split() for each in (int(child), *below(child))]
