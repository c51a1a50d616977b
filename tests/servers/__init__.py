"""Real database servers for tests, each in a temporary folder, on loopback, as an unprivileged user.

The fixtures `postgres` and `mariadb` (tests/conftest.py) give one server of a kind to a whole test session, to each
xdist worker its own:

    def test_reading(postgres):
        database = postgres.new_database()                     # its own, so tests do not meet
        postgres.run("CREATE TABLE t (a int)", database=database)
        with postgres.connect(database) as connection:         # psycopg (mariadb: pymysql), as the superuser
            connection.execute("INSERT INTO t VALUES (1)")
        fields = postgres.fields(database, reader=True)        # host, port, database, user, password

Names and passwords have quotes, %, @, spaces and letters outside of ASCII; a password goes into a file of connections
as `${NAME}` and into the environment unchanged. A test that stops, floods or configures its server starts its own:
`with start_postgres("wal_level=logical") as server: …`, `with start_mariadb("sql-mode=ANSI") as server: …`.

The fixture `postgrest` is a PostgREST like Supabase's, one per test, in front of its own database in that PostgreSQL;
`tests/servers/postgrest.py` describes how to use it and how to make it fail.

The fixtures `s3`, `azurite` and `gcs` are object stores, `store` is one after the other: `new_bucket()`,
`fields(bucket)`, `put`, `get` and `keys`.

Doubles of services, each written from its protocol's documentation, serve on a socket of the test process, one per
test: `vault` and `vault_tls` (HashiCorp Vault), `aws_secrets`, `gcp_secrets`, `hooks` (webhooks), `slack` (its incoming
webhooks), `smtp`, `smtp_starttls` and `smtp_tls` (mail), `otlp` (OpenTelemetry). Their files say how to use them;
`http_double.py` has the faults that all have.

The servers end with the tests, even if those are killed. They come from Debian's packages (`sh tools/servers.sh`); that
of S3 comes with the lock of Python packages, and that of Azure from npm (`sh tools/npm.sh tests/servers/azurite`). That
of Google Cloud Storage is part of the tests, written from its documentation.
"""

from .azurite import Azurite, start_azurite
from .google import Google, start_google
from .mariadb import MariaDB, start_mariadb
from .postgres import Postgres, start_postgres
from .postgrest import Postgrest, start_postgrest
from .s3 import S3, start_s3

__all__ = [
    "S3",
    "Azurite",
    "Google",
    "MariaDB",
    "Postgres",
    "Postgrest",
    "start_azurite",
    "start_google",
    "start_mariadb",
    "start_postgres",
    "start_postgrest",
    "start_s3",
]
