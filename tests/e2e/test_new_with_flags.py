"""`osiris new` with flags: the right rows from one line, and nothing written that was not named."""

import csv
import sqlite3
from collections import defaultdict
from decimal import Decimal

import pexpect
import pytest
from tests.conftest import OSIRIS, kept
from tests.patience import SOON
from tests.terminal import read_until_closed

ROWS = [
    ("1", "US", "Anna", "2024-01-31", "10.50"),
    ("2", "AT", "Anna", "2024-02-01", "-3.00"),
    ("3", "US", "Li", "2024-02-29", "4.25"),
    ("4", "", "Bo", "2024-01-01", "1.00"),
]
HEAD = ("id", "Country", "name", "d", "amount")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "osiris.yaml").write_text("")
    (tmp_path / "osiris_connections.yaml").write_text("connections: {sqlite: {shop: {path: shop.sqlite}}}\n")
    (tmp_path / "data").mkdir()
    with (tmp_path / "data/orders.csv").open("w", newline="") as file:
        csv.writer(file).writerows([HEAD, *ROWS])
    database = sqlite3.connect(tmp_path / "shop.sqlite")
    database.execute("CREATE TABLE countries (code TEXT PRIMARY KEY, label TEXT)")
    database.executemany("INSERT INTO countries VALUES (?, ?)", [("US", "States"), ("AT", "Austria")])
    database.commit()
    return tmp_path


def files(folder):
    return sorted(
        str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file() and ".osiris" not in str(each)
    )


def written(folder, name="output/x.csv"):
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_one_line_gives_the_rows_that_it_asks_for(osiris, folder):
    done = osiris(
        *("new", "--from", "data/orders.csv", "--group", "month(d)", "--sum", "amount", "--count"),
        *("--where", "Country in US, AT", "--sort", "month", "--to", "output/x.csv", "--yes"),
        cwd=folder,
    )

    assert done.returncode == 0, done.stderr
    sums = defaultdict(Decimal)
    for _, country, _, day, amount in ROWS:
        if country in ("US", "AT"):
            sums[day[:8] + "01"] += Decimal(amount)
    assert {row["month"]: Decimal(row["sum_amount"]) for row in written(folder)} == sums
    assert "SELECT CAST(date_trunc('month', d) AS DATE) AS month" in (folder / "pipelines/x.yaml").read_text()


def test_a_table_of_a_connection_is_joined(osiris, folder):
    done = osiris(
        *("new", "--from", "data/orders.csv", "--left-join", "@sqlite.shop/countries on Country = code"),
        *("--columns", "id, label", "--sort", "id", "--to", "output/x.csv", "--yes"),
        cwd=folder,
    )

    assert done.returncode == 0, done.stderr
    assert [row["label"] for row in written(folder)] == ["States", "Austria", "States", ""]


def test_without_a_yes_nothing_is_written(osiris, folder):
    before = files(folder)
    done = osiris("new", "--from", "data/orders.csv", "--limit", "2", "--to", "output/x.csv", cwd=folder)

    assert done.returncode == 1
    assert "CHT043" in done.stderr
    assert "LIMIT 2" in done.stdout
    assert files(folder) == before


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (("--where", "cuntry = US"), "CHT042"),
        (("--where", "country = US", "--group", "Country"), "CHT042"),
        (("--to", "data/orders.csv"), "CMP017"),
        (("--to", "@sqlite.shop/countries"), "CHT042"),
        (("--to", "@sqlite.shop/countries", "--mode", "upsert"), "CHT042"),
        (("--to", "../x.csv"), "DRV059"),
        (("--name", "other"), "CHT045"),
    ],
)
def test_what_is_not_named_is_refused_even_with_a_yes(osiris, folder, flags, code):
    (folder / "pipelines").mkdir()
    (folder / "pipelines/other.yaml").write_text("oml_version: '0.1.0'\n")
    before = files(folder)
    to = () if "--to" in flags else ("--to", "output/x.csv")
    done = osiris("new", "--from", "data/orders.csv", *flags, *to, "--yes", cwd=folder)

    assert done.returncode == 2
    assert code in done.stderr
    assert files(folder) == before


def test_a_file_that_is_there_is_overwritten_where_that_is_named(osiris, folder):
    line = ("new", "--from", "data/orders.csv", "--columns", "id", "--to", "output/x.csv", "--yes")
    assert osiris(*line, cwd=folder).returncode == 0
    refused = osiris(*line, cwd=folder)
    assert (refused.returncode, "CHT044" in refused.stderr) == (2, True)
    assert osiris(*line, "--mode", "replace", cwd=folder).returncode == 0


def test_a_name_in_another_case_is_told(osiris, folder):
    done = osiris(
        "new", "--from", "data/orders.csv", "--columns", "country", "--to", "output/x.csv", "--yes", cwd=folder
    )

    assert done.returncode == 0, done.stderr
    assert "assumed: column 'Country' for 'country'" in done.stderr


@pytest.fixture
def twice(folder):
    """Customers with a duplicate, so that the orders of a country are counted twice."""
    (folder / "data/countries.csv").write_text("code,label\nUS,States\nUS,America\nAT,Austria\n")
    return folder


@pytest.mark.parametrize("kind", ["--join", "--left-join"])
def test_a_join_that_multiplies_rows_is_named(osiris, twice, kind):
    line = ("new", "--from", "data/orders.csv", kind, "data/countries.csv on Country = code", "--sum", "amount")
    before = files(twice)
    done = osiris(*line, "--to", "output/x.csv", "--yes", cwd=twice)

    assert done.returncode == 2
    assert "CHT044" in done.stderr
    assert "adding 2 rows" in done.stderr
    assert "--multiplies" in done.stderr
    assert files(twice) == before
    assert osiris(*line, "--to", "output/x.csv", "--yes", "--multiplies", cwd=twice).returncode == 0


def test_a_join_that_multiplies_no_row_needs_no_name(osiris, twice):
    line = ("new", "--from", "data/orders.csv", "--join", "data/countries.csv on Country = code", "--where")
    done = osiris(*line, "Country = AT", "--count", "--to", "output/x.csv", "--yes", cwd=twice)

    assert done.returncode == 0, done.stderr
    assert written(twice) == [{"rows": "1"}]


def typing(folder, *words):
    """Start the command on a terminal."""
    return pexpect.spawn(OSIRIS, ["new", *words], cwd=str(folder), env=kept(), timeout=SOON, dimensions=(60, 160))


def ended(process):
    return read_until_closed(process), process.exitstatus


LINE = ("--from", "data/orders.csv", "--where", "Country = US", "--to", "output/x.csv")


def test_on_a_terminal_what_the_plan_does_is_read_back_and_measured_before_the_yes(folder):
    process = typing(folder, *LINE)
    process.expect_exact("keep ")
    process.expect_exact("result: 4 rows in, 2 rows out")
    process.expect_exact("Save and run it?")
    process.sendline("no")
    text, code = ended(process)

    assert ("CHT043" in text, code) == (True, 1)
    assert not (folder / "output").exists()


def test_a_plan_that_changed_before_the_yes_is_not_run(folder):
    process = typing(folder, *LINE)
    process.expect_exact("Save and run it?")
    with (folder / "data/orders.csv").open("w", newline="") as file:
        csv.writer(file).writerows([(*HEAD, "more"), *((*row, "x") for row in ROWS)])
    process.sendline("yes")
    text, code = ended(process)

    assert ("CHT046" in text, code) == (True, 1)
    assert not (folder / "output").exists()
