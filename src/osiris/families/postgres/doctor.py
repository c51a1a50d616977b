"""`osiris doctor` for the postgres family: the server's settings and the privileges of the role."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from osiris.families.doctor_report import Transport, naming
from osiris.families.postgres.connect import address
from osiris.families.postgres.session import reading, relations
from osiris.families.sql.doctor import ServerFacts, examine_server, scripts_of
from osiris.sql.binding.duck_types import quote_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from osiris.driver import StepContext
    from osiris.families.doctor_report import Health
    from osiris.families.postgres.session import Session
    from osiris.families.sql.doctor import Scripts
    from osiris.model import JsonValue

_SERVER = """
SELECT pg_catalog.split_part(pg_catalog.version(), ' ', 1), pg_catalog.current_setting('server_version'),
    pg_catalog.current_setting('server_encoding'),
    (SELECT reset_val FROM pg_catalog.pg_settings WHERE name = 'TimeZone'),
    pg_catalog.current_setting('default_transaction_read_only') = 'on', pg_catalog.pg_is_in_recovery(),
    session_user::text, pg_catalog.current_database()::text"""
_NOW = "SELECT extract(epoch FROM pg_catalog.clock_timestamp())::float8"
_ROLES = """
SELECT rolname::text, rolname = session_user, rolsuper, rolreplication, rolbypassrls, rolcreaterole, rolcreatedb
FROM pg_catalog.pg_roles WHERE pg_catalog.pg_has_role(session_user, oid, 'MEMBER') ORDER BY 1"""
_POWERS = (
    "is a superuser",
    "may replicate the whole server",
    "passes by row security",
    "may make roles",
    "may make databases",
)
"""The meaning of the columns of `_ROLES`, from the third on."""

_STRONG = frozenset(
    (
        *("pg_read_server_files", "pg_write_server_files", "pg_execute_server_program", "pg_signal_backend"),
        *("pg_create_subscription", "rds_superuser", "rds_replication", "cloudsqlsuperuser", "alloydbsuperuser"),
        *("azure_pg_admin", "neon_superuser", "supabase_admin", "service_role"),
    )
)
"""Roles with privileges beyond tables: PostgreSQL's predefined roles and those of hosting providers."""

_WITH_ROLES = (
    "WITH mine AS (SELECT oid FROM pg_catalog.pg_roles WHERE pg_catalog.pg_has_role(session_user, oid, 'MEMBER'))"
)
_USER_SCHEMAS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
_WRITABLE = f"""{_WITH_ROLES}
SELECT pg_catalog.count(*) OVER (), n.nspname || '.' || c.relname
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {_USER_SCHEMAS}
    AND EXISTS (SELECT FROM mine WHERE pg_catalog.has_schema_privilege(mine.oid, n.oid, 'USAGE'))
    AND EXISTS (
        SELECT FROM mine WHERE pg_catalog.has_table_privilege(mine.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
        OR pg_catalog.has_any_column_privilege(mine.oid, c.oid, 'INSERT, UPDATE'))
ORDER BY 2 LIMIT 3"""
_SCHEMAS = f"""{_WITH_ROLES}
SELECT n.nspname::text FROM pg_catalog.pg_namespace n
WHERE {_USER_SCHEMAS} AND EXISTS (SELECT FROM mine WHERE pg_catalog.has_schema_privilege(mine.oid, n.oid, 'CREATE'))
ORDER BY 1"""
_DATABASE = f"""{_WITH_ROLES}
SELECT FROM mine WHERE pg_catalog.has_database_privilege(mine.oid, pg_catalog.current_database(), 'CREATE') LIMIT 1"""
_SCHEMA_USAGE = "SELECT FROM pg_catalog.pg_namespace WHERE nspname = %s AND has_schema_privilege(oid, 'USAGE')"
_PUBLIC_CREATE = (
    "SELECT FROM pg_catalog.pg_namespace WHERE nspname = %s AND has_schema_privilege('public', oid, 'CREATE')"
)
_LOGIN = (
    "-- the next two lines are for a role that is not there yet; psql asks for its password",
    "CREATE ROLE osiris_{0} LOGIN;",
    "\\password osiris_{0}",
    "GRANT CONNECT ON DATABASE {{database}} TO osiris_{0};",
)
_SCRIPTS: Scripts = {
    "reader": (
        *(line.format("reader") for line in _LOGIN),
        "ALTER ROLE osiris_reader SET default_transaction_read_only = on;",
        "GRANT USAGE ON SCHEMA {schema} TO osiris_reader;",
        "GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO osiris_reader;",
        "-- only for cursors with late: open_transactions, as it shows the statements of all users:",
        "-- GRANT pg_read_all_stats TO osiris_reader;",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO osiris_reader;",
    ),
    "writer": (
        *(line.format("writer") for line in _LOGIN),
        "GRANT TEMPORARY ON DATABASE {database} TO osiris_writer;",
        "-- CREATE makes {ledger}, and tables that are missing; once they are there it may be revoked",
        "GRANT USAGE, CREATE ON SCHEMA {schema} TO osiris_writer;",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO osiris_writer;",
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO osiris_writer;",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO osiris_writer;",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT USAGE ON SEQUENCES TO osiris_writer;",
    ),
}


def examine(ctx: StepContext, _uses: Collection[str], seconds: float) -> Health:
    """Examine a PostgreSQL server; fails with CON011 to CON017 or DRV012 if it cannot be used."""
    import psycopg  # noqa: F401  so that its import does not count as connection time

    def defaults() -> tuple[str, Scripts]:
        target = address(ctx.connection)
        return target.user, _scripts(str(target.keywords["dbname"]), target.schema)

    return examine_server(ctx, seconds, reading, _NOW, _seen, defaults)


def _seen(session: Session) -> ServerFacts:
    powers, facts = _powers(session), _facts(session)
    writes = [] if powers else _writes(session)
    scripts = _scripts(str(facts["database"]), session.schema, list(_revocations(session)))
    return ServerFacts(str(facts["user"]), _line(session), facts, powers, writes, _lacks(session, facts), scripts)


def _line(session: Session) -> Transport:
    keywords = session.target.keywords
    encrypted = bool(session.connection.pgconn.ssl_in_use)
    authority = keywords.get("sslrootcert")
    strict = ("verify-ca", "verify-full", *(["require"] if authority else []))  # as libpq treats it
    verified = keywords.get("sslmode") in strict or authority == "system"
    return Transport(session.target.where, str(keywords["host"]), encrypted, encrypted and verified)


def _facts(session: Session) -> dict[str, JsonValue]:
    ((product, version, encoding, time_zone, reads_by_default, replica, user, database),) = session.rows(_SERVER)
    tables = relations(session).values()
    readable = sum(table.readable for table in tables) if session.rows(_SCHEMA_USAGE, session.schema) else 0
    return {
        "server": f"{product} {version}",
        "user": user,
        "database": database,
        "schema": session.schema,
        "tables": len(tables),
        "readable_tables": readable,
        "encoding": encoding,
        "time_zone": time_zone,
        "read_only_by_default": reads_by_default,
        "replica": replica,
    }


def _lacks(session: Session, facts: Mapping[str, JsonValue]) -> Iterator[str]:
    """Yield the missing privileges if nothing can be read."""
    if not session.rows(_SCHEMA_USAGE, session.schema):
        yield f"it may not use schema '{session.schema}'"
    elif facts["tables"] and not facts["readable_tables"]:
        yield f"it may read none of the tables of schema '{session.schema}', of which there are {facts['tables']}"


def _powers(session: Session) -> list[str]:
    """Return the role's privileges beyond tables, its own and those of roles that it may SET ROLE to."""
    roles = session.rows(_ROLES)
    if any(own and superuser for _, own, superuser, *_ in roles):
        return ["it is a superuser"]
    powers = [power for name, own, *flags in roles for power in _powers_of(name, flags, own=own)]
    return list(dict.fromkeys(powers))


def _powers_of(name: str, flags: Sequence[bool], *, own: bool) -> Iterator[str]:
    who = "it" if own else f"it may become '{name}', which"
    yield from (f"{who} {power}" for power, granted in zip(_POWERS, flags, strict=True) if granted)
    if name in _STRONG:
        yield f"it is {name}" if own else f"it is a member of {name}"


def _writes(session: Session) -> list[str]:
    rows: list[tuple[Any, ...]] = session.rows(_WRITABLE)
    schemas = [name for (name,) in session.rows(_SCHEMAS)]
    return [
        *naming("it may change rows of", [name for _, name in rows], rows[0][0] if rows else 0),
        *naming("it may make tables in schema", schemas, len(schemas)),
        *(["it may make schemas"] if session.rows(_DATABASE) else []),
    ]


def _scripts(database: str, schema: str, more: Sequence[str] = ()) -> Scripts:
    """Return scripts for psql, to be run by the owner of the tables."""
    scripts = scripts_of(_SCRIPTS, database=quote_name(database), schema=quote_name(schema))
    return {kind: [*lines, *more] for kind, lines in scripts.items()}


def _revocations(session: Session) -> Iterator[str]:
    """Yield the statements that revoke CREATE on the schema from PUBLIC, if PUBLIC has it."""
    if session.rows(_PUBLIC_CREATE, session.schema):
        yield "-- everybody may make tables there, as in PostgreSQL before 15"
        yield f"REVOKE CREATE ON SCHEMA {quote_name(session.schema)} FROM PUBLIC;"
