"""A source that takes too long is abandoned after the time limit."""

import os
import socket
import time

import pytest
from tests.patience import SOON

from osiris.config import load_config
from osiris.discovery.discover import Source, SourceWorker
from osiris.errors import OsirisError
from osiris.project import Project
from osiris.runner.adapter import start_worker
from osiris.runner.protocol import Secrets


@pytest.fixture
def project(tmp_path):
    (tmp_path / "osiris.yaml").write_text("")
    return Project(tmp_path)


def asking(project, link, source, **fields):
    secret = {name: str(fields.pop(name)) for name in ("password",) if name in fields}
    secrets = Secrets({source: fields}, {source: secret})
    return SourceWorker(project, load_config(project, os.environ), link, Source(source, None, secrets))


def test_a_source_that_does_not_answer_is_given_up(project):
    with socket.create_server(("127.0.0.1", 0)) as asleep, start_worker(project.root) as link:
        fields = {"host": "127.0.0.1", "port": asleep.getsockname()[1], "database": "d", "user": "u"}
        began = time.monotonic()
        with pytest.raises(OsirisError) as caught:
            asking(project, link, "@postgres.asleep", **fields).query("state", 1.0)
    assert [item.code for item in caught.value.diagnostics] == ["DSC008"]
    assert time.monotonic() - began < SOON


def test_rows_that_take_too_long_are_left_out(project, postgres):
    database = postgres.new_database()
    postgres.run(
        "CREATE VIEW slow AS SELECT n, pg_sleep(1)::text AS a FROM generate_series(1, 60) n",
        "CREATE TABLE fast (a int)",
        database=database,
    )
    with start_worker(project.root) as link:
        shop = asking(project, link, "@postgres.shop", **postgres.fields(database))
        began = time.monotonic()
        told = shop.query("rows", 60.0, tables=["slow", "fast"], profile=True, seconds=2.0)
    assert time.monotonic() - began < SOON
    assert [item["code"] for event in told for item in event.get("diagnostics", ())] == ["DSC004"]
    assert [event["table"] for event in told if event.get("table")] == ["fast"]
