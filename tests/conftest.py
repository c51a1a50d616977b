"""Shared by all tests: the golden switch, an environment without surprises, and fresh projects."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.servers import start_azurite, start_google, start_mariadb, start_postgres, start_postgrest, start_s3

OSIRIS = str(Path(sys.executable).parent / "osiris")
# A shell that starts us in the background leaves SIGINT ignored, and our children would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="write golden files anew instead of comparing")


@pytest.fixture
def update_golden(request):
    return request.config.getoption("--update-golden")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    """No variable of the developer's shell reaches a test."""
    for name in list(os.environ):
        if name.startswith("OSIRIS_") or name.endswith(("_KEY", "_TOKEN", "_PASSWORD")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server; `tests/servers` tells what it can do."""
    with start_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb():
    """A MariaDB server; `tests/servers` tells what it can do."""
    with start_mariadb() as server:
        yield server


@pytest.fixture(scope="session")
def s3():
    """A server of S3."""
    with start_s3() as server:
        yield server


@pytest.fixture(scope="session")
def azurite():
    """A server of Azure Blob Storage."""
    with start_azurite() as server:
        yield server


@pytest.fixture(scope="session")
def gcs():
    """A server of Google Cloud Storage."""
    with start_google() as server:
        yield server


@pytest.fixture(params=["s3", "azurite", "gcs"])
def store(request):
    """An object store: one of each kind."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def postgrest(postgres):
    """A PostgREST as Supabase presents it, in front of a database of its own; see `tests/servers/postgrest.py`."""
    with start_postgrest(postgres.fields(postgres.new_database())) as server:
        yield server


@pytest.fixture(scope="session")
def e2b():
    """A local E2B whose sandboxes have the packages of this environment, and none of our code."""
    from tests.servers.e2b import Base, e2b_service

    from osiris.runner.pins import template_name

    ready = Base(commands=(f"ln -s {sys.prefix} /opt/osiris",))
    with e2b_service(bases={"base": ready, template_name(2, 4 * 2**30): ready}, binds=[Path(sys.prefix)]) as service:
        yield service


@pytest.fixture
def osiris():
    """The installed command: `osiris('run', 'x.yaml', cwd=folder, env={...})` gives the finished process."""

    def call(*args, cwd, env=None, stdin=None, timeout=60):
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        return subprocess.run(
            [OSIRIS, *map(str, args)],
            cwd=cwd,
            env=kept | (env or {}),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return call
