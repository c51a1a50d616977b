"""How SQL databases are discovered: what their catalogue tells, and columns as a step that reads them has them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Generic

from osiris.families.discovery_base import content_of, sampled
from osiris.families.sql.database_file import ClientT, check_file, database_path, label

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    import pyarrow as pa

    from osiris.driver import Discoverer, Sampled, SeenTable, StepContext
    from osiris.families.sql.database_file import FileDatabase, FileSession
    from osiris.model import JsonValue, Schema


class FileDiscoverer(ABC, Generic[ClientT]):
    """One database file, in one state of it."""

    def __init__(self, database: FileDatabase[ClientT], session: FileSession[ClientT], content: str) -> None:
        self.database, self.session = database, session
        self.label, self.product = session.label, database.product(session)
        self.identity: Mapping[str, JsonValue] = {"file": str(session.path)}
        self.files = tuple(map(str, database.files(session.path)))
        self._content = content

    def fingerprint(self) -> str:
        """Return a digest of what the file is by size, time, node, head and tail, and of what waits beside it."""
        return self._content

    @abstractmethod
    def schemas(self) -> Mapping[str, int | None]:
        """Return the schemas of the file, and how many tables each has."""

    @abstractmethod
    def tables(self, schema: str) -> Sequence[SeenTable]:
        """Return the tables and views of a schema."""

    def detailed(self, table: SeenTable) -> SeenTable:
        """Return a table with its columns and keys; fails with DRV013."""
        with self.database.translated(self.session.ctx, self.session.path):
            return self.details(table)

    @abstractmethod
    def details(self, table: SeenTable) -> SeenTable:
        """Return a table with its columns and keys."""

    @abstractmethod
    def sample(self, table: SeenTable, columns: Sequence[str], most: int) -> Sampled:
        """Return some rows of a table."""


@contextmanager
def discovering_file(
    ctx: StepContext, database: FileDatabase[ClientT], discoverer: type[FileDiscoverer[ClientT]]
) -> Iterator[Discoverer]:
    """Open the file of a connection; fails with DRV001 to DRV011."""
    path = database_path(ctx)
    shown = label(ctx, path)
    check_file(path, shown)
    content = content_of(database.files(path), shown)
    with database.opened(ctx, path) as session:
        yield discoverer(database, session, content)


def both_ends(plain: str, order: Sequence[str], most: int) -> tuple[list[str], str]:
    """Return the SELECTs of the first and of the last rows in an order, and how such a sample is described."""
    ways = (", ".join(name + way for name in order) for way in ("", " DESC"))
    return [f"{plain} ORDER BY {way} LIMIT {most // 2}" for way in ways], "the first and the last rows"


def sampled_of(
    schema: Schema, texts: Sequence[str], read: Callable[[str], Iterator[pa.RecordBatch]], most: int, method: str
) -> Sampled:
    """Return the rows of some SELECTs as a sample; only what a single one gives can be the whole table."""

    def batches() -> Generator[pa.RecordBatch, None, None]:
        for text in texts:
            yield from read(text)

    found = sampled(schema, batches(), most, method)
    return replace(found, whole=found.whole and len(texts) == 1)
