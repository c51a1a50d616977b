"""Files in object stores: what is written can be read, completely or not at all, and every failure has a code."""

import gzip
import io
import json
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa
import pytest
from tests.patience import SOON

from osiris.errors import OsirisError
from osiris.families.stores import objects
from osiris.families.stores.bucket import answer_to
from osiris.registry import load_registry
from osiris.secret import Secret
from osiris.testing.trial import Trial, rows_of, table_of
from osiris.urls import store_url

REGISTRY = load_registry()
KINDS = {"csv": "t.csv", "json": "t.jsonl", "parquet": "t.parquet"}
SECRETS = frozenset(("access_key_id", "secret_access_key", "account_key", "service_account_key"))


def hidden(fields):
    return {name: Secret(value) if name in SECRETS else value for name, value in fields.items()}


def trial(store, bucket, name, config, folder, **fields):
    connection = hidden({**store.fields(bucket), **fields})
    return Trial(REGISTRY, name, folder, config, connection, changes={"family": store.family})


def codes(call):
    with pytest.raises(OsirisError) as caught:
        call()
    return [item.code for item in caught.value.diagnostics], str(caught.value)


def rows(count):
    return pa.table({"id": pa.array(range(count), pa.int64()), "name": [f"row {n}" for n in range(count)]})


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_read(store, kind, tmp_path):
    bucket = store.new_bucket()
    config = {"path": f"{store.scheme}://{bucket}/über/a b%20c.{KINDS[kind]}"}
    table = rows(1000)
    written = trial(store, bucket, f"filesystem.{kind}_writer", config, tmp_path).write(rows_of(table))
    assert written.rows == 1000
    assert written.files == ()
    (told,) = written.stored
    assert told["path"] == config["path"]
    assert told["size"] == written.bytes == len(store.get(bucket, f"über/a b%20c.{KINDS[kind]}"))
    reading = trial(store, bucket, f"filesystem.{kind}_extractor", config, tmp_path)
    assert table_of(reading.read()).to_pylist() == table.to_pylist()
    assert reading.counts["rows_read"] == 1000
    assert reading.counts["bytes_read"] > 0
    assert reading.confirm(reading.describe().schema) == reading.describe().state


def test_the_bytes_are_those_of_a_local_file(store, tmp_path):
    bucket = store.new_bucket()
    for kind, name in KINDS.items():
        local = Trial(REGISTRY, f"filesystem.{kind}_writer", tmp_path, {"path": name})
        local.write(rows_of(rows(5000)))
        trial(store, bucket, f"filesystem.{kind}_writer", {"path": name}, tmp_path).write(rows_of(rows(5000)))
        assert store.get(bucket, name) == (tmp_path / name).read_bytes()


def test_paths_lie_below_the_prefix_of_the_connection(store, tmp_path):
    bucket = store.new_bucket()
    writer = trial(store, bucket, "filesystem.csv_writer", {"path": "x.csv.gz"}, tmp_path, prefix="/lake/raw/")
    writer.write(rows_of(rows(3)))
    assert store.keys(bucket) == ["lake/raw/x.csv.gz"]
    assert gzip.decompress(store.get(bucket, "lake/raw/x.csv.gz")).startswith(b"id,name\n0,row 0\n")


def test_patterns_name_objects_as_they_name_files(store, tmp_path):
    bucket = store.new_bucket()
    names = ["in/b.csv", "in/a.csv", "in/.hidden.csv", "in/deep/c.csv", "in/a.txt", "in2/d.csv", "in/deep/er/e.csv"]
    for name in names:
        store.put(bucket, name, f"name\n{name}\n".encode())
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(f"name\n{name}\n".encode())
    for pattern in ("in/*.csv", "in/**/*.csv", "in*/?.csv", "in/[a]*", "**/c.csv", "in/**"):
        there = trial(store, bucket, "filesystem.csv_extractor", {"path": pattern, "sample": 1}, tmp_path)
        here = Trial(REGISTRY, "filesystem.csv_extractor", tmp_path, {"path": pattern})
        if pattern in ("in/[a]*", "in/**"):  # the header is not looked for here, only which files are named
            continue
        assert table_of(there.read()).to_pylist() == table_of(here.read()).to_pylist(), pattern
    found, _ = codes(trial(store, bucket, "filesystem.csv_extractor", {"path": "no/*.csv"}, tmp_path).describe)
    assert found == ["DRV001"]


@pytest.mark.long
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_large_objects_go_up_in_parts_and_come_down_in_ranges(store, kind, tmp_path, monkeypatch):
    bucket = store.new_bucket()
    monkeypatch.chdir(tmp_path)
    count = 1_500_000
    table = pa.table(
        {
            "id": pa.array(range(count), pa.int64()),
            "x": pa.array([f"{n * 7919 % 1_000_003:020d}" for n in range(count)]),
        }
    )
    config = {"path": f"big.{kind}"}
    written = trial(store, bucket, f"filesystem.{kind}_writer", config, tmp_path).write(rows_of(table, 50_000))
    if kind == "csv":
        assert written.bytes > 2 * objects.PART
    back = table_of(trial(store, bucket, f"filesystem.{kind}_extractor", config, tmp_path).read())
    assert back["id"].to_pylist() == table["id"].to_pylist()


def test_an_object_that_changes_while_it_is_read_is_refused(store, tmp_path):
    bucket, size = store.new_bucket(), objects.LEAST * 4
    store.put(bucket, "x.csv", b"a" * size)
    url = store_url(f"{store.scheme}://{bucket}/x.csv")
    (file,) = objects.find(trial(store, bucket, "filesystem.csv_extractor", {}, tmp_path).context(), url)
    with file.open() as reader:
        assert reader.read(10) == b"a" * 10
        store.put(bucket, "x.csv", b"b" * size)
        found, text = codes(reader.read)
    assert found == ["DRV038"]
    assert str(url) in text


def test_a_reader_jumps_as_a_file_does(store, tmp_path):
    content = bytes(range(256)) * 3000
    bucket = store.new_bucket()
    store.put(bucket, "x.bin", content)
    url = store_url(f"{store.scheme}://{bucket}/x.*")
    (file,) = objects.find(trial(store, bucket, "filesystem.csv_extractor", {}, tmp_path).context(), url)
    here = io.BytesIO(content)
    with file.open() as there:
        for offset, whence, size in (
            (-8, 2, 8),
            (0, 0, 100),
            (50, 1, 70_000),
            (500_000, 0, 10**7),
            (10, 2, 5),
            (3, 0, -1),
        ):
            assert there.seek(offset, whence) == here.seek(offset, whence)
            assert there.read(size) == here.read(size)
            assert there.tell() == here.tell()


@pytest.mark.long
def test_a_writer_that_fails_leaves_what_was_there(store, tmp_path):
    bucket = store.new_bucket()
    store.put(bucket, "x.csv", b"before")
    writer = trial(store, bucket, "filesystem.csv_writer", {"path": "x.csv"}, tmp_path)

    def failing():
        block = rows(200_000)
        for _ in range(30):
            yield from block.to_batches()
        raise RuntimeError("the source is gone")

    from osiris.table import stream
    from osiris.types import schema_of

    with pytest.raises(RuntimeError, match="the source is gone"):
        writer.write(stream(schema_of(rows(1).schema), failing(), "fixed"))
    assert store.keys(bucket) == ["x.csv"]
    assert store.get(bucket, "x.csv") == b"before"
    if store.family != "azure":  # there they are seen by nobody
        assert store.unfinished(bucket) == []


@pytest.mark.parametrize("mode", ["read", "write"])
def test_a_wrong_key_is_refused_by_name(store, mode, tmp_path):
    bucket = store.new_bucket()
    store.put(bucket, "x.csv", b"id\n1\n")
    wrong = store.wrong()
    if mode == "read":
        reading = trial(store, bucket, "filesystem.csv_extractor", {"path": "x.csv"}, tmp_path, **wrong)
        found, text = codes(reading.describe)
        assert codes(reading.changed(config={"path": "*.csv"}).describe)[0] == ["CON040"]
    else:
        writing = trial(store, bucket, "filesystem.csv_writer", {"path": "y.csv"}, tmp_path, **wrong)
        found, text = codes(lambda: writing.write(rows_of(rows(3))))
    assert found == ["CON040"]
    assert store.keys(bucket) == ["x.csv"]
    assert not any(secret in text for secret in [*store.secrets(), *wrong.values()])


@pytest.mark.parametrize(
    ("kind", "fields", "code"),
    [
        ("azurite", {"account_key": "not base64"}, "CON071"),
        ("azurite", {"account_key": "no\nkey"}, "CON071"),
        ("azurite", {"account": ""}, "CON067"),
        ("azurite", {"account": "elsewhere.example/"}, "CON070"),
        ("gcs", {"service_account_key": "no JSON"}, "CON071"),
        ("gcs", {"service_account_key": "[" * 100_000}, "CON071"),
        ("gcs", {"service_account_key": '{"type": "authorized_user", "refresh_token": "1//secret"}'}, "CON071"),
        (
            "gcs",
            {"service_account_key": '{"client_email": "a@b", "private_key_id": "1", "private_key": "no key"}'},
            "CON016",
        ),
        ("gcs", {"endpoint": "file:///etc"}, "CON070"),
        ("s3", {"secret_access_key": ""}, "CON067"),
        ("s3", {"access_key_id": "no\nkey"}, "CON071"),
        ("s3", {"endpoint": "localhost:8333"}, "CON070"),
        ("s3", {"endpoint": "http://"}, "CON070"),
        ("s3", {"endpoint": "http://user:word@host"}, "CON070"),
    ],
)
def test_a_connection_that_cannot_be_one_is_refused_before_anything_is_asked(request, kind, fields, code, tmp_path):
    store = request.getfixturevalue(kind)
    found, text = codes(
        trial(store, "some", "filesystem.csv_extractor", {"path": "x.csv"}, tmp_path, **fields).describe
    )
    assert found == [code]
    assert not any(value and value in text for value in fields.values())


def test_a_token_may_stand_for_the_key(azurite, tmp_path):
    bucket = azurite.new_bucket()
    azurite.put(bucket, "x.csv", b"id\n1\n")
    given = {"account_key": "", "sas_token": azurite.token(bucket, "rcwl")}
    reading = trial(azurite, bucket, "filesystem.csv_extractor", {"path": "*.csv"}, tmp_path, **given)
    assert table_of(reading.read()).to_pylist() == [{"id": 1}]
    trial(azurite, bucket, "filesystem.csv_writer", {"path": "y.csv"}, tmp_path, **given).write(rows_of(rows(3)))
    assert azurite.keys(bucket) == ["x.csv", "y.csv"]
    given["sas_token"] = azurite.token(bucket, "rl")
    writing = trial(azurite, bucket, "filesystem.csv_writer", {"path": "z.csv"}, tmp_path, **given)
    found, text = codes(lambda: writing.write(rows_of(rows(3))))
    assert found == ["DRV037"]
    assert given["sas_token"] not in text
    assert "sig=" not in text


def test_without_a_key_only_what_is_public_is_reached(store, tmp_path):
    bucket = store.new_bucket()
    store.put(bucket, "x.csv", b"id\n1\n")
    nobody = dict.fromkeys(SECRETS & store.fields().keys(), "")
    for path in ("x.csv", "*.csv"):
        found, _ = codes(trial(store, bucket, "filesystem.csv_extractor", {"path": path}, tmp_path, **nobody).describe)
        assert found[0] in ("DRV037", "DRV001", "CON042")


def test_a_bucket_that_is_not_there_is_named(store, tmp_path):
    for path in ("x.csv", "*.csv"):
        found, text = codes(trial(store, "no-such-one", "filesystem.csv_extractor", {"path": path}, tmp_path).describe)
        assert found == ["CON041"]
        assert "no-such-one" in text
    writing = trial(store, "no-such-one", "filesystem.csv_writer", {"path": "x.csv"}, tmp_path)
    assert codes(lambda: writing.write(rows_of(rows(3))))[0] == ["CON041"]


@pytest.mark.parametrize("kind", ["s3", "gcs"])
def test_who_may_only_read_does_not_write(request, kind, tmp_path):
    store = request.getfixturevalue(kind)
    bucket = store.new_bucket()
    store.put(bucket, "x.csv", b"id\n1\n")
    reader = hidden(store.fields(bucket, reader=True))
    changes = {"family": store.family}
    reading = Trial(REGISTRY, "filesystem.csv_extractor", tmp_path, {"path": "x.csv"}, reader, changes=changes)
    assert table_of(reading.read()).to_pylist() == [{"id": 1}]
    writing = Trial(REGISTRY, "filesystem.csv_writer", tmp_path, {"path": "x.csv"}, reader, changes=changes)
    assert codes(lambda: writing.write(rows_of(rows(3))))[0] == ["DRV037"]
    assert store.get(bucket, "x.csv") == b"id\n1\n"


@contextmanager
def nobodys_port():
    """Yield a port at which nobody listens, and nobody can."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_a_server_that_is_not_there_is_out_of_reach(store, tmp_path):
    with nobodys_port() as port:
        away = {
            "endpoint": f"http://127.0.0.1:{port}/{'devstoreaccount1' if store.family == 'azure' else ''}",
            "read_timeout": 1,
        }
        found, _ = codes(
            trial(store, "some-bucket", "filesystem.csv_extractor", {"path": "x.csv"}, tmp_path, **away).describe
        )
    assert found == ["CON039"]


def test_a_server_that_is_not_there_is_out_of_reach_without_a_key_too(store, tmp_path):
    nobody = dict.fromkeys(SECRETS & store.fields().keys(), "")
    own = "devstoreaccount1" if store.family == "azure" else ""
    with nobodys_port() as port:
        away = {"endpoint": f"http://127.0.0.1:{port}/{own}", "read_timeout": 1, **nobody}
        reading = trial(store, "some-bucket", "filesystem.csv_extractor", {"path": "x.csv"}, tmp_path, **away)
        assert codes(reading.describe)[0] == ["CON039"]


def test_a_whole_object_is_not_taken_to_explain_an_error():
    sent = []

    class Generous(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(256):
                    self.wfile.write(b"x" * 2**20)
                    sent.append(1)
            except OSError:
                pass

        def log_message(self, *_words):
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Generous) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert answer_to(f"http://127.0.0.1:{server.server_port}/x", SOON) == (200, "")
        server.shutdown()
    assert len(sent) < 64


class Busy(BaseHTTPRequestHandler):
    """A server that answers that it is busy."""

    def do_GET(self):
        self.send_response(503)
        self.end_headers()

    def do_HEAD(self):
        self.do_GET()

    def log_message(self, *_words):
        """Say nothing."""


@pytest.mark.parametrize("kind", ["s3", "gcs"])
def test_a_server_that_does_nothing_for_us_is_not_available(request, kind, tmp_path):
    store = request.getfixturevalue(kind)
    with ThreadingHTTPServer(("127.0.0.1", 0), Busy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        busy = {"endpoint": f"http://127.0.0.1:{server.server_port}", "read_timeout": 20}
        found, text = codes(
            trial(store, "bucket", "filesystem.csv_extractor", {"path": "x.csv"}, tmp_path, **busy).describe
        )
        server.shutdown()
    assert found == ["CON042"]
    assert "503" in text


def test_the_state_of_an_object_changes_with_it(store, tmp_path):
    bucket = store.new_bucket()
    store.put(bucket, "x.csv", b"id\n1\n")
    reading = trial(store, bucket, "filesystem.csv_extractor", {"path": "*.csv"}, tmp_path)
    before = reading.describe().state
    assert reading.describe().state == before
    store.put(bucket, "x.csv", b"id\n2\n")
    assert reading.describe().state != before


@pytest.mark.parametrize(
    "path", ["file:///etc/x.csv", "gopher://x/y.csv", "az://bucket/x.csv", "s3://B/x.csv", "a//b.csv", "../x.csv"]
)
def test_paths_that_do_not_fit_the_connection_are_refused(s3, path, tmp_path):
    assert codes(trial(s3, "bucket", "filesystem.csv_extractor", {"path": path}, tmp_path).describe)[0] == ["DRV007"]


def test_a_file_url_is_a_local_file(tmp_path):
    folder = tmp_path / "ä b"
    folder.mkdir()
    config = {"path": f"file://{tmp_path}/%C3%A4%20b/x.json"}
    Trial(REGISTRY, "filesystem.json_writer", tmp_path, config).write(rows_of(rows(2)))
    assert [json.loads(line)["id"] for line in (folder / "x.json").read_text().splitlines()] == [0, 1]
    back = Trial(
        REGISTRY, "filesystem.json_extractor", tmp_path, {"path": f"file://localhost{tmp_path}/%C3%A4%20b/*.json"}
    )
    assert table_of(back.read()).num_rows == 2
    elsewhere = Trial(REGISTRY, "filesystem.json_extractor", tmp_path, {"path": "file://server/x.json"})
    assert codes(elsewhere.describe)[0] == ["DRV007"]
