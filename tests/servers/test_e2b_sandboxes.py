"""A local E2B's sandboxes are isolated from the host, end after their lifetime, and are created from templates."""

import os
import sys
import time
from pathlib import Path

import httpx
import pytest
from e2b import (
    AuthenticationException,
    CommandExitException,
    Sandbox,
    SandboxException,
    SandboxQuery,
    SandboxState,
    Template,
    TimeoutException,
)
from e2b.exceptions import BuildException, SandboxNotFoundException, SandboxNotRunningException
from tests.patience import SOON, wait_until
from tests.servers.e2b import Base
from tests.servers.watching import command_lines, is_gone

ROOT = Path(__file__).parents[2]


def test_a_sandbox_sees_nothing_of_the_host(service, sandbox, tmp_path):
    (tmp_path / "secret").write_text("x")
    looking = (f"cat {tmp_path}/secret", f"ls {ROOT}", f"kill -0 {os.getpid()}")
    writing = ("touch /usr/x", "touch /etc/profile", f"touch {sys.base_prefix}/x")
    for command in (*looking, *writing):
        with pytest.raises(CommandExitException):
            sandbox.commands.run(command)
    assert sandbox.commands.run("hostname").stdout == "e2b.local\n"
    assert sandbox.commands.run("ls /home").stdout == "user\n"
    assert len(sandbox.commands.run("ls -d /proc/[0-9]*").stdout.split()) <= 4


def test_binds_are_seen_and_cannot_be_written(start_service, tmp_path):
    (tmp_path / "given").write_text("read me")
    start_service(binds=[tmp_path, Path(sys.prefix)])
    sandbox = Sandbox.create()
    assert sandbox.commands.run(f"cat {tmp_path}/given").stdout == "read me"
    with pytest.raises(CommandExitException):
        sandbox.commands.run(f"touch {tmp_path}/new")
    python = f"{sys.executable} -c 'import pyarrow, sys; print(sys.version_info[:2])'"
    assert sandbox.commands.run(python).stdout.strip() == str(sys.version_info[:2])


def test_the_network_can_be_off(service):
    port = service.environment["E2B_API_URL"].rpartition(":")[2]
    reach = f"exec 3<>/dev/tcp/127.0.0.1/{port} && echo reached"
    assert Sandbox.create().commands.run(reach).stdout == "reached\n"
    with pytest.raises(CommandExitException, match="refused"):
        Sandbox.create(allow_internet_access=False).commands.run(reach)


def test_sandboxes_do_not_meet(service):
    one, other = Sandbox.create(), Sandbox.create()
    one.files.write("/tmp/x", "of one")
    handle = one.commands.run("sleep 82", background=True)
    assert not other.files.exists("/tmp/x")
    assert "sleep 82" in command_lines(service, one)
    assert "sleep 82" not in command_lines(service, other)
    assert not other.commands.kill(handle.pid + 1000)


def test_the_host_can_look_at_a_sandboxs_processes(any_service):
    sandbox = Sandbox.create()
    sandbox.commands.run("exec sleep 83", background=True, envs={"SEEN": "1"})
    wait_until(lambda: "sleep 83" in command_lines(any_service, sandbox))
    (pid,) = any_service.sandboxes[0].pids()
    assert b"SEEN=1" in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


def test_a_sandbox_lives_until_it_is_killed(any_service):
    sandbox = Sandbox.create(metadata={"run": "1"})
    sandbox.commands.run("setsid sleep 84 & sleep 84", background=True)
    wait_until(lambda: command_lines(any_service, sandbox).count("sleep 84") == 2)
    pids = any_service.sandboxes[0].pids()
    assert sandbox.is_running()
    assert sandbox.get_info().metadata == {"run": "1"}
    assert sandbox.kill()
    assert all(map(is_gone, pids))
    assert not sandbox.is_running()
    assert not sandbox.kill()
    with pytest.raises(SandboxNotFoundException):
        sandbox.get_info()
    with pytest.raises(SandboxNotRunningException):
        sandbox.commands.run("true")
    with pytest.raises(SandboxNotRunningException):
        sandbox.files.read("x")


def test_one_key_makes_one_sandbox(service):
    first = Sandbox.create(idempotency_key="run-1")
    again = Sandbox.create(idempotency_key="run-1")
    other = Sandbox.create(idempotency_key="run-2")
    assert first.sandbox_id == again.sandbox_id != other.sandbox_id
    assert len(service.sandboxes) == 2
    assert service.requests[0].headers["idempotency-key"] == "run-1"


def test_sandboxes_are_found_by_metadata_page_by_page(service):
    wanted = {Sandbox.create(metadata={"run id": "a&b=ü", "n": str(n)}).sandbox_id for n in range(5)}
    other = Sandbox.create(metadata={"run id": "c"})
    pages, found = 0, set()
    listing = Sandbox.list(SandboxQuery(metadata={"run id": "a&b=ü"}), limit=2)
    while listing.has_next:
        found |= {one.sandbox_id for one in listing.next_items()}
        pages += 1
    assert (pages, found) == (3, wanted)
    other.pause()
    assert [one.sandbox_id for one in Sandbox.list(SandboxQuery(state=[SandboxState.PAUSED])).next_items()] == [
        other.sandbox_id
    ]


def test_a_sandboxs_time_really_ends_it(service):
    started = time.monotonic()
    sandbox = Sandbox.create(timeout=1)
    with pytest.raises(SandboxNotRunningException):
        sandbox.commands.run("sleep 85", timeout=0)
    assert 1 <= time.monotonic() - started < SOON
    assert not service.sandboxes[0].alive
    assert service.sandboxes[0].pids() == []
    with pytest.raises(SandboxNotFoundException):
        sandbox.set_timeout(60)


def test_a_sandboxs_time_can_be_set_anew(service):
    sandbox = Sandbox.create(timeout=5)
    before = time.time()
    sandbox.set_timeout(60)
    assert 59 < sandbox.get_info().end_at.timestamp() - before < 60 + SOON
    time.sleep(5.2)
    assert sandbox.is_running()
    sandbox.set_timeout(1)
    wait_until(lambda: not sandbox.is_running())


def test_a_paused_sandbox_goes_on_where_it_was(any_service):
    sandbox = Sandbox.create()
    script = "for i in $(seq 1000); do echo $i >> count; sleep 0.02; done"
    handle = sandbox.commands.run(script, background=True, timeout=SOON)
    count = any_service.sandboxes[0].path("/home/user/count")
    wait_until(count.exists)
    assert sandbox.pause()
    with pytest.raises(TimeoutException):
        handle.wait()
    assert not sandbox.is_running()
    assert not sandbox.pause()
    assert sandbox.get_info().state is SandboxState.PAUSED
    before = count.read_text()
    time.sleep(0.2)
    assert count.read_text() == before
    again = Sandbox.connect(sandbox.sandbox_id)
    wait_until(lambda: len(count.read_text()) > len(before))
    assert again.commands.kill(handle.pid)


def test_time_can_pause_instead(service):
    sandbox = Sandbox.create(timeout=1, lifecycle={"on_timeout": "pause"})
    wait_until(lambda: not sandbox.is_running())
    assert sandbox.get_info().state is SandboxState.PAUSED
    assert sandbox.connect(timeout=30).commands.run("echo back").stdout == "back\n"


def test_a_wrong_key_or_template_is_refused(service, sandbox):
    with pytest.raises(AuthenticationException):
        Sandbox.create(api_key="e2b_" + "0" * 40)
    with pytest.raises(SandboxException, match="404: template 'nowhere' not found"):
        Sandbox.create("nowhere")
    wrong = {"E2b-Sandbox-Id": sandbox.sandbox_id, "X-Access-Token": "wrong"}
    assert httpx.get(service.environment["E2B_SANDBOX_URL"] + "/files?path=x", headers=wrong).status_code == 401


def test_a_template_is_built_and_used(start_service, tmp_path):
    image, context = tmp_path / "image", tmp_path / "context"
    (image / "opt").mkdir(parents=True)
    (image / "opt/tool").write_text("of the image")
    (context / "code").mkdir(parents=True)
    (context / "code/main.py").write_text("print('copied')")
    (context / "lock.txt").write_text("lock")
    base = Base(folder=image, commands=("echo prepared > ~/ready",))
    service = start_service(bases={"python:3.12": base})
    assert not Template.exists("osiris-1")
    steps = Template(file_context_path=context).from_python_image("3.12").copy("lock.txt", "/opt/osiris/")
    steps = steps.copy("code", "/opt/osiris/code").pip_install(["x==1"]).set_envs({"A": "1"})
    said = []
    built = Template.build(steps, "osiris-1", cpu_count=4, memory_mb=2048, on_build_logs=said.append)
    assert Template.exists("osiris-1")
    template = service.templates.find(built.template_id)
    assert template.build["fromImage"] == "python:3.12"
    assert [step["type"] for step in template.steps] == ["COPY", "COPY", "RUN", "ENV"]
    assert any("x==1" in entry.message for entry in said)
    sandbox = Sandbox.create("osiris-1")
    found = sandbox.commands.run("cat /opt/tool /opt/osiris/lock.txt /opt/osiris/code/main.py ready").stdout
    assert found == "of the imagelockprint('copied')prepared\n"
    assert (sandbox.get_info().cpu_count, sandbox.get_info().memory_mb) == (4, 2048)
    Template.build(steps, "osiris-2")
    assert sum(one.method == "PUT" for one in service.requests) == 2  # existing files are not sent again
    child = Template().from_template("osiris-1").run_cmd("true")
    Template.build(child, "child")
    assert Sandbox.create("child").files.read("/opt/tool") == "of the image"


def test_a_build_fails_as_told(service):
    service.faults.build_error = "pip found no version of x"
    with pytest.raises(BuildException, match="no version of x"):
        Template.build(Template().from_base_image().run_cmd("true"), "broken")
    assert not Template.exists("broken")
