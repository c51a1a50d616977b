"""A source that was corrected after a run failed is read: what that run kept of it is not used, and it is said."""

import json

import pytest

PIPELINE = """\
oml_version: "0.1.0"
name: orders
steps:
  - {id: rows, component: filesystem.csv_extractor, mode: read, config: {path: data/a.csv}}
  - {id: other, component: filesystem.csv_extractor, mode: read, config: {path: data/b.csv}}
  - id: all
    component: filesystem.csv_writer
    mode: write
    inputs: {df: "${rows.df}"}
    config: {path: output/all.csv}
    needs: [rows, total]
  - id: total
    component: duckdb.processor
    mode: transform
    inputs: {a: "${rows.df}", b: "${other.df}"}
    config: {query: "SELECT CAST(a.name AS BIGINT) AS n FROM df_rows AS a JOIN df_other AS b ON a.id = b.id"}
  - id: sum
    component: filesystem.csv_writer
    mode: write
    inputs: {df: "${total.df}"}
    config: {path: output/sum.csv}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "osiris.yaml").write_text("{}\n")
    (tmp_path / "data" / "a.csv").write_text("id,name\n1,10\n2,x\n")
    (tmp_path / "data" / "b.csv").write_text("id,part\n1,p\n2,q\n")
    (tmp_path / "orders.yaml").write_text(PIPELINE)
    return tmp_path


def run(osiris, folder, *options):
    done = osiris("run", "orders.yaml", *options, "--json", cwd=folder)
    answer = json.loads(done.stdout)
    return done.returncode, [item["code"] for item in answer["diagnostics"]], answer


@pytest.mark.parametrize("options", [(), ("--resume",)], ids=["the same command", "--resume"])
def test_a_corrected_file_is_read(osiris, folder, options):
    code, codes, answer = run(osiris, folder)
    assert code == 1, answer
    assert list((folder / ".osiris" / "spools").rglob("rows.arrow")) != []  # two steps read it, so it was kept
    (folder / "data" / "a.csv").write_text("id,name\n1,10\n2,20\n")
    code, codes, answer = run(osiris, folder, *options)
    assert code == 0, answer
    assert {"RUN011", "RUN034"} <= set(codes)
    assert (folder / "output" / "sum.csv").read_text() == "n\n10\n20\n"
    assert (folder / "output" / "all.csv").read_text() == "id,name\n1,10\n2,20\n"


def test_what_did_not_change_is_still_used(osiris, folder):
    assert run(osiris, folder)[0] == 1
    code, codes, answer = run(osiris, folder)
    assert code == 1
    assert "RUN034" not in codes
    assert answer["data"]["steps"]["rows"]["status"] == "skipped"
