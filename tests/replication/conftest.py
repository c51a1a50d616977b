"""Servers for replication: one of each kind per session, which allows transactions in two phases."""

import pytest
from tests.replication.projects import DATA, Database, Project
from tests.servers import start_mariadb, start_postgres


@pytest.fixture(scope="session")
def postgres_server():
    with start_postgres("max_prepared_transactions=40", "max_connections=80") as server:
        yield server


@pytest.fixture(scope="session")
def mariadb():
    with start_mariadb() as server:
        yield server


@pytest.fixture
def make_database(request, tmp_path):
    """`make_database(kind)`: an empty database of `postgres`, `mariadb`, `sqlite` or `duckdb`."""
    made = []

    def make(kind):
        made.append(kind)
        if kind in ("sqlite", "duckdb"):
            folder = tmp_path / "project" / DATA
            folder.mkdir(parents=True, exist_ok=True)
            return Database(kind, folder / f"{len(made)}.{kind}", kind)
        server = request.getfixturevalue(kind)
        return Database(kind, server, server.new_database())

    return make


@pytest.fixture
def make_project(tmp_path, osiris, make_database):
    """`make_project(source kind, target kind)`: a project with two empty databases."""

    def make(source, target=None, name="shop"):
        return Project(tmp_path / "project", osiris, make_database(source), make_database(target or source), name)

    return make
