"""Which packages there are: a record in each session, and a catalogue of the project that is made of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from osiris.durable import append_line, lead, make_folder, remove, write_file
from osiris.history.ledger import total
from osiris.session import iter_sessions, order_of

if TYPE_CHECKING:
    from pathlib import Path

    from osiris.history.reading import Reading
    from osiris.model import JsonValue
    from osiris.project import Project

    Record = dict[str, JsonValue]

FOLDER = "aiop"
RECORD = "index/run.json"
CATALOGUE = "index/runs.jsonl"
LATEST, NEWEST = "latest.json", "latest_aiop.json"
"""The link in each package's folder, and the one in .osiris/ that it leads to: so all of them lead to the newest."""


def record_of(reading: Reading, answer: Record, size: int) -> Record:
    """Return the record of a run in the index: what it was, how it ended, and the runs before it."""
    run, failure = answer["run"], answer["failure"]
    keys = ("session", "pipeline", "plan", "adapter", "started_at", "ended_at", "duration_ms", "run_key", "continues")
    return {
        **{key: run[key] for key in keys},
        "status": answer["verdict"]["status"],
        "kind": answer["verdict"]["kind"],
        "step": failure["step"] if failure else None,
        "code": failure["code"] if failure else None,
        "errors": len(reading.errors),
        "rows_in": total(reading.ledger, "read", "taken"),
        "rows_out": total(reading.ledger, "write", "given"),
        "previous": reading.previous["session"] if reading.previous else None,
        "base": reading.base_id,
        "package": f"{reading.path}/{FOLDER}/{package_name(reading.run.id)}",
        "bytes": size,
    }


def package_name(session: str) -> str:
    """Return the file name of a session's package."""
    return f"{session}_aiop.json"


def package_path(folder: Path) -> Path:
    """Return where the package of a session's folder is; it is written last, so that it stands for all the files."""
    return folder / FOLDER / package_name(folder.name)


def card_name(session: str) -> str:
    """Return the file name of a session's run card."""
    return f"{session}_runcard.md"


def add_record(project: Project, record: Record) -> None:
    """Add a record to the catalogue, in one write: readers never see a part of it."""
    make_folder(project.catalogue.parent, private=True)
    append_line(project.catalogue, _line(record))


def load_catalogue(project: Project) -> list[Record]:
    """Return the records of all packages that are there, the newest first; a catalogue that lacks some is made anew."""
    known = {str(record["session"]): record for record in _lines(project.catalogue)}
    there = {path.parent.parent.parent.name: path for path in project.logs.glob(f"*/{FOLDER}/{RECORD}")}
    if known.keys() != there.keys():
        found = (_record(path) for path in there.values())
        known = {str(record["session"]): record for record in found if record}
        make_folder(project.catalogue.parent, private=True)
        content = b"".join(_line(known[name]) for name in sorted(known, key=order_of))
        write_file(project.catalogue, content, private=True)
    return [known[name] for name in sorted(known, key=order_of, reverse=True)]


def compared_records(project: Project, record: Record) -> bytes:
    """Return the catalogue of the runs that a delta was made from: this one, its base and its predecessor.

    A line each, as far as they have a record.
    """
    others = dict.fromkeys(str(record[key]) for key in ("base", "previous") if record[key])
    paths = (project.logs / name / FOLDER / RECORD for name in others)
    return b"".join(map(_line, [record, *(told for path in paths if path.is_file() and (told := _record(path)))]))


def lead_to_newest(project: Project) -> None:
    """Let the link in .osiris/ lead to the newest package that is there; without any there is no link."""
    names = (str(each["session"]) for each in iter_sessions(project))
    newest = next((name for name in names if package_path(project.logs / name).is_file()), None)
    if newest is None:
        remove(project.state / NEWEST)
    else:
        make_folder(project.state, private=True)
        lead(project.state / NEWEST, package_path(project.logs / newest))


def _line(record: Record) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _lines(path: Path) -> list[Record]:
    content = path.read_bytes() if path.is_file() else b""
    return [record for line in content.splitlines() if (record := _parsed(line))]


def _record(path: Path) -> Record | None:
    return _parsed(path.read_bytes())


def _parsed(line: bytes) -> Record | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "session" in found else None
