"""The command in processes of their own that need not start Python: each is forked from one that has imported it.

    with forking() as fork:
        done = fork(("run", "x.yaml"), cwd=folder, env={…}, stdin=None, timeout=60)   # as subprocess.run gives it

What the console script would find is there: its arguments, its environment, its folder, no terminal at 0, 1 and 2, and
nothing of the calls before. Only what Python reads as it starts cannot be given anew, so whoever sets that
(`is_read_at_start`) needs the script itself.

The first worker that a command starts is a child of it that was forked with it: a process of its own that waits for
what `subprocess.Popen` is told. Further workers, and every other program, are started.

As a program, with a socket as its argument: it forks for each message on it, and ends with who started it.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from tempfile import TemporaryFile

OFTEN_NEEDED = ("idna", "jsonschema", "pyarrow.compute", "pyarrow.csv", "pyarrow.parquet", "sqlglot.dialects.duckdb")
WORKER = ["-I", "-m", "osiris.runner.worker"]
LONGEST = 60_000
"""Bytes that fit into a pipe that nobody reads yet, and into one message."""


def is_read_at_start(name):
    """Tell whether Python reads a variable as it starts, and then no more."""
    return name == "LANG" or name.startswith(("PYTHON", "LC_", "TZ"))


@contextmanager
def forking():
    """Give a function that runs the command; see above."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-I", __file__, str(theirs.fileno())]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    theirs.close()

    def fork(args, *, cwd, env, stdin, timeout):
        return _run(ours, args, {"cwd": str(cwd), "env": env}, stdin, timeout)

    with ours:
        yield fork
    process.wait(timeout=300)


def _run(server, args, place, stdin, timeout):
    message = json.dumps({"args": args, **place}).encode()
    reading, writing = os.pipe()
    status, told = os.pipe()
    with TemporaryFile() as out, TemporaryFile() as err:
        try:
            os.write(writing, stdin.encode())
            os.close(writing)
            socket.send_fds(server, [message], [reading, out.fileno(), err.fileno(), told])
        finally:
            os.close(reading)
            os.close(told)
        with open(status, "rb", 0) as answers:
            pid = int(answers.read(12))
            if not select.select([answers], [], [], timeout)[0]:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(args, timeout)
            code = int(answers.read(12))
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode().replace("\r\n", "\n").replace("\r", "\n"))
    return subprocess.CompletedProcess(args, code, *texts)


def _serve(server):
    import osiris
    from osiris.cli.main import main

    ours = (module.name for module in pkgutil.walk_packages(osiris.__path__, "osiris."))
    for module in (*OFTEN_NEEDED, *ours):
        if not module.startswith("osiris.mcp.") and not module.endswith("__main__"):
            importlib.import_module(module)
    gc.freeze()
    while True:
        message, handles, _, _ = socket.recv_fds(server, 1 << 18, 4)
        if not message:
            return
        if os.fork() == 0:
            server.close()
            _watch(handles, lambda: _become(json.loads(message), handles, main))  # noqa: B023  it is called at once
        for handle in handles:
            os.close(handle)
        while _reaped():
            pass


def _reaped():
    try:
        return os.waitpid(-1, os.WNOHANG)[0]
    except ChildProcessError:
        return 0


def _watch(handles, become):
    """Fork the command, and tell its number, and how it ended."""
    told = handles[3]
    pid = os.fork()
    if pid == 0:
        become()
    os.write(told, b"%12d" % pid)
    for handle in handles[:3]:
        os.close(handle)
    _, status = os.waitpid(pid, 0)
    os.write(told, b"%12d" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _become(asked, handles, main):
    """Be the command: leaves by SystemExit, as the script does."""
    for number, handle in enumerate(handles[:3]):
        os.dup2(handle, number)
    for handle in handles:
        os.close(handle)
    _keep_a_worker()
    _take_place(asked)
    sys.argv = ["osiris", *asked["args"]]
    sys.exit(main())


def _take_place(asked):
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["cwd"])


def _keep_a_worker():
    """Fork a process that becomes a worker when one is started."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _wait_to_work(theirs)
    theirs.close()
    kept = [(pid, ours)]

    class Popen(subprocess.Popen):
        def _execute_child(self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest):
            if list(args) != [sys.executable, *WORKER] or not kept:
                super()._execute_child(args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest)
                return
            self.pid, link = kept.pop()
            _, _, _, stdin, _, _, stdout, _, stderr, *_ = rest
            with link:
                socket.send_fds(link, [json.dumps({"cwd": str(cwd), "env": env}).encode()], [stdin, stdout, stderr])
            self._child_created = True
            for handle in (stdin, stdout, stderr):
                os.close(handle)

    subprocess.Popen = Popen


def _wait_to_work(link):
    """Be a worker, or nothing if none is needed."""
    from osiris.runner.worker import main

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    os.close(nothing)
    message, handles, _, _ = socket.recv_fds(link, LONGEST, 3)
    if not message:
        os._exit(0)
    link.close()
    os.setsid()
    for number, handle in enumerate(handles):
        os.dup2(handle, number)
        os.close(handle)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _take_place(json.loads(message))
    sys.argv = ["worker"]
    main()


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as own:
        _serve(own)
