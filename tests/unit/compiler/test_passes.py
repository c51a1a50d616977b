"""What a prepared pipeline makes explicit."""

import time

import pytest
from tests.patience import SOON

from osiris.compiler.context import topological
from osiris.compiler.passes import PASSES, filled
from osiris.model import ConnectionRef, Step


def step(prepared, name):
    return next(s for s in prepared.pipeline.steps if s.id == name)


def test_defaults_are_written_out_at_any_depth(bench, steps):
    prepared, _ = bench.prepare(steps.read(config={"path": "x.csv", "page": {"unit": "m"}}))
    assert step(prepared, "load").config == {"path": "x.csv", "limit": 10, "page": {"unit": "m", "size": 7}}


def test_what_was_given_wins_over_defaults(bench, steps):
    prepared, _ = bench.prepare(steps.read(config={"limit": None, "page": {"size": 1}}))
    assert step(prepared, "load").config == {"limit": None, "page": {"size": 1}}


def test_defaults_reach_into_lists():
    schema = {"items": {"properties": {"a": {"default": [1]}, "b": True}}}
    assert filled([{"b": 2}, 3], schema) == [{"a": [1], "b": 2}, 3]


def test_the_default_connection_gets_its_alias(bench, steps):
    save = Step("save", "lake.table", "write", {"table": "t"}, ("load",), {"df": "load"})
    prepared, _ = bench.prepare(steps.read(), save)
    assert step(prepared, "save").connection == ConnectionRef("lake", "main")
    assert prepared.connections == {"@lake.main": {"host": "${LAKE_HOST}"}}


def test_sql_becomes_its_canonical_text(bench, steps):
    prepared, _ = bench.prepare(steps.read(), steps.query("select   X from LOAD -- why", "load"))
    again, _ = bench.prepare(steps.read(), steps.query("SELECT X\nFROM LOAD", "load"))
    assert step(prepared, "sums").config == step(again, "sums").config
    assert "--" not in step(prepared, "sums").config["query"]


def test_text_that_only_text_sinks_read_stays_text(bench, steps):
    prepared, _ = bench.prepare(steps.read(), steps.write("load", "a"), steps.write("load", "b"))
    assert step(prepared, "load").config["as_text"] is True


@pytest.mark.parametrize(
    "others",
    [
        lambda s: [s.read()],
        lambda s: [s.read(), s.query("SELECT x FROM load", "load"), s.write("load")],
        lambda s: [s.read(config={"as_text": False}), s.write("load")],
        lambda s: [s.read(config={"cast": {"x": "int64"}}), s.write("load")],
        lambda s: [s.read(), s.write("load", config={"path": "p", "cast": {"x": "int64"}})],
        lambda s: [s.read(), s.write("load", config={"path": "p", "quoting": "numbers"})],
    ],
    ids=["no reader", "another reader", "the user said no", "cast", "cast later", "a key that looks at types"],
)
def test_otherwise_values_are_typed(bench, steps, others):
    prepared, _ = bench.prepare(*others(steps))
    assert not step(prepared, "load").config.get("as_text")


def test_steps_stand_in_topological_order_ties_by_id(bench, steps):
    given = [steps.write("m"), steps.query("SELECT x FROM b", "b", name="m"), steps.read("z"), steps.read("b")]
    prepared, _ = bench.prepare(*given)
    assert [s.id for s in prepared.pipeline.steps] == ["b", "m", "save", "z"]


def test_needs_are_a_sorted_set_that_holds_the_inputs(bench, steps):
    save = steps.write("b", needs=("z", "a"))
    prepared, _ = bench.prepare(steps.read("z"), steps.read("a"), steps.read("b"), save)
    assert step(prepared, "save").needs == ("a", "b", "z")


def test_ten_thousand_steps_in_a_chain_are_ordered_in_a_moment():
    needs = {f"s{i:05}": [f"s{i - 1:05}"] if i else [] for i in range(10_000)}
    started = time.perf_counter()
    assert topological(dict(reversed(needs.items()))) == list(needs)
    assert time.perf_counter() - started < SOON


def test_a_circle_is_left_out():
    assert topological({"a": [], "b": ["c"], "c": ["b"], "d": ["c"]}) == ["a"]


def test_passes_change_nothing_the_second_time(bench, steps):
    from osiris.compiler.context import Context

    pipeline = bench.pipeline(steps.read(), steps.query("select x from df", "load"), steps.write("sums"))
    ctx = Context(pipeline, bench.registry, bench.connections, bench.root)
    for change in PASSES:
        ctx = change(ctx)
    once = ctx.pipeline
    for change in PASSES:
        ctx = change(ctx)
    assert ctx.pipeline == once
