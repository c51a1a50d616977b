"""The description of an output, including the steps before it."""

from osiris.compare.read_back import GrainColumn, OutputText, StepText, lines_of

ONCE = StepText("once", groups=("id and sold",), columns={})
SUMS = StepText("sums", filters=("sold >= 2025-01-01",), groups=("id",), columns={"n": "number of rows"})


def test_every_step_but_the_last_says_what_it_has_one_row_for():
    grain = (GrainColumn("id", "orders.id"),)
    output = OutputText("save", "output/x.csv", "replace", (), (), grain, {"orders": "orders.csv"}, (ONCE, SUMS))
    assert lines_of(output) == [
        "output/x.csv (step save, write mode replace)",
        "  one row per orders.id",
        "  from orders (orders.csv)",
        "  once: one row per id and sold",
        "  sums: keep sold >= 2025-01-01",
        "  sums: column n: number of rows",
    ]
