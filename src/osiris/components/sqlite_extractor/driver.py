"""Reads a table or a view of a SQLite database, in one read-only snapshot, each value checked against its type."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from osiris.families.sql.database import ReaderConfig
from osiris.families.sql.extractor import Extractor
from osiris.families.sqlite.database import SQLITE

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Config(ReaderConfig):
    """The config of a step; its keys and defaults are described in spec.yaml."""

    table: str
    dtype: Mapping[str, str] = field(default_factory=dict)


class Driver(Extractor[Config]):
    """An extractor of SQLite databases."""

    database = SQLITE
