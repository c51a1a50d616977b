"""A transport whose remote side is a local folder, with connection faults that tests can switch on."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from osiris.runner.transport import Cut, Gone

PIECE = 1 << 12


class Program:
    def __init__(self, command, faults):
        pipes = dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)
        here = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        words = ["/bin/sh", "-c", command]
        self.process = subprocess.Popen(words, env=here, bufsize=0, start_new_session=True, **pipes)
        self._faults = faults

    def send(self, data):
        self._faults.pass_on("send")
        try:
            self.process.stdin.write(data)
        except (BrokenPipeError, ValueError):
            raise Gone("the program has ended") from None

    def end_input(self):
        self.process.stdin.close()

    def stream(self):
        while piece := os.read(self.process.stdout.fileno(), self._faults.piece):
            if self._faults.lose > 0:
                self._faults.lose -= 1
                continue
            yield piece
            self._faults.pass_on("stream")
        self.process.wait()

    def signal(self):
        self.process.kill()


class Faults:
    """`cuts`: how often each method breaks. `lose`: how many pieces of output get lost. `piece`: their size."""

    def __init__(self):
        self.cuts, self.lose, self.piece = {}, 0, PIECE

    def pass_on(self, verb):
        if self.cuts.get(verb, 0) > 0:
            self.cuts[verb] -= 1
            raise Cut(f"{verb} broke")


class Exec:
    name, installs, place = "exec", False, ""

    def __init__(self, parent=None):
        self.faults, self.programs, self.closed, self.renewed = Faults(), [], 0, 0
        self._parent = parent

    def open(self, hosts):
        self.hosts = hosts
        self.place = tempfile.mkdtemp(dir=self._parent)
        return self.place

    def put(self, path, content):
        self.faults.pass_on("put")
        with Path(path).open("wb") as file:
            shutil.copyfileobj(content, file)

    def get(self, path, offset=0):
        self.faults.pass_on("get")
        if not Path(path).exists():
            raise Gone(path)
        with Path(path).open("rb") as file:
            file.seek(offset)
            while piece := file.read(PIECE):
                yield piece

    def start(self, command):
        self.faults.pass_on("start")
        self.programs.append(Program(command, self.faults))
        return self.programs[-1]

    def renew(self):
        self.renewed += 1

    def close(self):
        self.closed += 1
        for program in self.programs:
            program.process.kill()
            program.process.wait()
            for pipe in (program.process.stdin, program.process.stdout):
                pipe.close()
        if self.place:
            shutil.rmtree(self.place)
