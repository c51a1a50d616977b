"""A source that was corrected after a run failed is read: the stored output of that run is not used, and this is
reported.
"""

import json
import sqlite3

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


FROM_A_TABLE = """\
oml_version: "0.1.0"
name: orders
steps:
  - {id: rows, component: FAMILY.extractor, mode: read, config: {connection: "@FAMILY.shop", table: a}}
  - {id: all, component: filesystem.csv_writer, mode: write, inputs: {df: "${rows.df}"}, config: {path: output/all.csv}}
  - {id: other, component: filesystem.csv_extractor, mode: read, needs: [all], config: {path: data/b.csv}}
  - id: total
    component: duckdb.processor
    mode: transform
    inputs: {a: "${rows.df}", b: "${other.df}"}
    config: {query: "SELECT a.n, CAST(b.part AS BIGINT) AS part FROM df_rows AS a JOIN df_other AS b ON a.n = b.id"}
  - {id: sum, component: filesystem.csv_writer, mode: write, needs: [total], config: {path: output/sum.csv}}
"""


@pytest.mark.parametrize("family", ["postgres", "mysql"])
def test_a_table_that_cannot_tell_whether_it_changed_is_read_again(osiris, folder, family, request):
    """Only `--resume` uses the stored output of that run, and says so; else targets may have different states."""
    server = request.getfixturevalue({"mysql": "mariadb"}.get(family, family))
    database = server.new_database()
    server.run("CREATE TABLE a (n BIGINT)", "INSERT INTO a VALUES (1), (2)", database=database)
    shop = {**server.fields(database), "password": "${SHOP_PASSWORD}"}
    (folder / ".env").write_text(f"SHOP_PASSWORD={server.password}\n")
    (folder / "osiris_connections.yaml").write_text(json.dumps({"connections": {family: {"shop": shop}}}))
    (folder / "orders.yaml").write_text(FROM_A_TABLE.replace("FAMILY", family))
    code, _, answer = run(osiris, folder)
    assert code == 1, answer
    server.run("UPDATE a SET n = n * 100", database=database)
    (folder / "data" / "b.csv").write_text("id,part\n1,7\n2,8\n100,9\n200,10\n")
    code, codes, answer = run(osiris, folder, "--resume")
    assert (code, "RUN057" in codes, "RUN067" in codes) == (0, True, False), answer
    assert (folder / "output" / "sum.csv").read_text() == "n,part\n1,7\n2,8\n"
    (folder / "data" / "b.csv").write_text("id,part\n100,p\n200,q\n")
    assert run(osiris, folder)[0] == 1
    server.run("UPDATE a SET n = n * 100", database=database)
    (folder / "data" / "b.csv").write_text("id,part\n10000,9\n20000,10\n")
    code, codes, answer = run(osiris, folder)
    assert (code, "RUN057" in codes, answer["data"]["steps"]["rows"]["status"]) == (0, False, "complete"), answer
    (told,) = (item for item in answer["diagnostics"] if item["code"] == "RUN067")
    assert "step 'rows' is read again" in told["message"]
    assert "step 'all' used the earlier rows" in told["message"]
    assert "the run that is resumed had not finished" in osiris("explain", "last", cwd=folder).stdout
    assert (folder / "output" / "sum.csv").read_text() == "n,part\n10000,9\n20000,10\n"


ADDING = """\
oml_version: "0.1.0"
name: orders
steps:
  - {id: rows, component: filesystem.csv_extractor, mode: read, config: {path: data/a.csv}}
  - id: good
    component: sqlite.writer
    mode: write
    inputs: {df: "${rows.df}"}
    config: {connection: "@sqlite.shop", table: orders, write_mode: append}
  - {id: numbers, component: duckdb.processor, mode: transform, needs: [good], inputs: {a: "${rows.df}"},
     config: {query: "SELECT CAST(name AS BIGINT) AS n FROM df_rows"}}
  - {id: sum, component: filesystem.csv_writer, mode: write, needs: [numbers], config: {path: output/s.csv}}
"""


@pytest.mark.parametrize("change", ["source", "pipeline", "--new-run"])
def test_rows_that_an_unfinished_run_added_are_named_by_the_run_that_adds_them_again(osiris, folder, change):
    (folder / "osiris_connections.yaml").write_text('connections: {sqlite: {shop: {path: "data/shop.sqlite"}}}\n')
    (folder / "orders.yaml").write_text(ADDING)
    assert run(osiris, folder)[0] == 1
    if change == "source":
        (folder / "data" / "a.csv").write_text("id,name\n1,10\n2,20\n")
    elif change == "pipeline":
        (folder / "orders.yaml").write_text(ADDING.replace("CAST(name", "TRY_CAST(name"))
    _, _, answer = run(osiris, folder, *([change] if change.startswith("-") else ()))
    (warned,) = [each for each in answer["diagnostics"] if each["code"] == "RUN056"]
    assert (warned["severity"], "after it had added 2 rows in step 'good'; " in warned["message"]) == ("warning", True)
    with sqlite3.connect(folder / "data" / "shop.sqlite") as file:
        assert file.execute("SELECT count(*) FROM orders").fetchone() == (4,)
