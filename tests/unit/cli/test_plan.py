"""The lines of a plan: a summary on one screen, and everything with --verbose."""

from dataclasses import replace

from osiris.cli.plan import plan_lines
from osiris.model import Field
from osiris.report.plan import FlowView, PlanView, StepView, TargetView

NARROW = tuple(Field(f"c{number}", "int64") for number in range(2))
WIDE = tuple(Field(f"c{number}", "int64") for number in range(9))
LOAD = StepView("load", "lake.reader", "read", (), (), "data/x.csv", WIDE, "fixed", 12345, ())
TURN = StepView("turn", "lake.query", "transform", ("load",), ("first",), None, NARROW, "free", None, ("load",))
SAVE = StepView("save", "lake.writer", "write", ("turn",), (), "y.csv", (), None, None, ())
FLOWS = tuple(FlowView("data/x.csv", f"y{number}.csv", {"c0": "copy", "c1": "value"}) for number in range(23))
VIEW = PlanView(
    name="p",
    fingerprint="a" * 64,
    description=None,
    previous=None,
    steps=(LOAD, TURN, SAVE),
    targets=(TargetView("save", "y.csv", "replaces", "atomic_replace", 1000),),
    flows=FLOWS,
    new_flows=FLOWS[:1],
)


def shown(view, **options):
    lines = plan_lines(view, **options)
    return [line if isinstance(line, str) else "".join(text for _, text in line) for line in lines]


def test_a_line_a_step_then_targets_then_flows():
    assert shown(VIEW) == [
        "step  component    reads               ~rows  order  gives",
        "load  lake.reader  data/x.csv         12,345  fixed  c0 int64, c1 int64, c2 int64, c3 int64, … (9 columns)",
        "turn  lake.query   load; after first          free   c0 int64, c1 int64",
        "save  lake.writer  turn                              -> y.csv",
        "turn computes load inside its own statement",
        "save replaces y.csv (1 kB), atomic_replace",
        "flow data/x.csv -> y0.csv: c0, c1 (value)",
    ]


def test_a_column_without_anything_to_say_is_left_out():
    assert shown(replace(VIEW, steps=(replace(LOAD, rows=None), SAVE)))[0].split() == [
        "step",
        "component",
        "reads",
        "order",
        "gives",
    ]


def test_flows_that_a_plan_before_did_not_have_are_called_new():
    assert shown(replace(VIEW, previous="b" * 64))[-1] == "new flow data/x.csv -> y0.csv: c0, c1 (value)"


def test_many_columns_and_flows_are_shown_when_asked_for():
    many = replace(VIEW, new_flows=FLOWS)
    assert shown(many)[-1] == "… and 3 more (see --verbose)"
    assert shown(many, verbose=True)[-1].startswith("flow data/x.csv -> y22.csv")
    assert "c8 int64" in shown(many, verbose=True)[1]
