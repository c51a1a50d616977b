"""Column flow over random plans: upstream and downstream give the same paths."""

from hypothesis import given
from hypothesis import strategies as st

from osiris.compare.lineage import KINDS, StepColumn, read_lineage, read_plan, trace_impact
from osiris.model import Manifest

NAMES = ("a", "b", "c")
ORIGINS = st.lists(st.tuples(st.integers(0, 9), st.sampled_from(NAMES), st.sampled_from(KINDS[:3])), max_size=3)


def step(name, mode, inputs, lineage):
    columns = [{"name": column, "type": "int64", "nullable": True} for column in NAMES]
    return {
        "id": name,
        "component": f"lake.{mode}",
        "mode": mode,
        "config": {"path": f"{name}.csv"},
        "sql": {},
        "connection": None,
        "needs": sorted(inputs),
        "inputs": {each: each for each in inputs},
        "schema": None if mode == "write" else columns,
        "lineage": lineage,
    }


@st.composite
def manifests(draw):
    """Generate plans of sources, transforms with or without lineage, and a writer at the end."""
    steps = [step(f"r{number}", "read", [], None) for number in range(draw(st.integers(1, 2)))]
    for number in range(draw(st.integers(1, 5))):
        known = [each["id"] for each in steps]
        inputs = sorted(draw(st.sets(st.sampled_from(known), min_size=1, max_size=2)))

        def resolved(origins, inputs=inputs):
            return [[inputs[index % len(inputs)], name, kind] for index, name, kind in origins]

        columns = {name: resolved(draw(ORIGINS)) for name in NAMES}
        rows = [origin[:2] for origin in resolved(draw(ORIGINS))]
        told = {"columns": columns, "rows": rows} if draw(st.booleans()) else None
        steps.append(step(f"t{number}", "transform", inputs, told))
    steps.append(step("w", "write", [steps[-1]["id"]], None))
    pipeline = {"pipeline": {"name": "p"}, "fingerprint": "f" * 64, "connections": {}}
    return Manifest({**pipeline, "steps": steps})


@given(manifests())
def test_up_and_down_agree(manifest):
    lineage = read_lineage(manifest)
    sources = [StepColumn(name, column) for name in lineage.columns if name.startswith("r") for column in NAMES]
    for source in sources:
        reached = lineage.reached({source: KINDS[0]})
        for target in (StepColumn(name, column) for name in lineage.columns for column in NAMES):
            assert lineage.origins(target).get(source) == reached.columns.get(target)
        deciding = {name for name in lineage.columns if source in lineage.row_origins(name)}
        assert deciding == reached.rows


@given(manifests())
def test_the_impact_of_a_source_is_all_that_its_columns_reach(manifest):
    plan = read_plan(manifest)

    def reached(column):
        found = trace_impact([plan], "r0.csv", column)
        return {(each.step, name) for pipeline in found for each in pipeline.steps for name in each.columns}

    assert reached(None) == set().union(*(reached(name) for name in NAMES))


@given(manifests())
def test_every_arrow_upstream_leads_on_to_a_source(manifest):
    lineage = read_lineage(manifest)
    for column in lineage.of("w"):
        arrows = lineage.upstream(column)
        assert len(arrows) == len(set(arrows))
        assert {arrow.source for arrow in arrows if arrow.source.step.startswith("r")} == set(lineage.origins(column))
