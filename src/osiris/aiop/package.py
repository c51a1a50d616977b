"""A run's package: built from its session within its size limit, written into it, and listed in an index."""

from __future__ import annotations

import gzip
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.aiop.card import card_of
from osiris.aiop.sections import Options, frame_of, sections_of, sizes
from osiris.aiop.size_budget import Filler, Section, compact, place, size_of
from osiris.durable import append_line, lead, make_folder, remove, write_file
from osiris.errors import Diagnostic, diagnostic
from osiris.history.row_counts import total
from osiris.session.finding import iter_sessions, order_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from osiris.aiop.sections import FindSpec
    from osiris.history.reading import Reading
    from osiris.model import JsonValue
    from osiris.project import Project

    Record = dict[str, JsonValue]
    Document = dict[str, JsonValue]


FOLDER = "aiop"
RECORD = "index/run.json"
CATALOGUE = "index/runs.jsonl"
LATEST, NEWEST = "latest.json", "latest_aiop.json"
"""The link in each package's folder, and the one in .osiris/ that it points to: all of them point to the newest."""

_STORY = ("narrative.sentences", "delta.changes", "evidence.errors", "evidence.row_errors")
"""The lists of which the answer has the beginning. The others are details, which the session's files have too."""

_NUMBERS = 12
"""Bytes reserved for the digits of each number that is only known once the document is filled."""


def record_of(reading: Reading, answer: Record, size: int) -> Record:
    """Return the index record of a run: what it was, how it ended, and the runs before it."""
    run, failure = answer["run"], answer["failure"]
    keys = ("session", "pipeline", "plan", "adapter", "started_at", "ended_at", "duration_ms", "run_key", "continues")
    return {
        **{key: run[key] for key in keys},
        "status": answer["verdict"]["status"],
        "kind": answer["verdict"]["kind"],
        "step": failure["step"] if failure else None,
        "code": failure["code"] if failure else None,
        "errors": len(reading.errors),
        "rows_in": total(reading.row_counts, "read", "taken"),
        "rows_out": total(reading.row_counts, "write", "given"),
        "previous": reading.previous["session"] if reading.previous else None,
        "base": reading.base_id,
        "package": f"{reading.path}/{FOLDER}/{package_name(reading.run.id)}",
        "bytes": size,
    }


def package_name(session: str) -> str:
    """Return the file name of a session's package."""
    return f"{session}_aiop.json"


def package_path(folder: Path) -> Path:
    """Return the path of a session's package; it is written last, so that it implies all other files."""
    return folder / FOLDER / package_name(folder.name)


def card_name(session: str) -> str:
    """Return the file name of a session's run card."""
    return f"{session}_runcard.md"


def add_record(project: Project, record: Record) -> None:
    """Append a record to the catalog in one write: readers never see part of it."""
    make_folder(project.catalogue.parent, private=True)
    append_line(project.catalogue, _line(record))


def load_catalogue(project: Project) -> list[Record]:
    """Return the records of all existing packages, newest first; an incomplete catalog is rebuilt."""
    records = _records(project.catalogue.read_bytes().splitlines() if project.catalogue.is_file() else [])
    there = {path.parent.parent.parent.name: path for path in project.logs.glob(f"*/{FOLDER}/{RECORD}")}
    if records.keys() != there.keys():
        records = _records(path.read_bytes() for path in there.values())
        make_folder(project.catalogue.parent, private=True)
        content = b"".join(_line(records[name]) for name in sorted(records, key=order_of))
        write_file(project.catalogue, content, private=True)
    return [records[name] for name in sorted(records, key=order_of, reverse=True)]


def compared_records(project: Project, record: Record) -> bytes:
    """Return the catalog records behind a delta: this run, its base and its predecessor.

    One line each, if they have a record.
    """
    others = dict.fromkeys(str(record[key]) for key in ("base", "previous") if record[key])
    paths = (project.logs / name / FOLDER / RECORD for name in others)
    earlier = _records(path.read_bytes() for path in paths if path.is_file())
    return b"".join(map(_line, (record, *earlier.values())))


def lead_to_newest(project: Project) -> None:
    """Point the link in .osiris/ at the newest existing package; without one, remove the link."""
    names = (str(each["session"]) for each in iter_sessions(project))
    newest = next((name for name in names if package_path(project.logs / name).is_file()), None)
    if newest is None:
        remove(project.state / NEWEST)
    else:
        make_folder(project.state, private=True)
        lead(project.state / NEWEST, package_path(project.logs / newest))


def _line(record: Record) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _records(texts: Iterable[bytes]) -> dict[str, Record]:
    """Return the readable records, by session."""
    records = {}
    for text in texts:
        with suppress(ValueError):
            record = json.loads(text)
            if isinstance(record, dict) and "session" in record:
                records[str(record["session"])] = record
    return records


@dataclass(frozen=True, slots=True)
class Package:
    """One package: the document and its bytes, the run card, the index record, and the files of the annex.

    `diagnostics` report omitted items (AIO002) and a limit too small for the answer (AIO004); `losses` are those that
    matter to readers of the answer.
    """

    session: str
    document: Mapping[str, JsonValue]
    content: bytes
    card: str
    record: Mapping[str, JsonValue]
    annex: Mapping[str, bytes]
    diagnostics: tuple[Diagnostic, ...]
    losses: tuple[Diagnostic, ...]


def build_package(reading: Reading, options: Options, find_spec: FindSpec) -> Package:
    """Return the package of a run; the same session and options give the same bytes."""
    annex = _annex(reading, options) if options.annex else {}
    files = [
        {"path": f"{reading.path}/{FOLDER}/annex/{name}", "count": _lines_in(name, content), "bytes": len(content)}
        for name, content in annex.items()
    ]
    document = frame_of(reading, files)
    sections = sections_of(reading, options, find_spec, document["answer"])
    cuts = _fit(document, sections, options.max_bytes)
    total, content = 0, b""
    while len(content) != total or not content:
        total = len(content)
        document["metadata"]["size"] = sizes(document["answer"], options.max_bytes, cuts, total)
        content = _render(document)
    diagnostics = tuple(_diagnostics(reading, options, cuts, len(content)))
    is_story_cut = any(cut["section"] in _STORY for cut in cuts)
    return Package(
        session=reading.run.id,
        document=document,
        content=content,
        card=card_of(reading, document["answer"], document["narrative"]["intent"]),
        record=record_of(reading, document["answer"], len(content)),
        annex=annex,
        diagnostics=diagnostics,
        losses=tuple(item for item in diagnostics if is_story_cut or item.code != "AIO002"),
    )


def write_package(project: Project, package: Package, *, card: bool = True, catalogue: bool = True) -> None:
    """Write a package into its session, each file atomically; fails with PRJ006."""
    folder = project.logs / package.session / FOLDER
    record = json.dumps(package.record, ensure_ascii=False, indent=2) + "\n"
    files = {f"annex/{name}": content for name, content in package.annex.items()}
    if card:
        files[card_name(package.session)] = package.card.encode()
    files[RECORD] = record.encode("utf-8", "backslashreplace")
    files[CATALOGUE] = compared_records(project, dict(package.record))
    files[package_name(package.session)] = package.content
    _write_all(folder, files)
    lead(folder / LATEST, project.state / NEWEST)
    lead_to_newest(project)
    if catalogue:
        add_record(project, dict(package.record))


def write_annex(folder: Path, package: Package) -> None:
    """Write only the files of the annex; fails with PRJ006."""
    _write_all(folder / FOLDER / "annex", package.annex)


def _write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        make_folder(path.parent, private=True)
        write_file(path, content, private=True)


def _fit(document: Document, sections: list[Section], limit: int) -> list[JsonValue]:
    """Fill the document, and return what was omitted."""
    # Whatever is cut, there is room for the largest `metadata.size` that there may be.
    worst = [{"section": section.name, "kept": _NUMBERS, "left_out": section.total} for section in sections]
    cuts: list[JsonValue] = []
    for expected in ([], worst):
        for section in sections:
            section.taken.clear()
        size = sizes(document["answer"], limit, expected, 10**_NUMBERS)
        filler = Filler(sections, limit - len(_render(document)) - size_of(size))
        filler.pin(document["answer"])
        filler.fill()
        cuts = [cut for section in sections if (cut := section.cut())]
        if not cuts:
            break
    for section in sections:
        place(document, section)
    return cuts


def _render(document: Document) -> bytes:
    """Return the document's bytes: one member per line, in reading order."""
    members = (f"{json.dumps(key)}:{compact(value)}" for key, value in document.items())
    return ("{\n" + ",\n".join(members) + "\n}\n").encode("utf-8", "backslashreplace")


def _annex(reading: Reading, options: Options) -> dict[str, bytes]:
    """Return every event, metric and diagnostic of the session, one per line."""
    lists: dict[str, list[Mapping[str, JsonValue]]] = {
        "timeline.ndjson": list(reading.run.events),
        "metrics.ndjson": list(reading.run.metrics),
        "errors.ndjson": [item.to_json() for item in reading.run.diagnostics],
    }
    plain = {
        name: "".join(f"{compact(line)}\n" for line in lines).encode("utf-8", "backslashreplace")
        for name, lines in lists.items()
    }
    return {f"{name}.gz": gzip.compress(each, mtime=0) for name, each in plain.items()} if options.compress else plain


def _lines_in(name: str, content: bytes) -> int:
    return (gzip.decompress(content) if name.endswith(".gz") else content).count(b"\n")


def _diagnostics(reading: Reading, options: Options, cuts: list[JsonValue], size: int) -> list[Diagnostic]:
    diagnostics = []
    if cuts:
        count = sum(cut["left_out"] for cut in cuts)
        names = ", ".join(cut["section"] for cut in cuts)
        diagnostics.append(
            diagnostic("AIO002", session=reading.run.id, count=count, limit=options.max_bytes, names=names)
        )
    if size > options.max_bytes:
        diagnostics.append(diagnostic("AIO004", session=reading.run.id, size=size, limit=options.max_bytes))
    return diagnostics
