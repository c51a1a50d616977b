"""Commands and workers in separate processes without starting Python: each is forked from a process that has started.

    with forking() as fork:
        done = fork(("run", "x.yaml"), cwd=folder, env={…}, stdin=None, timeout=60)  # like subprocess.run

A forked command has what the console script would have: its arguments, environment and folder, no terminal at 0, 1 and
2, and no traces of earlier calls. Only settings that Python reads at its start cannot be changed, so tests that set
those (`is_read_at_start`) need the script itself.

Within `forking`, and in the commands that it forks, `subprocess.Popen` forks workers too; every other program is
started. Such a worker is not a child: it ends, as any worker does, when no process holds the other end of its input.

As a program, with a listening socket as its argument, it forks for each connection, and ends with its input.
"""

from __future__ import annotations

import atexit
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
import threading
from contextlib import contextmanager
from tempfile import TemporaryFile

OFTEN_NEEDED = ("idna", "jsonschema", "pyarrow.compute", "pyarrow.csv", "pyarrow.parquet", "sqlglot.dialects.duckdb")
WORKER = [sys.executable, "-I", "-m", "osiris.runner.worker"]
LONGEST = 60_000
"""Bytes that fit into a pipe that nobody reads yet, and into one message."""


def is_read_at_start(name):
    """Return whether Python, or a module that is imported first, reads a variable only at its start."""
    return name in ("LANG", "OSIRIS_KERNELS") or name.startswith(("PYTHON", "LC_", "TZ"))


@contextmanager
def forking():
    """Yield a function that runs the command; see above."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind("")  # the system chooses a name
        listening.listen()
        command = [sys.executable, "-I", __file__, str(listening.fileno())]
        files = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL}
        process = subprocess.Popen(command, pass_fds=[listening.fileno()], **files)
        address = listening.getsockname()

    def fork(args, *, cwd, env, stdin, timeout):
        return _run(address, args, {"cwd": str(cwd), "env": env}, stdin, timeout)

    fork.address = address
    real = subprocess.Popen
    subprocess.Popen = type("Popen", (_Popen,), {"address": address})
    try:
        yield fork
    finally:
        subprocess.Popen = real
        process.stdin.close()
        process.wait(timeout=300)


class _Popen(subprocess.Popen):
    """Forks workers through the server at `address`."""

    address = None
    _told = None

    def _execute_child(self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest):
        if args != WORKER:
            super()._execute_child(args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest)
            return
        _, _, _, stdin, _, _, stdout, _, stderr, *_ = rest
        self._told = _fork(self.address, {"args": None, "cwd": str(cwd), "env": env}, [stdin, stdout, stderr])
        self.pid = _pid(self._told)
        self._child_created = True
        for handle in (stdin, stdout, stderr):
            os.close(handle)

    def _try_wait(self, wait_flags):
        if self._told is None:
            return super()._try_wait(wait_flags)
        if not select.select([self._told], [], [], 0 if wait_flags else None)[0]:
            return 0, 0
        with self._told:
            return self.pid, int(self._told.read(12))

    def _internal_poll(self, *args, **options):
        if self._told is None:
            return super()._internal_poll(*args, **options)
        if self.returncode is None and self._waitpid_lock.acquire(blocking=False):
            try:
                if self.returncode is None and (found := self._try_wait(os.WNOHANG))[0]:
                    self._handle_exitstatus(found[1])
            finally:
                self._waitpid_lock.release()
        return self.returncode


def _fork(address, asked, handles):
    """Request a fork; return a file that first has the pid, then its wait status, in 12 bytes each."""
    status, told = os.pipe()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
            server.connect(address)
            socket.send_fds(server, [json.dumps(asked).encode()], [*handles, told])
    finally:
        os.close(told)
    return open(status, "rb", 0)


def _pid(told):
    if not select.select([told], [], [], 300)[0]:
        raise TimeoutError("no process was forked")
    return int(told.read(12))


def run_in_place(address, args):
    """Run the command with the folder, environment and input of this process; forward its output and exit code."""
    place = {"cwd": os.getcwd(), "env": dict(os.environ)}
    done = _run(address, args, place, sys.stdin.read(), timeout=300)
    sys.stderr.write(done.stderr)
    sys.stdout.write(done.stdout)
    return done.returncode


def _run(address, args, place, stdin, timeout):
    reading, writing = os.pipe()
    with TemporaryFile() as out, TemporaryFile() as err:
        try:
            os.write(writing, stdin.encode())
            os.close(writing)
            answers = _fork(address, {"args": args, **place}, [reading, out.fileno(), err.fileno()])
        finally:
            os.close(reading)
        with answers:
            pid = _pid(answers)
            if not select.select([answers], [], [], timeout)[0]:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(args, timeout)
            code = os.waitstatus_to_exitcode(int(answers.read(12)))
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode().replace("\r\n", "\n").replace("\r", "\n"))
    return subprocess.CompletedProcess(args, code, *texts)


def _serve(listening):
    import osiris

    ours = (module.name for module in pkgutil.walk_packages(osiris.__path__, "osiris."))
    for module in (*OFTEN_NEEDED, *ours):
        if not module.startswith("osiris.mcp.") and not module.endswith("__main__"):
            importlib.import_module(module)
    gc.freeze()
    address = listening.getsockname()
    while sys.stdin not in select.select([listening, sys.stdin], [], [])[0]:
        connection, _ = listening.accept()
        with connection:
            message, handles, _, _ = socket.recv_fds(connection, 1 << 18, 4)
        if os.fork() == 0:
            listening.close()
            _watch(handles, lambda: _become(json.loads(message), handles, address))  # noqa: B023  called at once
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
    """Fork the process, and report its pid, and how it ended."""
    told = handles[3]
    pid = os.fork()
    if pid == 0:
        become()
    os.write(told, b"%12d" % pid)
    for handle in handles[:3]:
        os.close(handle)
    _, status = os.waitpid(pid, 0)
    os.write(told, b"%12d" % status)
    os._exit(0)


def _become(asked, handles, address):
    """Become the worker, or the command with these arguments."""
    from osiris.cli.main import main
    from osiris.runner.worker import main as worker

    for number, handle in enumerate(handles[:3]):
        os.dup2(handle, number)
    for handle in handles:
        os.close(handle)
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["cwd"])
    if asked["args"] is None:
        os.setsid()
        sys.argv = ["worker"]
        worker.main()
    subprocess.Popen = type("Popen", (_Popen,), {"address": address})
    sys.argv = ["osiris", *asked["args"]]
    _leave(main())


def _leave(code):
    """End as the script does, but leave the interpreter as it is: taking apart all that is imported takes 0.1 s."""
    threading._shutdown()
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # which the interpreter reports
        sys.exit(code)
    os._exit(code)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as own:
        _serve(own)
