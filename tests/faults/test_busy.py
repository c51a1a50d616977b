"""Pipelines of one project that are started at once: each waits for its turn, and all succeed."""

import json
import subprocess

import pytest
from tests.conftest import OSIRIS, kept

PIPELINE = """\
oml_version: "0.1.0"
name: p{n}
steps:
  - {{id: rows, component: filesystem.csv_extractor, mode: read, config: {{path: data/a.csv}}}}
  - id: written
    component: filesystem.csv_writer
    mode: write
    inputs: {{df: "${{rows.df}}"}}
    config: {{path: output/{n}.csv}}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "osiris.yaml").write_text("{}\n")
    (tmp_path / "data" / "a.csv").write_text("id,name\n1,a\n")
    for n in range(20):
        (tmp_path / f"p{n}.yaml").write_text(PIPELINE.format(n=n))
    return tmp_path


def start(folder, n, *options, **env):
    command = [OSIRIS, "run", f"p{n}.yaml", "--json", *options]
    return subprocess.Popen(command, cwd=folder, env=kept() | env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def all_at_once(folder, number):
    started = [start(folder, n) for n in range(number)]
    ended = [(process.communicate(timeout=600), process.returncode) for process in started]
    assert [code for _, code in ended] == [0] * number, ended
    assert all((folder / "output" / f"{n}.csv").read_text() == "id,name\n1,a\n" for n in range(number))


def test_three_at_once(folder):
    all_at_once(folder, 3)


@pytest.mark.long
def test_twenty_at_once(folder):
    all_at_once(folder, 20)


@pytest.mark.parametrize("way", ["--wait", "osiris.yaml"])
def test_who_does_not_wait_is_told_that_it_is_busy(osiris, folder, way):
    log = folder / "log"
    with start(folder, 0, OSIRIS_FAULT="host/marker.make:1:hang", OSIRIS_FAULT_LOG=str(log)) as first:
        while " hang" not in (log.read_text() if log.exists() else ""):
            assert first.poll() is None
        if way == "osiris.yaml":
            (folder / "osiris.yaml").write_text("run: {wait: 0}\n")
        done = osiris("run", "p1.yaml", "--json", *(["--wait", "0"] if way == "--wait" else []), cwd=folder)
        first.kill()
    (busy,) = json.loads(done.stdout)["diagnostics"]
    assert (done.returncode, busy["code"]) == (75, "RUN004")
    assert f"run of 'p0' (process {first.pid}" in busy["message"]
    assert not (folder / "build" / "p1").exists()  # nothing was compiled


def test_who_waits_in_vain_is_told_for_how_long(osiris, folder):
    log = folder / "log"
    with start(folder, 0, OSIRIS_FAULT="host/marker.make:1:hang", OSIRIS_FAULT_LOG=str(log)) as first:
        while " hang" not in (log.read_text() if log.exists() else ""):
            assert first.poll() is None
        done = osiris("run", "p1.yaml", "--wait", "1s", cwd=folder)
        first.kill()
    assert done.returncode == 75
    assert "waiting for run of 'p0'" in done.stderr
    assert "(waited 1 s)" in done.stderr
