"""Each check detects its problem, at its position, and accepts good pipelines."""

from dataclasses import replace

import pytest

from osiris.errors import InvalidInput, OsirisError, Unavailable
from osiris.model import ConnectionRef, Step


def refused(bench, *steps, **more):
    with pytest.raises(OsirisError) as caught:
        bench.prepare(*steps, **more)
    return caught.value.diagnostics


def codes(problems):
    return [problem.code for problem in problems if problem.severity == "error"]


def only(problems):
    (problem,) = (p for p in problems if p.severity == "error")
    return problem


def test_a_good_pipeline_passes_without_a_word(bench, steps):
    _, notes = bench.prepare(steps.read(), steps.query("SELECT x FROM load", "load"), steps.write("sums"))
    assert notes == []


def test_an_unknown_component_is_named_with_the_nearest(bench, steps):
    problem = only(refused(bench, replace(steps.read(), component="lake.raeder")))
    assert (problem.code, problem.hint) == ("CMP001", "did you mean 'lake.reader'?")
    assert problem.location.pointer == "/steps/0/component"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("graphql.extractor", "save the answer as a file"),
        ("posthog.extractor", "export the events"),
    ],
)
def test_components_that_are_not_offered_say_why_and_what_instead(bench, steps, name, hint):
    problem = only(refused(bench, replace(steps.read(), component=name)))
    assert problem.code == "CMP002"
    assert problem.hint.startswith(hint)


def test_a_component_without_its_distribution_is_refused(bench, steps):
    problem = only(refused(bench, replace(steps.read(), component="lake.needy")))
    assert problem.code == "CMP002"
    assert "no-such-distribution" in problem.message


def test_a_component_with_a_broken_spec_says_so_where_it_is_used(bench, steps):
    problem = only(refused(bench, replace(steps.read(), component="lake.broken")))
    assert (problem.code, problem.location.pointer) == ("REG001", "/steps/0/component")


def test_a_mode_that_the_component_lacks_is_refused_with_those_it_has(bench, steps):
    problem = only(refused(bench, replace(steps.read(), mode="write")))
    assert (problem.code, problem.hint) == ("CMP003", "available modes: read")


def test_a_step_that_needs_an_input_gets_one(bench, steps):
    assert codes(refused(bench, replace(steps.write("load"), inputs={}, needs=()))) == ["CMP004"]


@pytest.mark.parametrize("component", ["lake.reader", "lake.join", "lake.writer"])
def test_a_step_takes_only_as_many_inputs_as_it_can(bench, steps, component):
    count = 1 if component in {"lake.reader", "lake.join"} else 2
    sources = [steps.read(f"load{i}") for i in range(count)]
    inputs = {f"df{i}": source.id for i, source in enumerate(sources)}
    mode = {"lake.reader": "read", "lake.join": "transform", "lake.writer": "write"}[component]
    step = Step("last", component, mode, {}, needs=tuple(inputs.values()), inputs=inputs)
    problem = only(refused(bench, *sources, step))
    assert problem.code == "CMP005"
    assert f"gets {count}: load0" in problem.message


def test_a_writer_gives_no_data(bench, steps):
    problem = only(refused(bench, steps.read(), steps.write("load"), steps.write("save", "again")))
    assert problem.code == "CMP005"
    assert "none from 'save'" in problem.message


def table(ref, **config):
    config = {"table": "t", **config}
    return Step("save", "lake.table", "write", config, ("load",), {"df": "load"}, connection=ref)


def test_a_connection_of_another_family_is_refused(bench, steps):
    assert codes(refused(bench, steps.read(), table(ConnectionRef("mysql", "main")))) == ["CMP008"]


def test_a_connection_that_is_not_declared_is_missing(bench, steps):
    with pytest.raises(Unavailable) as caught:
        bench.prepare(steps.read(), table(ConnectionRef("lake", "typo")))
    problem = only(caught.value.diagnostics)
    assert (problem.code, problem.location.pointer) == ("CON003", "/steps/1/config/connection")


def test_a_component_without_connections_takes_none(bench, steps):
    step = steps.query("SELECT 1 AS x", connection=ConnectionRef("lake", "main"))
    assert codes(refused(bench, step)) == ["OML043"]


SECRET = "ghp_" + "a1B2c3D4e5F6" * 3


@pytest.mark.parametrize(
    ("place", "make"),
    [
        ("/steps/0/config/path", lambda s: (s.read(config={"path": f"https://u:{SECRET}@h/x"}), {})),
        ("/steps/0/config/page/unit", lambda s: (s.read(config={"page": {"unit": SECRET}}), {})),
        ("/steps/0/description", lambda s: (s.read(description=f"token {SECRET}"), {})),
        ("/steps/0/x-team/token", lambda s: (s.read(extensions={"x-team": {"token": SECRET}}), {})),
        ("/metadata/token", lambda s: (s.read(), {"metadata": {"token": SECRET}})),
        ("/description", lambda s: (s.read(), {"description": SECRET})),
        ("/params/word", lambda s: (s.read(), {"params": {"word": SECRET}})),
        ("/x-key", lambda s: (s.read(), {"extensions": {"x-key": SECRET}})),
        ("/steps/0/config/query", lambda s: (s.query(f"SELECT '{SECRET}' AS x"), {})),
        ("/steps/0/config/auth/code", lambda _s: (Step("a", "lake.tokens", "read", {"auth": {"code": "short"}}), {})),
    ],
)
def test_a_literal_secret_is_refused_anywhere_and_never_repeated(bench, steps, place, make):
    step, more = make(steps)
    problems = refused(bench, step, **more)
    problem = only(problems)
    assert (problem.code, problem.location.pointer) == ("CMP006", place)
    assert not any(SECRET in str(p.to_json()) or "short" in str(p.to_json()) for p in problems)


def test_a_reference_is_no_secret(bench):
    _, notes = bench.prepare(Step("a", "lake.tokens", "read", {"auth": {"code": "${params.code}"}}))
    assert [note.code for note in notes] == ["CMP015"]


@pytest.mark.parametrize("value", [2**53, -(2**60), float("nan"), float("inf"), 1e300, "\ud800"])
def test_a_value_that_a_plan_cannot_hold_is_refused(bench, steps, value):
    problem = only(refused(bench, steps.read(config={"page": {"size": value}})))
    assert (problem.code, problem.location.pointer) == ("OML044", "/steps/0/config/page/size")


def test_a_pipeline_has_its_name_for_itself(bench, steps):
    problem = only(refused(bench, steps.read(), namesakes=["pipelines/copy.yaml"]))
    assert problem.code == "CMP007"
    assert "pipelines/copy.yaml" in problem.message


def test_two_steps_do_not_write_the_same_file(bench, steps):
    config = {"path": "output/./x/../save.csv"}
    problem = only(refused(bench, steps.read(), steps.write("load"), steps.write("load", "b", config=config)))
    assert (problem.code, problem.location.pointer) == ("CMP009", "/steps/2/config/path")
    assert "'save' and 'b' both write to output/save.csv" in problem.message


def test_one_file_under_two_names_is_one_file(bench, steps):
    (bench.root / "real").mkdir()
    (bench.root / "link").symlink_to("real")
    first, second = (steps.write("load", name, config={"path": f"{name}/save.csv"}) for name in ("real", "link"))
    assert only(refused(bench, steps.read(), first, second)).code == "CMP009"


@pytest.mark.parametrize("path", ["output/*.csv", "output/save.csv"])
def test_a_step_does_not_read_what_the_same_run_writes(bench, steps, path):
    problem = only(refused(bench, steps.read(config={"path": path}), steps.write("load")))
    assert (problem.code, problem.location.pointer) == ("CMP017", "/steps/0/config/path")
    assert problem.hint.startswith("write another file: 'save' waits for")
    assert "needs" not in problem.hint


def test_a_step_may_read_what_it_waits_for(bench, steps):
    later = replace(steps.read("again", config={"path": "output/save.csv"}), needs=("save",))
    bench.prepare(steps.read(), steps.write("load"), later, steps.write("again", "b", config={"path": "output/b.csv"}))


def test_files_of_different_connections_are_different_files(bench, steps):
    drop = steps.write("load", "b", config={"path": "output/save.csv"}, connection=ConnectionRef("filesystem", "drop"))
    _, notes = bench.prepare(steps.read(), steps.write("load"), drop)
    assert notes == []


def test_a_path_that_is_not_portable_is_refused(bench, steps):
    assert codes(refused(bench, steps.read(config={"path": "a\tb"}))) == ["DRV007"]


@pytest.mark.parametrize("path", ["../x.csv", "/data/x.csv"])
def test_a_file_outside_the_project_is_noted(bench, steps, path):
    _, notes = bench.prepare(steps.read(config={"path": path}), steps.write("load"))
    assert [note.code for note in notes] == ["CMP013"]


def test_an_output_that_nobody_reads_is_noted(bench, steps):
    _, notes = bench.prepare(steps.read())
    assert [note.code for note in notes] == ["CMP015"]


@pytest.mark.parametrize("name", ["df", "input_df", "df_load_1", "load_1", "LOAD_1"])
def test_a_single_input_has_four_names(bench, steps, name):
    bench.prepare(steps.read("load-1"), steps.query(f"SELECT x FROM {name}", "load-1"))


@pytest.mark.parametrize("name", ["a", "df_a", "b", "df_b"])
def test_several_inputs_have_two_names_each(bench, steps, name):
    bench.prepare(steps.read("a"), steps.read("b"), steps.query(f"SELECT x FROM {name}", "a", "b"))


@pytest.mark.parametrize("name", ["df", "input_df", "c", "main.a", "information_schema.tables"])
def test_a_step_reads_nothing_but_its_inputs(bench, steps, name):
    step = steps.query(f"SELECT x FROM {name}", "a", "b")
    problem = only(refused(bench, steps.read("a"), steps.read("b"), steps.read("c"), step))
    assert (problem.code, problem.location.pointer) == ("SQL006", "/steps/3/config/query")


def test_a_table_that_is_unknown_comes_with_those_that_are_not(bench, steps):
    problem = only(refused(bench, steps.read("a"), steps.read("b"), steps.query("SELECT x FROM orders", "a", "b")))
    assert problem.hint == "available: a, b, df_a, df_b"


def test_inputs_whose_names_clash_are_refused(bench, steps):
    step = steps.query("SELECT 1 AS x", "a-1", "a_1")
    found = refused(bench, steps.read("a-1"), steps.read("a_1"), step)
    assert codes(found) == ["CMP010", "CMP010"]
    assert "'a_1': a-1, a_1" in found[0].message


@pytest.mark.parametrize("sql", ["DROP TABLE x", "SELECT 1; SELECT 2", "SELECT * FROM read_csv('x')", "SELEC 1"])
def test_unsafe_sql_is_refused(bench, steps, sql):
    with pytest.raises(InvalidInput) as caught:
        bench.prepare(steps.query(sql))
    assert only(caught.value.diagnostics).code.startswith("SQL")


def test_run_values_and_sensitive_parameters_are_bound_by_name(bench, steps):
    good = steps.query("SELECT $run_id AS a, $run_started_at AS b, $param_code AS c")
    bench.prepare(good, sensitive=("code",))
    assert codes(refused(bench, good)) == ["SQL004"]


def test_all_problems_are_told_at_once(bench, steps):
    found = refused(bench, replace(steps.read(), mode="write"), steps.query("DROP TABLE x"), namesakes=["y"])
    assert sorted(codes(found)) == ["CMP003", "CMP007", "SQL003"]
