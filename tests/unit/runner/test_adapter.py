"""The host's side, with other programs instead of the worker."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from osiris.errors import OsirisError
from osiris.runner.adapter import Link, WorkerDied, start_worker
from osiris.runner.limits import limits_of
from osiris.runner.protocol import Job, Secrets

JOB = Job("run", "/r", "/s", "/a", limits_of(1, 1), [])


@pytest.fixture
def pretend():
    """Start a program instead of a worker, let it do the job, and return the last event and all before it."""

    def call(code, silence=30.0):
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        process = subprocess.Popen([sys.executable, "-c", f"import sys, time\n{code}"], bufsize=0, **pipes)
        seen = []
        with Link(process, silence) as link:
            end = link.ask(JOB, Secrets(), seen.append)
        return end, seen, bytes(link.output)

    return call


def test_signs_of_life_are_no_events():
    code = """import sys
for line in ('"heartbeat","memory_bytes":7', '"a"', '"job_end"'):
    number = globals().get("number", 0) + 1
    print('{"wseq":%d,"event":%s}' % (number, line), flush=True)
sys.stdin.read()"""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen([sys.executable, "-c", code], bufsize=0, **pipes)
    seen, signs = [], []
    with Link(process) as link:
        link.ask(JOB, Secrets(), seen.append, signs.append)
    assert (seen, signs) == ([{"event": "a"}], [{"event": "heartbeat", "memory_bytes": 7}])


def test_a_job_is_cancelled_from_another_thread_while_it_is_sent():
    """While a writer's buffer is passed on, nothing can be appended; some of the many attempts hit this moment."""
    count = 20_000
    code = f"""import sys
cancelled = sum("cancel" in sys.stdin.readline() for _ in range({count} + 2))
print('{{"wseq":1,"event":"job_end","cancelled":%d}}' % cancelled, flush=True)"""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen([sys.executable, "-c", code], bufsize=0, **pipes)
    with Link(process) as link, ThreadPoolExecutor(1) as pool:
        end = pool.submit(link.ask, JOB, Secrets(), lambda _: None)
        for _ in range(count):
            link.cancel()
        assert end.result()["cancelled"] == count


def test_lines_may_come_in_pieces(pretend):
    end, seen, _ = pretend("""
two = '{"wseq":2,"event":"heartbeat"}' + chr(10) + '{"wseq":3,"event":"job_end"}'
for piece in ('{"wseq":1,"ev', 'ent":"a"}', chr(10), two):
    sys.stdout.write(piece); sys.stdout.flush(); time.sleep(0.05)
print(flush=True); sys.stdin.read()
""")
    assert (end, seen) == ({"event": "job_end"}, [{"event": "a"}])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("nonsense", "a line that is not an event"),
        ("[]", "a line that is not an event"),
        ('{"wseq":1}', "a line that is not an event"),
        ('{"event":"a"}', "a line that is not an event"),
        ('{"wseq":2,"event":"a"}', "event 2 instead of 1"),
    ],
)
def test_broken_protocol(pretend, line, problem):
    with pytest.raises(OsirisError) as caught:
        pretend(f"print({line!r}, flush=True); sys.stdin.read()")
    assert [d.code for d in caught.value.diagnostics] == ["RUN007"]
    assert problem in caught.value.diagnostics[0].message


@pytest.mark.parametrize(
    ("code", "status"),
    [("sys.exit(5)", "exit status 5"), ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV")],
)
def test_death(pretend, code, status):
    with pytest.raises(WorkerDied, match=status):
        pretend(code)


def test_silence(pretend):
    with pytest.raises(WorkerDied, match=r"no sign of life for 500 ms"):
        pretend("time.sleep(60)", silence=0.5)


def test_a_dead_worker_whose_pipe_is_kept_open(tmp_path):
    """A process that a driver forked may keep it open, so the end of the pipe does not come with the worker's."""
    file = tmp_path / "pid"
    code = f"""import os, time
if pid := os.fork():
    open({str(file)!r}, "w").write(str(pid))
    os._exit(0)
time.sleep(600)"""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen([sys.executable, "-c", code], bufsize=0, **pipes)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    kept = int(file.read_text())
    try:
        with Link(process, 1) as link, pytest.raises(WorkerDied, match="no sign of life"):
            link.ask(JOB, Secrets(), lambda _event: None)
        assert Path(f"/proc/{kept}").exists()
    finally:
        os.kill(kept, signal.SIGKILL)


def test_job_larger_than_the_pipe_to_a_worker_that_does_not_read():
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], bufsize=0, **pipes)
    large = Job("run", "/r", "/s", "/a", limits_of(1, 1), [{"text": "x" * 1_000_000}])
    with Link(process, 0.5) as link, pytest.raises(WorkerDied, match="no sign of life"):
        link.ask(large, Secrets(), lambda _event: None)


def test_output_is_kept_up_to_a_limit(pretend):
    _, _, output = pretend("""
sys.stderr.write("x" * 3_000_000); sys.stderr.flush()
print('{"wseq":1,"event":"job_end"}', flush=True); sys.stdin.read()
""")
    assert output == b"x" * (1 << 20)


def test_a_system_that_starts_no_process(tmp_path):
    plain = tmp_path / "python"
    plain.touch(0o644)
    for python, reason in ((plain, "Permission denied"), (tmp_path / "none", "No such file or directory")):
        with pytest.raises(OsirisError) as caught:
            start_worker(tmp_path, python=str(python))
        (problem,) = caught.value.diagnostics
        assert (problem.code, reason in problem.message, caught.value.exit_code) == ("RUN068", True, 3)
