"""Connections that are slow, or end during the TLS handshake: a step gets its rows, or ends in time."""

import base64
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pyarrow as pa
import pytest
from tests.faults.proxy import When, faulty, struck
from tests.faults.test_servers import SLACK, Desk
from tests.servers import start_postgres

from osiris.errors import OsirisError
from osiris.registry import load_registry
from osiris.secret import Secret
from osiris.testing.trial import Trial, table_of

REGISTRY = load_registry()


@pytest.fixture(scope="module")
def encrypted():
    with start_postgres(encrypted=True) as server:
        yield server


BEFORE = {"encrypted": 1, "mariadb": 150}
"""What a server says before encryption is agreed: that it can, or a greeting."""


@pytest.mark.parametrize("kind", BEFORE)
@pytest.mark.parametrize("mode", ["require", "prefer"])
def test_a_database_that_falls_silent_while_encryption_is_agreed(request, tmp_path, kind, mode):
    """Its half of the handshake never arrives; the client library alone would wait as long as the connection lasts."""
    server = request.getfixturevalue(kind)
    desk = Desk(server, "postgres" if kind == "encrypted" else kind, tmp_path)
    desk.sql("CREATE TABLE t (id INT)")

    def read(port, silence):
        return desk.read(port=port, sslmode=mode, connect_timeout=silence)

    assert struck(server.port, "silent", When(received=BEFORE[kind]), read) == "CON015"
    assert desk.read(sslmode=mode) == 0


KEY = base64.b64encode(b"a key of sixteen").decode()
STORES = {
    "s3": {"access_key_id": "key", "secret_access_key": KEY},
    "azure": {"account": "account", "account_key": KEY},
}


@contextmanager
def half_a_handshake(said):
    """Yield a port that answers a handshake with these bytes, and no more."""
    taken = []

    def serve():
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            taken.append(line)
            line.recv(1 << 16)
            line.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for line in taken:
                line.close()
            assert taken, "nobody came"


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03"], ids=["nothing", "a part"])
@pytest.mark.parametrize("family", ["supabase", *STORES])
def test_a_service_that_falls_silent_while_encryption_is_agreed(tmp_path, family, said):
    with half_a_handshake(said) as port:
        where, limits = f"https://127.0.0.1:{port}", {"connect_timeout": 2.0, "read_timeout": 2.0}
        if family == "supabase":
            fields = {"url": where, "key": Secret("a-key-that-nobody-knows"), **limits}
            trial = Trial(REGISTRY, "supabase.extractor", tmp_path, {"table": "t", "retries": 0}, fields)
        else:
            secret = {name: Secret(value) if "key" in name else value for name, value in STORES[family].items()}
            path = {"s3": "s3://bucket/t.csv", "azure": "az://bucket/t.csv"}[family]
            fields = {"endpoint": where, **limits, **secret}
            trial = Trial(
                REGISTRY, "filesystem.csv_extractor", tmp_path, {"path": path}, fields, changes={"family": family}
            )
        began = time.monotonic()
        with pytest.raises(OsirisError) as caught:
            table_of(trial.read())
        assert time.monotonic() - began < SLACK
    assert caught.value.diagnostics[0].code.startswith("CON0"), caught.value
    assert caught.value.exit_code == 3


WIDE = pa.table({"id": list(range(60_000)), "name": ["x" * 400] * 60_000})
SILENCE = 6.0
"""Seconds: longer than any pause on the line, and shorter than what all of the rows take on it."""

PAUSES = {
    ("read", "postgres"): 0.04,  # over two connections
    ("read", "mariadb"): 0.02,
    ("write", "postgres"): 0.02,
    ("write", "mariadb"): 0.02,
}
"""Seconds behind each piece of 64 KB; all of them are 24 MB."""


@pytest.mark.long
@pytest.mark.parametrize("way", ["read", "write"])
def test_a_line_that_is_slow_and_never_silent(postgres, mariadb, tmp_path, way):
    """`read_timeout` limits silence, not the total time."""
    limits = {"connect_timeout": SLACK, "read_timeout": SILENCE}

    def try_it(kind, server):
        desk = Desk(server, kind, tmp_path / kind)
        if way == "read":
            desk.write("append", WIDE, read_timeout=SLACK)
        with faulty(server.port, "silent", When(pause=PAUSES[way, kind])) as proxy:
            began = time.monotonic()
            done = (
                desk.read(port=proxy.port, **limits)
                if way == "read"
                else desk.write("append", WIDE, port=proxy.port, **limits)
            )
            return done, time.monotonic() - began > SILENCE, desk.sql("SELECT COUNT(*), SUM(id) FROM t")

    with ThreadPoolExecutor(2) as pool:
        servers = {"postgres": postgres, "mariadb": mariadb}
        for done in pool.map(try_it, servers, servers.values()):
            assert done == (60_000, True, [(60_000, sum(range(60_000)))])
