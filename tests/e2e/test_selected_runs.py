"""`osiris run --select`: a part of a pipeline, with the steps it needs."""

import json

PIPELINE = """
oml_version: "0.1.0"
name: shop
steps:
  - {id: orders, component: filesystem.csv_extractor, mode: read, config: {path: orders.csv}}
  - {id: all, component: filesystem.csv_writer, mode: write, needs: [orders], config: {path: output/all.csv}}
  - id: total
    component: duckdb.processor
    mode: transform
    needs: [orders]
    config: {query: SELECT sum(amount) AS amount FROM orders}
  - {id: report, component: filesystem.csv_writer, mode: write, needs: [total], config: {path: output/total.csv}}
"""


def test_a_part_is_run_with_what_it_needs(osiris, tmp_path):
    (tmp_path / "osiris.yaml").write_text("")
    (tmp_path / "orders.csv").write_text("id,amount\n1,1.50\n2,2.50\n")
    (tmp_path / "shop.yaml").write_text(PIPELINE)
    done = osiris("run", "shop.yaml", "--select", "total+", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    data = json.loads(done.stdout)["data"]
    states = {step: told["status"] for step, told in data["steps"].items()}
    assert states == {"orders": "complete", "all": "skipped", "total": "complete", "report": "complete"}
    assert [path.name for path in (tmp_path / "output").iterdir()] == ["total.csv"]
    run = json.loads((tmp_path / "logs" / data["session"] / "run.json").read_text())
    assert run["selected"] == ["orders", "total", "report"]
    shown = osiris("logs", "show", "last", cwd=tmp_path).stdout
    assert "only steps orders, total, report (--select)" in shown
    assert "not selected" in osiris("explain", data["session"], cwd=tmp_path).stdout
    dry = osiris("run", "--last-compile", "--select", "+total", "--dry-run", "--json", cwd=tmp_path)
    assert json.loads(dry.stdout)["data"]["selected"] == ["orders", "total"]
    unknown = osiris("run", "--last-compile", "--select", "totl+", "--json", cwd=tmp_path)
    assert (unknown.returncode, [d["code"] for d in json.loads(unknown.stdout)["diagnostics"]]) == (2, ["CMP042"])
