"""A manifest is trusted only if it is intact, and if compiling its plan again would accept it."""

import copy
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from osiris.canonical import canonical_bytes, fingerprint
from osiris.compiler import manifest
from osiris.compiler.build import manifest_bytes, root_hash, root_leaves, step_leaves
from osiris.compiler.manifest import read_manifest, shape_problems, verify_manifest
from osiris.errors import IntegrityError
from osiris.model import ConnectionRef, Described


@pytest.fixture
def plan(bench, steps):
    load = steps.read(
        connection=ConnectionRef("filesystem", "drop"), config={"path": "a", "page": {"unit": "${run.id}"}}
    )
    sums = steps.query("SELECT x, $param_code AS y FROM load WHERE x > 1", "load")
    return bench.compile(load, sums, steps.write("sums"), description="d", sensitive=("code",), params={"n": 1})


def sealed(data):
    """Return the bytes of a forged manifest in which every hash is right."""
    done = {}
    for step in data["steps"]:
        step["leaves"] = step_leaves(step, done)
        step["hash"] = fingerprint(step["leaves"])
        done[step["id"]] = step
    data["leaves"] = root_leaves(data)
    data["fingerprint"] = root_hash(data)
    return canonical_bytes(data)


def refused(bench, data, **more):
    with pytest.raises(IntegrityError) as caught:
        verify_manifest(data, bench.registry, path="m.json", **more)
    assert caught.value.exit_code == 4
    return caught.value.diagnostics


def test_a_plan_that_was_just_made_is_believed(bench, plan):
    found, notes = verify_manifest(manifest_bytes(plan), bench.registry, path="m.json")
    assert found == plan
    assert notes == []


def test_resealing_changes_nothing(plan):
    assert sealed(copy.deepcopy(plan.data)) == manifest_bytes(plan)


def test_every_flipped_byte_is_refused(bench, steps):
    data = manifest_bytes(bench.compile(steps.read(), steps.query("SELECT x FROM df", "load"), steps.write("sums")))
    for position in range(len(data)):
        for mask in (0x01, 0x20, 0x80):
            forged = bytearray(data)
            forged[position] ^= mask
            refused(bench, bytes(forged))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda data: b"", "CMP020"),
        (lambda data: b"\xff" + data, "CMP020"),
        (lambda data: b"[" * 100_000, "CMP020"),
        (lambda data: b"null", "CMP020"),
        (lambda data: b'{"a": 1}', "CMP020"),
        (lambda data: b'{"manifest_version": 2}', "CMP020"),
        (lambda data: data.replace(b'"manifest_version":1', b'"manifest_version":NaN'), "CMP020"),
        (lambda data: data.replace(b'"limit":10', b'"limit":' + b"9" * 5000), "CMP020"),
        (lambda data: data.replace(b'"limit":10', b'"limit":' + b"9" * 20), "CMP020"),
        (lambda data: data + b"\n", "CMP021"),
        (lambda data: json.dumps(json.loads(data), indent=1).encode(), "CMP021"),
        (lambda data: data.replace(b'"order":"fixed"', b'"order":"fixed","order":"fixed"', 1), "CMP021"),
        (lambda data: b"pipeline:\n  id: x\nsteps: []\nmeta:\n  a: 1\n", "CMP025"),
    ],
)
def test_what_is_no_manifest_is_refused(bench, steps, change, code):
    described = {"load": Described((), "fixed")}
    data = manifest_bytes(bench.compile(steps.read(), described=described))
    changed = change(data)
    assert changed != data
    assert [d.code for d in refused(bench, changed)] == [code]


def test_the_first_byte_that_is_not_canonical_is_named(bench, plan):
    data = manifest_bytes(plan)
    (found,) = refused(bench, data.replace(b'"engines"', b' "engines"'))
    offset = data.index(b'"engines"')
    assert found.message.endswith(f"only its formatting differs, first at byte {offset}")


LEAVES = [
    ("leaves/params", lambda d: d["params"].update(n=2)),
    ("leaves/params", lambda d: d.update(sensitive=[])),
    ("leaves/compiler", lambda d: d.update(osiris="9")),
    ("leaves/engines", lambda d: d["engines"].update(pyarrow="1")),
    ("leaves/connections", lambda d: d["connections"]["@filesystem.drop"].update(base_dir="x")),
    ("leaves/pipeline", lambda d: d["pipeline"].update(description="e")),
    ("steps/load/about", lambda d: d["steps"][0].update(description="e")),
    ("steps/load/component", lambda d: d["steps"][0].update(version="2.0.0")),
    ("steps/load/config", lambda d: d["steps"][0]["config"].update(limit=11)),
    ("steps/load/schema", lambda d: d["steps"][0].update(order="fixed")),
    ("steps/sums/sql", lambda d: d["steps"][1]["config"].update(query="SELECT 1 AS x")),
    ("steps/sums/inputs", lambda d: d["steps"][1].update(inputs={"x": "load"})),
    ("steps/load/hash", lambda d: d["steps"][0].update(hash="0" * 64)),
    ("fingerprint", lambda d: d.update(fingerprint="0" * 64)),
]


@pytest.mark.parametrize(("leaf", "change"), LEAVES, ids=[f"{leaf} {i}" for i, (leaf, _) in enumerate(LEAVES)])
def test_what_was_changed_is_named_by_its_leaf(bench, plan, leaf, change):
    data = copy.deepcopy(plan.data)
    change(data)
    found = refused(bench, canonical_bytes(data))
    assert {d.code for d in found} == {"CMP022"}
    assert leaf in found[0].message or any(d.message.endswith(leaf) for d in found)
    for layout in (json.dumps(data, indent=2).encode(), canonical_bytes(data) + b"\n"):
        assert [d.message for d in refused(bench, layout)] == [d.message for d in found]


def test_keys_that_are_missing_or_unknown_are_refused_even_with_right_hashes(bench, plan):
    for change, text in [
        (lambda d: d.update(extra=1), "extra is not known"),
        (lambda d: d["steps"][0].update(extra=1), "steps/0/extra is not known"),
        (lambda d: d["pipeline"].update(extra=1), "pipeline/extra is not known"),
        (lambda d: d["steps"][0].pop("delivery"), "steps/0/delivery is missing"),
        (lambda d: d["steps"][0]["schema"][0].update(nullable=1), "steps/0/schema/0/nullable is not true or false"),
    ]:
        data = copy.deepcopy(plan.data)
        change(data)
        assert refused(bench, canonical_bytes(data))[0].message.endswith(text)


FORGED = [
    (
        "steps/sums/config/query",
        lambda d: d["steps"][1]["config"].update(query="SELECT * FROM read_csv('/etc/passwd')"),
    ),
    ("steps/sums/config/query", lambda d: d["steps"][1]["config"].update(query="DROP TABLE load")),
    ("steps/sums/config/query", lambda d: d["steps"][1]["config"].update(query="select x from load")),
    ("steps/sums/config/query", lambda d: d["steps"][1]["config"].update(query="SELECT 1; SELECT 2")),
    ("steps/sums/config/query", lambda d: d.update(sensitive=[])),
    ("steps/sums/config/query", lambda d: d["steps"][1]["config"].update(query=5)),
    ("steps/sums/sql", lambda d: d["steps"][1].update(sql={})),
    ("steps/sums/sql", lambda d: d["steps"][1].update(sql={"query": "postgres"})),
    ("steps/load/config", lambda d: d["steps"][0]["config"].update(limit="many")),
    ("steps/load/config", lambda d: d["steps"][0]["config"].update(other=1)),
    ("steps/load/mode", lambda d: d["steps"][0].update(mode="transform")),
    ("steps/save/delivery", lambda d: d["steps"][2].update(delivery="exactly_once")),
    ("steps/load/connection", lambda d: d["steps"][0].update(connection="@filesystem.gone")),
    ("connections/nonsense", lambda d: d["connections"].update(nonsense={})),
    ("connections/@lake.main", lambda d: d["connections"].update({"@lake.main": {}})),
    ("steps/sums/needs", lambda d: d["steps"][1].update(needs=[])),
]


@pytest.mark.parametrize(("leaf", "change"), FORGED, ids=[f"{leaf} {i}" for i, (leaf, _) in enumerate(FORGED)])
def test_a_forged_plan_with_right_hashes_is_checked_like_a_new_one(bench, plan, leaf, change):
    data = copy.deepcopy(plan.data)
    change(data)
    found = refused(bench, sealed(data))
    assert {d.code for d in found} == {"CMP022"}
    assert any(leaf in d.message for d in found)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["steps"].reverse(),
        lambda d: d["steps"].append(d["steps"][0]),
        lambda d: d["steps"][0].update(needs=["sums"]),
        lambda d: d["steps"][0].update(needs=["nowhere"]),
        lambda d: d["steps"][1].update(needs=["load", "load"]),
    ],
)
def test_steps_out_of_order_are_refused(bench, plan, change):
    data = copy.deepcopy(plan.data)
    change(data)
    found = refused(bench, canonical_bytes(data))
    assert {d.code for d in found} == {"CMP022"}
    assert "steps" in found[0].message


def test_a_literal_secret_in_a_forged_plan_is_refused_and_not_shown(bench, plan):
    secret = "ghp_" + "a1B2c3D4e5F6" * 3
    data = copy.deepcopy(plan.data)
    data["steps"][0]["config"]["page"]["unit"] = secret
    (found,) = refused(bench, sealed(data))
    assert "steps/load/config/page/unit" in found.message
    assert secret not in found.message


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"component": "lake.gone"}, "it is not installed"),
        ({"version": "0.9.0"}, "version 1.0.0, planned 0.9.0"),
        ({"spec": "0" * 64}, "version 1.0.0, but another specification"),
    ],
)
def test_another_component_than_planned_is_refused(bench, plan, change, what):
    data = copy.deepcopy(plan.data)
    data["steps"][0].update(change)
    (found,) = refused(bench, sealed(data))
    assert found.code == "CMP023"
    assert what in found.message
    if "not installed" not in what:
        _, notes = verify_manifest(sealed(data), bench.registry, path="m.json", allow_changes=True)
        assert [(note.code, note.severity) for note in notes] == [("RUN023", "warning")]


def test_another_engine_is_refused_or_noted(bench, plan):
    engines = {"pyarrow": "0.0.1"}
    (found,) = refused(bench, manifest_bytes(plan), engines=engines)
    assert found.code == "CMP024"
    assert "pyarrow 0.0.1 is installed" in found.message
    _, notes = verify_manifest(manifest_bytes(plan), bench.registry, path="m.json", engines=engines, allow_drift=True)
    assert [(note.code, note.severity) for note in notes] == [("RUN015", "warning")]


def test_a_plan_of_another_version_of_ours_is_engine_drift_too(bench, plan):
    data = copy.deepcopy(plan.data)
    data["osiris"] = "9.9.9"
    data["engines"]["pyarrow"] = "1"
    found = refused(bench, sealed(data))
    assert sorted(d.message.split()[0] for d in found) == ["osiris", "pyarrow"]


def test_files_that_cannot_be_read_are_refused(bench, tmp_path):
    for name, code in [("gone.json", "CMP020"), ("manifest.yaml", "CMP025")]:
        with pytest.raises(IntegrityError) as caught:
            read_manifest(tmp_path / name)
        assert [d.code for d in caught.value.diagnostics] == [code]


def test_the_shape_knows_every_key_of_a_real_plan(plan):
    assert shape_problems(dict(plan.data)) == []
    assert shape_problems([]) == [("", "is not an object")]


@pytest.mark.parametrize("junk", [None, 1, 1.5, "x", "a" * 64 + "\n", [], {}, True, [1], {"a": 1}])
def test_the_shape_is_what_its_json_schema_says(plan, junk):
    """A standard JSON Schema validator and our check agree about each changed plan."""
    schema = json.loads(Path(manifest.__file__).with_name("manifest.schema.json").read_bytes())
    Draft202012Validator.check_schema(schema)
    standard = Draft202012Validator(schema)
    for path in paths(plan.data):
        data = copy.deepcopy(plan.data)
        parent = data
        for part in path[:-1]:
            parent = parent[part]
        parent[path[-1]] = junk
        assert bool(shape_problems(data)) != standard.is_valid(data), path
        if isinstance(parent, dict):
            del parent[path[-1]]
            assert bool(shape_problems(data)) != standard.is_valid(data), path


@pytest.mark.parametrize("junk", [None, 1, "x", [], {}, True, [1], {"a": 1}])
def test_no_value_in_the_place_of_another_is_more_than_a_refusal(bench, plan, junk):
    for path in paths(plan.data):
        data = copy.deepcopy(plan.data)
        parent = data
        for part in path[:-1]:
            parent = parent[part]
        if canonical_bytes(parent[path[-1]]) != canonical_bytes(junk):
            parent[path[-1]] = junk
            refused(bench, canonical_bytes(data))


def paths(value, at=()):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*at, key)
        yield from paths(item, (*at, key))
