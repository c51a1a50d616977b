"""The local PostgREST with faults: what a client sees, and what the database has done."""

import http.client
import time

import pytest
from tests.servers.asking import ask

GONE, CUT = http.client.RemoteDisconnected, http.client.IncompleteRead


@pytest.fixture
def api(postgrest):
    postgrest.run("CREATE TABLE pets (id int PRIMARY KEY, name text)", "INSERT INTO pets VALUES (1, 'a'), (2, 'b')")
    return postgrest


def test_answers_that_are_none_of_the_databases(api):
    api.faults.rate_limit(retry_after=7, times=2, method="GET", skip=1)
    answers = [ask(api, "GET", "pets") for _ in range(4)]
    assert [answer[0] for answer in answers] == [200, 429, 429, 200]
    assert answers[1][1]["Retry-After"] == "7"
    for arm, status in (
        (api.faults.unavailable, 503),
        (api.faults.bad_gateway, 502),
        (api.faults.gateway_timeout, 504),
    ):
        arm(method="POST")
        assert ask(api, "GET", "pets")[0] == 200
        assert ask(api, "POST", "pets", {"id": 9})[0] == status
    assert api.rows("SELECT count(*) FROM pets") == [(2,)]


@pytest.mark.parametrize(
    ("fault", "error", "done"),
    [
        ("close_before_answer", GONE, False),
        ("cut_body", CUT, True),
        ("close_before_body", CUT, True),
        ("drop_answer", GONE, True),
        ("not_json", ValueError, True),
    ],
)
def test_connections_that_end_early(api, fault, error, done):
    getattr(api.faults, fault)(path="pets")
    with pytest.raises(error):
        ask(api, "POST", "pets", {"id": 3}, Prefer="return=representation")
    last = api.requests[-1]
    assert (last.committed, last.rows, len(api.rows("SELECT FROM pets"))) == (done, int(done), 2 + done)
    assert ask(api, "POST", "pets", {"id": 3})[0] == (409 if done else 201)


def test_waiting(api):
    api.faults.hang()
    with pytest.raises(TimeoutError):
        ask(api, "GET", "pets", timeout=0.2)
    api.faults.latency(0.2)
    api.faults.rate_limit()
    begun = time.monotonic()
    assert ask(api, "GET", "pets")[0] == 429
    assert time.monotonic() - begun >= 0.2


def test_compressed(api):
    api.faults.gzip = True
    for accepted, encoding in (("gzip, br", "gzip"), (None, None)):
        _, told, rows = ask(api, "GET", "pets?select=id", Accept_Encoding=accepted)
        assert (told["Content-Encoding"], rows) == (encoding, [{"id": 1}, {"id": 2}])


def test_a_schema_cache_that_is_stale(api):
    api.faults.stale_schema()
    api.run("ALTER TABLE pets ADD COLUMN late int", "CREATE TABLE late (a int)")
    assert ask(api, "POST", "pets", {"late": 1})[2]["code"] == "PGRST204"
    assert ask(api, "GET", "late")[2]["code"] == "PGRST205"
    api.faults.clear()
    assert ask(api, "GET", "late")[::2] == (200, [])


def test_an_address_that_is_too_long(api):
    assert ask(api, "GET", f"pets?id=in.({'1,' * 9000}1)")[0] == 414
