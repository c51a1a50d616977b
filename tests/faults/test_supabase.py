"""Supabase over REST with faults: a step ends in time, waits as long as the server asks, and loses nothing."""

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime

import pyarrow as pa
import pytest
from tests.faults.proxy import When, struck
from tests.patience import SOON
from tests.servers import start_postgrest

from osiris.errors import OsirisError
from osiris.registry import load_registry
from osiris.secret import Secret
from osiris.testing.trial import Trial, rows_of, table_of

REGISTRY = load_registry()
COUNT = 5000
ROWS = pa.table({"id": pa.array(range(COUNT), pa.int32()), "name": ["a name that takes some place"] * COUNT})
UPSERT = {"write_mode": "upsert", "primary_key": "id"}
SILENCE = 5.0
"""How long a service may be silent in tests in which it never answers."""
CODES = {"silent": "CON015", "dead": "CON014"}


@pytest.fixture(scope="module")
def served(postgres):
    with start_postgrest(postgres.fields(postgres.new_database()), max_rows=500) as server:
        server.run("CREATE TABLE t (id int PRIMARY KEY, name text)")
        yield server


@pytest.fixture
def project(served):
    """A project with an empty table `t`."""
    served.run("TRUNCATE t")
    yield served
    served.faults.clear()


@pytest.fixture
def step(project, tmp_path):
    """`step("writer", …)` returns a step; `port` is another way to the service, which may be silent for `silence` s."""

    def make(kind, port=None, silence=SOON, **config):
        url = project.url if port is None else f"http://127.0.0.1:{port}"
        limits = {"connect_timeout": silence, "read_timeout": silence}
        connection = {"url": url, "key": Secret(project.service_key), **limits}
        return Trial(REGISTRY, f"supabase.{kind}", tmp_path, {"table": "t", "retries": 0, **config}, connection)

    return make


def port_of(project):
    return int(project.url.rpartition(":")[2])


def code_in_time(call, *args):
    """Return the code of a call's failure, which must come in time."""
    began = time.monotonic()
    with pytest.raises(OsirisError) as caught:
        call(*args)
    assert time.monotonic() - began < 2 * SOON
    (found,) = caught.value.diagnostics
    return found.code


def read(trial):
    return table_of(trial.read()).num_rows


def fill(project):
    project.run(f"INSERT INTO t SELECT n, 'a name that takes some place' FROM generate_series(1, {COUNT}) n")


@pytest.mark.parametrize("fault", CODES)
@pytest.mark.parametrize("received", [0, 20])
def test_a_service_that_takes_the_connection_and_no_more(project, step, fault, received):
    for retries in (0, 3) if fault == "silent" else (0,):

        def describe(port, silence, retries=retries):
            return code_in_time(step("extractor", port, silence, retries=retries).describe)

        assert struck(port_of(project), fault, When(received=received), describe) == CODES[fault]


@pytest.mark.parametrize("fault", CODES)
def test_while_reading(project, step, fault):
    fill(project)

    def read_behind(port, silence):
        return code_in_time(read, step("extractor", port, silence))

    assert struck(port_of(project), fault, When(received=100_000), read_behind) == CODES[fault]
    assert read(step("extractor")) == COUNT


@pytest.mark.parametrize("config", [{}, UPSERT], ids=["append", "upsert"])
@pytest.mark.parametrize("passed", [False, True], ids=["request lost", "answer lost"])
@pytest.mark.parametrize("fault", CODES)
def test_while_writing(project, step, fault, passed, config):
    """What was sent before is written in complete batches, and repeating an upsert succeeds."""

    def write(port, silence):
        project.run("TRUNCATE t")
        return code_in_time(step("writer", port, silence, batch_size=500, **config).write, rows_of(ROWS))

    assert struck(port_of(project), fault, When(sent=100_000, passed=passed), write) == CODES[fault]
    ((there,),) = project.rows("SELECT count(*) FROM t")
    assert there % 500 == 0
    assert 0 < there < COUNT
    assert step("writer", **UPSERT).write(rows_of(ROWS)).rows == COUNT
    assert project.rows("SELECT count(*) FROM t") == [(COUNT,)]


@pytest.mark.parametrize("kind", ["extractor", "writer"])
def test_a_request_that_is_taken_and_never_answered(project, step, kind):
    """In the middle of the work, and never retried: the server may still be working on it."""
    if kind == "extractor":
        fill(project)
        project.faults.hang(skip=4, path="t", method="GET", times=None)
        assert code_in_time(read, step(kind, silence=SILENCE, retries=3)) == "CON015"
    else:
        project.faults.hang(skip=2, path="t", method="POST", times=None)
        trial = step(kind, silence=SILENCE, retries=3, batch_size=500, **UPSERT)
        assert code_in_time(trial.write, rows_of(ROWS)) == "CON015"
        assert project.rows("SELECT count(*) FROM t") == [(1000,)]


def soon():
    """Return a time two to three seconds from now: an HTTP date has no fractions of a second."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)


PAUSES = {
    "seconds": (lambda f: f.rate_limit(2, path="t"), 2.0),
    "a date": (lambda f: f.answer(429, b"", {"Retry-After": soon()}, path="t"), 2.0),
    "without": (lambda f: f.rate_limit(None, path="t", times=2), 1.5),
    "503": (lambda f: f.unavailable(2, path="t"), 2.0),
}


@pytest.mark.parametrize("pause", PAUSES)
@pytest.mark.parametrize("kind", ["extractor", "writer"])
def test_it_waits_as_long_as_it_is_told(project, step, kind, pause):
    """Such an answer means that nothing was done, so an append is sent again, too."""
    arm, seconds = PAUSES[pause]
    trial = step(kind, retries=2)
    planned = trial.describe().schema if kind == "extractor" else None
    source = trial.read(planned) if planned else rows_of(ROWS.slice(0, 10))
    began = time.monotonic()
    arm(project.faults)
    if planned:
        table_of(source)
    else:
        assert trial.write(source).rows == 10
    assert seconds <= time.monotonic() - began < SOON
    assert project.rows("SELECT count(*) FROM t") == [(0 if planned else 10,)]


@pytest.mark.parametrize("body", [b"<html>Welcome to the hotel</html>", b"", b"[]"])
@pytest.mark.parametrize("status", [200, 201])
def test_an_answer_to_rows_that_is_not_that_of_the_service(project, step, status, body):
    """A proxy reports success: rows without a count are not taken for written."""
    project.faults.answer(status, body, {"Content-Type": "text/html"}, method="POST", path="t", times=None)
    for config in ({}, UPSERT):
        assert code_in_time(step("writer", **config).write, rows_of(ROWS)) == "CON027"
    assert project.rows("SELECT count(*) FROM t") == [(0,)]


def test_a_page_of_html_instead_of_rows(project, step):
    fill(project)
    for status, code in ((200, "CON027"), (404, "CON027"), (502, "CON026"), (503, "CON026")):
        source = step("extractor").read()
        project.faults.answer(status, b"<html>", {"Content-Type": "text/html"}, path="t", skip=2)
        assert code_in_time(table_of, source) == code
        project.faults.clear()


@pytest.mark.parametrize("after", [0, 10])
def test_an_answer_that_is_cut_off(project, step, after):
    """The answer must return rows with decimals: an append is then in doubt, an upsert is repeated."""
    project.run("DROP TABLE IF EXISTS d", "CREATE TABLE d (id int PRIMARY KEY, n numeric(9, 2))")
    rows = pa.table(
        {"id": pa.array(range(40), pa.int32()), "n": pa.array([*map(Decimal, range(40))], pa.decimal128(9, 2))}
    )
    arm, before = {"method": "POST", "path": "d", "skip": 1}, len(project.requests)
    project.faults.cut_body(after, **arm)
    trial = step("writer", table="d", batch_size=10, retries=2)
    assert code_in_time(trial.write, rows_of(rows)) == "CON014"
    assert project.rows("SELECT count(*) FROM d") == [(20,)]
    project.faults.cut_body(after, **arm)
    assert trial.changed(config=UPSERT).write(rows_of(rows)).rows == 40
    assert project.rows("SELECT count(*), sum(n) FROM d") == [(40, sum(range(40)))]
    posts = [request for request in project.requests[before:] if request.method == "POST"]
    assert len(posts) == 2 + 5
