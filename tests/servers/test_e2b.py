"""In a local E2B's sandboxes, the unmodified SDK runs commands and transfers files."""

import io
import json
import random
import time

import httpx
import pytest
from e2b import CommandExitException, NotFoundException, Sandbox, SandboxException, TimeoutException
from tests.patience import SOON, wait_until
from tests.servers.watching import command_lines, inside


def test_a_command_has_both_streams_and_its_code(any_service):
    sandbox = Sandbox.create()
    done = sandbox.commands.run("echo out; echo err >&2")
    assert (done.stdout, done.stderr, done.exit_code, done.error) == ("out\n", "err\n", 0, None)
    with pytest.raises(CommandExitException) as failed:
        sandbox.commands.run("echo so far; exit 3")
    assert (failed.value.exit_code, failed.value.stdout, failed.value.error) == (3, "so far\n", "exit status 3")


def test_a_commands_environment_is_small_and_its_own(any_service, monkeypatch):
    monkeypatch.setenv("OF_THE_HOST", "secret")
    sandbox = Sandbox.create(envs={"OF_SANDBOX": "1", "BOTH": "sandbox"})
    text = sandbox.commands.run("cat /proc/$$/environ | tr '\\0' '\\n'", envs={"OF_CALL": "2", "BOTH": "call"}).stdout
    found = dict(line.split("=", 1) for line in text.split())
    assert found.keys() == {"PATH", "HOME", "USER", "LOGNAME", "OF_SANDBOX", "OF_CALL", "BOTH"}
    assert (found["BOTH"], found["USER"]) == ("call", "user")


def test_a_command_runs_in_a_login_shell_at_home(service, sandbox):
    done = sandbox.commands.run("pwd; shopt -q login_shell && echo login; whoami; echo $0")
    assert done.stdout == "/home/user\nlogin\nuser\n/bin/bash\n"
    assert sandbox.commands.run("pwd", cwd="/tmp").stdout == "/tmp\n"
    with pytest.raises(SandboxException, match="does not exist"):
        sandbox.commands.run("pwd", cwd="/nowhere")


def test_output_comes_while_the_command_runs(service, sandbox):
    script = "for i in 1 2 3; do echo line $i; until [ -e said-$i ]; do sleep 0.02; done; done"
    text = ""
    for number, (out, _err, _pty) in enumerate(sandbox.commands.run(script, background=True, timeout=SOON), 1):
        text += out
        sandbox.files.write(f"said-{number}", "")
    assert text == "line 1\nline 2\nline 3\n"


def test_much_output_is_whole_and_comes_in_chunks_of_reads(service, sandbox):
    sizes = []
    done = sandbox.commands.run("yes 0123456789 | head -c 20000000", on_stdout=lambda text: sizes.append(len(text)))
    assert done.stdout == ("0123456789\n" * 1818182)[:20000000]
    assert max(sizes) <= 32 * 1024
    assert any(size % 11 for size in sizes)


def test_input_goes_in_and_ends(service, sandbox):
    handle = sandbox.commands.run("cat; echo over", background=True, stdin=True, timeout=SOON, retain_output=False)
    handle.send_stdin("one\n")
    sandbox.commands.stream_input(handle.pid, ["two\n", b"three\n"])
    large = "x" * 300_000
    handle.send_stdin(large)
    handle.close_stdin()
    text = "".join(out for out, _err, _pty in handle)
    assert text == f"one\ntwo\nthree\n{large}over\n"


def test_a_command_without_input_reads_none(service, sandbox):
    assert sandbox.commands.run("cat; echo over").stdout == "over\n"
    handle = sandbox.commands.run("sleep 76", background=True)
    with pytest.raises(SandboxException, match="no open standard input"):
        handle.send_stdin("x")


def test_the_time_of_a_call_is_the_commands_time(service, sandbox):
    started = time.monotonic()
    with pytest.raises(TimeoutException):
        sandbox.commands.run("exec sleep 77", timeout=1)
    assert time.monotonic() - started < SOON
    wait_until(lambda: "sleep 77" not in command_lines(service, sandbox))


def test_the_time_of_a_call_ends_the_command_though_nobody_listens(service, sandbox):
    handle = sandbox.commands.run("touch begun; exec sleep 78", background=True, timeout=1)
    handle.disconnect()
    wait_until(inside(service, sandbox).path("/home/user/begun").exists)
    wait_until(lambda: "sleep 78" not in command_lines(service, sandbox))


def test_a_client_that_goes_away_ends_nothing_and_misses_what_is_said_meanwhile(service, sandbox):
    wait = "until [ -e {0} ]; do sleep 0.02; done; echo after {0}; touch said-{0}"
    script = f"echo first; {wait.format('a')}; {wait.format('b')}"
    handle = sandbox.commands.run(script, background=True, timeout=SOON)
    assert next(iter(handle))[0] == "first\n"
    handle.disconnect()
    sandbox.files.write("a", "")
    wait_until(inside(service, sandbox).path("/home/user/said-a").exists)
    again = sandbox.commands.connect(handle.pid, timeout=0)
    sandbox.files.write("b", "")
    assert again.wait().stdout == "after b\n"


def test_an_exit_can_be_asked_for_a_while(start_service):
    for kept in (SOON, 0.0):
        service = start_service(exit_kept=kept)
        sandbox = Sandbox.create()
        handle = sandbox.commands.run("echo lost; exit 4", background=True, timeout=SOON)
        handle.disconnect()
        wait_until(lambda: not command_lines(service, sandbox))  # noqa: B023  called at once
        if kept:
            with pytest.raises(CommandExitException) as ended:
                sandbox.commands.connect(handle.pid).wait()
            assert (ended.value.exit_code, ended.value.stdout) == (4, "")
        else:
            wait_until(lambda: is_forgotten(sandbox, handle.pid))  # noqa: B023  called at once


def is_forgotten(sandbox, pid):
    try:
        sandbox.commands.connect(pid).wait()
    except NotFoundException:
        return True
    except CommandExitException:
        return False
    raise AssertionError("it has not failed")


def test_a_killed_command_says_so(any_service):
    sandbox = Sandbox.create()
    handle = sandbox.commands.run("sleep 79 & wait", background=True, timeout=SOON)
    wait_until(lambda: "sleep 79" in command_lines(any_service, sandbox))
    assert handle.kill()
    with pytest.raises(CommandExitException) as killed:
        handle.wait()
    assert (killed.value.exit_code, killed.value.error) == (-1, "signal: killed")
    assert not sandbox.commands.kill(handle.pid)
    assert "sleep 79" in command_lines(any_service, sandbox)  # only the command itself was meant


def test_those_who_hold_the_output_delay_the_end(service, sandbox):
    started = time.monotonic()
    assert sandbox.commands.run("(sleep 0.7; echo late) & echo soon").stdout == "soon\nlate\n"
    assert time.monotonic() - started > 0.6


def test_commands_are_listed_with_their_environment(service, sandbox):
    handle = sandbox.commands.run("sleep 80", background=True, envs={"TOKEN": "seen by all"})
    (found,) = sandbox.commands.list()
    assert (found.pid, found.cmd, found.args) == (handle.pid, "/bin/bash", ["-l", "-c", "sleep 80"])
    assert found.envs == {"TOKEN": "seen by all"}
    handle.kill()
    wait_until(lambda: sandbox.commands.list() == [])


def test_a_silent_command_is_kept_alive(service, sandbox):
    handle = sandbox.commands.run("sleep 81", background=True, timeout=SOON)
    asked = {"process": {"pid": handle.pid}}
    body = json.dumps(asked).encode()
    headers = {
        "Content-Type": "application/connect+json",
        "Keepalive-Ping-Interval": "1",
        "E2b-Sandbox-Id": sandbox.sandbox_id,
        "X-Access-Token": inside(service, sandbox).token,
    }
    url = service.environment["E2B_SANDBOX_URL"] + "/process.Process/Connect"
    with httpx.stream("POST", url, content=b"\0" + len(body).to_bytes(4, "big") + body, headers=headers) as answer:
        said = b""
        for chunk in answer.iter_raw():
            said += chunk
            if said.count(b"keepalive") == 2:
                break
    assert said[5:].startswith(b'{"event":{"start":{"pid":')


@pytest.mark.parametrize("how", ["multipart", "octets", "gzip"])
def test_files_go_up_and_come_down(any_service, how):
    sandbox = Sandbox.create()
    data = random.Random(1).randbytes(3_000_000)
    given = data if how == "multipart" else io.BytesIO(data)
    written = sandbox.files.write("/home/user/deep/in/a ü.bin", given, gzip=how == "gzip")
    assert (written.name, written.path) == ("a ü.bin", "/home/user/deep/in/a ü.bin")
    assert sandbox.files.read("deep/in/a ü.bin", format="bytes") == data
    assert b"".join(sandbox.files.read(written.path, format="stream")) == data
    assert any_service.sandboxes[0].path(written.path).read_bytes() == data
    assert sandbox.commands.run("wc -c < ~/deep/in/*").stdout.strip() == "3000000"


def test_several_files_go_up_at_one_time(service, sandbox):
    sandbox.files.write_files([{"path": f"/tmp/{name}", "data": name} for name in "abc"])
    assert [entry.name for entry in sandbox.files.list("/tmp")] == ["a", "b", "c"]
    assert sandbox.files.read("/tmp/b") == "b"


def test_the_tree_is_looked_at_and_changed(any_service):
    files = Sandbox.create().files
    assert files.make_dir("one/two")
    assert not files.make_dir("one/two")
    files.write("one/two/x.txt", "text")
    assert [entry.path for entry in files.list("one", depth=2)] == ["/home/user/one/two", "/home/user/one/two/x.txt"]
    assert files.rename("one/two/x.txt", "/tmp/y.txt").path == "/tmp/y.txt"
    info = files.get_info("/tmp/y.txt")
    assert (info.size, info.permissions, info.type.value) == (4, "-rw-r--r--", "file")
    assert (files.exists("/tmp/y.txt"), files.exists("one/two/x.txt")) == (True, False)
    files.remove("/tmp/y.txt")
    files.remove("one")
    assert files.list("/home/user") == []
    with pytest.raises(NotFoundException):
        files.read("/tmp/y.txt")
    with pytest.raises(NotFoundException):
        files.list("one")


def test_a_part_of_a_file_can_be_asked_for(service, sandbox):
    sandbox.files.write("x", "0123456789")
    headers = {"E2b-Sandbox-Id": sandbox.sandbox_id, "X-Access-Token": inside(service, sandbox).token}
    url = service.environment["E2B_SANDBOX_URL"] + "/files?path=x"
    for asked, got in (("bytes=3-", "3456789"), ("bytes=2-4", "234"), ("bytes=-2", "89")):
        answer = httpx.get(url, headers={**headers, "Range": asked})
        assert (answer.status_code, answer.text) == (206, got)
