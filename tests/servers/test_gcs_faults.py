"""A local Google Cloud Storage fails as configured; the unmodified obstore sees what it would see of the real one."""

import time

import httpx
import obstore
import pytest
from obstore.exceptions import GenericError, UnauthenticatedError
from tests.patience import SOON, wait_until
from tests.servers.gcs import start_gcs
from tests.servers.gcs.asking import with_google_auth

MEBI = 1 << 20


@pytest.fixture
def gcs():
    with start_gcs(buckets=["lake"]) as service:
        yield service


def statuses(gcs):
    return [seen.status for seen in gcs.requests]


def written(store, name, size):
    with obstore.open_writer(store, name, buffer_size=5 * MEBI) as writer:
        writer.write(bytes(size))


def test_an_upload_is_cut_in_the_middle(gcs):
    gcs.put("lake", "x", b"old")
    gcs.faults.cut_upload(after=300_000)
    gcs.store("lake").put("small", bytes(300_000))
    with pytest.raises(GenericError):
        gcs.store("lake", retries=0).put("x", bytes(MEBI))
    assert (gcs.get("lake", "x"), statuses(gcs)) == (b"old", [200, None])
    assert 0 < gcs.requests[1].received <= 300_000
    gcs.faults.cut_upload(after=300_000, times=2)
    gcs.store("lake").put("x", bytes(MEBI))
    assert statuses(gcs) == [200, None, None, None, 200]
    assert gcs.get("lake", "x") == bytes(MEBI)
    wait_until(lambda: len(list(gcs.folder.iterdir())) == 2)


def test_a_part_is_cut_in_the_middle(gcs):
    gcs.faults.cut_upload(after=MEBI, path="partNumber=2")
    written(gcs.store("lake"), "x", 12 * MEBI)
    assert len(gcs.get("lake", "x")) == 12 * MEBI
    gcs.faults.cut_upload(after=MEBI, path="partNumber=2")
    with pytest.raises(OSError, match="error sending request"):
        written(gcs.store("lake", retries=0), "y", 12 * MEBI)
    assert gcs.keys("lake") == ["x"]


def test_a_download_is_cut_in_the_middle(gcs):
    gcs.put("lake", "x", bytes(range(256)) * 8192)
    gcs.faults.cut_download(after=1_000_000)
    gcs.store("lake").head("x")
    gcs.store("lake").get_range("x", start=0, length=1_000_000)
    assert b"".join(map(bytes, gcs.store("lake").get("x"))) == gcs.get("lake", "x")
    assert statuses(gcs) == [200, 206, 200, 206]
    assert gcs.requests[3].headers["range"] == "bytes=1000000-2097151"
    gcs.faults.cut_download(after=1_000_000)
    with pytest.raises(GenericError):
        list(gcs.store("lake", retries=0).get("x"))


def test_an_answer_is_lost(gcs):
    gcs.faults.drop_answer(method="PUT")
    with pytest.raises(GenericError):
        gcs.store("lake", retries=0).put("x", b"1", mode="create")
    assert gcs.get("lake", "x") == b"1"
    gcs.faults.drop_answer(method="POST", path="uploadId")
    with pytest.raises(FileNotFoundError, match="NoSuchUpload"):
        written(gcs.store("lake"), "y", 6 * MEBI)
    assert len(gcs.get("lake", "y")) == 6 * MEBI


def test_the_service_is_busy(gcs):
    gcs.put("lake", "x", b"1")
    gcs.faults.answer("SlowDown", retry_after=7)
    gcs.faults.answer("ServiceUnavailable")
    assert bytes(gcs.store("lake").get("x").bytes()) == b"1"
    assert statuses(gcs) == [429, 503, 200]
    gcs.faults.answer("ServiceUnavailable", times=3)
    with pytest.raises(GenericError, match="503"):
        gcs.store("lake").get("x")
    gcs.faults.answer("SlowDown", retry_after=7, method="PUT", path="^/lake/y$", skip=1, times=2)
    headers = []
    for name in ("y", "x", "y", "y", "y"):
        answer = httpx.put(f"{gcs.endpoint}/lake/{name}", content=b"1")
        headers.append((answer.status_code, answer.headers.get("Retry-After")))
    assert headers == [(403, None), (403, None), (429, "7"), (429, "7"), (403, None)]
    for code in ("InternalError", "SignatureDoesNotMatch"):
        gcs.faults.answer(code)
        assert f"<Code>{code}</Code>" in httpx.get(gcs.endpoint).text
    gcs.faults.answer("InternalError", times=100)
    assert httpx.put(gcs.endpoint, content=b"1").status_code == 500
    gcs.faults.clear()
    assert bytes(gcs.store("lake").get("x").bytes()) == b"1"


def test_everything_takes_longer(gcs):
    gcs.faults.delay = 0.3
    started = time.monotonic()
    gcs.store("lake").put("x", bytes(MEBI))
    assert time.monotonic() - started >= 0.3
    gcs.faults.delay, gcs.faults.rate = 0, 2 * MEBI
    for doing in (lambda store: store.get("x").bytes(), lambda store: store.put("y", bytes(MEBI))):
        started = time.monotonic()
        doing(gcs.store("lake"))
        assert 0.4 < time.monotonic() - started < SOON
    with pytest.raises(GenericError, match=r"timed out|timeout"):
        gcs.store("lake", retries=0, timeout="0.2s").put("y", bytes(MEBI))


def is_still(seen):
    before = seen.sent
    time.sleep(0.2)
    return seen.sent == before


def test_a_frozen_service_says_nothing_and_then_all(gcs):
    gcs.put("lake", "x", bytes(MEBI))
    gcs.faults.rate = MEBI / 64  # the rest takes a minute
    reading = iter(gcs.store("lake").get("x").stream(min_chunk_size=1))
    got = len(next(reading))
    gcs.faults.frozen, gcs.faults.rate = True, None
    with pytest.raises(GenericError, match=r"timed out|timeout"):
        gcs.store("lake", retries=0, timeout="0.3s").head("x")
    wait_until(lambda: is_still(gcs.requests[0]))
    assert gcs.requests[0].sent < MEBI
    gcs.faults.frozen = False
    assert got + sum(len(piece) for piece in reading) == MEBI


def test_a_token_is_refused_after_some_uses(gcs):
    gcs.faults.token_uses = 2
    store = gcs.store("lake")
    store.put("x", b"1")
    store.put("y", b"2")
    with pytest.raises(UnauthenticatedError):
        store.get("x")
    time.sleep(1.1)  # a token that the same key signs within a second is the same token
    assert bytes(gcs.store("lake").get("x").bytes()) == b"1"


def test_a_token_of_the_endpoint_runs_out(gcs):
    token = granted(gcs)
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.put(f"{gcs.endpoint}/lake/x", content=b"1", headers=headers).status_code == 200
    gcs.faults.token_lifetime = 0
    assert httpx.get(f"{gcs.endpoint}/lake/x", headers=headers).status_code == 401


def granted(gcs):
    with_google_auth(gcs, gcs.owner).put("first", b"")
    return gcs.requests[-1].headers["authorization"].removeprefix("Bearer ")


def test_an_end_lets_go_whoever_waits():
    started = time.monotonic()
    with start_gcs(buckets=["lake"]) as gcs:
        gcs.faults.frozen = True
        with pytest.raises(GenericError):
            gcs.store("lake", retries=0, timeout="0.2s").put("x", b"1")
        gcs.faults.delay = 60
    assert time.monotonic() - started < SOON
