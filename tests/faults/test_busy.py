"""Pipelines of one project that are started at once: they run beside each other, unless they share something."""

import json
import subprocess
from collections import Counter
from contextlib import contextmanager

import pytest
from tests.conftest import OSIRIS, kept
from tests.patience import wait_until

PIPELINE = """\
oml_version: "0.1.0"
name: p{n}
metadata: {{tags: [nightly]}}
steps:
  - {{id: rows, component: filesystem.csv_extractor, mode: read, config: {{path: data/a{n}.csv}}}}
  - id: written
    component: {family}writer
    mode: write
    inputs: {{df: "${{rows.df}}"}}
    config: {{{target}}}
"""
STEPS = ["run_start", "step_start", "step_start", "step_complete", "step_complete", "run_complete"]


def put(folder, n, target=None, family="filesystem.csv_", source="id,name\n1,a\n"):
    text = PIPELINE.format(n=n, family=family, target=target or f"path: output/{n}.csv")
    (folder / f"p{n}.yaml").write_text(text)
    (folder / "data" / f"a{n}.csv").write_text(source)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "osiris.yaml").write_text("{}\n")
    for n in range(20):
        put(tmp_path, n)
    return tmp_path


def start(folder, n, *options, command="run", **env):
    words = [OSIRIS, command, f"p{n}.yaml", "--json", *options]
    return subprocess.Popen(words, cwd=folder, env=kept() | env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def answers(processes):
    """Return the exit code and the answer of each process, once it has ended."""
    ended = [(process.communicate(timeout=600)[0], process) for process in processes]
    return [(process.returncode, json.loads(out)) for out, process in ended]


def summaries(folder):
    return [json.loads(path.read_text()) for path in sorted(folder.glob("logs/*/run.json"))]


@contextmanager
def hanging(folder, n, at="host/marker.make:1", **env):
    """Start a run that hangs in its course, and is killed at the end."""
    log = folder / f"log{n}"
    with start(folder, n, OSIRIS_FAULT=f"{at}:hang", OSIRIS_FAULT_LOG=str(log), **env) as process:
        try:
            wait_until(lambda: process.poll() is not None or " hang" in (log.read_text() if log.exists() else ""))
            assert process.poll() is None
            yield process
        finally:
            process.kill()


def all_at_once(osiris, folder, number):
    """Start so many pipelines at once, and check that sessions, package index and lock file have each of them once."""
    ended = answers([start(folder, n) for n in range(number)])
    assert [code for code, _ in ended] == [0] * number, ended
    assert all((folder / "output" / f"{n}.csv").read_text() == "id,name\n1,a\n" for n in range(number))
    runs = summaries(folder)
    assert sorted(run["pipeline"] for run in runs) == sorted(f"p{n}" for n in range(number))
    assert {run["status"] for run in runs} == {"complete"}
    assert sorted(int(run["session"].rpartition("-")[2]) for run in runs) == list(range(1, number + 1))
    for run in runs:
        events = map(json.loads, (folder / "logs" / run["session"] / "events.jsonl").read_text().splitlines())
        names = [event["event"] for event in events if not event["event"].startswith("step_progress")]
        assert Counter(STEPS) - Counter(names) == Counter()
    catalogue = map(json.loads, (folder / ".osiris" / "runs.jsonl").read_text().splitlines())
    assert sorted(record["session"] for record in catalogue) == sorted(run["session"] for run in runs)
    assert len(list(folder.glob("logs/*/aiop/*_aiop.json"))) == number
    pinned = (folder / "osiris.lock").read_text()
    assert all(f'"data/a{n}.csv"' in pinned for n in range(number))
    assert osiris("validate", "p0.yaml", cwd=folder).returncode == 0
    assert list((folder / ".osiris" / "open").iterdir()) == []
    assert list((folder / ".osiris").glob("spools/*")) == []


def test_three_at_once(osiris, folder):
    all_at_once(osiris, folder, 3)


@pytest.mark.long
def test_twenty_at_once(osiris, folder):
    all_at_once(osiris, folder, 20)


@pytest.mark.parametrize("way", ["--wait", "osiris.yaml"])
@pytest.mark.parametrize("shared", ["pipeline", "file", "folder"])
def test_who_does_not_wait_is_told_that_it_is_busy(osiris, folder, way, shared):
    put(folder, 0, "path: output/sub/0.csv")
    target = {"file": "path: output/sub/0.csv", "folder": "path: 'output/sub/${run.id}.csv'"}.get(shared)
    if target:
        put(folder, 1, target)
    with hanging(folder, 0) as first:
        if way == "osiris.yaml":
            (folder / "osiris.yaml").write_text("run: {wait: 0}\n")
        second = "p0.yaml" if shared == "pipeline" else "p1.yaml"
        done = osiris("run", second, "--json", *(["--wait", "0"] if way == "--wait" else []), cwd=folder)
    (busy,) = (each for each in json.loads(done.stdout)["diagnostics"] if each["severity"] == "error")
    assert (done.returncode, busy["code"]) == (75, "RUN004")
    assert f"run of 'p0' (process {first.pid}" in busy["message"]
    assert (" and uses 'output/sub/" in busy["message"]) is (shared != "pipeline")
    assert len(list(folder.glob("logs/*-p*"))) == 1  # nothing was recorded


def test_who_waits_in_vain_is_told_for_how_long(osiris, folder):
    with hanging(folder, 0):
        done = osiris("run", "p0.yaml", "--wait", "1s", cwd=folder)
    assert done.returncode == 75
    assert "waiting for run of 'p0'" in done.stderr
    assert "(waited 1 s)" in done.stderr


def test_who_waits_for_a_target_runs_afterwards(folder):
    put(folder, 0, "path: output/1.csv", source="id\n0\n")
    options = {"cwd": folder, "env": kept(), "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with hanging(folder, 0) as first, subprocess.Popen([OSIRIS, "run", "p1.yaml"], **options) as second:
        assert any("waiting for run of 'p0'" in line for line in second.stderr)
        first.kill()
        told = second.stderr.read()
    assert second.returncode == 0, told
    assert (folder / "output" / "1.csv").read_text() == "id,name\n1,a\n"


def test_another_target_is_not_waited_for(osiris, folder):
    with hanging(folder, 0):
        assert osiris("run", "p1.yaml", "--wait", "0", cwd=folder).returncode == 0


@pytest.mark.parametrize("family", ["sqlite", "duckdb"])
def test_a_database_file_is_one_target(osiris, folder, family):
    (folder / "osiris_connections.yaml").write_text(
        f"version: 1\nconnections: {{{family}: {{one: {{path: data/one.db}}, two: {{path: ./data/one.db}}}}}}\n"
    )
    put(folder, 0, f"connection: '@{family}.one', table: a", f"{family}.")
    put(folder, 1, f"connection: '@{family}.two', table: b", f"{family}.")
    reads = PIPELINE.format(n=2, family="filesystem.csv_", target="path: output/2.csv")
    reads = reads.replace("filesystem.csv_extractor", f"{family}.extractor").replace(
        "path: data/a2.csv", f"connection: '@{family}.two', table: b"
    )
    (folder / "p2.yaml").write_text(reads)
    assert osiris("run", "p1.yaml", cwd=folder).returncode == 0
    assert osiris("compile", "p2.yaml", cwd=folder).returncode == 0
    with hanging(folder, 0):
        for second in ("p1.yaml", "p2.yaml"):
            done = osiris("run", second, "--wait", "0", cwd=folder)
            assert (done.returncode, "and uses './data/one.db' too" in done.stderr) == (75, True), done.stderr
    assert [code for code, _ in answers([start(folder, 0), start(folder, 1)])] == [0, 0]


@pytest.mark.parametrize(("family", "named"), [("postgres", "postgres"), ("mysql", "mariadb")])
def test_each_table_of_a_server_is_a_target(osiris, folder, request, family, named):
    server = request.getfixturevalue(named)
    fields = server.fields(server.new_database()) | {"password": "${SECRET}"}
    connections = {"connections": {family: {"one": fields, "two": fields | {"description": "the same"}}}}
    (folder / "osiris_connections.yaml").write_text(json.dumps(connections))
    other = "orders" if family == "postgres" else "ORDERS"  # where names that differ in case are one table
    for n, target in enumerate(("one', table: orders", "two', table: lines", f"two', table: {other}")):
        put(folder, n, f"connection: '@{family}.{target}", f"{family}.")
    env = {"SECRET": server.password}
    with hanging(folder, 0, **env) as first:
        assert osiris("run", "p1.yaml", "--wait", "0", cwd=folder, env=env).returncode == 0
        done = osiris("run", "p2.yaml", "--wait", "0", cwd=folder, env=env)
        assert (done.returncode, f"run of 'p0' (process {first.pid}" in done.stderr) == (75, True), done.stderr
    assert osiris("run", "p0.yaml", "--wait", "0", cwd=folder, env=env).returncode == 0


def test_a_killed_run_leaves_the_others_alone_and_only_it_is_closed(osiris, folder):
    with hanging(folder, 1, "host/journal.append:3") as one, hanging(folder, 0, "host/journal.append:3"):
        one.kill()
        one.wait()
        assert osiris("run", "p2.yaml", "--wait", "0", cwd=folder).returncode == 0
        states = {run["pipeline"]: run["status"] for run in summaries(folder)}
        assert states == {"p0": "running", "p1": "lost", "p2": "complete"}
        assert [each.name[20:22] for each in (folder / ".osiris" / "open").iterdir()] == ["p0"]
    assert [code for code, _ in answers([start(folder, 0), start(folder, 1)])] == [0, 0]
    assert Counter(run["status"] for run in summaries(folder)) == {"lost": 2, "complete": 3}


def test_spools_of_other_runs_stay(osiris, folder):
    """A run keeps the spools of one that runs beside it, whatever their age, and removes them afterwards."""
    with hanging(folder, 0) as first:
        (session,) = (folder / "logs").iterdir()
        spools = folder / ".osiris" / "spools" / session.name
        spools.mkdir(parents=True)
        assert osiris("run", "p1.yaml", cwd=folder).returncode == 0
        assert spools.is_dir()
        first.kill()
        first.wait()
    assert osiris("run", "p1.yaml", cwd=folder).returncode == 0
    assert not spools.exists()


@pytest.mark.parametrize("rounds", [3, pytest.param(20, marks=pytest.mark.long)])
def test_one_run_id_that_is_started_twice_at_once_runs_once(folder, rounds):
    for number in range(rounds):
        ended = answers([start(folder, 0, "--run-id", f"night-{number}") for _ in range(2)])
        assert [code for code, _ in ended] == [0, 0], ended
        codes = [{each["code"] for each in answer["diagnostics"]} for _, answer in ended]
        assert sorted("RUN009" in each or "RUN032" in each for each in codes) == [False, True], codes
        assert Counter(run["run_key"] for run in summaries(folder))[f"night-{number}"] == 1


def test_compiles_at_once_lose_no_entry(folder):
    ended = answers([start(folder, n, command="compile") for n in range(6)])
    assert [code for code, _ in ended] == [0] * 6, ended
    pinned = (folder / "osiris.lock").read_text()
    assert [n for n in range(20) if f'"data/a{n}.csv"' in pinned] == [*range(6)]
