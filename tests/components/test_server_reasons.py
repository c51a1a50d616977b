"""Why a server's table rejected a row: our message names the column and the rule, however the rows are sent."""

import csv
from dataclasses import replace

import pyarrow as pa
import pytest
from tests.components.test_server_rejects import WRITERS, Place, refused

TWO = pa.table({"id": [1, 2], "name": ["a", "b"]})
UPSERT = {"write_mode": "upsert", "primary_key": "id"}
UNIQUE = "CREATE TABLE t (id BIGINT, name VARCHAR(9), CONSTRAINT once UNIQUE (name, id))"
FOREIGN = (
    "CREATE TABLE u (id BIGINT PRIMARY KEY)",
    "INSERT INTO u VALUES (1)",
    "CREATE TABLE t (id BIGINT, name VARCHAR(9), CONSTRAINT leads FOREIGN KEY (id) REFERENCES u (id))",
)
CHECK = "CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR(9), CONSTRAINT small CHECK (id < 2))"
AGAIN = "a row with the same key is there already"
NOWHERE = "constraint 'leads' of column 'id': a foreign key leads nowhere ("
BOTH = [
    ([UNIQUE, "INSERT INTO t VALUES (2, 'b')"], {}, "name|id", f": {AGAIN} ("),
    (FOREIGN, {}, "id", NOWHERE),
    ([CHECK], {}, "id", "constraint 'small' of column 'id': its check does not hold: "),
    ([CHECK], UPSERT, "id", "constraint 'small' of column 'id': its check does not hold: "),
]
INET = ["CREATE TABLE t (id BIGINT PRIMARY KEY, name INET)", "INSERT INTO t VALUES (7, '::1')"]
TRIGGER = """CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.id = 2 THEN RAISE EXCEPTION 'no % today', NEW.name; END IF; RETURN NEW; END $$"""
POSTGRES = [
    (
        INET,
        {},
        "name",
        "column 'name': it is no value of the column's type (invalid input syntax for type inet: \"b\")",
    ),
    (INET, UPSERT, "name", "column 'name': it is no value of the column's type ("),
    (
        ["CREATE TYPE mood AS ENUM ('a', 'c')", "CREATE TABLE t (id BIGINT, name mood)"],
        {},
        "name",
        "column 'name': it is no value of the column's type (invalid input value for enum mood: \"b\")",
    ),
    (
        ["CREATE DOMAIN low AS BIGINT CONSTRAINT low_one CHECK (VALUE < 2)", "CREATE TABLE t (id low, name TEXT)"],
        {},
        "id",
        "constraint 'low_one' of column 'id': its check does not hold: CHECK ((VALUE < 2))",
    ),
    (
        ["CREATE TABLE t (id BIGINT, name TEXT)", "CREATE UNIQUE INDEX all_same ON t ((name IS NULL))"],
        {},
        "",
        f"constraint 'all_same': {AGAIN} (",
    ),
    (
        [
            "CREATE TABLE t (id BIGINT, name TEXT) PARTITION BY RANGE (id)",
            "CREATE TABLE t1 PARTITION OF t (PRIMARY KEY (id)) FOR VALUES FROM (1) TO (2)",
        ],
        {},
        "",
        "no partition of the table takes it (Partition key of the failing row contains (id) = (2).)",
    ),
    (
        [
            "CREATE TABLE t (id BIGINT, name TEXT)",
            TRIGGER,
            "CREATE TRIGGER no BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION no()",
        ],
        {},
        "",
        "no b today",
    ),
]
SIGNAL = """CREATE TRIGGER no BEFORE INSERT ON t FOR EACH ROW
    IF NEW.id = 2 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no b today'; END IF"""
MARIADB = [
    (
        ["CREATE TABLE t (id BIGINT, name VARCHAR(9) CHARACTER SET latin1)"],
        {},
        "name",
        "column 'name': it is no value of the column's type (",
    ),
    (["CREATE TABLE t (id BIGINT, name JSON)"], {}, "name", "its check does not hold: json_valid(`name`)"),
    (
        [
            "CREATE TABLE t (id BIGINT, name TEXT)",
            SIGNAL,
        ],
        {},
        "",
        "no b today",
    ),
]
CASES = [(kind, *case) for kind, own in (("postgres", POSTGRES), ("mariadb", MARIADB)) for case in (*BOTH, *own)]
ROWS = {"VARCHAR(9) CHARACTER SET latin1": ["é", "☃"], "INET": ["::1", "b"], "JSON": ["{}", "{"]}


def rows_for(statements):
    """Return two rows: the table accepts the first and rejects the second."""
    for kind, names in ROWS.items():
        if any(f"name {kind}" in text for text in statements):
            return pa.table({"id": [1, 2], "name": names})
    return TWO


@pytest.mark.parametrize(("kind", "statements", "config", "column", "reason"), CASES)
def test_the_column_and_the_rule_are_named(request, tmp_path, kind, statements, config, column, reason):
    place = Place(request.getfixturevalue(kind), WRITERS[kind], tmp_path)
    place.sql(*statements)
    rows = rows_for(statements)
    code, message = refused(place.write, rows, replace(place.ctx, on_reject="fail", run_key="p/2"), **config)
    assert (code, reason in message) == ("DAT032", True), message
    assert place.write(rows, **config).rejected == 1
    with (place.root / "rejected.csv").open(newline="") as file:
        (told,) = csv.DictReader(file)
    assert (told["file"], told["line"], told["row"]) == ("", "", "2")
    assert told["column"] in (column, column.replace("|", ", "), "id, name")
    assert reason in told["reason"]
    assert " at row " not in told["reason"]


@pytest.mark.parametrize("kind", WRITERS)
def test_a_key_that_a_later_row_has_and_one_that_is_null(request, tmp_path, kind):
    place = Place(request.getfixturevalue(kind), WRITERS[kind], tmp_path)
    place.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR(9))")
    rows = pa.table({"id": pa.array([1, 1, None], pa.int64()), "name": ["a", "b", "c"]})
    assert place.write(rows, **UPSERT).rejected == 2
    (_, _, twice), (_, _, null) = sorted(place.rejected())
    assert twice == "a later row has the same key"
    assert null.startswith("column 'id': ")
    assert "NULL" in null


def test_the_row_of_a_file_that_mariadb_refuses_is_counted_from_its_beginning(mariadb, tmp_path):
    place = Place(mariadb, WRITERS["mariadb"], tmp_path)
    place.sql("CREATE TABLE t (id BIGINT, name VARCHAR(2))")
    rows = pa.table({"id": [1, 2, 3, 4, 5], "name": ["a", "b", "c", "long", "d"]})
    code, message = refused(place.write, rows, replace(place.ctx, on_reject="fail"), size=2, batch_size=2)
    assert (code, "row 4: column 'name': the column would cut it off" in message) == ("DAT032", True), message
