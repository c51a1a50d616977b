"""A local Google Cloud Storage as a program: unknown requests, memory, and what it leaves behind."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import obstore
import pytest
from obstore.store import GCSStore
from tests.patience import wait_until
from tests.servers.gcs import start_gcs
from tests.servers.gcs.asking import asked, code

ROOT = Path(__file__).parents[2]
MEBI = 1 << 20


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "", {}),
        ("GET", "lake", {}),
        ("PUT", "lake", {}),
        ("GET", "lake/x?acl", {}),
        ("PUT", "lake/x", {"If-None-Match": "*"}),
        ("PUT", "lake/x", {"x-goog-acl": "private"}),
        ("POST", "lake/x?uploads", {"x-goog-if-generation-match": "0"}),
        ("GET", "lake/x", {"Range": "bytes=0-0,2-2"}),
    ],
)
def test_what_is_not_known_fails_the_test(method, path, headers):
    stack = contextlib.ExitStack()
    gcs = stack.enter_context(start_gcs(buckets=["lake"]))
    gcs.put("lake", "x", b"123")
    assert code(asked(gcs, method, path, headers=headers)) == (501, "NotImplemented")
    with pytest.raises(AssertionError, match=f"{method} /{path.split('?')[0]}"):
        stack.close()


ELSEWHERE = """
import sys
from tests.servers.gcs import start_gcs
with start_gcs(buckets=["lake"]) as gcs:
    print(gcs.folder, flush=True)
    print(gcs.owner, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def elsewhere():
    """A service in a separate process, its folder and its owner's key."""
    command = [sys.executable, "-c", ELSEWHERE]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process, process.stdout.readline().strip(), process.stdout.readline()
        process.stdin.close()


def most_memory(pid):
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) << 10


def test_memory_stays_small(elsewhere):
    process, _, key = elsewhere
    store = GCSStore("lake", service_account_key=key, client_options={"allow_http": True})
    store.put("x", bytes(MEBI))
    before = most_memory(process.pid)
    store.put("big", bytes(100 * MEBI), use_multipart=False)
    with obstore.open_writer(store, "parts", buffer_size=32 * MEBI) as writer:
        for _ in range(10):
            writer.write(bytes(10 * MEBI))
    assert sum(len(piece) for piece in store.get("parts")) == 100 * MEBI
    assert most_memory(process.pid) - before < 48 * MEBI


@pytest.mark.parametrize("end", ["killed", "left"])
def test_nothing_is_left_behind(elsewhere, end):
    process, folder, key = elsewhere
    GCSStore("lake", service_account_key=key, client_options={"allow_http": True}).put("x", b"1")
    if end == "killed":
        process.send_signal(signal.SIGKILL)
    else:
        process.stdin.write("\n")
        process.stdin.flush()
    assert process.wait(timeout=300) == (-signal.SIGKILL if end == "killed" else 0)
    wait_until(lambda: not os.path.exists(folder))
