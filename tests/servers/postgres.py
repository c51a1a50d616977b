"""A PostgreSQL server in a temporary folder."""

from __future__ import annotations

import itertools
import signal
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .process import Place, make_place, program, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

USER, READER = "über user", "reader"
PASSWORD = 'pä\'ss "w@rd"%20&/:#?\\$ß'
READER_PASSWORD = "re@der's 100% \\ pass:wörd"
DATABASE = "osiris"

_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off", "max_connections=40")
_PLAIN = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "log_min_messages=fatal", "shared_buffers=128MB")
_SMALL = ("max_wal_size=128MB",)  # the log may have 1 GB by default, and several servers run at once


@dataclass(frozen=True)
class Postgres:
    """A running server: its port, its superuser and a read-only role, each with its password."""

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
        """Return the fields of a connection, of the superuser or of the reader, the password in plain text."""
        return {
            "host": self.host,
            "port": self.port,
            "database": database or self.database,
            "user": self.reader if reader else self.user,
            "password": self.reader_password if reader else self.password,
        }

    def connect(self, database: str | None = None, *, reader: bool = False) -> psycopg.Connection:
        """Return a plain psycopg connection that commits each statement; close it, or use it with `with`."""
        import psycopg

        given = self.fields(database, reader=reader)
        return psycopg.connect(dbname=given.pop("database"), autocommit=True, **given)

    def run(self, *statements: str, database: str | None = None) -> None:
        """Run statements as the superuser."""
        with self.connect(database) as connection:
            for statement in statements:
                connection.execute(statement)

    def new_database(self) -> str:
        """Create an empty database; the reader may read the superuser's tables in `public`. Returns its name."""
        name = f"db {next(self._numbers)}"
        self.run(f'CREATE DATABASE "{name}"')
        self.run(_grants(), database=name)
        return name

    def drop_databases(self) -> None:
        """Drop what `new_database` created: each database takes 7 MB."""
        with self.connect("postgres") as connection:
            for (name,) in connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'db %'").fetchall():
                connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def start_postgres(*settings: str, encrypted: bool = False) -> Iterator[Postgres]:
    """Run a separate server until the block ends; `settings` are additional ones, like `wal_level=logical`.

    An encrypted one also offers TLS, as `127.0.0.1`; its certificate is `certificate` in its folder.
    """
    place = make_place("postgres")
    initdb, server = (program(name, "usr/lib/postgresql/*/bin") for name in ("initdb", "postgres"))
    secret, data = place.write("secret", PASSWORD), place.folder / "data"
    choices = ["--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256"]
    place.command(initdb, f"--username={USER}", f"--pwfile={secret}", f"--pgdata={data}", *choices)
    secret.unlink()
    own = _certified(place) if encrypted else ()
    options = [f"--{setting}" for setting in (*_FAST, *_PLAIN, *_SMALL, *own, *settings)]

    def command(port: int) -> list[str | Path]:
        return [server, "-D", data, "-p", str(port), *options]

    with running(place, command, signal.SIGINT, _answers) as port:
        made = Postgres(port, place.folder)
        quoted = READER_PASSWORD.replace("'", "''")
        made.run(f"CREATE ROLE {READER} LOGIN PASSWORD E'{quoted.replace(chr(92), chr(92) * 2)}'", database="postgres")
        made.run(f"CREATE DATABASE {DATABASE}", database="postgres")
        made.run(_grants())
        yield made


@contextmanager
def start_standby(primary: Postgres, *settings: str) -> Iterator[Postgres]:
    """Run a standby of a server that has WAL senders, until the block ends; `settings` must be at least its own."""
    place = make_place("standby")
    server = program("postgres", "usr/lib/postgresql/*/bin")
    backup = server.parent / "pg_basebackup"  # the one on the path is Debian's wrapper
    fields = {"host": primary.host, "port": primary.port, "user": primary.user, "password": primary.password}
    quoted = {name: str(value).replace("\\", "\\\\").replace("'", "\\'") for name, value in fields.items()}
    source, data = " ".join(f"{name}='{value}'" for name, value in quoted.items()), place.folder / "data"
    place.command(backup, f"--pgdata={data}", "--write-recovery-conf", "--checkpoint=fast", f"--dbname={source}")
    options = [f"--{setting}" for setting in (*_FAST, *_PLAIN, *settings)]

    def command(port: int) -> list[str | Path]:
        return [server, "-D", data, "-p", str(port), *options]

    with running(place, command, signal.SIGINT, _answers) as port:
        yield Postgres(port, place.folder)


def _certified(place: Place) -> tuple[str, ...]:
    """Create a self-signed certificate; returns the settings that use it."""
    key, certificate = place.folder / "key", place.folder / "certificate"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate]
    place.command(program("openssl", "usr/bin"), *made, *subject)
    certificate.chmod(0o644)
    return ("ssl=on", f"ssl_key_file={key}", f"ssl_cert_file={certificate}")


def _grants() -> str:
    return f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {READER}"


def _answers(port: int) -> bool:
    import psycopg

    try:
        Postgres(port, Path()).connect("postgres").close()
    except psycopg.OperationalError:
        return False
    return True
