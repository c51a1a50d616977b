"""How MySQL and MariaDB tables are read and written.

A delivery is one InnoDB transaction. Mode `replace` uses DELETE, not TRUNCATE, which would commit implicitly: other
readers see the old rows until the commit. An upsert first loads its rows into a temporary table, before the transaction
begins, or writes them directly into the table where the outcome is the same.
"""

from __future__ import annotations

import re
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from osiris.driver import Shared
from osiris.errors import OsirisError
from osiris.families.mysql import late_rows
from osiris.families.mysql.connect import address, connect, numbered
from osiris.families.mysql.errors import NOT_GRANTED, ROW, refusal
from osiris.families.mysql.load import (
    may_replace,
    merge_staged,
    replace_directly,
    send,
    stage,
    stage_keys_to_delete,
    used_columns,
)
from osiris.families.mysql.session import (
    SETTINGS,
    Session,
    Table,
    chosen,
    find,
    hold,
    no_commits,
    opened,
    qualified,
    query_result,
    read_query,
    reading,
    relation,
    relations,
    share,
    table_result,
    watching,
)
from osiris.families.mysql.target_table import (
    column_type,
    columns_of,
    expect_rights,
    expect_rights_to_ledger,
    explained,
    fits,
    foreign_keys,
    loose_columns,
    name_problem,
    refusals,
    uniques,
)
from osiris.families.mysql.types import quote_name
from osiris.families.sql.database import REPEATED, STATE, Database, DatabaseBusy, Delivery, Target
from osiris.families.sql.extractor import sifted, windowed
from osiris.families.sql.ledger import insert_delivery
from osiris.families.sql.sending import fail_rejected
from osiris.families.sql.target_table import fail_schema
from osiris.fault import fault

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from contextlib import AbstractContextManager

    import pyarrow as pa

    from osiris.driver import StepContext
    from osiris.families.quarantine import RowRejected
    from osiris.families.sql.database import Name, Source, Staged, StepConfig
    from osiris.model import Schema
    from osiris.replication import Value

_DUPLICATE_KEY = 1062
_SERVER = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('server_uid', 'server_uuid')"
_CREATED = "SELECT CREATE_TIME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"
_TABLE_ID = {
    is_mariadb: f"""SELECT TABLE_ID FROM information_schema.{view} WHERE NAME = CONCAT(
    CONVERT(CONVERT(%s USING filename) USING binary), '/', CONVERT(CONVERT(%s USING filename) USING binary))"""
    for is_mariadb, view in ((True, "INNODB_SYS_TABLES"), (False, "INNODB_TABLES"))
}
"""By whether the server is MariaDB."""
_NULL = re.compile(r"(?: DEFAULT)? NULL\b")
_COMMENT = re.compile(r" (?=COMMENT ')")
"""What says that a column can be NULL, and where its comment begins, in a definition that the server writes."""
_IN_USE = (1020, 1205, 1213)


class MySQL(Database[Session]):
    """The mysql family."""

    name = "mysql"
    ddl_in_transaction = False
    checks_foreign_keys = "row"
    claims_first = True
    detects_repeated_keys = True
    hints_at_casts = True
    attempts = 4
    patience = f"{SETTINGS['innodb_lock_wait_timeout']} s"
    placeholder = "%s"
    computed_by = "the server"
    ledger_columns = """(
    run_key VARCHAR(380) NOT NULL, step VARCHAR(380) NOT NULL, fingerprint VARCHAR(128) NOT NULL, target TEXT NOT NULL,
    `rows` BIGINT NOT NULL, digest LONGTEXT NOT NULL, written_at VARCHAR(40) NOT NULL, PRIMARY KEY (run_key, step)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"""
    state_columns: ClassVar = {
        STATE: """(
    pair VARCHAR(64) NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL, version BIGINT NOT NULL,
    content LONGTEXT NOT NULL, run_key TEXT NOT NULL, written_at VARCHAR(40) NOT NULL, PRIMARY KEY (pair)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin""",
        REPEATED: """(
    pair VARCHAR(64) NOT NULL, part BIGINT NOT NULL, digests LONGBLOB NOT NULL, PRIMARY KEY (pair, part)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin""",
    }
    insert_missing = ("INSERT IGNORE INTO", "")
    locks_rows = " FOR UPDATE"

    quote = staticmethod(quote_name)
    read_session = staticmethod(reading)
    lock_relations = staticmethod(hold)
    moment = staticmethod(late_rows.moment)
    snapshot = staticmethod(late_rows.snapshot)
    is_stamped = staticmethod(late_rows.is_stamped)
    relations = staticmethod(relations)
    find = staticmethod(find)
    relation = staticmethod(relation)
    columns = staticmethod(columns_of)
    column_type = staticmethod(column_type)
    name_problem = staticmethod(name_problem)
    unsupported_columns = staticmethod(refusals)
    can_store = staticmethod(fits)
    expect_privileges = staticmethod(expect_rights)
    expect_ledger_privileges = staticmethod(expect_rights_to_ledger)
    explain_rejection = staticmethod(explained)
    loose_columns = staticmethod(loose_columns)
    foreign_keys = staticmethod(foreign_keys)
    stage_keys_to_delete = staticmethod(stage_keys_to_delete)

    # The catalogue

    def is_unique(self, session: Session, relation: Table, key: Sequence[str]) -> bool:
        """Whether a table has a unique index on exactly these columns."""
        return {name.lower() for name in key} in uniques(session, relation.name)

    def unwritable(self, relation: Table) -> tuple[str, str] | None:
        """Return why a relation cannot be written, and a hint; None if it can."""
        if relation.kind == "BASE TABLE" and relation.engine == "InnoDB":
            return None
        if relation.kind == "SYSTEM VERSIONED":
            return "the server keeps the versions of its rows", "write a table without system versioning"
        if relation.engine:
            return f"its engine is {relation.engine}, which has no transactions", "ALTER TABLE … ENGINE = InnoDB"
        return "it is no plain table", "write a table"

    # Reading

    def forbid_null(self, session: Session, table: str, column: str) -> str:
        """Return how to declare a column of a table, given by its quoted name, NOT NULL: MODIFY needs all the rest."""
        name = quote_name(column)
        ((_, text),) = session.rows(f"SHOW CREATE TABLE {table}")
        definition = next(line.strip().removesuffix(",") for line in text.splitlines() if line.strip().startswith(name))
        kept, *comment = _COMMENT.split(definition)
        return f"run ALTER TABLE {table} MODIFY {' '.join([_NULL.sub('', kept), 'NOT NULL', *comment])}"

    @contextmanager
    def shared(self, ctx: StepContext, configs: Sequence[StepConfig]) -> Iterator[Shared]:
        """Hold a connection whose transaction sees one state of all tables of these configs that it can lock."""
        target = address(ctx.connection, None)
        connection, watch = connect(target, ctx)
        try:
            with watching(Session(connection, target, watch)) as session:
                answer = late_rows.ask_for_all(session)
                places = [(address(ctx.connection, config.schema).database, str(config.table)) for config in configs]
                locks = any(getattr(config, "snapshot", None) == "lock" for config in configs)
                seen = share(session, places, no_commits(session) if locks else nullcontext())
            pairs = zip(configs, places, strict=True)
            names = frozenset((config.schema, str(config.table)) for config, place in pairs if place in seen)
            yield Shared(names, asked=answer, session=session)
        finally:
            connection._force_close()

    def named_relations(self, session: Session, config: StepConfig) -> Sequence[Name]:
        """Return the table that a step reads; nothing for a query."""
        return () if config.query is not None else ((session.target.database, str(config.table)),)

    def select(self, session: Session, config: StepConfig, ctx: StepContext) -> Source:
        """Return what a step reads; fails with DAT005, DAT006, DRV012, DRV020, SQL001 to SQL009."""
        if config.query is not None:
            return query_result(session, config.query, ctx.bindings)
        source = table_result(session, relation(session, str(config.table)), config.columns)
        return windowed(source, config, str(1 << 62))  # MySQL has no OFFSET without a LIMIT

    def batches(
        self, session: Session, source: Source, config: StepConfig, ctx: StepContext
    ) -> Generator[pa.RecordBatch, None, None]:
        """Yield and count the rows; fails with DAT031 or DAT033 for unsupported values."""
        return sifted(lambda sieve: read_query(session, source.text, source.detail, sieve), config, ctx)

    def since(self, source: Source, condition: str) -> Source:
        """Return the source of the rows that fulfil a condition, in the order in which the server finds them."""
        if not source.plain:
            return super().since(source, condition)
        return replace(source, text=f"{source.plain} WHERE {condition}", order="free", rows=None)

    def at_least(self, column: str, value: Value, _kind: str, /) -> str:
        """Return a condition that holds for all rows whose cursor column is at or above a value."""
        if isinstance(value, datetime):
            value = value.replace(tzinfo=None)  # in UTC, as the session
        return super().at_least(column, value, _kind)

    def clock(self, session: Session) -> datetime:
        """Return the time of the server's clock, in UTC."""
        now: datetime = session.rows("SELECT UTC_TIMESTAMP(6)")[0][0]
        return now.replace(tzinfo=UTC)

    # Writing

    def delivery(self, config: StepConfig, schema: Schema, ctx: StepContext) -> Delivery:
        """Return the delivery of a step; fails with CON067 to CON069."""
        target = address(ctx.connection, config.schema)
        quoted = self.qualified(target.database, config.table)
        return Delivery(self, config, ctx, schema, Target(config.table, target.where), quoted)

    def inspect_session(self, delivery: Delivery) -> AbstractContextManager[Session]:
        """Open a session that inspects a target before rows are read."""
        return _opened(delivery)

    @contextmanager
    def write_session(self, delivery: Delivery) -> Iterator[Session]:
        """Open a session that can write; fails with DAT032 for a rejected row, may raise DatabaseBusy."""
        import pymysql

        with _opened(delivery, sends_rows=True) as session:
            session.run(f"SET SESSION {chosen(SETTINGS)}")
            try:
                yield session
            except pymysql.MySQLError as error:
                if refused := self.as_rejection(error):
                    fail_rejected(session, delivery, refused)
                if numbered(error)[0] not in _IN_USE:
                    raise
                raise DatabaseBusy from None

    def client_errors(self) -> tuple[type[Exception], ...]:
        """Return the exceptions that the client library raises."""
        import pymysql

        return (pymysql.MySQLError,)

    def as_rejection(self, error: Exception) -> RowRejected | None:
        """Return why the server rejected a row; None for other errors."""
        number, message = numbered(error)
        return refusal(number, message) if number in ROW else None

    def make_table(self, session: Session, delivery: Delivery) -> None:
        """Create the table unless it exists; MySQL commits this implicitly."""
        key = delivery.key
        types = {c.name: column_type(c.type, key=c.name in key, mariadb=session.mariadb) for c in delivery.schema}
        parts = [
            f"{quote_name(name)} {kind} {'NOT NULL' if name in key else 'NULL DEFAULT NULL'}"
            for name, kind in types.items()
        ]
        if key:
            parts.append(f"PRIMARY KEY ({', '.join(map(quote_name, key))})")
        session.run(f"CREATE TABLE IF NOT EXISTS {delivery.quoted} ({', '.join(parts)}) ENGINE = InnoDB")

    def own(self, session: Session, table: str) -> str:
        """Return the name of one of our own tables in SQL."""
        return qualified(session, table)

    def states_of(self, session: Session, name: Name) -> tuple[Session, str]:
        """Return a session of the database of a table, and the table's name in the states of targets."""
        return replace(session, target=replace(session.target, database=name[0])), name[1]

    def source_identity(self, session: Session, source: Source) -> str:
        """Return the server and the names of tables: nothing that it shows of a table outlasts OPTIMIZE or TRUNCATE."""
        names = (".".join(map(quote_name, name)) for name in source.relations)
        return ":".join([*(value for _, value in session.rows(_SERVER)), *names])

    def identity(self, session: Session, delivery: Delivery) -> str:
        """Return a text that changes if the target table is replaced by another.

        InnoDB's number of the table also changes if it is rebuilt; the time of its creation, if the user may not see
        that number, with each ALTER.
        """
        import pymysql

        place = session.target.database, delivery.table
        try:
            rows = session.rows(_TABLE_ID[session.mariadb], *place)
        except pymysql.MySQLError as error:
            if numbered(error)[0] not in NOT_GRANTED:
                raise
            rows = []
        if not rows:  # a partitioned table has other names there
            session.run("SET SESSION time_zone = '+00:00'")
            rows = session.rows(_CREATED, *place)
        servers = (value for _, value in session.rows(_SERVER))
        return ":".join([*servers, delivery.quoted, *(str(value) for (value,) in rows)])

    def claim(self, session: Session, delivery: Delivery, rows: int) -> bool:
        """Insert a delivery into the ledger before its rows; returns False if another attempt has done so.

        Blocks while an earlier attempt's transaction is open, even if its process has ended.
        """
        import pymysql

        try:
            insert_delivery(session, delivery, rows)
        except pymysql.IntegrityError as error:
            if numbered(error)[0] != _DUPLICATE_KEY:
                raise
            return False
        return True

    def stage(self, session: Session, delivery: Delivery, waiting: Staged) -> bool:
        """Stage the rows of an upsert unless they can be written directly; returns whether they were staged."""
        if not delivery.merged or may_replace(session, delivery):
            return False
        stage(session, delivery, used_columns(session, delivery), waiting)
        return True

    def begin(self, session: Session) -> None:
        """Begin the transaction of a delivery."""
        session.run("START TRANSACTION")

    def lock(self, session: Session, delivery: Delivery) -> None:
        """Lock the table against changes by others until the transaction ends."""
        session.rows(f"SELECT 1 FROM {delivery.quoted} LIMIT 0")

    def load(self, session: Session, delivery: Delivery, waiting: Staged) -> None:
        """Load all rows into the table."""
        send(session, delivery, delivery.quoted, used_columns(session, delivery), waiting.open().batches())

    def merge(self, session: Session, delivery: Delivery, waiting: Staged) -> None:
        """Upsert all rows by their key."""
        if not delivery.staged and may_replace(session, delivery):
            replace_directly(session, delivery, waiting)
            return
        if not delivery.staged:
            stage(session, delivery, used_columns(session, delivery), waiting)
        merge_staged(session, delivery, waiting.rows)

    def make_durable(self, session: Session, _delivery: Delivery) -> None:
        """Commit."""
        fault("mysql.commit")
        session.run("COMMIT")
        fault("mysql.committed")


@contextmanager
def _opened(delivery: Delivery, *, sends_rows: bool = False) -> Iterator[Session]:
    """Open a session in the schema of a delivery's table; fails with DRV071 if it is not there."""
    schema, target = delivery.config.schema, address(delivery.ctx.connection, delivery.config.schema)
    with ExitStack() as stack:
        try:
            session = stack.enter_context(opened(delivery.ctx, target, sends_rows=sends_rows))
        except OsirisError as error:
            if schema is None or error.diagnostics[0].code != "CON013":
                raise
            server = f"the server {target.host}:{target.port}"
            fail_schema(delivery, schema, f"CREATE DATABASE {quote_name(schema)}", server)
        yield session


MYSQL = MySQL()
