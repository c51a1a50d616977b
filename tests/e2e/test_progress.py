"""Progress of a run on a real terminal, at several widths, and in a pipe."""

import re

import pexpect
import pyte
import pytest
from tests.conftest import OSIRIS
from tests.e2e.sessions import new_project
from tests.terminal import read_until_closed

PIPELINE = """
oml_version: "0.1.0"
name: long
steps:
  - {id: orders_of_all_customers, component: filesystem.csv_extractor, mode: read, config: {path: data/long.csv}}
  - id: totals
    component: duckdb.processor
    mode: transform
    config: {query: "SELECT k, max(md5(md5(md5(md5(md5(md5(v))))))) AS s FROM input_df GROUP BY k ORDER BY k"}
  - {id: out, component: filesystem.csv_writer, mode: write, config: {path: output/long.csv}}
"""
ROWS = 3_000_000


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = new_project(tmp_path_factory.mktemp("progress") / "shop")
    block = "".join(f"{number % 10},value {number}\n" for number in range(10_000))
    (folder / "data" / "long.csv").write_text("k,v\n" + block * (ROWS // 10_000))
    (folder / "pipelines" / "long.yaml").write_text(PIPELINE)
    return folder


def frames(project, width):
    """Return exit code, and what the terminal showed after each output of a run, as lists of lines."""
    env = {"PATH": "/usr/bin:/bin", "HOME": str(project), "TERM": "xterm", "LC_ALL": "C.UTF-8"}
    command = ["run", "pipelines/long.yaml", "--new-run"]
    child = pexpect.spawn(OSIRIS, command, env=env, cwd=project, dimensions=(24, width), timeout=120)
    screen = pyte.Screen(width, 24)
    stream, shown = pyte.ByteStream(screen), []
    while True:
        try:
            stream.feed(child.read_nonblocking(1 << 16, timeout=120))
        except pexpect.EOF:
            break
        shown.append([line.rstrip() for line in screen.display if line.strip()])
    read_until_closed(child)
    return child.exitstatus, shown


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_terminal_shows_each_step_in_place(project, width):
    code, shown = frames(project, width)
    assert code == 0
    live = [lines for lines in shown if any(" running " in line for line in lines)]
    assert live
    reading = [
        int(row[1].replace(",", ""))
        for lines in live
        for row in [re.search(r"(?m)^t\S* .*? ([\d,]+) rows read", "\n".join(lines))]
        if row
    ]
    assert reading == sorted(reading)
    assert reading[-1] > 0
    assert any(re.search(r" [1-9]\d* s$", line) for lines in live for line in lines)
    assert all(len(lines) <= 3 for lines in live)  # a line per step, each drawn over the last, and nothing wrapped
    assert any("rows/s" in line for lines in live for line in lines) == (width > 40)
    assert not any(" running " in line for line in shown[-1])


def test_a_pipe_gets_one_line_for_each_step(project, osiris):
    done = osiris("run", "pipelines/long.yaml", "--new-run", cwd=project)
    ended = re.findall(r"^(\w+): complete, ([\d,]+ rows?), [\d.]+ m?s$", done.stderr, re.MULTILINE)
    assert ended == [("orders_of_all_customers", f"{ROWS:,} rows"), ("totals", "10 rows"), ("out", "10 rows")]
    assert "\x1b" not in done.stderr
