"""A forged plan that is accepted, because only its sources could show the forgery, does no harm when it runs."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.e2e.sessions import Shop
from tests.property.test_forged_plans import signed


@pytest.fixture(scope="module")
def honest(tmp_path_factory, request):
    """A project, its plan, and what that writes."""
    osiris = request.getfixturevalue("osiris")
    shop = Shop(osiris, tmp_path_factory.mktemp("forged") / "shop")
    plan = json.loads((shop.folder / shop.json("compile", "pipelines/example.yaml")["data"]["manifest"]).read_bytes())
    shop.run()
    output = shop.folder / "output" / "revenue.csv"
    return shop, plan, output, output.read_bytes()


def step_of(plan, mode):
    return next(step for step in plan["steps"] if step["mode"] == mode)


def column(mode, **changes):
    return lambda plan: step_of(plan, mode)["schema"][-1].update(changes)


FORGED = {
    "type of a source": column("read", type="utf8"),
    "other type of a source": column("read", type="date"),
    "NULL of a source": lambda plan: step_of(plan, "read")["schema"][0].update(nullable=False),
    "column of a source": lambda plan: step_of(plan, "read")["schema"].pop(),
    "type of a result": column("transform", type="utf8"),
    "NULL of a result": column("transform", nullable=False),
    "order of a source": lambda plan: step_of(plan, "read").update(order="free"),
    "order of a result": lambda plan: step_of(plan, "transform").update(order="free"),
    "schema of a writer": lambda plan: step_of(plan, "write").update(schema=[]),
    "params": lambda plan: plan["params"].update(dict.fromkeys(plan["params"], "2031-01-01")),
    "one parameter more": lambda plan: plan["params"].update(more=1),
}


@pytest.mark.parametrize("kind", FORGED)
def test_a_forged_plan_writes_the_same_or_nothing(honest, kind):
    shop, plan, output, right = honest
    forged = json.loads(json.dumps(plan))
    FORGED[kind](forged)
    path = shop.folder / "forged.json"
    path.write_bytes(signed(forged))
    assert json.loads(path.read_bytes())["fingerprint"] != plan["fingerprint"]
    output.unlink(missing_ok=True)
    done = shop._osiris("run", "forged.json", "--new-run", "--json", cwd=shop.folder)
    found = json.loads(done.stdout)
    print(kind, done.returncode, [d["code"] for d in found["diagnostics"]])
    assert not output.exists() if done.returncode else output.read_bytes() == right


PATHS = (
    "../../x.csv",
    "../x.csv",
    "OUTSIDE/x.csv",
    ".git/config",
    "build/x.csv",
    "pipelines/x.csv",
    "way/x.csv",
    "x.csv",
)


@pytest.mark.parametrize("words", [(), ("--dry-run",)], ids=["run", "dry run"])
@pytest.mark.parametrize("path", PATHS)
def test_a_forged_path_is_refused_before_a_row_is_read(honest, tmp_path, path, words):
    shop, plan, output, _ = honest
    for name, target in (("way", tmp_path), ("x.csv", tmp_path / "x.csv")):  # the target of the last one does not exist
        (shop.folder / name).unlink(missing_ok=True)
        (shop.folder / name).symlink_to(target)
    forged = json.loads(json.dumps(plan))
    step_of(forged, "write")["config"]["path"] = path.replace("OUTSIDE", str(tmp_path))
    (shop.folder / "forged.json").write_bytes(signed(forged))
    output.unlink(missing_ok=True)
    before, began = files_around(shop.folder), events_of(shop.folder)
    done = shop._osiris("run", "forged.json", *words, "--json", cwd=shop.folder)
    (found,) = [item for item in json.loads(done.stdout)["diagnostics"] if item["severity"] == "error"]
    print(path, done.returncode, found)
    assert done.returncode != 0
    assert found["code"] in ("CMP022", "DRV049", "DRV059", "DRV060")
    assert files_around(shop.folder) == before
    assert not any(tmp_path.iterdir())
    assert events_of(shop.folder) == began


def events_of(folder):
    """Return how many read steps have started in all runs of a project."""
    events = (json.loads(line) for path in folder.glob("logs/*/events.jsonl") for line in path.read_text().splitlines())
    return sum(event["event"] == "step_start" and event["mode"] == "read" for event in events)


def files_around(folder):
    """Return all files in a project and beside it, except those that a run writes for itself."""
    own = [folder / name for name in ("logs", ".osiris", "osiris.lock")]
    around = (path for path in folder.parent.parent.rglob("*") if not any(path.is_relative_to(each) for each in own))
    return {path for path in around if path.is_relative_to(folder.parent) or path.parent == folder.parent.parent}


LIMITED = """
oml_version: "0.1.0"
name: limited
steps:
  - {id: orders, component: KIND, mode: read, config: {path: data/PATH, limit: 2}}
  - {id: sums, component: duckdb.processor, mode: transform, config: {query: SELECT count(*) AS n FROM orders}}
  - {id: out, component: filesystem.csv_writer, mode: write, config: {path: output/limited.csv}}
"""


@pytest.mark.parametrize(("kind", "path"), [("csv", "orders.csv"), ("parquet", "orders.parquet")])
def test_the_engine_reads_no_file_by_itself_that_it_would_read_otherwise(honest, kind, path):
    shop, _, _, _ = honest
    pq.write_table(pa.table({"a": [1, 2, 3, 4], "b": [1, 2, 3, 4]}), shop.folder / "data" / "orders.parquet")
    text = LIMITED.replace("KIND", f"filesystem.{kind}_extractor").replace("PATH", path)
    (shop.folder / "limited.yaml").write_text(text)
    plan = json.loads((shop.folder / shop.json("compile", "limited.yaml")["data"]["manifest"]).read_bytes())
    assert step_of(plan, "transform")["fused"] == []
    step_of(plan, "transform")["fused"] = ["orders"]
    (shop.folder / "forged.json").write_bytes(signed(plan))
    done = shop._osiris("run", "forged.json", "--new-run", "--json", cwd=shop.folder)
    output = shop.folder / "output" / "limited.csv"
    print(done.returncode, [d["code"] for d in json.loads(done.stdout)["diagnostics"]])
    assert not output.exists() if done.returncode else output.read_text() == "n\n2\n"
