"""Progress of a run on a real terminal, at several widths, and in a pipe."""

import re
from contextlib import closing

import pexpect
import pyte
import pytest
from tests.conftest import OSIRIS
from tests.e2e.databases import Side
from tests.e2e.sessions import new_project
from tests.patience import SOON
from tests.terminal import read_until_closed

ROWS = 100_000
"""The last of these rows waits for a lock, so the run is at work until it has been looked at."""
GATE = 4711
SOURCE = (
    f"""CREATE FUNCTION last_row() RETURNS integer VOLATILE LANGUAGE plpgsql
        AS 'BEGIN PERFORM pg_advisory_xact_lock_shared({GATE}); RETURN 7; END'""",
    f"""CREATE VIEW gated AS SELECT n % 10 AS k, 'value ' || n AS v FROM generate_series(1, {ROWS - 1}) AS n
        UNION ALL SELECT last_row(), 'last'""",
)
PIPELINE = """
oml_version: "0.1.0"
name: long
steps:
  - id: orders_of_all_customers
    component: postgres.extractor
    mode: read
    config: {connection: "@postgres.source", table: gated}
  - id: totals
    component: duckdb.processor
    mode: transform
    config: {query: "SELECT k, max(v) AS s FROM input_df GROUP BY k ORDER BY k"}
  - {id: out, component: filesystem.csv_writer, mode: write, config: {path: output/long.csv}}
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory, postgres):
    side = Side("postgres", "source", tmp_path_factory.mktemp("source"), postgres)
    side.sql(*SOURCE)
    return side


@pytest.fixture
def project(tmp_path, source):
    folder = new_project(tmp_path / "shop")
    fields = "".join(f"      {name}: {value}\n" for name, value in source.fields.items())
    (folder / "osiris_connections.yaml").write_text(f"connections:\n  postgres:\n    source:\n{fields}")
    (folder / "pipelines" / "long.yaml").write_text(PIPELINE)
    return folder


def is_moving(lines, width):
    """Whether a screen shows rows that the aggregate has read, a rate where there is room, and elapsed seconds."""
    text = "\n".join(lines)
    elapsed = re.search(r"(?m) [1-9]\d* s$", text)
    return bool(rows_read(lines)) and bool(elapsed) and ("rows/s" in text or width == 40)


def rows_read(lines):
    row = re.search(r"(?m)^t\S* .*? ([\d,]+) rows read", "\n".join(lines))
    return int(row[1].replace(",", "")) if row else None


def frames(project, source, width):
    """Return exit code, and what the terminal showed after each output of a run, as lists of lines."""
    env = {"PATH": "/usr/bin:/bin", "HOME": str(project), "TERM": "xterm", "LC_ALL": "C.UTF-8", **source.env}
    command = ["run", "pipelines/long.yaml", "--new-run"]
    screen = pyte.Screen(width, 24)
    stream, shown = pyte.ByteStream(screen), []
    with closing(source.connect()) as keeper:
        keeper.execute("SELECT pg_advisory_lock(%s)", [GATE])
        child = pexpect.spawn(OSIRIS, command, env=env, cwd=project, dimensions=(24, width), timeout=SOON)
        while True:
            try:
                stream.feed(child.read_nonblocking(1 << 16, timeout=SOON))
            except pexpect.EOF:
                break
            shown.append([line.rstrip() for line in screen.display if line.strip()])
            if is_moving(shown[-1], width):
                keeper.execute("SELECT pg_advisory_unlock_all()")
    read_until_closed(child)
    return child.exitstatus, shown


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_terminal_shows_each_step_in_place(project, source, width):
    code, shown = frames(project, source, width)
    assert code == 0, shown[-40::4] + shown[-1:]
    assert any(is_moving(lines, width) for lines in shown)
    live = [lines for lines in shown if any(" running " in line for line in lines)]
    reading = [rows for rows in map(rows_read, live) if rows is not None]
    assert reading == sorted(reading)
    assert all(len(lines) <= 3 for lines in live)  # a line per step, each drawn over the last, and nothing wrapped
    assert any("rows/s" in line for lines in live for line in lines) == (width > 40)
    assert not any(" running " in line for line in shown[-1])


def test_a_pipe_gets_one_line_for_each_step(project, source, osiris):
    done = osiris("run", "pipelines/long.yaml", "--new-run", cwd=project, env=source.env)
    ended = re.findall(r"^(\w+): complete, ([\d,]+ rows?), [\d.]+ m?s$", done.stderr, re.MULTILINE)
    assert ended == [("orders_of_all_customers", f"{ROWS:,} rows"), ("totals", "10 rows"), ("out", "10 rows")]
    assert "\x1b" not in done.stderr
