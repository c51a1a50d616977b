"""The command in processes of their own that need not start Python: each is forked from one that has imported it.

    with forking() as fork:
        done = fork(("run", "x.yaml"), cwd=folder, env={…}, stdin=None, timeout=60)   # as subprocess.run gives it

What the console script would find is there: its arguments, its environment, its folder, no terminal at 0, 1 and 2, and
nothing of the calls before. Only what Python reads as it starts cannot be given anew, so whoever sets that
(`is_read_at_start`) needs the script itself.

As a program, with a socket as its argument: it forks for each message on it, and ends with who started it.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from tempfile import TemporaryFile

OFTEN_NEEDED = ("osiris.compiler.compile", "osiris.runner.run", "pyarrow.compute", "sqlglot.dialects.duckdb")
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
    from osiris.cli.main import COMMANDS, main

    for module in (*OFTEN_NEEDED, *(module for module, _ in COMMANDS.values())):
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
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["cwd"])
    sys.argv = ["osiris", *asked["args"]]
    sys.exit(main())


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as own:
        _serve(own)
