"""Evaluation sets on disk: worlds (a schema with data) and cases (what somebody says, and what must come of it).

A set is a folder with `cases.jsonl` and `worlds/<name>/` (`world.json`, `schema.sql`, `data/<table>.csv`); its README
tells the form of both.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from osiris.model import JsonValue

HELD_OUT = Path(__file__).parent / "held_out"
"""The set that is published: written by somebody who had not seen the code, and not seen by those who wrote it."""

Expected = Literal["pipeline", "question", "refusal"]


@dataclass(frozen=True, slots=True)
class World:
    """A schema with data: files of a project, or the tables of one SQLite or DuckDB database.

    `connection` is the alias of that database, None for files; `targets` the aliases of empty databases by kind.
    """

    folder: Path
    kind: Literal["files", "sqlite", "duckdb"]
    connection: str | None
    targets: Mapping[str, str]

    @property
    def schema(self) -> str:
        """The statements that create its tables."""
        return (self.folder / "schema.sql").read_text(encoding="utf-8")

    @property
    def tables(self) -> dict[str, Path]:
        """The CSV file of each table."""
        return {path.stem: path for path in sorted((self.folder / "data").glob("*.csv"))}


@dataclass(frozen=True, slots=True)
class Case:
    """A request; `answer` is the reply to the first question, `gold` the pipeline that must come of it."""

    id: str
    world: str
    request: str
    expect: Expected
    answer: str | None
    gold: Mapping[str, JsonValue] | None


def load_worlds(folder: Path) -> dict[str, World]:
    """Return the worlds of a set; raises `LookupError` if there are none."""
    found = {path.parent.name: _world(path) for path in sorted(folder.glob("worlds/*/world.json"))}
    if not found:
        _fail_none(folder)
    return found


def load_cases(folder: Path) -> list[Case]:
    """Return the cases of a set in order; raises `LookupError` if there are none."""
    try:
        return list(_cases(folder / "cases.jsonl"))
    except (OSError, ValueError, KeyError):
        _fail_none(folder)


def _fail_none(folder: Path) -> NoReturn:
    raise LookupError(f"{folder} has no set of requests: cases.jsonl and worlds/")


def _world(path: Path) -> World:
    data = json.loads(path.read_text(encoding="utf-8"))
    return World(path.parent, data["kind"], data.get("connection"), data.get("targets") or {})


def _cases(path: Path) -> Iterator[Case]:
    for line in path.read_text(encoding="utf-8").splitlines():
        data = json.loads(line)
        names = ("id", "world", "request", "expect", "answer", "gold")
        yield Case(*(data[name] for name in names))
