"""A run that lost rows: every report says so, and the next run is not compared with it."""

import json

import pytest

PIPELINE = """
oml_version: "0.1.0"
name: nightly
steps:
  - {id: orders, component: filesystem.csv_extractor, mode: read, config: {path: orders.csv, dtype: {n: int64}}}
  - {id: out, component: filesystem.csv_writer, mode: write, config: {path: out.csv}}
"""
SHRUNK = "Step orders produced 400 rows; an earlier run produced 1,000 rows."
EMPTY = "Step out wrote no rows; an earlier run wrote 1,000."


@pytest.fixture
def nightly(osiris, tmp_path):
    """Return a function that runs a command like `osiris`, and one that runs the pipeline with that many orders."""
    (tmp_path / "osiris.yaml").write_text("")
    (tmp_path / "nightly.yaml").write_text(PIPELINE)

    def call(*args):
        done = osiris(*args, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(rows, *args):
        (tmp_path / "orders.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(rows)))
        return call("run", "nightly.yaml", *args)

    return call, run


@pytest.mark.parametrize(("rows", "text", "kind"), [(400, SHRUNK, "shrunk"), (0, EMPTY, "empty_output")])
def test_lost_rows_are_told_at_every_place(nightly, rows, text, kind):
    call, run = nightly
    assert "finding" not in run(1000)
    told = run(rows)
    assert f"finding: {text}" in told.splitlines()
    for command in (("logs", "show", "last"), ("explain", "last")):
        assert f"finding: {text}" in call(*command).splitlines()
    for command in (("logs", "show", "last"), ("explain", "last")):
        data = json.loads(call(*command, "--json"))["data"]
        found = data["reading"]["findings"] if command[0] == "explain" else data["findings"]
        assert kind in [each["kind"] for each in found]
        assert text in [each["text"] for each in found]
    header, second, first = call("logs", "list").splitlines()
    assert header.endswith("finding")
    listed = json.loads(call("logs", "list", "--json"))["data"]
    gravest = json.loads(call("logs", "aiop", "last", "--json"))["data"]["package"]["answer"]["verdict"]["kind"]
    ids = [each["session"] for each in listed["sessions"]]
    assert listed["findings"] == {ids[0]: gravest}
    assert second.endswith(gravest)
    assert not first.endswith(gravest)


def test_a_run_without_rows_is_not_the_next_ones_measure(nightly):
    _, run = nightly
    run(1000)
    for _ in range(3):
        assert f"finding: {EMPTY}" in run(0)
    assert f"finding: {EMPTY}" not in run(0)
    assert json.loads(run(0, "--json"))["data"]["findings"][0]["kind"] == "nothing_read"


def test_what_is_as_before_is_worth_no_look(nightly):
    call, run = nightly
    run(1000)
    assert json.loads(run(999, "--json"))["data"]["findings"] == []
    assert "finding" not in call("logs", "list") + call("logs", "show") + call("explain", "last")


def test_rows_set_aside_are_rows_read_everywhere(nightly, tmp_path):
    call, _ = nightly
    text = PIPELINE.replace("dtype: {n: int64}", "dtype: {n: int64}, on_reject: quarantine")
    (tmp_path / "nightly.yaml").write_text(text)
    (tmp_path / "orders.csv").write_text("n\n" + "".join(f"{n}\n" for n in (1, 2, "x", 3, "y", 4, "z", 5)))
    call("run", "nightly.yaml")
    moved = "8 rows read, 3 rejected, 5 written"
    assert moved in call("explain", "last")
    answer = json.loads(call("logs", "aiop", "last", "--json"))["data"]["package"]["answer"]
    assert moved in answer["verdict"]["text"]
    assert (answer["rows"]["in"], answer["rows"]["rejected"], answer["rows"]["out"]) == (8, 3, 5)
    summary = json.loads(call("logs", "show", "--json"))["data"]["session"]
    assert (summary["rows_in"], summary["rows_out"]) == (8, 5)
