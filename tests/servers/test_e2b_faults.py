"""A local E2B fails as configured, and leaves nothing behind."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from e2b import NotEnoughSpaceException, RateLimitException, Sandbox, TimeoutException
from e2b.exceptions import SandboxNotRunningException, SandboxUnreachableException, ServiceBusyException
from tests.patience import SOON, started, wait_until
from tests.servers.e2b import AWKWARD, e2b_service
from tests.servers.watching import TEN_LINES, command_lines, inside, is_gone

ROOT = Path(__file__).parents[2]


def test_a_stream_is_cut_in_the_middle(service, sandbox):
    inside(service, sandbox).faults.cut_output(after=30)
    script = f"{TEN_LINES}; until [ -e go ]; do sleep 0.02; done; echo heard"
    handle = sandbox.commands.run(script, background=True, timeout=SOON)
    pieces = []
    with pytest.raises(SandboxUnreachableException, match="unexpected EOF"):
        pieces.extend(out for out, _err, _pty in handle)
    assert 0 < len("".join(pieces)) <= 30
    assert sandbox.is_running()
    again = sandbox.commands.connect(handle.pid)
    sandbox.files.write("go", "")
    assert again.wait().stdout.endswith("heard\n")


def test_chunks_are_cut_within_letters_and_lines(service, sandbox):
    service.faults.chunk_sizes = AWKWARD
    text = "žluťoučký 🐎 kůň\n" * 50
    sandbox.files.write("x", text)
    pieces = [out for out, _err, _pty in sandbox.commands.run("cat x", background=True, timeout=SOON)]
    assert "".join(pieces) == text
    assert len(pieces) > 100
    assert any(not piece.endswith("\n") for piece in pieces)


def test_a_frozen_way_says_nothing_and_then_all(service, sandbox):
    handle = sandbox.commands.run(TEN_LINES, background=True, timeout=SOON)
    service.faults.frozen = True
    with pytest.raises(TimeoutException):
        sandbox.is_running(request_timeout=0.5)
    time.sleep(0.3)
    service.faults.frozen = False
    assert handle.wait().stdout.endswith("line 10\n")


def test_a_way_that_is_full_holds_the_command_back(service, sandbox):
    script = "for i in $(seq 200); do head -c 163840 /dev/zero; echo $i > count; done"
    handle = sandbox.commands.run(script, background=True, timeout=SOON, retain_output=False)
    inside(service, sandbox).faults.frozen = True
    count = inside(service, sandbox).path("/home/user/count")
    wait_until(count.exists)
    seen = []
    wait_until(lambda: seen.append(count.read_text()) or (len(seen) > 50 and len(set(seen[-50:])) == 1))
    assert int(seen[-1]) < 180
    inside(service, sandbox).faults.frozen = False
    assert sum(len(out) for out, _err, _pty in handle) == 32768000


def test_a_busy_control_plane_is_waited_for(service):
    service.faults.answer(429, times=1, retry_after=1, path="sandboxes")
    started = time.monotonic()
    sandbox = Sandbox.create()
    assert time.monotonic() - started >= 1
    assert [one.status for one in service.requests] == [429, 201]
    service.faults.answer(503, times=100)
    with pytest.raises(ServiceBusyException):
        sandbox.get_info(retries=1)
    service.faults.clear()
    service.faults.answer(429, times=100, method="POST")
    with pytest.raises(RateLimitException):
        sandbox.set_timeout(60, retries=0)
    assert sandbox.get_info().sandbox_id == sandbox.sandbox_id


def test_a_sandbox_is_lost_and_found(service, sandbox):
    inside(service, sandbox).faults.lost = True
    assert not sandbox.is_running()
    with pytest.raises(SandboxNotRunningException):
        sandbox.commands.run("true")
    inside(service, sandbox).faults.lost = False
    assert sandbox.commands.run("echo here").stdout == "here\n"


def test_uploads_are_slow(service, sandbox):
    service.faults.upload_rate = 2_000_000
    started = time.monotonic()
    sandbox.files.write("x", io.BytesIO(bytes(1_000_000)))
    assert 0.4 < time.monotonic() - started < SOON


@pytest.mark.parametrize("octets", [False, True])
def test_a_full_disk_keeps_what_fitted(service, sandbox, octets):
    inside(service, sandbox).faults.upload_room = 100_000
    with pytest.raises(NotEnoughSpaceException):
        sandbox.files.write("x", bytes(1_000_000), use_octet_stream=octets)
    assert sandbox.files.get_info("x").size == 100_000


def test_a_sandbox_dies_under_a_command(any_service):
    sandbox = Sandbox.create()
    handle = sandbox.commands.run("sleep 86", background=True, timeout=SOON)
    wait_until(lambda: "sleep 86" in command_lines(any_service, sandbox))
    pids = any_service.sandboxes[0].pids()
    any_service.sandboxes[0].kill()
    with pytest.raises(SandboxNotRunningException):
        handle.wait()
    assert all(map(is_gone, pids))


def test_time_is_over_when_a_test_says_so(service, sandbox):
    inside(service, sandbox).expire()
    assert not sandbox.is_running()


def test_everything_takes_longer(service, sandbox):
    inside(service, sandbox).faults.delay = 0.3
    started = time.monotonic()
    assert sandbox.is_running()
    assert time.monotonic() - started >= 0.3


def test_nobody_answers_for_a_while(service, sandbox):
    script = "until [ -e go ]; do sleep 0.02; done; echo over"
    handle = sandbox.commands.run(script, background=True, timeout=SOON)
    with service.unreachable():
        with pytest.raises(SandboxUnreachableException):
            handle.wait()
        with pytest.raises(httpx.ConnectError):
            sandbox.get_info(retries=0)
    again = sandbox.commands.connect(handle.pid)
    sandbox.files.write("go", "")
    assert again.wait().stdout == "over\n"
    with service.unreachable(sandboxes=False):
        assert sandbox.is_running()


def test_an_unknown_call_fails_the_test():
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(e2b_service())
        headers = {"X-API-KEY": service.api_key}
        assert httpx.get(service.environment["E2B_API_URL"] + "/nonsense", headers=headers).status_code == 501
        with pytest.raises(AssertionError, match="GET /nonsense"):
            stack.close()


OWNER = """
import os, sys, time
from tests.patience import wait_until
from tests.servers.e2b import e2b_service
from e2b import Sandbox
with e2b_service(isolated=sys.argv[1] == "apart") as service:
    os.environ.update(service.environment)
    sandbox = Sandbox.create()
    sandbox.commands.run("setsid sleep 87 & while true; do date > x; done", background=True, timeout=60)
    wait_until(lambda: len(service.sandboxes[0].pids()) > 1)
    print(service.folder, *service.sandboxes[0].pids(), flush=True)
    time.sleep(600 if sys.argv[2] == "killed" else 0)
"""


@pytest.mark.parametrize("end", ["killed", "left"])
@pytest.mark.parametrize("kind", ["apart", "plain"])
def test_nothing_is_left_behind(kind, end):
    command = [sys.executable, "-c", OWNER, kind, end]
    with started(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        folder, *pids = owner.stdout.readline().split()
        if end == "killed":
            owner.send_signal(signal.SIGKILL)
        assert owner.wait(SOON) == (-signal.SIGKILL if end == "killed" else 0)
    wait_until(lambda: all(map(is_gone, pids)))
    wait_until(lambda: not os.path.exists(folder))
