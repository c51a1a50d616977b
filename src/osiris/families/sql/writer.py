"""The writer of every SQL database: rows and the record of their delivery in one transaction.

Rows wait in a file until their target is opened. So a step that reads the same database file has finished by then,
nobody is kept out of a database for longer than one transaction takes, and a source that fails has touched nothing.
What an attempt before has delivered is looked for first, and again inside of the transaction.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from osiris.driver import Written
from osiris.errors import OsirisError, fail
from osiris.families.quarantine import setting_aside
from osiris.families.sql.database import InUse, Staged, Writing
from osiris.families.sql.ledger import correct_delivery, find_delivery, make_ledger, record_delivery
from osiris.families.sql.target_table import (
    ABSENT,
    THERE,
    check_key_columns,
    refuse_columns,
    refuse_misfit,
    refuse_name,
    refuse_repeated_keys,
    refuse_table,
    tell_new_table,
)
from osiris.files import fail_os, make_private
from osiris.table import counted, spool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from osiris.driver import StepContext
    from osiris.families.sql.database import Database, Delivery, Session
    from osiris.model import Schema
    from osiris.table import RowStream


ConfigT = TypeVar("ConfigT", bound=Writing)


@dataclass(frozen=True, slots=True)
class FileWriting(Writing):
    """What a step writes to a database in a file."""

    primary_key: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class ServerWriting(Writing):
    """What a step writes to a database of a server."""

    schema: str | None = None
    batch_size: int = 16384
    max_cell_bytes: int | None = None


class Writer(Generic[ConfigT]):
    """A writer of tables."""

    database: ClassVar[Database[Any]]

    def check(self, config: ConfigT, schema: Schema, ctx: StepContext) -> None:
        """Fail with CMP012 for columns that the database cannot hold as they are, with DAT005 for a key not there.

        Fails with OML028 for a table that may not be written.
        """
        if self.database.reserves_names:
            refuse_name(config.table)
        refused = self.database.refusals({column.name: column.type for column in schema})
        refuse_columns(ctx, schema, refused, case_tells=self.database.case_tells_columns)
        check_key_columns(ctx, schema, config.key)

    def confirm(self, config: ConfigT, schema: Schema, ctx: StepContext) -> str:
        """Fail unless the table takes such rows or may be made; tells whether it is `there` or `absent`.

        Fails with DRV001 or DRV012 for one that is missing, DAT029 for one that they do not fit, DRV020 for a missing
        right, else as connecting fails.
        """
        delivery = self.delivery(config, schema, ctx)
        if self.database.is_absent(delivery):
            tell_new_table(ctx, delivery.table, ())
            return ABSENT
        with self.database.looking(delivery) as session:
            there = self._expect_target(session, delivery)
            self.database.expect_rights_to_ledger(session, delivery)
        return THERE if there else ABSENT

    def write(self, config: ConfigT, rows: RowStream, ctx: StepContext) -> Written:
        """Take all rows, then deliver them in one transaction, unless an attempt before has done so.

        Fails with DAT015 for a value that the table would change, DAT028 for a key that comes twice, DAT029 if the rows
        do not fit the table, DAT032 for a row that it refuses, CON011 to CON017, DRV001 to DRV022.
        """
        delivery = self.delivery(config, rows.schema, ctx)
        if self.database.streams_appends and delivery.mode == "append":
            return self._stream(delivery, rows)
        earlier = self._look(delivery)
        if earlier:
            return earlier
        with staged(rows, ctx) as waiting:
            if delivery.merged and not self.database.stages_keys:
                refuse_repeated_keys(waiting, delivery.key, ctx)
            try:
                return self._deliver(delivery, waiting)
            except OsirisError as error:
                if _may_be_repeated(delivery, error):
                    refuse_repeated_keys(waiting, delivery.key, ctx)
                raise

    def delivery(self, config: ConfigT, schema: Schema, ctx: StepContext) -> Delivery:
        """Return what is to be done; fails with OML028, or with what is wrong with the connection."""
        if self.database.reserves_names:
            refuse_name(config.table)
        return self.database.delivery(config, schema, ctx)

    def _look(self, delivery: Delivery) -> Written | None:
        """Return what was delivered before, and refuse a table that the rows do not fit, before any of them is read."""
        if self.database.is_absent(delivery):
            self.database.make_place(delivery)
            tell_new_table(delivery.ctx, delivery.table, ())
            return None
        with self.database.looking(delivery) as session:
            return self._looked(session, delivery)

    def _looked(self, session: Session, delivery: Delivery) -> Written | None:
        """Do what `_look` does, in a session."""
        earlier = find_delivery(session, delivery)
        if earlier is None:
            self._expect_target(session, delivery)
            self.database.prepare(session, delivery)
        return earlier

    def _stream(self, delivery: Delivery, rows: RowStream) -> Written:
        """Append rows while they are read, over the connection that has looked at the table."""
        with setting_aside(delivery.ctx) as rejected, self.database.writing(delivery) as session:
            self.database.begin(session)
            earlier = self._looked(session, delivery)
            return earlier or self._transact(session, replace(delivery, rejected=rejected), Staged(0, 0, lambda: rows))

    def _expect_target(self, session: Session, delivery: Delivery) -> bool:
        """Fail unless the rows fit the table, or may make it, and the user may write it; tell whether it is there."""
        self.database.expect_schema(session, delivery)
        known = self.database.relations(session)
        there = not delivery.config.create_if_missing or self.database.same_name(delivery.table, known) is not None
        if there:
            delivery = self._fitting(session, delivery)
        self.database.expect_rights(session, delivery, there=there)
        if not there:
            tell_new_table(delivery.ctx, delivery.table, known)
        return there

    def _fitting(self, session: Session, delivery: Delivery) -> Delivery:
        """Return a delivery with the columns of the table; fails with DRV012 without one, DAT029 unless rows fit it."""
        relation = self.database.relation(session, delivery.table)
        if refused := self.database.unwritable(relation):
            refuse_table(delivery, *refused)
        columns = self.database.columns(session, relation)
        refuse_misfit(delivery, columns)
        if refused := self.database.unfit(session, delivery, relation):
            refuse_table(delivery, *refused)
        return replace(delivery, columns=columns)

    def _deliver(self, delivery: Delivery, waiting: Staged) -> Written:
        """Deliver, as often as others are in the way; fails with DRV011 if they stay."""
        for attempt in range(self.database.attempts):
            try:
                with setting_aside(delivery.ctx) as rejected, self.database.writing(delivery) as session:
                    return self._transact(session, replace(delivery, rejected=rejected), waiting)
            except InUse:
                delivery.ctx.emit("delivery_again", {"table": delivery.table, "attempt": attempt + 1})
        return fail("DRV011", path=delivery.target.database, seconds=self.database.patience)

    def _transact(self, session: Session, delivery: Delivery, waiting: Staged) -> Written:
        """Write everything in one transaction; what another attempt has done meanwhile is seen inside of it."""
        database = self.database
        if not database.ddl_in_transaction:
            self._make_missing(session, delivery)
            make_ledger(session, delivery)
            delivery = self._fitting(session, delivery)
            delivery = replace(delivery, staged=database.stage(session, delivery, waiting))
        earlier, made = database.begun(session, lambda: self._begin(session, delivery, waiting))
        if earlier:
            return earlier
        database.lock(session, delivery)
        if database.claims_first or not made:  # where several write at once, another one may have made it
            delivery = self._fitting(session, delivery)
        database.write(session, delivery, waiting)
        return self._finish(session, delivery, waiting)

    def _begin(self, session: Session, delivery: Delivery, waiting: Staged) -> tuple[Written | None, bool]:
        """Return what another attempt has delivered meanwhile; if there is none, also whether the table was made."""
        earlier = self._claim(session, delivery, waiting)
        made = not earlier and self.database.ddl_in_transaction and self._make_missing(session, delivery)
        return earlier, made

    def _make_missing(self, session: Session, delivery: Delivery) -> bool:
        """Make the table if it is not there; tells whether it was made."""
        known = self.database.relations(session)
        if not delivery.config.create_if_missing or self.database.same_name(delivery.table, known) is not None:
            return False
        if self.database.is_file:
            tell_new_table(delivery.ctx, delivery.table, known)
        self.database.make_table(session, delivery)
        return True

    def _claim(self, session: Session, delivery: Delivery, waiting: Staged) -> Written | None:
        """Return what another attempt has delivered meanwhile; else nobody can deliver it but this one."""
        if not self.database.claims_first:
            return find_delivery(session, delivery)
        if self.database.claim(session, delivery, waiting.rows):
            return None
        session.run("ROLLBACK")
        earlier = find_delivery(session, delivery)
        return earlier or fail("DRV011", path=delivery.target.database, seconds="0 s")

    def _finish(self, session: Session, delivery: Delivery, waiting: Staged) -> Written:
        """Commit; what was set aside is on disk by then, and counted in the ledger.

        Fails with RUN003 if the step is cancelled by now: what is not committed is not delivered.
        """
        rejected = delivery.rejected.rows if delivery.rejected else 0
        streams = self.database.streams_appends
        rows, size = (waiting.rows - rejected, waiting.size) if not streams else delivery.sent_size
        if delivery.rejected:
            delivery.rejected.keep()
        if rejected or streams:
            correct_delivery(session, delivery, rows, rejected)
        if delivery.ctx.cancelled():
            fail("RUN003", signal="request")
        if not self.database.claims_first:
            record_delivery(session, delivery, waiting.rows)
        self.database.make_durable(session, delivery)
        ledger = delivery.target.database if self.database.is_file else None
        return Written(rows, size, rejected=rejected, ledger=ledger)


def _may_be_repeated(delivery: Delivery, error: OsirisError) -> bool:
    """Tell whether a row may have been refused because its key comes twice, and the database has not said so."""
    database = delivery.database
    finds_keys = database.stages_keys and not database.names_repeated_keys and delivery.ctx.on_reject == "fail"
    return bool(delivery.merged) and finds_keys and error.diagnostics[0].code == "DAT032"


@contextmanager
def staged(rows: RowStream, ctx: StepContext) -> Iterator[Staged]:
    """Take all rows into a file, and remove it afterwards; fails with DRV004 or DRV006 where it cannot be written."""
    make_private(ctx.scratch)
    path = ctx.scratch / "rows.arrow"
    try:
        yield _take(rows, path)
    finally:
        path.unlink(missing_ok=True)


def _take(rows: RowStream, path: Path) -> Staged:
    count = Counter[str]()
    try:
        reopen = spool(counted(rows, lambda number: count.update(rows=number)), path)
    except OSError as error:
        if rows.raised:
            raise
        fail_os(error, path)
    return Staged(count["rows"], path.stat().st_size, reopen)
