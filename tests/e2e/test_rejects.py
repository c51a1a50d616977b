"""Rejected rows in a complete run, whose counts add up; and JSON in it, compressed and exact."""

import csv
import gzip
import json

import pytest
from tests.e2e.sessions import new_project

PIPELINE = """\
oml_version: "0.1.0"
name: events
steps:
  - id: events
    component: filesystem.json_extractor
    mode: read
    config: {path: "data/*.jsonl.gz", dtype: {id: int64}, on_reject: quarantine}
  - id: prices
    component: filesystem.csv_extractor
    mode: read
    needs: []
    config: {path: data/prices.csv, dtype: {id: int64, price: "decimal(38,20)"}, on_reject: quarantine}
  - id: joined
    component: duckdb.processor
    mode: transform
    inputs: {events: "@events", prices: "@prices"}
    config: {query: "SELECT id, price, tags FROM events JOIN prices USING (id) ORDER BY id"}
  - id: out
    component: filesystem.json_writer
    mode: write
    config: {path: output/out.jsonl.zst}
  - id: flat
    component: filesystem.csv_writer
    mode: write
    needs: [joined]
    config: {path: output/out.csv.gz}
"""


@pytest.fixture
def shop(osiris, tmp_path):
    folder = new_project(tmp_path / "shop")
    (folder / "pipelines" / "events.yaml").write_text(PIPELINE)
    events = '{"id": 1, "tags": ["a", 1.10]}\n{"id": "one", "tags": []}\noops\n{"id": 2, "tags": null}\n'
    (folder / "data" / "events.jsonl.gz").write_bytes(gzip.compress(events.encode()))
    (folder / "data" / "prices.csv").write_text("id,price\n1,0.12345678901234567891\nx,1\n2,7\n3\n")

    def call(*args, code=0):
        done = osiris(*args, "--json", cwd=folder)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    call.folder = folder
    return call


def test_a_run_sets_rows_aside_and_adds_up(shop):
    shop("run", "pipelines/events.yaml")
    (session,) = (shop.folder / "logs").iterdir()
    events = [json.loads(line) for line in (session / "events.jsonl").read_text().splitlines()]
    ends = {event["step"]: event for event in events if event["event"] == "step_complete"}
    assert {name: (end["rows_in"], end["rows_out"], end["rows_rejected"]) for name, end in ends.items()} == {
        "events": (4, 2, 2),
        "prices": (4, 2, 2),
        "joined": (4, 2, 0),
        "out": (2, 2, 0),
        "flat": (2, 2, 0),
    }
    with (session / "artifacts" / "events" / "rejected.csv").open(newline="") as file:
        assert list(csv.reader(file))[1:] == [
            ["data/events.jsonl.gz", "2", "id", '"one"', "not int64", ""],
            ["data/events.jsonl.gz", "3", "", "oops", "expecting value", ""],
        ]
    with (session / "artifacts" / "prices" / "rejected.csv").open(newline="") as file:
        assert sorted(row[1] for row in csv.reader(file)) == ["3", "5", "line"]
    assert gzip.decompress((shop.folder / "output" / "out.csv.gz").read_bytes()).decode() == (
        'id,price,tags\n1,0.12345678901234567891,"[""a"",1.10]"\n2,7.00000000000000000000,\n'
    )
    assert (shop.folder / "output" / "out.jsonl.zst").read_bytes()[:4] == b"\x28\xb5\x2f\xfd"


def test_what_is_set_aside_is_shown_and_has_no_secret(shop, osiris):
    file = shop.folder / "pipelines" / "events.yaml"
    query = "SELECT id, price, tags, md5(${params.key}) AS k FROM"
    text = file.read_text().replace("SELECT id, price, tags FROM", query)
    file.write_text(text.replace("steps:", "params: {key: {type: string, sensitive: true}}\nsteps:", 1))
    (shop.folder / "data" / "prices.csv").write_text("id,price\n1,0.5\nhunter-22-secret,1\n2,7\n")
    done = osiris("run", "pipelines/events.yaml", cwd=shop.folder, env={"OSIRIS_PARAM_KEY": "hunter-22-secret"})
    assert done.returncode == 0, done.stderr
    (session,) = (shop.folder / "logs").iterdir()
    path = f"logs/{session.name}/artifacts/prices/rejected.csv"
    assert f"prices: 1 row rejected, {path}" in done.stdout.splitlines()
    rejected = (shop.folder / path).read_text()
    assert ("***" in rejected, "hunter" in rejected) == (True, False)


def test_without_it_the_first_of_them_fails_the_run(shop):
    file = shop.folder / "pipelines" / "events.yaml"
    file.write_text(PIPELINE.replace(", on_reject: quarantine", ""))
    found = shop("run", "pipelines/events.yaml", code=1)["diagnostics"]
    errors = [(p["code"], p["file"], p["line"]) for p in found if p["severity"] == "error"]
    assert errors == [("DAT020", "data/events.jsonl.gz", 3)]


def test_a_component_that_cannot_set_rows_aside_says_so(shop):
    file = shop.folder / "pipelines" / "events.yaml"
    file.write_text(PIPELINE.replace("output/out.csv.gz", "output/out.csv.gz, on_reject: quarantine"))
    (problem,) = [
        p for p in shop("validate", "pipelines/events.yaml", code=2)["diagnostics"] if p["severity"] == "error"
    ]
    assert (problem["code"], problem["line"]) == ("CMP018", 26)
    assert "filesystem.json_extractor" in problem["hint"]
