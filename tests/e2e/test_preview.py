"""`osiris preview`: the output of steps, shown before anything is saved or written."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.patience import wait_until

from osiris import api
from osiris.errors import OsirisError

PIPELINE = """
oml_version: "0.1.0"
name: shop
steps:
  - id: orders
    component: filesystem.csv_extractor
    mode: read
    config: {path: orders.csv}
  - id: large
    component: duckdb.processor
    mode: transform
    needs: [orders]
    config:
      query: SELECT id, amount, note FROM orders WHERE amount >= 2 ORDER BY id
  - id: total
    component: duckdb.processor
    mode: transform
    needs: [large]
    config:
      query: SELECT sum(amount) AS amount FROM large
  - id: report
    component: filesystem.csv_writer
    mode: write
    needs: [total]
    config: {path: output/total.csv}
"""
ORDERS = 'id,amount,note,unused\n1,1.50,"",a\n2,2.50,,b\n3,3.50,NULL,c\n4,10.25, padded,d\n'
ENDLESS = "SELECT count(*) AS n FROM large a, range(100000000) b, range(1000000) c WHERE b.range % 7 = c.range % 5"


class Shop:
    """A project with one pipeline."""

    def __init__(self, folder, command):
        self.folder = folder
        self._command = command
        (folder / "osiris.yaml").write_text("")
        self.write(PIPELINE)
        self.orders(ORDERS)

    def write(self, text):
        (self.folder / "shop.yaml").write_text(text)

    def orders(self, text):
        (self.folder / "orders.csv").write_text(text, newline="")

    def shell(self, *args, **options):
        done = self._command("preview", "shop.yaml", *args, cwd=self.folder, **options)
        assert "Traceback" not in done.stderr
        return done

    def preview(self, selection=None, **options):
        return api.preview(
            api.open_project(self.folder, {}), self.folder / "shop.yaml", selection, params={}, **options
        )

    def rows(self, selection=None, **options):
        return {table.step: table.rows for table in self.preview(selection, **options).tables}


@pytest.fixture
def shop(osiris, tmp_path):
    return Shop(tmp_path, osiris)


@pytest.fixture
def started():
    """Start the installed command, and stop it with the test."""
    processes = []

    def call(*args, cwd):
        command = [str(Path(sys.executable).parent / "osiris"), *args]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        processes.append(subprocess.Popen(command, cwd=cwd, text=True, **pipes))
        return processes[-1]

    yield call
    for process in processes:
        process.kill()
        process.communicate()


def files(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".osiris" not in path.parts
    }


def test_input_of_the_last_writer_is_shown_and_nothing_written(shop):
    before = files(shop.folder)
    done = shop.shell("--json")
    assert done.stdout.count("\n") == 1
    (table,) = json.loads(done.stdout)["data"]["tables"]
    column = {"name": "amount", "type": "decimal(38,2)", "nullable": True}
    assert table == {"step": "total", "columns": [column], "rows": [["16.25"]], "rows_in_all": 1}
    assert files(shop.folder) == before
    assert list((shop.folder / ".osiris" / "scratch").glob("*")) == []


def test_last_step_is_shown_where_nothing_is_written(shop):
    shop.write(PIPELINE.partition("  - id: report")[0])
    assert list(shop.rows()) == ["total"]


def test_source_shows_all_of_its_columns(shop):
    (table,) = shop.preview("orders", limit=2).tables
    assert [column.name for column in table.schema] == ["id", "amount", "note", "unused"]
    assert (table.rows, table.total) == ([[1, "1.50", "", "a"], [2, "2.50", None, "b"]], 4)


def test_text_tells_null_and_texts_apart(shop):
    lines = [line.split("  ") for line in shop.shell("orders", "--sample", "4").stdout.splitlines()]
    assert lines[0][0] == "orders"
    notes = [[cell for cell in line if cell][2].strip() for line in lines[1:7]]
    assert notes == ["note", "utf8", "''", "NULL", "'NULL'", "' padded'"]


@pytest.mark.parametrize(("sample", "rows", "cut"), [(3, 2, ["orders"]), (4, 3, []), (0, 3, [])])
def test_sample_is_the_first_rows_of_each_source(shop, sample, rows, cut):
    seen = shop.preview("large", sample=sample)
    assert (len(seen.tables[0].rows), seen.cut) == (rows, cut)


def test_several_steps_are_shown_of_a_sample(shop):
    done = shop.shell("--select", "large+", "--sample", "3")
    assert [line for line in done.stdout.splitlines() if line.startswith(("orders ", "large ", "total "))] == [
        "large  2 rows",
        "total  1 row",
    ]
    assert "computed from the first 3 rows of orders (--sample 0 reads all)" in done.stdout


def test_selections(shop):
    assert list(shop.rows("+large")) == ["orders", "large"]
    assert list(shop.rows("orders,report")) == ["orders", "total"]
    with pytest.raises(OsirisError) as caught:
        shop.preview("lage+")
    (found,) = caught.value.diagnostics
    assert (found.code, found.hint) == ("CMP042", "did you mean 'large'?")
    done = shop.shell("large", "--select", "large+")
    assert (done.returncode, "PRJ008" in done.stderr) == (2, True)


def test_error_of_a_step_has_its_place(shop):
    shop.write(PIPELINE.replace("sum(amount) AS amount", "CAST(note AS INTEGER) AS n"))
    done = shop.shell()
    assert done.returncode == 1
    assert done.stderr.startswith("shop.yaml:20:21: SQL011 ")


def test_value_that_does_not_fit_has_file_and_row(shop, osiris):
    assert osiris("compile", "shop.yaml", cwd=shop.folder).returncode == 0
    shop.orders(ORDERS.replace("3.50", "many"))
    with pytest.raises(OsirisError) as caught:
        shop.preview()
    (found,) = caught.value.diagnostics
    assert (found.code, found.location.file, found.location.line) == ("DAT001", "orders.csv", 4)


def test_hostile_values_are_escaped(shop):
    hostile = "\x1b[31mred\u202e[bold]\r\x07\nforged"
    shop.orders(f'id,amount,note,unused\n1,5,"{hostile}",{"x" * 5000}\n')
    text = shop.shell("orders").stdout
    assert "\\x1b[31mred\\u202e[bold]\\x0d\\x07\\x0aforg…" in text
    assert text.isprintable() or {char for char in text if not char.isprintable()} == {"\n"}
    assert max(map(len, text.splitlines())) < 200
    assert shop.rows("orders")["orders"] == [[1, 5, hostile, "x" * 5000]]


def test_secret_is_shown_nowhere(shop):
    text = PIPELINE.replace("steps:", "params:\n  key: {type: string, sensitive: true}\nsteps:", 1)
    shop.write(text.replace("id, amount, note", "id, amount, ${params.key} AS note"))
    secret = "correct-horse-battery"
    done = shop.shell("large", "--json", env={"OSIRIS_PARAM_KEY": secret})
    assert secret not in done.stdout + done.stderr
    assert [row[2] for row in json.loads(done.stdout)["data"]["tables"][0]["rows"]] == ["***"] * 3


def test_text_says_whose_checks_are_left_to_a_run(shop):
    checked = "config: {path: output/total.csv, checks: [{row_count: {min: 9}}]}"
    shop.write(PIPELINE.replace("0.1.0", "0.2.0").replace("config: {path: output/total.csv}", checked))
    done = shop.shell("report")
    assert (done.returncode, "checks of report only run in a full run" in done.stdout) == (0, True)
    assert json.loads(shop.shell("total", "--json").stdout)["data"]["unchecked"] == []


def test_ctrl_c_ends_it(shop, started):
    shop.write(PIPELINE.replace("SELECT sum(amount) AS amount FROM large", ENDLESS))
    process = started("preview", "shop.yaml", "--json", cwd=shop.folder)
    wait_until(lambda: list((shop.folder / ".osiris" / "scratch").glob("*/spools")))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, [d["code"] for d in json.loads(out)["diagnostics"]]) == (130, ["PRJ012"]), err
    wait_until(lambda: not list((shop.folder / ".osiris" / "scratch").glob("*")))
    assert list((shop.folder / ".osiris" / "scratch").glob("*")) == []
