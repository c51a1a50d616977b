"""After a delivery: a kill before the host has ended, streams that cannot be written, signals."""

import json
import signal
import sqlite3
import subprocess
from contextlib import closing, contextmanager

import pytest
from tests.conftest import OSIRIS, kept
from tests.patience import started, wait_until

PIPELINE = """\
oml_version: "0.1.0"
name: orders
steps:
  - {id: rows, component: filesystem.csv_extractor, mode: read, config: {path: data/a.csv}}
  - id: table
    component: sqlite.writer
    mode: write
    inputs: {df: "${rows.df}"}
    config: {connection: "@sqlite.shop", table: orders, write_mode: append}
"""
ROWS = 3


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "osiris.yaml").write_text("{}\n")
    (tmp_path / "osiris_connections.yaml").write_text("connections: {sqlite: {shop: {path: data/shop.sqlite}}}\n")
    (tmp_path / "data" / "a.csv").write_text("id,name\n1,a\n2,b\n3,c\n")
    (tmp_path / "orders.yaml").write_text(PIPELINE)
    return tmp_path


def rows(folder):
    with sqlite3.connect(folder / "data" / "shop.sqlite") as file:
        return file.execute("SELECT count(*) FROM orders").fetchone()[0]


def sessions(folder):
    return [json.loads(path.read_text()) for path in sorted((folder / "logs").glob("*/run.json"))]


def run_killed(folder, point):
    done = subprocess.run(
        [OSIRIS, "run", "orders.yaml"],
        cwd=folder,
        env=kept() | {"OSIRIS_FAULT": point},
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == -signal.SIGKILL, (done.returncode, done.stderr)


def reached(osiris, folder, name):
    """Return how often a complete run reaches a point."""
    log = folder / "reached.log"
    done = osiris("run", "orders.yaml", cwd=folder, env={"OSIRIS_FAULT_LOG": str(log)})
    assert done.returncode == 0, done.stderr
    return sum(line.split()[0] == name for line in log.read_text().splitlines())


def test_a_run_that_nobody_was_told_of_is_told_and_not_run_again(osiris, folder):
    removals = reached(osiris, folder, "host/file.remove")
    run_killed(folder, f"host/file.remove:{removals}:kill")  # its marker is the last file that a host removes
    assert rows(folder) == 2 * ROWS
    assert [run["status"] for run in sessions(folder)] == ["complete"] * 2
    again = osiris("run", "orders.yaml", "--json", cwd=folder)
    answer = json.loads(again.stdout)
    assert (again.returncode, rows(folder)) == (0, 2 * ROWS)
    assert "RUN032" in [item["code"] for item in answer["diagnostics"]]
    assert answer["data"]["session"] == sessions(folder)[1]["session"]
    assert answer["data"]["status"] == "complete"
    assert osiris("run", "orders.yaml", cwd=folder).returncode == 0  # once it is reported, a new run begins
    assert rows(folder) == 3 * ROWS


@pytest.mark.parametrize("options", [["--new-run"], ["--run-id", "night-1"]], ids=" ".join)
def test_who_wants_a_new_run_gets_one(osiris, folder, options):
    run_killed(folder, "host/file.remove:1:kill")
    assert osiris("run", "orders.yaml", *options, cwd=folder).returncode == 0
    assert rows(folder) == 2 * ROWS
    assert osiris("run", "orders.yaml", cwd=folder).returncode == 0
    assert rows(folder) == 3 * ROWS


SHELL = {
    "stdout is closed": ">&-",
    "stderr is closed": "2>&-",
    "all is closed": ">&- 2>&- <&-",
    "stdout is full": ">/dev/full",
    "stderr is full": "2>/dev/full",
    "both are full": ">/dev/full 2>&1",
    "nobody reads": "| true",
    "one line is read": "2>&1 | head -n 1",
}


def in_shell(folder, words, way, **env):
    script = f'set -o pipefail; {{ {OSIRIS} {words}; echo $? >"$CODE"; }} {way}'
    code = folder / "code"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=kept() | env | {"CODE": str(code)},
        capture_output=True,
        timeout=300,
    )
    told = (done.stdout + done.stderr).decode()
    assert "Traceback" not in told, told
    assert "INT000" not in told, told
    return int(code.read_text()), told


WAYS = [(way, "") for way in SHELL] + [("stdout is full", "--json"), ("stderr is full", "--verbose")]


@pytest.mark.parametrize(("way", "options"), WAYS)
def test_a_run_ends_as_it_ended_whatever_can_be_printed(folder, way, options):
    assert in_shell(folder, f"run orders.yaml {options}", SHELL[way])[0] == 0
    assert rows(folder) == ROWS
    assert [run["status"] for run in sessions(folder)] == ["complete"]
    assert list((folder / ".osiris" / "open").iterdir()) == []


COMMANDS = (
    "--help",
    "--version",
    "validate orders.yaml",
    "compile orders.yaml",
    "logs list",
    "nonsense",
    "fmt --check .",
)


@pytest.mark.parametrize("words", COMMANDS)
def test_no_command_ends_in_a_traceback(folder, words):
    for way in SHELL.values():
        assert in_shell(folder, words, way)[0] in (0, 1, 2), way


@contextmanager
def hangups(handler):
    """Set the SIGHUP handling with which processes start meanwhile, whatever that of the tests is."""
    before = signal.signal(signal.SIGHUP, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_signal_cancels_and_the_same_command_goes_on(osiris, folder, number):
    """A run that hangs during delivery is cancelled; its worker, which hangs, is killed."""
    env = kept() | {"OSIRIS_FAULT": "worker/sqlite.commit:1:hang", "OSIRIS_FAULT_LOG": str(folder / "log")}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with hangups(signal.SIG_DFL), started([OSIRIS, "run", "orders.yaml"], cwd=folder, env=env, **pipes) as host:
        wait_until(lambda: host.poll() is not None or "hang" in points(folder))
        assert host.poll() is None
        host.send_signal(number)
        told = host.communicate(timeout=300)[1].decode()
    assert host.returncode == 128 + number, told
    assert "RUN003" in told
    assert number.name in told
    assert [run["status"] for run in sessions(folder)] == ["cancelled"]
    assert osiris("run", "orders.yaml", cwd=folder).returncode == 0
    assert rows(folder) == ROWS


def points(folder):
    """Return the fault points that a run has reached."""
    log = folder / "log"
    return log.read_text() if log.exists() else ""


def test_who_has_hangups_ignored_is_not_ended_by_one(folder):
    """It comes while a step waits for the database."""
    env, pipes = kept() | {"OSIRIS_FAULT_LOG": str(folder / "log")}, {"stderr": subprocess.PIPE}
    with closing(sqlite3.connect(folder / "data" / "shop.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with hangups(signal.SIG_IGN), started([OSIRIS, "run", "orders.yaml"], cwd=folder, env=env, **pipes) as host:
            wait_until(lambda: host.poll() is not None or "host/marker.make" in points(folder))
            assert host.poll() is None
            host.send_signal(signal.SIGHUP)
            other.execute("ROLLBACK")
            told = host.communicate(timeout=300)[1].decode()
    assert host.returncode == 0, told
    assert rows(folder) == ROWS


def test_temporaries_of_killed_processes_are_swept(osiris, folder):
    """A process that is killed while it writes leaves a temporary file; the next run removes it."""
    for point in ("host/file.rename:1:kill", "host/file.rename:2:kill", "host/file.write:1:torn"):
        run_killed(folder, point)
    left = [path for path in folder.rglob("*.tmp") if "osiris-" in path.name]
    assert left != []
    assert osiris("run", "orders.yaml", cwd=folder).returncode == 0
    assert [path for path in folder.rglob("*.tmp") if "osiris-" in path.name] == []
    assert rows(folder) == ROWS


def test_a_limit_of_the_size_of_files_is_no_full_disk(folder):
    """A file of the run exceeds this shell's limit: the error says so, and names the limit."""
    (folder / "data" / "a.csv").write_text("id,name\n" + "".join(f"{n},{'x' * 90}\n" for n in range(3000)))
    plain = PIPELINE.replace("sqlite.writer", "filesystem.csv_writer").partition("    config: {connection")[0]
    (folder / "orders.yaml").write_text(plain + "    config: {path: output/b.csv}\n")
    script = f'ulimit -f 200; exec "{OSIRIS}" run orders.yaml --json'
    done = subprocess.run(["bash", "-c", script], cwd=folder, env=kept(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stdout + done.stderr
    errors = [item for item in json.loads(done.stdout)["diagnostics"] if item["severity"] == "error"]
    assert [(item["code"], "ulimit -f" in item["hint"]) for item in errors] == [("DRV006", True)]
    assert "no space" not in done.stdout
