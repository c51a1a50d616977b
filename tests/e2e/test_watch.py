"""`--watch`: a new answer after each save, until Ctrl-C."""

import json
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.patience import SOON, started

PIPELINE = """
oml_version: "0.1.0"
name: shop
steps:
  - {id: orders, component: filesystem.csv_extractor, mode: read, config: {path: orders.csv}}
  - id: total
    component: duckdb.processor
    mode: transform
    needs: [orders]
    config: {query: SELECT sum(amount) AS amount FROM orders}
"""


class Watched:
    """A command that keeps running, and its answers as they arrive."""

    def __init__(self, folder, *args):
        command = [str(Path(sys.executable).parent / "osiris"), *args, "--watch", "--json"]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, cwd=folder, text=True, **pipes)
        self._lines = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            self._lines.put(json.loads(line))

    def next(self):
        return self._lines.get(timeout=SOON)

    def end(self, number):
        self.process.send_signal(number)
        return self.process.wait(timeout=300)


@pytest.fixture
def watch(tmp_path):
    (tmp_path / "osiris.yaml").write_text("")
    (tmp_path / "orders.csv").write_text("id,amount\n1,1.50\n2,2.50\n")
    (tmp_path / "shop.yaml").write_text(PIPELINE)
    started = []

    def call(*args):
        started.append(Watched(tmp_path, *args))
        return started[-1]

    yield call
    for each in started:
        each.process.kill()
        each.process.communicate()


def save(path, text):
    """Save a file at once, as editors do: nobody sees a part of it."""
    new = path.with_name("new")
    new.write_text(text)
    new.rename(path)


def rows(answer):
    return answer["data"]["tables"][0]["rows"]


def test_preview_follows_the_file(watch, tmp_path):
    watched = watch("preview", "shop.yaml")
    assert rows(watched.next()) == [["4.00"]]
    save(tmp_path / "shop.yaml", PIPELINE.replace("sum(", "max("))
    assert rows(watched.next()) == [["2.50"]]
    save(tmp_path / "shop.yaml", PIPELINE.replace("sum(amount)", "sum(amuont)"))
    answer = watched.next()
    assert (answer["ok"], [d["code"] for d in answer["diagnostics"]]) == (False, ["SQL009"])
    save(tmp_path / "osiris.yaml", "nonsense: 1\n")
    assert {d["code"] for d in watched.next()["diagnostics"]} == {"PRJ002"}
    save(tmp_path / "osiris.yaml", "")
    assert watched.next()["ok"] is False
    save(tmp_path / "shop.yaml", PIPELINE)
    assert rows(watched.next()) == [["4.00"]]
    assert watched.end(signal.SIGINT) == 0


def test_file_that_is_gone_or_not_there_yet_is_waited_for(watch, tmp_path):
    (tmp_path / "shop.yaml").unlink()
    watched = watch("preview", "shop.yaml")
    assert [d["code"] for d in watched.next()["diagnostics"]] == ["PRJ009"]
    save(tmp_path / "shop.yaml", PIPELINE)
    assert rows(watched.next()) == [["4.00"]]
    (tmp_path / "shop.yaml").unlink()
    assert [d["code"] for d in watched.next()["diagnostics"]] == ["PRJ009"]
    assert watched.end(signal.SIGINT) == 0


def test_compile_follows_the_file_and_writes_nothing(watch, tmp_path):
    watched = watch("compile", "shop.yaml")
    first = watched.next()["data"]["fingerprint"]
    save(tmp_path / "shop.yaml", PIPELINE.replace("sum(", "max("))
    assert watched.next()["data"]["fingerprint"] != first
    assert watched.end(signal.SIGTERM) == 143
    assert sorted(path.name for path in tmp_path.iterdir()) == [".osiris", "orders.csv", "osiris.yaml", "shop.yaml"]


def test_text_has_a_rule_between_answers(tmp_path, watch):
    command = [str(Path(sys.executable).parent / "osiris"), "preview", "shop.yaml", "--watch"]
    with started(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "total  1 row\n"
        save(tmp_path / "shop.yaml", PIPELINE.replace("sum(", "max("))
        lines = iter(process.stdout.readline, "")
        assert next(line for line in lines if line.startswith("──")).count("─") > 20
        assert "2.50\n" in (next(lines), next(lines), next(lines), next(lines).strip(" "))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=300)
    assert process.returncode == 0


def test_watching_writes_nothing(osiris, tmp_path, watch):
    done = osiris("compile", "shop.yaml", "--watch", "--check", cwd=tmp_path)
    assert (done.returncode, "PRJ008" in done.stderr) == (2, True)
