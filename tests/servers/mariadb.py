"""A MariaDB server in a temporary folder."""

from __future__ import annotations

import itertools
import signal
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from .process import Place, kept_copy, make_place, program, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pymysql

USER, READER = "über user", "reader"
PASSWORD = 'pä\'ss "w@rd"%20&/:#?\\$ß'
READER_PASSWORD = "re@der's 100% \\ pass:wörd"
DATABASE = "osiris"

_FAST = ("innodb-flush-log-at-trx-commit=0", "innodb-flush-method=nosync", "skip-innodb-doublewrite", "skip-log-bin")
_SMALL = ("innodb-log-file-size=64M", "innodb-buffer-pool-size=128M", "skip-performance-schema")
_FOLDERS = ("usr/sbin", "usr/bin")
_PLAIN = ("bind-address=127.0.0.1", "skip-name-resolve", "character-set-server=utf8mb4", "local-infile=1")


@dataclass(frozen=True)
class MariaDB:
    """A running server: its port, a user with all privileges and a read-only one, each with its password."""

    port: int
    folder: Path
    host: str = "127.0.0.1"
    user: str = USER
    password: str = PASSWORD
    reader: str = READER
    reader_password: str = READER_PASSWORD
    database: str = DATABASE
    _numbers: Iterator[int] = field(default_factory=itertools.count, compare=False, repr=False)

    def fields(self, database: str | None = None, *, reader: bool = False) -> dict[str, object]:
        """Return the fields of a connection, of the full user or of the reader, the password in plain text."""
        return {
            "host": self.host,
            "port": self.port,
            "database": database or self.database,
            "user": self.reader if reader else self.user,
            "password": self.reader_password if reader else self.password,
        }

    def connect(self, database: str | None = None, *, reader: bool = False) -> pymysql.connections.Connection:
        """Return a plain pymysql connection that commits each statement; close it, or use it with `with`."""
        import pymysql

        given = self.fields(database, reader=reader)
        password = given.pop("password").encode()  # pymysql would take a text's bytes in Latin-1, the server in UTF-8
        return pymysql.connect(**given, password=password, autocommit=True, charset="utf8mb4", local_infile=True)

    def run(self, *statements: str, database: str | None = None) -> None:
        """Run statements as the user with all privileges."""
        with self.connect(database) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def new_database(self) -> str:
        """Create an empty database that the reader may read; returns its name."""
        name = f"db {next(self._numbers)}"
        self.run(f"CREATE DATABASE `{name}`", f"GRANT SELECT, SHOW VIEW ON `{name}`.* TO {READER}@'%'")
        return name


@contextmanager
def start_mariadb(*settings: str, zone: str = "UTC") -> Iterator[MariaDB]:
    """Run a separate server until the block ends; `settings` are additional options, like `sql-mode=ANSI`.

    `zone` is the time zone of its operating system.
    """
    place, server = make_place("mariadb"), program("mariadbd", *_FOLDERS)
    data = place.folder / "data"
    # A server deletes all temporary tables in its `tmpdir` when it starts: those of another server, if they share it.
    sizes = [f"--{setting}" for setting in (*_FAST, *_SMALL, f"tmpdir={place.folder}")]
    kept_copy(place, data, _key(server), lambda: _install(place, data, sizes))
    first = place.write("first.sql", _first())
    options = [*sizes, *(f"--{setting}" for setting in (*_PLAIN, *settings))]
    socket = place.folder / "socket"

    def command(port: int) -> list[str | Path]:
        here = [f"--datadir={data}", f"--socket={socket}", f"--port={port}", f"--init-file={first}"]
        return [program("env", "usr/bin"), f"TZ={zone}", server, "--no-defaults", *here, *options]

    with running(place, command, signal.SIGTERM, _answers) as port:
        yield MariaDB(port, place.folder)


def _install(place: Place, data: Path, sizes: list[str]) -> None:
    choices = ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
    install = program("mariadb-install-db", *_FOLDERS)
    place.command(install, "--no-defaults", f"--datadir={data}", *choices, *sizes)


def _key(server: Path) -> str:
    """Return what an installed folder depends on: the program, and the choices in this file."""
    parts = (server, server.stat().st_mtime_ns, Path(__file__).read_bytes())
    return f"mariadb-{sha256(repr(parts).encode()).hexdigest()[:16]}"


def _first() -> str:
    """Return the statements of the first start, one per line; the server runs them before it accepts connections."""
    people = [(f"'{USER}'@'%'", PASSWORD), (f"'{READER}'@'%'", READER_PASSWORD)]
    made = [f"CREATE USER {who} IDENTIFIED BY '{_escaped(password)}';" for who, password in people]
    rights = [
        f"GRANT ALL PRIVILEGES ON *.* TO {people[0][0]} WITH GRANT OPTION;",
        f"CREATE DATABASE {DATABASE};",
        f"GRANT SELECT, SHOW VIEW ON {DATABASE}.* TO {people[1][0]};",
        "DROP USER root@localhost;",
    ]
    return "\n".join(["SET NAMES utf8mb4;", *made, *rights, ""])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


def _answers(port: int) -> bool:
    import pymysql

    try:
        MariaDB(port, Path()).connect("mysql").close()
    except pymysql.err.OperationalError:
        return False
    return True
