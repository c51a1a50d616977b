"""A server of `osiris ui`: its own process, and a client of it with or without the cookie."""

import os
import re
import signal
import subprocess
from contextlib import contextmanager

import httpx
from tests.conftest import OSIRIS
from tests.patience import SOON


class Pages:
    """A running server; `address` is the one that it printed, `base` that of its pages.

    `clients` are closed before it is killed: a window would log that the rest of its page is missing.
    """

    def __init__(self, process, clients):
        self.process, self.clients = process, clients
        line = process.stderr.readline()
        self.address = re.search(r"http://\S+", line)[0]
        self.base = self.address.partition("/start")[0]

    def client(self, *, enter=True):
        """Return a client, by default one that has entered with the printed address."""
        client = httpx.Client(base_url=self.base, timeout=SOON, trust_env=False)
        self.clients.append(client)
        if enter:
            assert client.get(self.address).status_code == 303
        return client

    def stop(self, number=signal.SIGINT):
        """End the server; returns its exit code."""
        self.process.send_signal(number)
        return self.process.wait(SOON)


@contextmanager
def serve_pages(folder, *words, **variables):
    """Start `osiris ui` in a project, at any free port."""
    command = [OSIRIS, "ui", "--port", "0", *words]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = {**os.environ, **variables}
    with subprocess.Popen(command, cwd=folder, env=environment, text=True, **streams) as process:
        clients = []
        try:
            yield Pages(process, clients)
        finally:
            for client in clients:
                client.close()
            process.kill()
