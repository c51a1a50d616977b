"""How PostgreSQL tables are read and written.

Appended rows are streamed into the table while they are read. Rows that replace others are first spooled to a file, so
that other writers of the table never wait for the source. Old rows are deleted, not truncated: other readers see the
old rows until the commit and the new rows after it, never an empty table.

The ledger's row is inserted first and completed last: of two attempts at one delivery, the later waits for the earlier
one's transaction, even if its process has ended, and then sees its outcome.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from osiris.driver import Shared
from osiris.errors import fail
from osiris.families.postgres import late_rows, target_table
from osiris.families.postgres.connect import address
from osiris.families.postgres.errors import explained, refusal_of
from osiris.families.postgres.load import exchange, send, stage, stage_keys_to_delete
from osiris.families.postgres.reader import query_result, ranges_of, read_ranges
from osiris.families.postgres.session import (
    SETTINGS,
    Session,
    begin_writing,
    find,
    hold,
    lock_together,
    opened,
    reading,
    relation,
    relations,
    table_result,
)
from osiris.families.sql.database import LEDGER, STATE, Database, Delivery, Target
from osiris.families.sql.extractor import sifted, windowed
from osiris.families.sql.ledger import make_own, own_tables
from osiris.families.sql.sending import fail_rejected
from osiris.fault import fault

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    import pyarrow as pa

    from osiris.driver import StepContext
    from osiris.families.sql.columnar import Batch, RejectPolicy
    from osiris.families.sql.database import Name, Source, Staged, StepConfig, T
    from osiris.model import Schema

_IN_USE = "55P03"
_ROLLED_BACK = ("40001", "40P01")
"""The server rolled back the transaction: a serialization failure, or a deadlock."""
_DUPLICATES = ("42P07", "42710", "23505")
_CATALOGUE = "pg_catalog"
_IDENTITY = """
SELECT pg_catalog.concat_ws(':', (SELECT system_identifier FROM pg_catalog.pg_control_system()),
    (SELECT pg_catalog.string_agg(name::regclass::oid::text, ':' ORDER BY name)
     FROM pg_catalog.unnest(%s::text[]) name))"""
_MAY_READ = "SELECT pg_catalog.has_table_privilege(pg_catalog.to_regclass(%s)::oid, 'SELECT')"
_ATTEMPTS = 5
_LOCK = 0x6F736972
"""The first key of our advisory locks."""


class Postgres(Database[Session]):
    """The postgres family."""

    name = "postgres"
    case_sensitive_columns = True
    claims_first = True
    detects_repeated_keys = True
    names_repeated_keys = True
    streams_appends = True
    hints_at_casts = True
    locks_rows = " FOR UPDATE"
    placeholder = "%s"
    computed_by = "the server"

    state_columns: ClassVar = {name: text.replace("BLOB", "BYTEA") for name, text in Database.state_columns.items()}

    relations = staticmethod(relations)
    find = staticmethod(find)
    relation = staticmethod(target_table.expect_table)
    columns = staticmethod(target_table.columns_of)
    is_unique = staticmethod(target_table.is_unique)
    column_type = staticmethod(target_table.column_type)
    name_problem = staticmethod(target_table.name_problem)
    unsupported_columns = staticmethod(target_table.refusals)
    can_store = staticmethod(target_table.fits)
    explain_rejection = staticmethod(explained)
    as_rejection = staticmethod(refusal_of)
    expect_schema = staticmethod(target_table.expect_schema)
    expect_privileges = staticmethod(target_table.expect_rights)
    expect_ledger_privileges = staticmethod(target_table.expect_rights_to_ledger)
    unwritable = staticmethod(target_table.unwritable)
    extra_mismatches = staticmethod(target_table.unchangeable)
    mode_error = staticmethod(target_table.unfit)
    read_session = staticmethod(reading)
    lock_relations = staticmethod(hold)
    begin = staticmethod(begin_writing)
    moment = staticmethod(late_rows.moment)
    snapshot = staticmethod(late_rows.snapshot)
    newer = staticmethod(late_rows.newer)
    expect_recent = staticmethod(late_rows.expect_recent)
    is_stamped = staticmethod(late_rows.is_stamped)
    clock = staticmethod(late_rows.clock)
    loose_columns = staticmethod(target_table.loose_columns)
    foreign_keys = staticmethod(target_table.foreign_keys)
    stage_keys_to_delete = staticmethod(stage_keys_to_delete)
    clear = staticmethod(target_table.delete_rows)

    # Reading

    @contextmanager
    def shared(self, ctx: StepContext, configs: Sequence[StepConfig]) -> Iterator[Shared]:
        """Hold a snapshot that other sessions can read, with all tables of these configs locked against changes."""
        with opened(ctx) as session:
            answer = late_rows.ask(session)
            names = {
                (config.schema, config.table): (config.schema or session.schema, config.table) for config in configs
            }
            locked = lock_together(session, [*names.values()])
            ((snapshot,),) = session.rows("SELECT pg_catalog.pg_export_snapshot()")
            yield Shared(frozenset(name for name in names if names[name] in locked), snapshot, answer)

    def named_relations(self, session: Session, config: StepConfig) -> Sequence[Name]:
        """Return the table that a step reads; nothing for a query."""
        return () if config.query is not None else ((session.schema, str(config.table)),)

    def select(self, session: Session, config: StepConfig, ctx: StepContext) -> Source:
        """Return what a step reads; fails with DAT005, DAT006, DRV012, DRV020, SQL001 to SQL009."""
        if config.query is not None:
            return query_result(session, config.query, ctx.bindings)
        table = relation(session, str(config.table))
        return windowed(table_result(session, table, config.columns), config, "ALL")

    def batches(
        self, session: Session, source: Source, config: StepConfig, ctx: StepContext
    ) -> Generator[pa.RecordBatch, None, None]:
        """Yield and count the rows; a complete table is read over several connections."""
        in_blocks = source.order == "fixed" and config.table is not None
        if in_blocks:
            session.run("SET LOCAL max_parallel_workers_per_gather = 0")
        complete = in_blocks and config.limit is None and not config.offset
        ranges = ranges_of(session, source) if complete else [source.text]
        connections = min(config.connections, ctx.threads)

        def read(sieve: RejectPolicy) -> Generator[Batch, None, None]:
            return read_ranges(session, source, ranges, ctx, connections, sieve)

        return sifted(read, config, ctx)

    def since(self, source: Source, condition: str) -> Source:
        """Return the source of the rows that fulfil a condition, which may name the system columns of a table."""
        if not source.is_table:
            return super().since(source, condition)
        return replace(source, text=f"{source.text} WHERE {condition}", order="free", rows=None)

    # Writing

    def delivery(self, config: StepConfig, schema: Schema, ctx: StepContext) -> Delivery:
        """Return the delivery of a step; its table can include the schema. Fails with CON067 to CON069 or DRV007."""
        target, (schema_name, table) = address(ctx.connection), (config.schema, config.table)
        if schema_name is None and "." in table:
            schema_name, _, table = table.partition(".")
            if not schema_name or not table or "." in table:
                problem = "it has several dots; name its schema with 'schema'"
                fail("DRV007", path=f"table '{config.table}'", problem=problem)
        schema_name = schema_name or target.schema
        qualified_config = replace(config, schema=schema_name, table=table)
        quoted = self.qualified(schema_name, table)
        return Delivery(self, qualified_config, ctx, schema, Target(f"{schema_name}.{table}", target.where), quoted)

    @contextmanager
    def inspect_session(self, delivery: Delivery) -> Iterator[Session]:
        """Open a session that inspects a target before rows are read."""
        with self.write_session(delivery) as session:
            begin_writing(session)
            yield session

    @contextmanager
    def write_session(self, delivery: Delivery) -> Iterator[Session]:
        """Open a session that can write; fails with DAT032 for a rejected row, DRV011, DRV064."""
        import psycopg

        with opened(delivery.ctx, delivery.config.schema) as session:
            try:
                yield session
            except psycopg.Error as error:
                if session.watch.stopped or not error.sqlstate:
                    raise
                if error.sqlstate in _ROLLED_BACK:
                    fail("DRV064", path=session.label, reason=error.diag.message_primary or "")
                if error.sqlstate == _IN_USE:
                    fail("DRV011", path=session.label, seconds=SETTINGS["lock_timeout"].replace("s", " s"))
                if refused := refusal_of(error):
                    session.run("ROLLBACK")
                    fail_rejected(session, delivery, refused)
                raise

    def client_errors(self) -> tuple[type[Exception], ...]:
        """Return the exceptions that the client library raises."""
        import psycopg

        return (psycopg.Error,)

    def prepare(self, session: Session, delivery: Delivery) -> None:
        """Create the ledger in the schema of the target, in its own transaction."""
        session.run("COMMIT")
        missing = [table for table in own_tables(delivery) if not self.has_own(session, table)]
        if not missing:
            return
        self.begin_with(session, lambda: make_own(session, delivery))
        fault("postgres.make_ledger")
        session.run("COMMIT")

    def has_own(self, session: Session, table: str) -> bool:
        """Return whether one of our own tables exists; asked until it does, as each delivery wants to know it often."""
        name = session.schema, table
        if name not in session.own and super().has_own(session, table):
            session.own.add(name)
        return name in session.own

    def own(self, session: Session, table: str) -> str:
        """Return the name of one of our own tables in SQL."""
        return f"{self.quote(session.schema)}.{table}"

    def states_of(self, session: Session, name: Name) -> tuple[Session, str] | None:
        """Return a session of the schema of a table, and the table's name in the states of targets."""
        there = replace(session, schema=name[0])
        ((may_read,),) = session.rows(_MAY_READ, self.own(there, STATE))
        return (there, ".".join(name)) if may_read else None

    def identity(self, session: Session, delivery: Delivery) -> str:
        """Return a text that changes if the target table is replaced by another."""
        return self._identity(session, [delivery.quoted])

    def source_identity(self, session: Session, source: Source) -> str:
        """Return a text that changes if the server, or a table that is read, is replaced by another."""
        return self._identity(session, [".".join(map(self.quote, name)) for name in source.relations])

    def _identity(self, session: Session, tables: Sequence[str]) -> str:
        """Return the identifier of the server and the OIDs of tables; VACUUM FULL and ALTER TABLE keep these."""
        ((text,),) = session.rows(_IDENTITY, list(tables))
        return str(text)

    def claim(self, session: Session, delivery: Delivery, _rows: int) -> bool:
        """Insert a delivery into the ledger before its rows are counted; returns False if another attempt has done so.

        Blocks while an earlier attempt's transaction is open, even if its process has ended.
        """
        ctx = delivery.ctx
        return not ctx.run_key or bool(
            session.rows(
                f"INSERT INTO {self.own(session, LEDGER)} VALUES (%s, %s, %s, %s, 0, '', '') "
                "ON CONFLICT DO NOTHING RETURNING 1",
                *(ctx.run_key, ctx.step, ctx.plan, delivery.target.table),
            )
        )

    def begin_with(self, session: Session, action: Callable[[], T]) -> T:
        """Begin a transaction and run an action that creates things; retried if others created them concurrently.

        A second CREATE … IF NOT EXISTS waits for the first to end, and then violates a unique index of the catalogue.
        """
        import psycopg

        for _ in range(_ATTEMPTS):
            begin_writing(session)
            try:
                return action()
            except psycopg.Error as error:
                exists = error.sqlstate in _DUPLICATES and error.diag.schema_name in (None, _CATALOGUE)
                if not exists:
                    raise
                session.run("ROLLBACK")
        return fail("DRV011", path=session.label, seconds="0 s")

    def write(self, session: Session, delivery: Delivery, waiting: Staged) -> None:
        """Write all rows in the mode of the delivery."""
        target_table.report_unlogged(delivery)
        super().write(session, delivery, waiting)
        target_table.refuse_changed(session, delivery)

    def load(self, session: Session, delivery: Delivery, waiting: Staged) -> None:
        """Load all rows into the table."""
        ways = target_table.ways_into(delivery.columns, delivery.schema)
        if target_table.is_staged(delivery, ways):
            stage(session, delivery, ways, waiting.open())
        else:
            send(session, delivery, delivery.quoted, ways, waiting.open().batches())

    def merge(self, session: Session, delivery: Delivery, waiting: Staged) -> None:
        """Upsert; an advisory lock lets one upsert at a time into a table, as different row orders could deadlock."""
        table, ways = delivery.target.table, target_table.ways_into(delivery.columns, delivery.schema)
        session.rows("SELECT pg_catalog.pg_advisory_xact_lock(%s, pg_catalog.hashtext(%s))", _LOCK, table)
        if not exchange(session, delivery, ways, waiting):
            stage(session, delivery, ways, waiting.open())

    def make_durable(self, session: Session, _delivery: Delivery) -> None:
        """Commit."""
        fault("postgres.commit")
        session.run("COMMIT")
        fault("postgres.committed")


POSTGRES = Postgres()
