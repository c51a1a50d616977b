"""Peculiarities of Google Cloud Storage: a JSON key, tokens signed with it, and a server that reports being busy."""

import json

import obstore
import pyarrow as pa
import pytest
from obstore.exceptions import AlreadyExistsError
from tests.components.test_stores import codes, rows, trial

from osiris.families.stores import objects
from osiris.families.stores.bucket import open_bucket
from osiris.secret import Secret
from osiris.testing.trial import rows_of, table_of
from osiris.urls import store_url

READ, WRITE = "filesystem.csv_extractor", "filesystem.csv_writer"


@pytest.fixture
def service(gcs):
    """The service; faults are cleared at the end."""
    yield gcs.service
    gcs.service.faults.clear()
    gcs.service.page_size = 1000


@pytest.fixture
def bucket(gcs, service):
    name = gcs.new_bucket()
    service.put(name, "x.csv", b"id\n1\n")
    return name


def test_no_more_of_a_key_is_used_than_what_signs(gcs, service, bucket, tmp_path):
    """A key cannot redirect requests or turn off signing."""
    changed = {**json.loads(service.owner), "gcs_base_url": "http://127.0.0.1:9", "disable_oauth": True}
    changed |= {"token_uri": "http://127.0.0.1:9/token", "type": "external_account"}
    reading = trial(gcs, bucket, READ, {"path": "x.csv"}, tmp_path, service_account_key=json.dumps(changed))
    assert table_of(reading.read()).to_pylist() == [{"id": 1}]
    assert {seen.caller for seen in service.requests[-2:]} == {json.loads(service.owner)["client_email"]}


@pytest.mark.parametrize("left_by_others", [None, {"type": "service_account"}, {"type": "authorized_user"}])
def test_where_no_key_is_given_none_is_looked_for(gcs, service, bucket, tmp_path, monkeypatch, left_by_others):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{gcs.port}")
    if left_by_others is not None:
        (tmp_path / ".config/gcloud").mkdir(parents=True)
        known = {"client_id": "a", "client_secret": "b", "refresh_token": "c", **json.loads(service.owner)}
        told = json.dumps({**known, **left_by_others})
        (tmp_path / ".config/gcloud/application_default_credentials.json").write_text(told)
    before = len(service.requests)
    found, _ = codes(trial(gcs, bucket, READ, {"path": "*.csv"}, tmp_path, service_account_key="").describe)
    assert found == ["DRV037"]
    writing = trial(gcs, bucket, WRITE, {"path": "y.csv"}, tmp_path, service_account_key="")
    assert codes(lambda: writing.write(rows_of(rows(3))))[0] == ["DRV037"]
    seen = service.requests[before:]
    assert {each.headers.get("authorization", "").removeprefix("Bearer").strip() for each in seen} == {""}
    assert {each.target.split("/")[1].partition("?")[0] for each in seen} == {bucket}


def test_names_of_objects_are_exact(gcs, service, bucket, tmp_path):
    for name in ("a+b/ü %2F?#&=.csv", "a b/%.csv", "a/'\"<>.csv"):
        trial(gcs, bucket, WRITE, {"path": f"gs://{bucket}/{name}"}, tmp_path).write(rows_of(rows(2)))
        assert name in service.keys(bucket)
        reading = trial(gcs, bucket, READ, {"path": f"gs://{bucket}/{name.replace('?', '[?]')}"}, tmp_path)
        assert table_of(reading.read()).num_rows == 2


def test_long_lists_come_in_pages(gcs, service, bucket, tmp_path):
    for number in range(7):
        service.put(bucket, f"in/{number}.csv", f"id\n{number}\n".encode())
    service.page_size = 2
    reading = trial(gcs, bucket, READ, {"path": "in/*.csv"}, tmp_path)
    assert [row["id"] for row in table_of(reading.read()).to_pylist()] == list(range(7))


@pytest.mark.parametrize("code", ["SlowDown", "ServiceUnavailable"])
def test_a_server_that_is_busy_is_asked_again(gcs, service, bucket, tmp_path, code):
    service.faults.answer(code, times=2)
    reading = trial(gcs, bucket, READ, {"path": "x.csv"}, tmp_path)
    assert table_of(reading.read()).to_pylist() == [{"id": 1}]
    service.faults.answer(code, times=2, method="PUT")
    trial(gcs, bucket, WRITE, {"path": "y.csv"}, tmp_path).write(rows_of(rows(3)))
    assert service.get(bucket, "y.csv").count(b"\n") == 4


@pytest.mark.parametrize(("status", "code"), [(429, "SlowDown"), (503, "ServiceUnavailable")])
@pytest.mark.parametrize("path", ["x.csv", "*.csv"])
def test_a_server_that_stays_busy_is_not_available(gcs, service, bucket, tmp_path, status, code, path):
    service.faults.answer(code, times=100)
    found, text = codes(trial(gcs, bucket, READ, {"path": path}, tmp_path, read_timeout=20).describe)
    assert found == ["CON042"]
    assert f"{code}, status {status}" in text


def test_a_server_that_freezes_is_out_of_reach(gcs, service, bucket, tmp_path):
    service.faults.frozen = True
    found, _ = codes(trial(gcs, bucket, READ, {"path": "x.csv"}, tmp_path, read_timeout=1).describe)
    assert found == ["CON039"]


def test_a_token_that_is_refused_is_the_key_refused(gcs, service, bucket, tmp_path):
    reading = trial(gcs, bucket, READ, {"path": "x.csv"}, tmp_path)
    service.faults.token_uses = 0
    assert codes(reading.describe)[0] == ["CON040"]


def test_rights_are_told_apart(gcs, service, bucket, tmp_path):
    blind = {"service_account_key": service.key("get")}
    reading = trial(gcs, bucket, READ, {"path": "x.csv"}, tmp_path, **blind)
    assert table_of(reading.read()).num_rows == 1
    assert codes(reading.changed(config={"path": "*.csv"}).describe)[0] == ["DRV037"]
    for key in (service.nobody, service.creator):
        assert codes(reading.changed(connection=_with(reading, key)).describe)[0] == ["DRV037"]


def _with(reading, key):
    return {**reading.connection, "service_account_key": Secret(key)}


@pytest.mark.parametrize("fault", ["cut_upload", "drop_answer"])
def test_a_part_that_is_cut_off_is_sent_again(gcs, service, bucket, tmp_path, fault):
    rest = {"after": 1 << 20} if fault == "cut_upload" else {}
    getattr(service.faults, fault)(**rest, method="PUT", path="partNumber=2")
    table = wide(70_000)
    written = trial(gcs, bucket, WRITE, {"path": "big.csv"}, tmp_path).write(rows_of(table))
    assert written.bytes > 2 * objects.PART
    assert len(service.get(bucket, "big.csv")) == written.bytes
    assert service.unfinished(bucket) == []


def test_an_upload_that_never_succeeds_leaves_what_was_there(gcs, service, bucket, tmp_path):
    service.put(bucket, "big.csv", b"before")
    service.faults.cut_upload(1 << 20, method="PUT", path="partNumber=2", times=100)
    writing = trial(gcs, bucket, WRITE, {"path": "big.csv"}, tmp_path, read_timeout=30)
    assert codes(lambda: writing.write(rows_of(wide(70_000))))[0] == ["CON042"]
    assert service.get(bucket, "big.csv") == b"before"
    assert service.unfinished(bucket) == []


def test_a_range_that_is_cut_off_is_asked_for_again(gcs, service, bucket, tmp_path):
    service.put(bucket, "x.bin", bytes(range(256)) * 2000)
    (file,) = objects.find(trial(gcs, bucket, READ, {}, tmp_path).context(), store_url(f"gs://{bucket}/x.bin"))
    service.faults.cut_download(1000, path="x.bin")
    assert file.open().read() == bytes(range(256)) * 2000


def wide(count):
    return pa.table({"id": pa.array(range(count), pa.int64()), "text": [f"{n:0500d}" for n in range(count)]})


def test_an_object_can_be_made_where_there_is_none(store):
    """Publishing a manifest needs this from every store."""
    name = store.new_bucket()
    opened = open_bucket(store.family, store.fields(), name).store
    obstore.put(opened, "x", b"one", mode="create")
    with pytest.raises(AlreadyExistsError):
        obstore.put(opened, "x", b"two", mode="create")
    assert store.get(name, "x") == b"one"
