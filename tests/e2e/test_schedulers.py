"""The real schedulers run exported files: at the due time, again after a failure, again after a success, and by hand.

Each scheduler is installed from a lock of its own, `tests/fixtures/schedulers/*.lock`, into an environment of its own.
The pipeline appends to a table and then reads a file that is broken at first, so that its first run delivers a part.
"""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.conftest import OSIRIS
from tests.patience import wait_until

pytestmark = pytest.mark.long
LOCKS = Path(__file__).parents[1] / "fixtures" / "schedulers"
PATIENT = 240.0
PIPELINE = """\
oml_version: "0.2.0"
name: night
steps:
  - {id: rows, component: filesystem.csv_extractor, mode: read, config: {path: data/rows.csv}}
  - id: log
    component: sqlite.writer
    mode: write
    needs: [rows]
    config: {connection: "@sqlite.log", table: log, write_mode: append, create_if_missing: true}
  - id: second
    component: filesystem.csv_extractor
    mode: read
    needs: [log]
    config: {path: data/second.csv, dtype: {id: int64}}
  - {id: file, component: filesystem.csv_writer, mode: write, needs: [second], config: {path: "output/${run.id}.csv"}}
"""
UPSERT = """\
oml_version: "0.2.0"
name: {name}
steps:
  - {{id: rows, component: sqlite.extractor, mode: read, config: {{connection: "@sqlite.log", table: log}}}}
  - id: log
    component: sqlite.writer
    mode: write
    needs: [rows]
    config: {{connection: "@sqlite.log", table: log, write_mode: upsert, primary_key: [id]}}
"""


class Night:
    """A project whose pipeline fails until it is mended, and its exported file."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("pipelines", "data", "exported"):
            (folder / name).mkdir(parents=True)
        (folder / "osiris.yaml").write_text("")
        (folder / "osiris_connections.yaml").write_text("connections: {sqlite: {log: {path: log.sqlite}}}\n")
        (folder / "pipelines/night.yaml").write_text(PIPELINE)
        (folder / "data/rows.csv").write_text("id\n1\n2\n")
        (folder / "data/second.csv").write_text("id\n1\nx\n")

    def export(self, scheduler, cron):
        file = self.folder / "exported/night.py"
        words = ["export", scheduler, "pipelines/night.yaml", "--cron", cron, "--output", file]
        subprocess.run([OSIRIS, *words], cwd=self.folder, check=True)
        return file

    def mend(self):
        (self.folder / "data/second.csv").write_text("id\n1\n2\n")

    def runs(self):
        """Return run id and status of each run, from the oldest."""
        found = [json.loads(path.read_text()) for path in sorted(self.folder.glob("logs/*/run.json"))]
        return [(run["run_key"], run["status"]) for run in found if run["status"] != "running"]

    def wait(self, count):
        wait_until(lambda: len(self.runs()) >= count, PATIENT, 0.5)
        return self.runs()

    def appended(self):
        with closing(sqlite3.connect(self.folder / "log.sqlite")) as database:
            return database.execute("SELECT count(*) FROM log").fetchone()[0]


@pytest.fixture
def night(tmp_path):
    return Night(tmp_path / "night of {{ 7*7 }}")


@pytest.fixture(scope="module")
def programs(tmp_path_factory, request):
    """The folder of the programs of a scheduler, in an environment of its own."""
    folder = tmp_path_factory.mktemp(request.param)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin/python", "--disable-pip-version-check", "install"]
    lock = LOCKS / f"{request.param}.lock"
    subprocess.run([*pip, "-q", "--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", lock], check=True)
    return folder / "bin"


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


@contextmanager
def served(command, log, **options):
    """Start a program in a session of its own; end all of that session's processes at the end of the block."""
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True, **options)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(process.pid, number)
                except ProcessLookupError:
                    break
                time.sleep(5)
            process.wait()


def answer(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    assert done.returncode == 0, done.stdout
    return done.stdout


def soon():
    """Return a cron expression that is due once within this day, in about two minutes, and when that is."""
    due = (datetime.now(UTC) + timedelta(minutes=2)).replace(second=0, microsecond=0)
    return f"{due.minute} {due.hour} * * *", due


@pytest.mark.parametrize("programs", ["airflow"], indirect=True)
def test_airflow(programs, night, tmp_path):
    port = free_port()
    settings = {
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__DAGS_FOLDER": str(night.folder / "exported"),
        "CORE__EXECUTION_API_SERVER_URL": f"http://localhost:{port}/execution/",
        "API__BASE_URL": f"http://localhost:{port}",
        "API__PORT": str(port),
        "API__WORKERS": "1",
        "DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        "LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
    }
    environment = {
        **{name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ},
        **{f"AIRFLOW__{name}": value for name, value in settings.items()},
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "PATH": f"{programs}:{os.environ['PATH']}",
    }

    def airflow(*words):
        return answer([programs / "airflow", *words], env=environment, cwd=tmp_path)

    with served([programs / "airflow", "standalone"], tmp_path / "log", env=environment, cwd=tmp_path):
        with socket.socket() as asked:
            wait_until(lambda: asked.connect_ex(("localhost", port)) == 0, PATIENT, 1)
        cron, due = soon()
        night.export("airflow", cron)
        run_id = f"scheduled__{due.isoformat()}"
        assert night.wait(1) == [(run_id, "failed")]
        night.mend()
        wait_until(lambda: "failed" in airflow("dags", "list-runs", "night"), PATIENT, 1)
        airflow("tasks", "clear", "night", "--yes")
        assert night.wait(2) == [(run_id, "failed"), (run_id, "complete")]
        assert night.appended() == 2
        wait_until(lambda: "success" in airflow("dags", "list-runs", "night"), PATIENT, 1)
        airflow("tasks", "clear", "night", "--yes")
        logs = tmp_path / "airflow/logs"
        wait_until(lambda: any("RUN009" in log.read_text() for log in logs.rglob("*.log")), PATIENT, 1)
        assert len(night.runs()) == 2
        airflow("dags", "trigger", "night")
        *_, (manual, status) = night.wait(3)
    assert (manual[:8], status) == ("manual__", "complete")
    assert night.appended() == 4


AGAIN = """\
import sys

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableRepository

file, parent = sys.argv[1:]
job = ReconstructableRepository.for_file(file, "defs").get_reconstructable_job("run_night")
with dg.DagsterInstance.get() as instance:
    done = dg.execute_job(job, instance, reexecution_options=dg.ReexecutionOptions(parent_run_id=parent))
    print(done.success)
"""


@pytest.mark.parametrize("programs", ["dagster"], indirect=True)
def test_dagster_loads_a_pipeline_that_writes_what_it_reads_whatever_its_name(programs, night):
    with closing(sqlite3.connect(night.folder / "log.sqlite")) as database:
        database.execute("CREATE TABLE log (id INTEGER PRIMARY KEY)")
    for name in ("night", "class", "config", "a-b", "1"):
        (night.folder / "pipelines/night.yaml").write_text(UPSERT.format(name=json.dumps(name)))
        file = night.export("dagster", "0 2 * * *")
        answer([programs / "python", file])
        file.unlink()


@pytest.mark.parametrize("programs", ["dagster"], indirect=True)
def test_dagster(programs, night, tmp_path):
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    environment = {**os.environ, "DAGSTER_HOME": str(home), "PATH": f"{programs}:{os.environ['PATH']}"}
    cron, _ = soon()
    file = night.export("dagster", cron)
    with served([programs / "dagster-daemon", "run", "-f", file], tmp_path / "log", env=environment, cwd=tmp_path):
        ((run_id, status),) = night.wait(1)
    assert status == "failed"
    night.mend()
    again = [programs / "python", "-c", AGAIN, file, run_id]
    assert answer(again, env=environment, cwd=tmp_path).splitlines()[-1] == "True"
    assert night.runs() == [(run_id, "failed"), (run_id, "complete")]
    assert night.appended() == 2
    assert "RUN009" in answer(again, env=environment, cwd=tmp_path)
    assert len(night.runs()) == 2
    answer([programs / "dagster", "job", "execute", "-f", file, "-j", "run_night"], env=environment, cwd=tmp_path)
    *_, (manual, status) = night.runs()
    assert status == "complete"
    assert manual != run_id
    assert night.appended() == 4


@pytest.mark.parametrize("programs", ["prefect"], indirect=True)
def test_prefect(programs, night, tmp_path):
    port = free_port()
    environment = {
        **os.environ,
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PATH": f"{programs}:{os.environ['PATH']}",
    }

    def prefect(*words):
        return answer([programs / "prefect", *words], env=environment, cwd=tmp_path)

    cron, _ = soon()
    file = night.export("prefect", cron)
    server = [programs / "prefect", "server", "start", "--port", str(port), "--no-ui"]
    log = tmp_path / "served"
    with served(server, tmp_path / "log", env=environment, cwd=tmp_path):
        with socket.socket() as asked:
            wait_until(lambda: asked.connect_ex(("127.0.0.1", port)) == 0, PATIENT, 1)
        with served([programs / "python", file], log, env=environment, cwd=file.parent):
            ((run_id, status),) = night.wait(1)
            assert status == "failed"
            night.mend()
            wait_until(lambda: "Finished in state Failed" in log.read_text(), PATIENT, 1)
            prefect("flow-run", "retry", run_id)
            assert night.wait(2) == [(run_id, "failed"), (run_id, "complete")]
            assert night.appended() == 2
            wait_until(lambda: "Finished in state Completed" in log.read_text(), PATIENT, 1)
            prefect("flow-run", "retry", run_id)
            wait_until(lambda: "RUN009" in log.read_text(), PATIENT, 1)
            prefect("deployment", "run", "night/night")
            *_, (manual, status) = night.wait(3)
    assert status == "complete"
    assert manual != run_id
    assert night.appended() == 4
