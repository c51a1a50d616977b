"""Diagrams as text: their shape, and names that cannot change it."""

from hypothesis import given
from hypothesis import strategies as st

from osiris.compare.lineage import Arrow, StepColumn
from osiris.model import Field
from osiris.report.plan import PlanView, StepView, escaped, lineage_mermaid, plan_mermaid

LOAD = StepView("load", "lake.reader", "read", (), (), "data/x.csv", (Field("x", "int64"),), "fixed", 3, ())
TURN = StepView("turn", "lake.query", "transform", ("load",), (), None, (), "free", None, ("load",))
SAVE = StepView("save", "lake.writer", "write", ("turn",), ("load",), "y.csv", (), None, None, ())


def view(*steps):
    return PlanView("p", "a" * 64, None, None, steps, (), (), ())


def test_a_plan_is_a_flowchart():
    assert plan_mermaid(view(LOAD, TURN, SAVE)) == [
        "flowchart TD",
        '  s0[("load<br>data/x.csv<br>x")]',
        '  s1["turn<br>lake.query"]',
        '  s2[/"save<br>y.csv"/]',
        "  s0 ==> s1",
        "  s1 --> s2",
        "  s0 -.-> s2",
    ]


def test_columns_are_grouped_by_step():
    x, y, z = StepColumn("load", "x"), StepColumn("turn", "y"), StepColumn("turn", "z")
    assert lineage_mermaid([Arrow(x, y, "copy"), Arrow(x, z, "aggregate"), Arrow(x, y, "copy")]) == [
        "flowchart LR",
        '  subgraph g0["load"]',
        '    c0["x"]',
        "  end",
        '  subgraph g1["turn"]',
        '    c1["y"]',
        '    c2["z"]',
        "  end",
        "  c0 -->|copy| c1",
        "  c0 -->|aggregate| c2",
    ]


@given(st.text(max_size=40))
def test_a_name_has_no_mark_of_the_language(name):
    found = escaped(name)
    assert not set(found) & set("\"'`[](){}<>|\\\n\r&%")
    assert escaped(found.replace("#", "").replace(";", "")) == found.replace("#", "").replace(";", "")


def test_a_hostile_name_stays_in_its_label():
    lines = plan_mermaid(view(StepView('"] --> evil["', "c", "transform", (), (), None, (), "free", None, ())))
    assert lines == ["flowchart TD", '  s0["#34;#93; --#62; evil#91;#34;<br>c"]']
