"""Shared by all tests: the golden switch, a controlled environment, and fresh projects."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.chance import give_seed, take_tried
from tests.forked import LONGEST, forking, is_read_at_start
from tests.servers import start_azurite, start_google, start_mariadb, start_postgres, start_postgrest, start_s3

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("the same in every run", settings.get_profile("any machine"), derandomize=True)
OSIRIS = str(Path(sys.executable).parent / "osiris")
# A shell that starts us in the background leaves SIGINT ignored, and our children would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

QUICK = ("docs", "kernels", "property", "quality", "unit")
"""Folders in which a case costs so little that each is always tried."""

KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="write golden files anew instead of comparing")
    parser.addoption("--seed", type=int, help="begin random tests with this seed")
    parser.addoption("--installed", action="store_true", help="start the console script itself for every command")
    parser.addoption("--sample", action="store_true", help="try only some cases, with the same seeds in every run")


def pytest_configure(config):
    give_seed(config.getoption("--seed"))
    settings.load_profile("the same in every run" if config.getoption("--sample") else "any machine")


def is_quick(test):
    """Return whether an item, or the request of a fixture, belongs to a test in `QUICK`."""
    return test.path.relative_to(Path(__file__).parent).parts[0] in QUICK


def pytest_collection_modifyitems(config, items):
    """With `--sample`, keep two cases of each test and a tenth of the others: the same in every run."""
    if not config.getoption("--sample"):
        return
    cases = defaultdict(list)
    for item in items:
        if not is_quick(item):
            cases[item.nodeid.partition("[")[0]].append(item)
    left = {
        item
        for name, each in cases.items()
        for item in random.Random(name).sample(each, len(each) - min(len(each), 2 + len(each) // 10))
    }
    config.hook.pytest_deselected(items=[item for item in items if item in left])
    items[:] = [item for item in items if item not in left]


def pytest_runtest_setup(item):
    """With `--sample`, a test has a seed of its own: whether it passes is no matter of chance."""
    if item.config.getoption("--sample"):
        random.seed(item.nodeid)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item, call):
    if call.when == "call":
        item.user_properties += take_tried()


@pytest.fixture
def update_golden(request):
    return request.config.getoption("--update-golden")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    """No variable of the developer's shell reaches a test, and each begins in the folder of the project."""
    for name in list(os.environ):
        if name.startswith("OSIRIS_") or name.endswith(("_KEY", "_TOKEN", "_PASSWORD")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(Path(__file__).parents[1])  # and back afterwards: the folder that a test leaves may be removed


@pytest.fixture(scope="session")
def postgres_server():
    """A PostgreSQL server for all files of tests."""
    with start_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def postgres(postgres_server):
    """A PostgreSQL server without databases of earlier files; see `tests/servers` for its methods."""
    yield postgres_server
    postgres_server.drop_databases()


@pytest.fixture(scope="session")
def mariadb():
    """A MariaDB server; see `tests/servers` for its methods."""
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
    """A PostgREST like Supabase's, in front of its own database; see `tests/servers/postgrest.py`."""
    with start_postgrest(postgres.fields(postgres.new_database())) as server:
        yield server


@pytest.fixture
def vault():
    """A HashiCorp Vault; see `tests/servers/vault.py`."""
    from tests.servers.vault import start_vault

    with start_vault() as service:
        yield service


@pytest.fixture
def vault_tls():
    """A HashiCorp Vault with HTTPS, whose authority is the file `vault_tls.ca`."""
    from tests.servers.vault import start_vault

    with start_vault(tls=True) as service:
        yield service


@pytest.fixture
def hooks():
    """A receiver of webhooks; see `tests/servers/hooks.py`."""
    from tests.servers.hooks import start_hooks

    with start_hooks() as server:
        yield server


@pytest.fixture
def slack():
    """An incoming webhook of Slack; see `tests/servers/hooks.py`."""
    from tests.servers.hooks import start_slack

    with start_slack() as service:
        yield service


@pytest.fixture
def smtp():
    """A mail server without TLS and users; see `tests/servers/smtp.py`."""
    from tests.servers.smtp import start_smtp

    with start_smtp() as service:
        yield service


@pytest.fixture
def smtp_starttls():
    """A mail server that demands STARTTLS and a login."""
    from tests.servers.smtp import start_smtp

    with start_smtp("starttls", user="osiris@example.com", password="p'ss \"w%rd:@/=") as service:
        yield service


@pytest.fixture
def smtp_tls():
    """A mail server with TLS from the start, which demands a login."""
    from tests.servers.smtp import start_smtp

    with start_smtp("implicit", user="osiris@example.com", password="p'ss \"w%rd:@/=") as service:
        yield service


@pytest.fixture
def aws_secrets():
    """An AWS Secrets Manager; see `tests/servers/aws_secrets.py`."""
    from tests.servers.aws_secrets import start_aws_secrets

    with start_aws_secrets() as service:
        yield service


@pytest.fixture
def gcp_secrets():
    """A Google Secret Manager; see `tests/servers/gcp_secrets.py`."""
    from tests.servers.gcp_secrets import start_gcp_secrets

    with start_gcp_secrets() as service:
        yield service


@pytest.fixture
def otlp():
    """A collector of OpenTelemetry; see `tests/servers/otlp.py`."""
    from tests.servers.otlp import start_otlp

    with start_otlp() as service:
        yield service


@pytest.fixture(scope="session")
def e2b():
    """A local E2B whose sandboxes have the packages of this environment, and none of our code."""
    from tests.servers.e2b import Base, e2b_service

    from osiris.runner.remote.install import template_name

    ready = Base(commands=(f"ln -s {sys.prefix} /opt/osiris",))
    with e2b_service(bases={"base": ready, template_name(2, 4 * 2**30): ready}, binds=[Path(sys.prefix)]) as service:
        yield service


@pytest.fixture(scope="module")
def one_engine(tmp_path_factory):
    """One engine for the statements of a whole file, as a worker has one for all steps of a job."""
    from osiris.sql.binding.engine import SharedEngine

    with SharedEngine(tmp_path_factory.mktemp("engine"), memory=1 << 30, threads=2):
        yield


@pytest.fixture(scope="session")
def forked(request):
    """A function that runs the command without starting Python; None with `--installed`."""
    if request.config.getoption("--installed"):
        yield None
    else:
        with forking() as fork:
            yield fork


@pytest.fixture(autouse=True)
def _quick_workers(request):
    """Fork workers too, in tests that involve more than one module."""
    if not is_quick(request):
        request.getfixturevalue("forked")


@pytest.fixture(scope="session")
def console_script():
    """The console script itself, with the interface of `osiris`."""

    def call(*args, cwd, env=None, stdin=None, timeout=300):
        return subprocess.run(
            [OSIRIS, *map(str, args)],
            cwd=cwd,
            env=kept() | (env or {}),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return call


def kept():
    return {name: os.environ[name] for name in KEPT if name in os.environ}


@pytest.fixture(scope="session")
def osiris(forked, console_script):
    """The command: `osiris('run', 'x.yaml', cwd=folder, env={...})` returns the finished process."""

    def call(*args, cwd, env=None, stdin=None, timeout=300):
        asked = {"cwd": cwd, "env": env, "stdin": stdin, "timeout": timeout}
        if forked is None or any(map(is_read_at_start, env or ())) or len(f"{args}{env}{stdin}") > LONGEST:
            return console_script(*args, **asked)
        return forked([*map(str, args)], **asked | {"env": kept() | (env or {}), "stdin": stdin or ""})

    return call
