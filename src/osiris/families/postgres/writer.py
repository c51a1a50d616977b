"""Steps that write PostgreSQL, of whatever family: rows and the record of their delivery in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.errors import raise_all
from osiris.families.postgres.column_mapping import refusals
from osiris.families.postgres.copy_in import Work
from osiris.families.postgres.delivery import append, deliver, look
from osiris.families.postgres.delivery import confirm as confirm_target
from osiris.families.postgres.ledger import make_ledger
from osiris.families.postgres.transaction import place_of, writing
from osiris.families.quarantine import setting_aside
from osiris.families.sql.staging import staged
from osiris.families.sql.target_table import check_key_columns
from osiris.families.type_compat import uncarried

if TYPE_CHECKING:
    from osiris.driver import StepContext, Written
    from osiris.families.quarantine import Rejected
    from osiris.families.sql.writer import ServerWriting
    from osiris.model import Schema
    from osiris.table import RowStream


def check(wanted: ServerWriting, schema: Schema, ctx: StepContext) -> None:
    """Fail with CMP012 for columns that PostgreSQL cannot hold as they are, with DAT005 for a key not there."""
    types = {column.name: column.type for column in schema}
    problems = [uncarried(ctx.step, name, types[name], reason) for name, reason in refusals(types).items()]
    if problems:
        raise_all(problems)
    check_key_columns(ctx, schema, wanted.key)


def confirm(wanted: ServerWriting, schema: Schema, ctx: StepContext) -> str:
    """Fail unless the table takes such rows or may be made; tells whether it is `there` or `absent`.

    Fails with DRV012 for one that is missing, DAT029 for one that they do not fit, DRV020 for a missing right.
    """
    work = _work(wanted, schema, ctx)
    with writing(ctx, work.place) as session:
        return confirm_target(session, work)


def write(wanted: ServerWriting, rows: RowStream, ctx: StepContext) -> Written:
    """Deliver all rows in one transaction, unless an attempt before has done so.

    Fails with DAT015 for a value that the table would change, DAT028 for a key that comes twice, DAT029 if the rows
    do not fit the table, DAT032 for a row that it refuses, CON011 to CON017, DRV007 to DRV022.
    """
    with setting_aside(ctx) as rejected:
        return _write(_work(wanted, rows.schema, ctx, rejected), rows)


def _work(wanted: ServerWriting, schema: Schema, ctx: StepContext, rejected: Rejected | None = None) -> Work:
    place = place_of(ctx, wanted.table, wanted.schema)
    make, batch = wanted.create_if_missing, wanted.batch_size
    return Work(ctx, place, schema, wanted.write_mode, wanted.key, make, batch, wanted.max_cell_bytes, rejected)


def _write(work: Work, rows: RowStream) -> Written:
    with writing(work.ctx, work.place) as session:
        earlier = look(session, work)
        if earlier:
            return earlier
        make_ledger(session, work.ctx)
        if work.mode == "append":
            return append(session, work, rows)
    with staged(rows, work.ctx) as waiting, writing(work.ctx, work.place) as session:
        return deliver(session, work, waiting)
