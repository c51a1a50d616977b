"""Discovery of SQL databases: what their catalogue contains, and the columns as a step that reads them gets them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Generic

from osiris.driver import SeenColumn, SeenKey, SeenTable
from osiris.families.discovery_base import content_of, fields_or_problems, sampled
from osiris.families.sql.database import ReaderConfig, SessionT
from osiris.families.sql.database_file import ClientT, FileSession, check_file, database_path, label

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from osiris.driver import Discoverer, Sampled, StepContext
    from osiris.families.discovery_base import FieldCheck
    from osiris.families.sql.database import CatalogueRelation, Database
    from osiris.families.sql.database_file import FileDatabase
    from osiris.model import JsonValue, Schema


class DatabaseDiscoverer(ABC, Generic[SessionT]):
    """An open database in one snapshot; `own_schema` is the default schema of unqualified names."""

    product: str
    identity: Mapping[str, JsonValue]

    def __init__(self, database: Database[Any], session: SessionT, own_schema: str, component: str) -> None:
        self.database, self.session = database, session
        self.label = session.label
        self.own_schema, self.component = own_schema, component
        self._relations: dict[str, Mapping[str, CatalogueRelation]] = {}

    @abstractmethod
    def at(self, schema: str) -> SessionT:
        """Return the session with another schema of the same database."""

    @contextmanager
    def error_scope(self) -> Iterator[None]:
        """Translate errors in the block, and keep the session usable after them."""
        yield

    def fields(self, session: SessionT, relation: CatalogueRelation, names: Sequence[str]) -> Mapping[str, FieldCheck]:
        """Return by name the field that a step gets for each column, or the problem."""
        return fields_or_problems(names, lambda some: self.carried(session, relation, some))

    def carried(self, _session: SessionT, _relation: CatalogueRelation, _names: Sequence[str]) -> Schema:
        """Return columns as a step gets them; fails with DAT006."""
        return ()

    @abstractmethod
    def keys(self, session: SessionT, relation: CatalogueRelation) -> Mapping[str, Any]:
        """Return the keys of a table, by the fields of `SeenTable`; see `keys_of`."""

    @abstractmethod
    def tables(self, schema: str) -> Sequence[SeenTable]:
        """Return the tables and views of a schema, without columns."""

    def keyed(self, schema: str) -> Sequence[SeenTable]:
        """Return the tables of a schema with their keys; of unique keys only those whose columns cannot be NULL."""
        return [self._with_keys(table) if table.readable else table for table in self.tables(schema)]

    def _with_keys(self, table: SeenTable) -> SeenTable:
        with self.error_scope():
            session, relation = self.place(table)
            keys = self.keys(session, relation)
            nullable = {column.name for column in self.database.columns(session, relation) if column.nullable}
            unique = tuple(names for names in keys["unique"] if nullable.isdisjoint(names))
            return replace(table, primary_key=keys["primary_key"], unique=unique)

    def completed(self, table: SeenTable, _session: SessionT, _relation: CatalogueRelation) -> SeenTable:
        """Return a table, completed with what follows from its columns and keys."""
        return table

    def relations(self, schema: str) -> Mapping[str, CatalogueRelation]:
        """Return the tables and views of a schema; the catalogue is queried once."""
        if schema not in self._relations:
            self._relations[schema] = self.database.relations(self.at(schema))
        return self._relations[schema]

    def shown(self, schema: str, table: str) -> str:
        """Return a table's name for display."""
        return table if schema == self.own_schema else f"{schema}.{table}"

    def seen(self, schema: str, relation: CatalogueRelation, **about: Any) -> SeenTable:  # noqa: ANN401  its fields
        """Return a table without columns."""
        config = {"table": relation.name, **({} if schema == self.own_schema else {"schema": schema})}
        return SeenTable(self.shown(schema, relation.name), self.component, config, **about)

    def place(self, table: SeenTable) -> tuple[SessionT, CatalogueRelation]:
        """Return the session for a table's schema, and the table in the catalogue."""
        schema = str(table.config.get("schema", self.own_schema))
        return self.at(schema), self.relations(schema)[str(table.config["table"])]

    def detailed(self, table: SeenTable) -> SeenTable:
        """Return a table with its keys and the columns that the user may read; fails with DRV013 or DRV020."""
        with self.error_scope():
            return self.details(table)

    def details(self, table: SeenTable) -> SeenTable:
        """Return a table with its columns and keys."""
        session, relation = self.place(table)
        all_columns = self.database.columns(session, relation)
        readable = {column.name: column for column in all_columns if column.readable}
        fields = self.fields(session, relation, list(readable))
        columns = tuple(
            SeenColumn(name, c.declared, *fields[name].typed(c.nullable), c.default, c.comment, fields[name].problem)
            for name, c in readable.items()
        )
        detailed = replace(
            table,
            columns=columns,
            closed=tuple(column.name for column in all_columns if not column.readable),
            config=table.config if len(readable) == len(all_columns) else {**table.config, "columns": list(readable)},
            **self.keys(session, relation),
        )
        return self.completed(detailed, session, relation)


class FileDiscoverer(DatabaseDiscoverer[FileSession[ClientT]], Generic[ClientT]):
    """One database file in one snapshot."""

    def __init__(self, database: FileDatabase[ClientT], session: FileSession[ClientT], content: str) -> None:
        super().__init__(database, session, database.own_schema, f"{database.name}.extractor")
        self.product = database.product(session)
        self.identity = {"file": str(session.path)}
        self.files = tuple(map(str, database.files(session.path)))
        self._content, self._translated = content, database.translate_errors

    def schemas(self) -> Mapping[str, int | None]:
        """Return the only schema, with the number of its tables."""
        return {self.own_schema: len(self.relations(self.own_schema))}

    def tables(self, schema: str) -> Sequence[SeenTable]:
        """Return the tables and views."""
        relations = sorted(self.relations(schema).items())
        return [self.seen(schema, table, kind=table.kind, files=self.files) for _, table in relations]

    def carried(self, session: FileSession[ClientT], relation: CatalogueRelation, names: Sequence[str]) -> Schema:
        """Return columns as a step gets them; fails with DAT006."""
        return self.database.select(session, ReaderConfig(relation.name, names), session.ctx).schema

    def sample(self, table: SeenTable, columns: Sequence[str], most: int) -> Sampled:
        """Return the first rows."""
        session, relation = self.place(table)
        config = ReaderConfig(relation.name, columns, most + 1)
        source = self.database.select(session, config, session.ctx)
        rows = self.database.batches(session, source, config, session.ctx)
        return sampled(source.schema, rows, most, "the first rows")

    def fingerprint(self) -> str:
        """Return a digest of size, modification time, inode, first and last bytes of the file and of its log."""
        return self._content

    def at(self, schema: str) -> FileSession[ClientT]:
        """Return the session with another schema of the file."""
        return replace(self.session, schema=schema)

    @contextmanager
    def error_scope(self) -> Iterator[None]:
        """Translate errors in the block to DRV013."""
        with self._translated(self.session.ctx, self.session.path):
            yield


@contextmanager
def discovering_file(
    ctx: StepContext,
    database: FileDatabase[ClientT],
    discoverer: Callable[[FileDatabase[ClientT], FileSession[ClientT], str], Discoverer],
) -> Iterator[Discoverer]:
    """Open the file of a connection; fails with DRV001 to DRV011."""
    path = database_path(ctx)
    shown = label(ctx, path)
    check_file(path, shown)
    content = content_of(database.files(path), shown)
    with database.opened(ctx, path) as session:
        yield discoverer(database, session, content)


def keys_of(rows: Iterable[tuple[str, Sequence[str], str | None, Sequence[str] | None]]) -> Mapping[str, Any]:
    """Return keys by the fields of `SeenTable`.

    Each row is a kind (`p` primary, `u` unique, `f` foreign), its columns, and the referenced table and columns.
    """
    keys = [(kind, tuple(names), str(table), tuple(to or ())) for kind, names, table, to in rows]
    return {
        "primary_key": next((names for kind, names, *_ in keys if kind == "p"), ()),
        "unique": tuple(names for kind, names, *_ in keys if kind == "u"),
        "foreign_keys": tuple(SeenKey(names, table, to) for kind, names, table, to in keys if kind == "f"),
    }


def grouped(rows: Iterable[tuple[Any, ...]]) -> list[list[list[Any]]]:
    """Return consecutive rows grouped by their first value, without that value."""
    return [[rest for _, *rest in group] for _, group in groupby(rows, key=itemgetter(0))]


def first_and_last(plain: str, order: Sequence[str], max_rows: int) -> tuple[list[str], str]:
    """Return the SELECTs of the first and the last rows in an order, and the description of such a sample."""
    orders = (", ".join(name + way for name in order) for way in ("", " DESC"))
    return [f"{plain} ORDER BY {way} LIMIT {max_rows // 2}" for way in orders], "the first and the last rows"


def sampled_of(
    schema: Schema, texts: Sequence[str], read: Callable[[str], Iterator[pa.RecordBatch]], max_rows: int, method: str
) -> Sampled:
    """Return the rows of SELECTs as a sample; it can be the whole table only if there is a single SELECT."""

    def batches() -> Generator[pa.RecordBatch, None, None]:
        for text in texts:
            yield from read(text)

    sample = sampled(schema, batches(), max_rows, method)
    return replace(sample, whole=sample.whole and len(texts) == 1)
