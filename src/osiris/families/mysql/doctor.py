"""`osiris doctor` for the mysql family: the server's settings and the privileges of the user."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from osiris.errors import diagnostic
from osiris.families.doctor_report import Transport, naming
from osiris.families.mysql.connect import address
from osiris.families.mysql.session import reading
from osiris.families.mysql.types import every_table
from osiris.families.sql.doctor import ServerFacts, examine_server, scripts_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from osiris.driver import StepContext
    from osiris.errors import Diagnostic
    from osiris.families.doctor_report import Health
    from osiris.families.mysql.session import Session
    from osiris.families.sql.doctor import Scripts

_SERVER = """
SELECT VERSION(), CURRENT_USER(), @@GLOBAL.time_zone, @@system_time_zone, @@GLOBAL.read_only, @@GLOBAL.local_infile,
    (SELECT DEFAULT_CHARACTER_SET_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s),
    (SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s)"""
_NOW = "SELECT UNIX_TIMESTAMP(SYSDATE(6))"
_CIPHER = "SHOW SESSION STATUS LIKE 'Ssl_cipher'"

_NAME = r"`(?:[^`]|``)*`"
_PRIVILEGES = re.compile(
    rf"GRANT (.+?) ON (?:(FUNCTION|PROCEDURE|PACKAGE|PACKAGE BODY) )?(\*\.\*|{_NAME}\.(?:\*|{_NAME})) TO "
)
_ROLES = re.compile(rf"GRANT ({_NAME}(?:@{_NAME})?(?:, ?{_NAME}(?:@{_NAME})?)*) TO ")
_COLUMNS = re.compile(rf" ?\((?:{_NAME}|[^)`])*\)")

_ALL = "ALL PRIVILEGES"
_HARMLESS = frozenset(
    (
        *("USAGE", "SELECT", "SHOW VIEW", "SHOW DATABASES", "SHOW CREATE ROUTINE", "LOCK TABLES", "EXECUTE"),
        *("CREATE TEMPORARY TABLES", "REFERENCES"),
    )
)
_WRITES = frozenset(
    (
        *("INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "INDEX", "TRIGGER", "EVENT", "CREATE VIEW"),
        *("CREATE ROUTINE", "ALTER ROUTINE", "DELETE HISTORY", _ALL),
    )
)
_ALL_DATABASES, _USER_TABLES = "*.*", "`mysql`."
"""All databases, and the database in which the server stores its users."""
_TEST_DATABASES = frozenset(("`test`.*", "`test\\_%`.*"))
"""Test databases that a MariaDB installation comes with; every user can write to them."""
_LOGIN = (
    "-- name the machine that runs Osiris in place of %",
    "CREATE USER IF NOT EXISTS 'osiris_{0}'@'%' IDENTIFIED BY '<a new password>';",
)
_SCRIPTS: Scripts = {
    "reader": (
        *(line.format("reader") for line in _LOGIN),
        "-- only for cursors with late: open_transactions, as it shows the statements of all users:",
        "-- GRANT PROCESS ON *.* TO 'osiris_reader'@'%';",
        "GRANT SELECT, SHOW VIEW ON {place} TO 'osiris_reader'@'%';",
    ),
    "writer": (
        *(line.format("writer") for line in _LOGIN),
        "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE TEMPORARY TABLES ON {place} TO 'osiris_writer'@'%';",
        "-- CREATE makes {ledger}, and tables that are missing; once they are there it may be revoked",
        "GRANT CREATE ON {place} TO 'osiris_writer'@'%';",
    ),
}


class _Grant(NamedTuple):
    """Privileges on all databases (`*.*`), one, or a table; `public` ones are granted to every user."""

    privileges: tuple[str, ...]
    place: str
    grantable: bool
    public: bool


def examine(ctx: StepContext, _uses: Collection[str], seconds: float) -> Health:
    """Examine a MySQL or MariaDB server; fails with CON011 to CON017 if it cannot be used."""
    import pymysql  # noqa: F401  so that its import does not count as connection time

    def defaults() -> tuple[str, Scripts]:
        target = address(ctx.connection)
        return target.user, scripts_of(_SCRIPTS, place=every_table(target.database))

    return examine_server(ctx, seconds, reading, _NOW, _seen, defaults)


def _seen(session: Session) -> ServerFacts:
    database, line = session.target.database, _line(session)
    ((version, user, zone, system_zone, read_only, infile, encoding, tables),) = session.rows(_SERVER, *(database,) * 2)
    all_grants = _grants(session)
    grants = [grant for grant in all_grants if not _is_public_test_grant(grant, database)]
    facts = {
        "server": f"{'MariaDB' if session.mariadb else 'MySQL'} {version}",
        "user": user,
        "database": database,
        "readable_tables": tables,
        "encoding": encoding,
        "time_zone": zone if zone != "SYSTEM" else f"SYSTEM ({system_zone})",
        "read_only_server": bool(read_only),
        "local_infile": bool(infile),
    }
    return ServerFacts(
        user=user,
        line=line,
        facts=facts,
        powers=list(dict.fromkeys(_powers(grants))),
        writes=list(_writes(grants)),
        lacks=[] if _reads(grants, database) else [f"it may read nothing of database '{database}'"],
        scripts=scripts_of(_SCRIPTS, place=every_table(database)),
        problems=list(_open_problems(line.where, all_grants)),
    )


def _line(session: Session) -> Transport:
    target = session.target
    encrypted = any(cipher for _, cipher in session.rows(_CIPHER))
    verified = encrypted and target.encryption.get("sslmode") in ("verify-ca", "verify-full")
    return Transport(target.where, target.host, encrypted, verified)


def _grants(session: Session) -> list[_Grant]:
    """Return the user's grants, its own and those of its roles."""
    statements = [text for (text,) in session.rows("SHOW GRANTS")]
    roles = [match[1] for text in statements if (match := _ROLES.match(text))]
    for role in roles:
        statements += _grants_with(session, role)
    return list(dict.fromkeys(_parse_grants(statements)))


def _grants_with(session: Session, role: str) -> list[str]:
    """Return the user's grants with a role; MariaDB shows them only after SET ROLE."""
    if session.mariadb:
        session.run(f"SET ROLE {role}")
        return [text for (text,) in session.rows("SHOW GRANTS")]
    return [text for (text,) in session.rows(f"SHOW GRANTS FOR CURRENT_USER() USING {role}")]


def _parse_grants(statements: Iterable[str]) -> Iterator[_Grant]:
    for text in statements:
        if (match := _PRIVILEGES.match(text)) and not match[2]:
            privileges = tuple(sorted(name.strip() for name in _COLUMNS.sub("", match[1]).split(",")))
            public = text.startswith("PUBLIC", match.end())
            yield _Grant(privileges, match[3], text.endswith("WITH GRANT OPTION"), public)


def _is_public_test_grant(grant: _Grant, database: str) -> bool:
    """Whether a grant is public and for a test database other than the one in use."""
    return grant.public and grant.place in _TEST_DATABASES and database != "test" and not database.startswith("test_")


def _open_problems(where: str, grants: Iterable[_Grant]) -> Iterator[Diagnostic]:
    places = [grant.place for grant in grants if grant.public and grant.place in _TEST_DATABASES]
    if places:
        yield diagnostic("CON029", where=where, databases=" and ".join(places))


def _powers(grants: Iterable[_Grant]) -> Iterator[str]:
    """Yield privileges that reach beyond the tables of single databases."""
    for grant in grants:
        if grant.place == _ALL_DATABASES:
            special = [name for name in grant.privileges if name not in _HARMLESS | _WRITES or name == _ALL]
            yield from naming("it has", special, len(special))
            if _WRITES.intersection(grant.privileges):
                yield "it may change every database, that of the server's users too"
        elif grant.place.startswith(_USER_TABLES) and _WRITES.intersection(grant.privileges):
            yield "it may change the database of the server's users"
        if grant.grantable:
            yield f"it may hand on its rights to {grant.place}"


def _writes(grants: Iterable[_Grant]) -> Iterator[str]:
    for grant in grants:
        privileges = [name for name in grant.privileges if name in _WRITES]
        yield from (f"{reason} on {grant.place}" for reason in naming("it has", privileges, len(privileges)))


def _reads(grants: Iterable[_Grant], database: str) -> bool:
    """Whether anything in a database can be read."""
    return any({"SELECT", _ALL}.intersection(grant.privileges) and _is_in(grant.place, database) for grant in grants)


def _is_in(place: str, database: str) -> bool:
    """Whether a grant's place matches a database; % and _ in its name are wildcards."""
    if place == _ALL_DATABASES:
        return True
    database_name = place[1 : place.index("`.")].replace("``", "`")
    like = re.sub(r"\\(.)|(%)|(_)|(.)", _as_pattern, database_name)
    return re.fullmatch(like, database, re.IGNORECASE | re.DOTALL) is not None


def _as_pattern(match: re.Match[str]) -> str:
    return ".*" if match[2] else "." if match[3] else re.escape(match[1] or match[4])
