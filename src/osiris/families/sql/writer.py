"""The writer of every SQL database: writes rows and the record of their delivery in one transaction.

Rows are spooled to a file before their target is opened. So a step that reads the same database file has finished by
then, a database is locked only for one transaction, and a source that fails changes nothing. The ledger is checked for
an earlier delivery before that, and again inside the transaction. For a pair with a state it is checked after the rows
were read, if there are any: the key of its delivery has the state's version, which another delivery changes.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from osiris.driver import References, Written
from osiris.errors import Location, OsirisError, fail
from osiris.families.quarantine import writer_quarantine
from osiris.families.sql.database import DatabaseBusy, Staged
from osiris.families.sql.deletes import (
    check_deletes,
    check_target,
    delete_rows,
    key_fields,
    stamped,
    stamped_schema,
    target_keys,
)
from osiris.families.sql.ledger import correct_delivery, find_delivery, make_own, record_delivery
from osiris.families.sql.state import (
    change_state,
    claim_state,
    find_lacking,
    load_state,
    record_state,
    rows_again,
    stored_state,
)
from osiris.families.sql.target_table import (
    ABSENT,
    THERE,
    check_columns,
    check_columns_fit,
    check_key_columns,
    check_repeated_keys,
    emit_new_table,
    fail_table,
)
from osiris.files import fail_os
from osiris.replication import Stored, TargetKeys
from osiris.table import counted, keep_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from osiris.driver import StepContext
    from osiris.families.sql.database import Database, Delivery, Mode, Session
    from osiris.model import Schema
    from osiris.replication import Rows, State, StateChange
    from osiris.table import RowStream


@dataclass(frozen=True, slots=True)
class WriterConfig:
    """What a step writes, and how; the fields are config keys of all database writers, documented in their specs."""

    table: str
    write_mode: Literal["append", "replace", "upsert"] = "append"
    primary_key: Sequence[str] | str | None = None
    create_if_missing: bool = True

    @property
    def schema(self) -> str | None:
        """The schema of the table, if the component has such a key."""
        return None

    @property
    def mode(self) -> Mode:
        """The write mode: what happens to existing rows."""
        return self.write_mode

    @property
    def key(self) -> tuple[str, ...]:
        """The key columns; empty without a key."""
        return (self.primary_key,) if isinstance(self.primary_key, str) else tuple(self.primary_key or ())


ConfigT = TypeVar("ConfigT", bound=WriterConfig)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FileWriterConfig(WriterConfig):
    """What a step writes to a file database."""

    primary_key: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class ServerWriterConfig(WriterConfig):
    """What a step writes to a database server."""

    schema: str | None = None
    batch_size: int = 16384
    max_cell_bytes: int | None = None


class Writer(Generic[ConfigT]):
    """A writer of tables."""

    database: ClassVar[Database[Any]]

    def check(self, config: ConfigT, schema: Schema, ctx: StepContext) -> None:
        """Fail with CMP012 for columns that the database does not support, with DAT005 for a key that does not exist.

        Fails with OML045 for a table name that is not allowed, and as `check_deletes`.
        """
        self._check_name(config)
        columns = stamped_schema(ctx, schema)
        refused = self.database.unsupported_columns({column.name: column.type for column in columns})
        check_columns(ctx, schema, refused, by_case=self.database.case_sensitive_columns)
        check_key_columns(ctx, schema, config.key)
        check_deletes(ctx, schema, config.key)

    def confirm(self, config: ConfigT, schema: Schema, ctx: StepContext) -> str:
        """Fail unless the rows fit the table or it may be created; returns `there` if it exists, else `absent`.

        Fails with DRV001 or DRV012 for a missing table, DRV071 for a missing schema, DAT029 if the rows do not fit,
        DRV020 for a missing privilege, else as connecting fails.
        """
        delivery = self.delivery(config, schema, ctx)
        if self.database.is_missing(delivery):
            emit_new_table(ctx, delivery.table, ())
            return ABSENT
        with self.database.inspect_session(delivery) as session:
            exists = self._expect_target(session, delivery)
            self.database.expect_ledger_privileges(session, delivery)
        return THERE if exists else ABSENT

    def state(self, config: ConfigT, schema: Schema, ctx: StepContext) -> tuple[State | None, Rows]:
        """Return how far the pair of the step has been read, and the delivered rows that may be read again.

        Fails as `load_state` and as connecting fails.
        """
        delivery = self.delivery(config, schema, ctx)
        if self.database.is_missing(delivery):
            return None, Counter()
        with self.database.inspect_session(delivery) as session:
            return load_state(session, delivery)

    def keys(self, config: ConfigT, schema: Schema, ctx: StepContext) -> TargetKeys:
        """Return the keys of the target; opening them fails as connecting and reading fail."""
        delivery = self.delivery(config, schema, ctx)
        return TargetKeys(key_fields(delivery), partial(target_keys, delivery))

    def references(self, configs: Sequence[ConfigT], ctx: StepContext) -> References:
        """Return the foreign keys among the tables of configs; none if they do not exist. Fails as connecting fails."""
        database, deliveries = self.database, [self.delivery(config, (), ctx) for config in configs]
        if database.is_missing(deliveries[0]):
            return References(frozenset(), database.checks_foreign_keys)
        with database.inspect_session(deliveries[0]) as session:
            keys = database.foreign_keys(session, deliveries)
        numbers = {database.fold(delivery.quoted): number for number, delivery in enumerate(deliveries)}
        ends = (tuple(database.fold(database.qualified(*name)) for name in key[:2]) for key in keys)
        among = frozenset(
            (numbers[child], numbers[parent], key.name)
            for key, (child, parent) in zip(keys, ends, strict=True)
            if child in numbers and parent in numbers
        )
        return References(among, database.checks_foreign_keys)

    def inspect_state(self, config: ConfigT, schema: Schema, ctx: StepContext) -> Stored:
        """Return what the target has of the pair of the step; fails as connecting fails."""
        delivery = self.delivery(config, schema, ctx)
        if self.database.is_missing(delivery):
            return Stored(0, None, 0)
        with self.database.inspect_session(delivery) as session:
            return stored_state(session, delivery)

    def change_state(self, config: ConfigT, schema: Schema, ctx: StepContext, change: StateChange) -> int | None:
        """Replace the state of the pair, in a transaction of its own, unless it is only tried.

        Returns how many rows of the target the next run appends again at most, None if that is not known. Fails with
        STA001 if the state was changed meanwhile, DRV011 if the database stays locked.
        """
        delivery = self.delivery(config, schema, ctx)
        again: int | None = 0
        if not self.database.is_missing(delivery):
            with self.database.inspect_session(delivery) as session:
                again = rows_again(session, delivery, change)
        if not change.dry_run:
            self.database.create_parent(delivery)
            self._while_busy(delivery, lambda: self._change(delivery, change))
        return again

    def _change(self, delivery: Delivery, change: StateChange) -> None:
        with self.database.write_session(delivery) as session:
            if not self.database.ddl_in_transaction:
                make_own(session, delivery)
            self.database.begin_with(session, lambda: change_state(session, delivery, change))
            self.database.make_durable(session, delivery)

    def write(self, config: ConfigT, rows: RowStream, ctx: StepContext) -> Written:
        """Spool all rows, then deliver them in one transaction, unless an earlier attempt has done so.

        Fails with DAT015 for a value that the table would change, DAT028 for a repeated key, DAT029 if the rows do not
        fit the table, DAT032 for a row that it rejects, CON011 to CON017, DRV001 to DRV022.
        """
        delivery = self.delivery(config, rows.schema, ctx)
        # Where a state was read, its target was inspected then. If nothing is new, it is not opened again.
        is_known = ctx.increment is not None and ctx.increment.has_target
        if not is_known and self.database.streams_appends and delivery.mode == "append":
            return self._stream(delivery, rows)
        if not is_known and (earlier := self._look(delivery)):
            return earlier
        with staged(rows, ctx) as spooled:
            waiting = stamped(spooled, delivery)
            if not waiting.rows and ctx.increment and ctx.increment.is_unchanged:
                return Written(0, 0)
            if is_known and (earlier := self._look(delivery)):
                return earlier
            if delivery.merged and not self.database.detects_repeated_keys:
                check_repeated_keys(waiting, delivery.key, ctx)
            try:
                return self._deliver(delivery, waiting)
            except OsirisError as error:
                if _may_be_repeated(delivery, error):
                    check_repeated_keys(waiting, delivery.key, ctx)
                raise

    def _check_name(self, config: ConfigT) -> None:
        if problem := self.database.name_problem(config.table):
            fail("OML045", at=Location(pointer="/config/table"), table=repr(config.table), problem=problem)

    def delivery(self, config: ConfigT, schema: Schema, ctx: StepContext) -> Delivery:
        """Return the delivery of a step; fails with OML045, or if the connection is invalid."""
        self._check_name(config)
        return self.database.delivery(config, stamped_schema(ctx, schema), ctx)

    def _look(self, delivery: Delivery) -> Written | None:
        """Return an earlier delivery, and reject a table that the rows do not fit."""
        if self.database.is_missing(delivery):
            self.database.create_parent(delivery)
            emit_new_table(delivery.ctx, delivery.table, ())
            return None
        with self.database.inspect_session(delivery) as session:
            return self._looked(session, delivery)

    def _looked(self, session: Session, delivery: Delivery) -> Written | None:
        """Do the same in an open session."""
        earlier = find_delivery(session, delivery)
        if earlier is None:
            self._expect_target(session, delivery)
            self.database.prepare(session, delivery)
        return earlier

    def _stream(self, delivery: Delivery, rows: RowStream) -> Written:
        """Append rows while they are read, over the connection that has inspected the table."""
        with writer_quarantine(delivery.ctx) as rejected, self.database.write_session(delivery) as session:
            self.database.begin(session)
            earlier = self._looked(session, delivery)
            return earlier or self._transact(session, replace(delivery, rejected=rejected), Staged(0, 0, lambda: rows))

    def _expect_target(self, session: Session, delivery: Delivery) -> bool:
        """Fail unless the rows fit the table or it may be created, and the user may write it; return if it exists."""
        self.database.expect_schema(session, delivery)
        relation = self.database.find(session, delivery.table)
        exists = relation is not None or not delivery.config.create_if_missing
        tables = () if exists else self.database.relations(session)
        if exists:
            delivery = self._fitting(session, replace(delivery, relation=relation))
        self.database.expect_privileges(session, delivery, there=exists)
        if not exists:
            emit_new_table(delivery.ctx, delivery.table, tables)
        return exists

    def _fitting(self, session: Session, delivery: Delivery) -> Delivery:
        """Return the delivery with the table and its columns; fails with DRV012 without one, DAT029 on a mismatch."""
        relation = delivery.relation or self.database.relation(session, delivery.table)
        if refused := self.database.unwritable(relation):
            fail_table(delivery, *refused)
        columns = self.database.columns(session, relation)
        check_target(session, delivery, relation, columns)
        check_columns_fit(delivery, columns)
        if refused := self.database.mode_error(session, delivery, relation):
            fail_table(delivery, *refused)
        return replace(delivery, relation=relation, columns=columns)

    def _deliver(self, delivery: Delivery, waiting: Staged) -> Written:
        """Deliver, and retry while the database is locked; fails with DRV011 after the last attempt."""

        def transact() -> Written:
            with writer_quarantine(delivery.ctx) as rejected, self.database.write_session(delivery) as session:
                return self._transact(session, replace(delivery, rejected=rejected), waiting)

        return self._while_busy(delivery, transact)

    def _while_busy(self, delivery: Delivery, action: Callable[[], T]) -> T:
        for attempt in range(self.database.attempts):
            try:
                return action()
            except DatabaseBusy:
                delivery.ctx.emit("delivery_again", {"table": delivery.table, "attempt": attempt + 1})
        return fail("DRV011", path=delivery.target.database, seconds=self.database.patience)

    def _transact(self, session: Session, delivery: Delivery, waiting: Staged) -> Written:
        """Write everything in one transaction, which first checks for a concurrent delivery by another attempt."""
        database = self.database
        if not database.ddl_in_transaction:
            self._make_missing(session, delivery)
            make_own(session, delivery)
            delivery = self._fitting(session, delivery)
            delivery = replace(delivery, staged=database.stage(session, delivery, waiting))
        earlier, created = database.begin_with(session, lambda: self._begin(session, delivery, waiting))
        if earlier:
            return earlier
        database.lock(session, delivery)
        if database.claims_first or not created:  # a concurrent writer may have created it
            delivery = self._fitting(session, replace(delivery, relation=None))
        database.write(session, delivery, waiting)
        delete_rows(session, delivery, waiting)
        return self._finish(session, delivery, waiting)

    def _begin(self, session: Session, delivery: Delivery, waiting: Staged) -> tuple[Written | None, bool]:
        """Return what another attempt has delivered meanwhile, else None and whether the table was created."""
        earlier = self._claim(session, delivery, waiting)
        if not earlier:
            claim_state(session, delivery)
        created = not earlier and self.database.ddl_in_transaction and self._make_missing(session, delivery)
        return earlier, created

    def _make_missing(self, session: Session, delivery: Delivery) -> bool:
        """Create the table if it does not exist; returns whether it did."""
        if not delivery.config.create_if_missing or self.database.find(session, delivery.table) is not None:
            return False
        if self.database.is_file:
            emit_new_table(delivery.ctx, delivery.table, self.database.relations(session))
        self.database.make_table(session, delivery)
        return True

    def _claim(self, session: Session, delivery: Delivery, waiting: Staged) -> Written | None:
        """Return what another attempt has delivered meanwhile; if None, only this attempt can deliver."""
        if not self.database.claims_first:
            return find_delivery(session, delivery)
        if self.database.claim(session, delivery, waiting.rows):
            return None
        session.run("ROLLBACK")
        earlier = find_delivery(session, delivery)
        return earlier or fail("DRV011", path=delivery.target.database, seconds="0 s")

    def _finish(self, session: Session, delivery: Delivery, waiting: Staged) -> Written:
        """Commit, after rejected rows are on disk and counted in the ledger.

        Fails with RUN003 if the step was cancelled; nothing is delivered then.
        """
        rejected = delivery.rejected.rows if delivery.rejected else 0
        streams = self.database.streams_appends
        rows, size = (waiting.rows - rejected, waiting.size) if not streams else delivery.sent_size
        increment = delivery.ctx.increment
        if increment and increment.is_unchanged and not rows and not rejected:
            session.run("ROLLBACK")
            return Written(0, 0)
        if delivery.rejected:
            delivery.rejected.keep()
        record_state(session, delivery)
        lacking = find_lacking(session, delivery, rows)
        if rejected or streams:
            correct_delivery(session, delivery, rows, rejected)
        if delivery.ctx.cancelled():
            fail("RUN003", signal="request")
        if not self.database.claims_first:
            record_delivery(session, delivery, waiting.rows)
        self.database.make_durable(session, delivery)
        if lacking:
            delivery.ctx.warn(lacking)
        ledger = delivery.target.database if self.database.is_file else None
        return Written(rows, size, rejected=rejected, ledger=ledger)


def _may_be_repeated(delivery: Delivery, error: OsirisError) -> bool:
    """Return whether a repeated key may be the unreported reason for which the database rejected a row."""
    database = delivery.database
    finds_keys = (
        database.detects_repeated_keys and not database.names_repeated_keys and delivery.ctx.on_reject == "fail"
    )
    return bool(delivery.merged) and finds_keys and error.diagnostics[0].code == "DAT032"


@contextmanager
def staged(rows: RowStream, ctx: StepContext) -> Iterator[Staged]:
    """Keep all rows, in a file if they are many, removed afterwards; fails with DRV004 or DRV006 if it cannot be
    written."""
    path = ctx.scratch / "rows.arrow"
    try:
        yield _take(rows, path)
    finally:
        path.unlink(missing_ok=True)


def _take(rows: RowStream, path: Path) -> Staged:
    count = Counter[str]()
    try:
        size, reopen = keep_rows(counted(rows, lambda number: count.update(rows=number)), path)
    except OSError as error:
        if rows.raised:
            raise
        fail_os(error, path)
    return Staged(count["rows"], size, reopen)
