"""Runs one server for as long as standard input stays open, then stops it and removes its folder.

`guard.py FOLDER UID GID SIGNAL COMMAND…`: it ends with the tests, however they end, because the system closes their
side of the pipe. If the guard itself is killed, the system sends the signal to the server instead.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading

SET_PARENT_DEATH_SIGNAL = 1
PATIENCE = 10.0


def main(folder: str, user: str, group: str, number: str, *command: str) -> int:
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    other = int(user) != os.getuid()
    identity = {"user": int(user), "group": int(group), "extra_groups": ()} if other else {}
    system = ctypes.CDLL(None)
    with open(os.path.join(folder, "log"), "ab") as log:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            preexec_fn=lambda: system.prctl(SET_PARENT_DEATH_SIGNAL, int(number)),
            **identity,
        )
    told = threading.Event()
    threading.Thread(target=_end_with_input, args=(server, int(number), told), daemon=True).start()
    code = server.wait()
    if told.is_set():
        shutil.rmtree(folder, ignore_errors=True)
    return code


def _end_with_input(server: subprocess.Popen, number: int, told: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    told.set()
    server.send_signal(number)
    try:
        server.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        server.kill()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
