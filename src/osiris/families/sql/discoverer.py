"""How SQL databases are discovered: what their catalogue tells, and columns as a step that reads them has them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Generic

from osiris.driver import SeenColumn, SeenKey, SeenTable
from osiris.families.discovery_base import carried_or_not, content_of, sampled
from osiris.families.sql.database import Reading, SessionT
from osiris.families.sql.database_file import ClientT, FileSession, check_file, database_path, label

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from osiris.driver import Discoverer, Sampled, StepContext
    from osiris.families.discovery_base import Known
    from osiris.families.sql.database import CatalogueRelation, Database
    from osiris.families.sql.database_file import FileDatabase
    from osiris.model import JsonValue, Schema


class DatabaseDiscoverer(ABC, Generic[SessionT]):
    """A database that is open to be looked at, in one state of it; `own_schema` is that of names that have none."""

    product: str
    identity: Mapping[str, JsonValue]

    def __init__(self, database: Database[Any], session: SessionT, own_schema: str, component: str) -> None:
        self.database, self.session = database, session
        self.label = session.label
        self.own_schema, self.component = own_schema, component
        self._relations: dict[str, Mapping[str, CatalogueRelation]] = {}

    @abstractmethod
    def at(self, schema: str) -> SessionT:
        """Return the session, with another schema of the same database."""

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Say in our words what goes wrong in the block, and let the session go on."""
        yield

    def fields(self, session: SessionT, relation: CatalogueRelation, names: Sequence[str]) -> Mapping[str, Known]:
        """Return what a step makes of columns, by name."""
        return carried_or_not(names, lambda some: self.carried(session, relation, some))

    def carried(self, _session: SessionT, _relation: CatalogueRelation, _names: Sequence[str]) -> Schema:
        """Return columns as a step has them; fails with DAT006."""
        return ()

    @abstractmethod
    def keys(self, session: SessionT, relation: CatalogueRelation) -> Mapping[str, Any]:
        """Return the keys of a table, by the fields of `SeenTable`; see `keys_of`."""

    def completed(self, table: SeenTable, _session: SessionT, _relation: CatalogueRelation) -> SeenTable:
        """Return a table with what follows from its columns and keys."""
        return table

    def relations(self, schema: str) -> Mapping[str, CatalogueRelation]:
        """Return the tables and views of a schema, as they were when they were first asked for."""
        if schema not in self._relations:
            self._relations[schema] = self.database.relations(self.at(schema))
        return self._relations[schema]

    def shown(self, schema: str, table: str) -> str:
        """Return a table's name for people."""
        return table if schema == self.own_schema else f"{schema}.{table}"

    def seen(self, schema: str, relation: CatalogueRelation, **about: Any) -> SeenTable:  # noqa: ANN401  its fields
        """Return a table without columns."""
        config = {"table": relation.name, **({} if schema == self.own_schema else {"schema": schema})}
        return SeenTable(self.shown(schema, relation.name), self.component, config, **about)

    def place(self, table: SeenTable) -> tuple[SessionT, CatalogueRelation]:
        """Return where a table is."""
        schema = str(table.config.get("schema", self.own_schema))
        return self.at(schema), self.relations(schema)[str(table.config["table"])]

    def detailed(self, table: SeenTable) -> SeenTable:
        """Return a table with its columns, those that the user may read, and its keys; fails with DRV013 or DRV020."""
        with self.apart():
            return self.details(table)

    def details(self, table: SeenTable) -> SeenTable:
        """Return a table with its columns and its keys."""
        session, relation = self.place(table)
        every = self.database.columns(session, relation)
        found = {column.name: column for column in every if column.readable and not column.hidden}
        fields = self.fields(session, relation, list(found))
        columns = tuple(
            SeenColumn(name, c.declared, *fields[name].typed(c.nullable), c.default, c.comment, fields[name].problem)
            for name, c in found.items()
        )
        known = replace(
            table,
            columns=columns,
            closed=tuple(column.name for column in every if not column.readable),
            config=table.config if len(found) == len(every) else {**table.config, "columns": list(found)},
            **self.keys(session, relation),
        )
        return self.completed(known, session, relation)


class FileDiscoverer(DatabaseDiscoverer[FileSession[ClientT]], Generic[ClientT]):
    """One database file, in one state of it."""

    def __init__(self, database: FileDatabase[ClientT], session: FileSession[ClientT], content: str) -> None:
        super().__init__(database, session, database.own_schema, f"{database.name}.extractor")
        self.product = database.product(session)
        self.identity = {"file": str(session.path)}
        self.files = tuple(map(str, database.files(session.path)))
        self._content, self._translated = content, database.translated

    def schemas(self) -> Mapping[str, int | None]:
        """Return the only schema."""
        return {self.own_schema: len(self.relations(self.own_schema))}

    def tables(self, schema: str) -> Sequence[SeenTable]:
        """Return the tables and views."""
        found = sorted(self.relations(schema).items())
        return [self.seen(schema, table, kind=table.kind, files=self.files) for _, table in found]

    def carried(self, session: FileSession[ClientT], relation: CatalogueRelation, names: Sequence[str]) -> Schema:
        """Return columns as a step has them; fails with DAT006."""
        return self.database.select(session, Reading(relation.name, names), session.ctx).schema

    def sample(self, table: SeenTable, columns: Sequence[str], most: int) -> Sampled:
        """Return the first rows."""
        session, relation = self.place(table)
        wanted = Reading(relation.name, columns, most + 1)
        source = self.database.select(session, wanted, session.ctx)
        rows = self.database.batches(session, source, wanted, session.ctx)
        return sampled(source.schema, rows, most, "the first rows")

    def fingerprint(self) -> str:
        """Return a digest of what the file is by size, time, node, head and tail, and of what waits beside it."""
        return self._content

    def at(self, schema: str) -> FileSession[ClientT]:
        """Return the session, with another schema of the file."""
        return replace(self.session, schema=schema)

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Say in our words what goes wrong in the block: DRV013."""
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
    """Return keys by the fields of `SeenTable`: rows are a kind (`p`, `u` or `f`), columns, and where they refer to."""
    keys = [(kind, tuple(names), str(table), tuple(to or ())) for kind, names, table, to in rows]
    return {
        "primary_key": next((names for kind, names, *_ in keys if kind == "p"), ()),
        "unique": tuple(names for kind, names, *_ in keys if kind == "u"),
        "foreign_keys": tuple(SeenKey(names, table, to) for kind, names, table, to in keys if kind == "f"),
    }


def grouped(rows: Iterable[tuple[Any, ...]]) -> list[list[list[Any]]]:
    """Return rows that follow each other and have the same first value together, without that value."""
    return [[rest for _, *rest in group] for _, group in groupby(rows, key=itemgetter(0))]


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
