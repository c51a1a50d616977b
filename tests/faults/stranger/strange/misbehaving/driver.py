"""Misbehaves."""

import ctypes
import mmap
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from osiris.model import Described, Field
from osiris.table import stream

SCHEMA = (Field("id", "int64"),)


@dataclass(frozen=True)
class Config:
    deed: str
    text: str = ""


def shout(text):
    print("printed", text)
    os.write(1, f"written to 1 {text}\n".encode())
    sys.stderr.write(f"written to 2 {text}\n")
    sys.stdin.read()


def hold_the_lock(_text):
    ctypes.PyDLL(None).sleep(600)


def grow(_text):
    kept = []
    while True:
        kept.append(b"x" * (16 << 20))


def spread(_text):
    """Run a hundred threads at once, each with the system's default stack, and 4 GiB of mappings."""
    threading.stack_size(8 << 20)
    everybody, mappings = threading.Barrier(101), []
    for _ in range(100):
        threading.Thread(target=everybody.wait, args=(60,)).start()
        mappings.append(mmap.mmap(-1, 41 << 20))
    everybody.wait(60)
    for each in mappings:
        each[0] = 1
        each.close()
    threading.stack_size(0)


def ignore_everything(text):
    """Ignore whatever should end it; the file `text`, if it is given, tells that it does."""
    while True:
        try:
            if text:
                Path(text).touch()
            time.sleep(600)
        except BaseException:  # noqa: BLE001  that is the point
            continue


def fail(text):
    raise ValueError(f"no {text}")


DEEDS = {
    "print": shout,
    "raise": fail,
    "exit": lambda _: os._exit(7),
    "sys_exit": lambda _: sys.exit(3),
    "kill": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "abort": lambda _: os.abort(),
    "allocate": lambda _: bytearray(1 << 40),
    "grow": grow,
    "spread": spread,
    "recurse": lambda text: DEEDS["recurse"](text),
    "sleep": lambda _: time.sleep(600),
    "hold_the_lock": hold_the_lock,
    "ignore_everything": ignore_everything,
}


class Driver:
    def describe(self, config, ctx):
        if config.deed == "grow_when_described":
            grow(config.text)
        return Described(SCHEMA)

    def read(self, config, schema, ctx):
        DEEDS.get(config.deed, lambda _: None)(config.text)
        if config.deed == "emit":
            ctx.emit("run_complete", {"ts": "never", "text": config.text})
            ctx.emit("greeting", {"text": config.text})
        if config.deed == "tell_limits":
            ctx.emit("limits", {"memory": ctx.memory, "threads": ctx.threads})
        if config.deed == "leak":
            secret = ctx.bindings["param_token"].reveal()
            print(secret)
            (ctx.artifacts / "harmless.txt").write_text("nothing")
            ctx.emit("leak", {secret: [secret]})
            raise ValueError(secret)
        return stream(SCHEMA, iter([pa.RecordBatch.from_pydict({"id": [1]})]), "free")
