"""A conversation that is killed anywhere resumes where it was: nothing is asked twice, written twice or lost."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import time
from contextlib import closing

import duckdb
import pytest
from tests.chance import draw_seed, say_tried
from tests.conftest import KEPT, OSIRIS
from tests.unit.chat.scripted import environment, serving
from tests.unit.chat.talking import proposal

ROWS = 3000
WORDS = "append data/places.csv to table places in @duckdb.mart"
MART = {"component": "duckdb.writer", "connection": "@duckdb.mart", "table": "places", "mode": "append"}
ANSWERS = {WORDS: proposal("data/places.csv", name="places", **MART)}


@pytest.fixture(scope="module")
def model():
    with serving(ANSWERS) as server:
        yield environment(server)


@pytest.fixture
def project(tmp_path, model):
    (tmp_path / ".env").write_text("".join(f"{name}={text}\n" for name, text in model.items()))
    (tmp_path / "osiris.yaml").write_text("{}\n")
    (tmp_path / "osiris_connections.yaml").write_text("connections: {duckdb: {mart: {path: mart.duckdb}}}\n")
    (tmp_path / "data").mkdir()
    lines = "".join(f"{n},place {n}\n" for n in range(ROWS))
    (tmp_path / "data" / "places.csv").write_text(f"id,name\n{lines}")
    duckdb.connect(str(tmp_path / "mart.duckdb")).close()
    return tmp_path


def start(project, *words):
    env = {name: os.environ[name] for name in KEPT if name in os.environ}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    return subprocess.Popen([OSIRIS, "chat", *words, "--yes"], cwd=project, env=env, start_new_session=True, **quiet)


def begun(project):
    """Return the id of the newest recorded conversation; None if there is none yet."""
    path = project / ".osiris" / "conversations.sqlite"
    if not path.exists():
        return None
    with closing(sqlite3.connect(path)) as file:
        if not file.execute("SELECT 1 FROM sqlite_master WHERE name = 'conversations'").fetchone():
            return None  # killed while it made the file
        return file.execute("SELECT max(id) FROM conversations").fetchone()[0]


def rows(project):
    with duckdb.connect(str(project / "mart.duckdb"), read_only=True) as engine:
        return engine.execute("SELECT count(*), count(DISTINCT id) FROM places").fetchone()


def kill_at_random(process, chance, longest):
    time.sleep(chance.uniform(0.1, longest))
    process.send_signal(signal.SIGKILL)
    process.communicate()


def converse(project, chance):
    """Start, kill, resume and kill again until a process ends by itself; returns the number of kills."""
    process, killed = start(project, WORDS), 0
    while killed < 12:
        if chance.random() < 0.3:
            _, said = process.communicate(timeout=300)
            assert process.returncode == 0, said
            return killed
        kill_at_random(process, chance, 6.0)
        killed += process.returncode == -signal.SIGKILL
        name = begun(project)
        process = start(project, *(["--resume", name] if name else [WORDS]))
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return killed


def check_record(project):
    """Every event and result is recorded once, in order, and there is only one run."""
    talks = [path for path in (project / "logs").iterdir() if "-chat-" in path.name]
    begun = [path for path in talks if (path / "run.json").exists()]  # the others were killed before they began
    finished = [path for path in begun if json.loads((path / "run.json").read_text())["status"] == "complete"]
    (home,) = finished
    events = [json.loads(line) for line in (home / "events.jsonl").read_text().splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    told = [event["told"] for event in events if "told" in event]
    assert told == list(range(1, len(told) + 1))
    entries = [event["entry"] for event in events if "entry" in event]
    assert len(entries) == len(set(entries))
    assert [event["event"] for event in events].count("run_result") == 1


@pytest.mark.parametrize("number", range(4))
def test_whatever_is_killed_the_rows_are_there_once(project, number):
    seed = draw_seed()
    killed = converse(project, random.Random(seed))
    print(f"{killed} kills")
    assert rows(project) == (ROWS, ROWS)
    check_record(project)
    say_tried("conversations killed at random moments", 1)


@pytest.mark.long
@pytest.mark.parametrize("number", range(50))
def test_fifty_kills_end_alike(project, number):
    test_whatever_is_killed_the_rows_are_there_once(project, number)
