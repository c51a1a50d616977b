"""The tables of a run: their states, and failures that have one cause."""

from osiris.errors import Diagnostic
from osiris.history.tables import Table, causes_of, merged, since_text, states_text


def table(name, state="failed", problem=None, **more):
    fields = {"rows": None, "rejected": 0, "deleted": 0, "attempts": 1, "since": None, **more}
    target, reader = f"{name} in @duckdb.wh", f"shop-main-{name}-source"
    return Table("shop", f"main.{name}", target, f"shop-main-{name}", reader, state, problem=problem, **fields)


def gone(name):
    return Diagnostic("DRV012", f"step 'shop-main-{name}-source': table '{name}' does not exist")


TABLES = [table(f"t{n}", problem=gone(f"t{n}")) for n in range(5)]
OTHER = table("x", problem=Diagnostic("DRV012", "table 'y' does not exist"))
DONE = table("z", "rows written", rows=3)


def test_failures_with_one_cause_are_one():
    first, second = causes_of([*TABLES, OTHER, DONE])
    assert (len(first.tables), first.problem.message) == (5, gone("t0").message)
    assert first.named == "main.t0, main.t1, main.t2 and 2 more"
    assert [each.name for each in second.tables] == ["main.x"]


def test_merged_diagnostics_name_the_tables_and_keep_the_rest():
    note = Diagnostic("CMP048", "a note")
    problems = [each.problem for each in (*TABLES, OTHER)]
    first, other, last = merged([*problems, note], [*TABLES, OTHER, DONE])
    assert first.message == f"{gone('t0').message} (5 tables: main.t0, main.t1, main.t2 and 2 more)"
    assert (other, last) == (OTHER.problem, note)


def test_states_are_counted_the_worst_first():
    assert states_text([DONE, *TABLES]) == "6 tables, 3 rows written: 5 failed, 1 changed"


def test_what_a_cursor_read_is_one_line():
    assert since_text(None) == ""
    assert since_text({"from": None, "to": "7", "held_back_by": None, "rows_read_again": 0}) == "from the start to 7"
    held = {"from": "3", "to": "7", "held_back_by": "transaction 5", "rows_read_again": 1}
    assert since_text(held) == "from 3 to 7; held back by transaction 5; 1 row read again"
