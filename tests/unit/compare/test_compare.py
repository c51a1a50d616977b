"""Plans and runs that differ in one thing, and the name of that difference."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest

from osiris.codes import CODES
from osiris.compare.differences import ABSENT, diff, first_change
from osiris.compare.differences import verify as verify_below
from osiris.compiler.build import build
from osiris.compiler.context import Prepared
from osiris.compiler.passes import TypedPipeline
from osiris.delivery import inspect_file
from osiris.model import ComponentSpec, ConnectionRef, Described, Field, Pipeline, Step


def spec(name, mode, **changes):
    sql = {"query": {"type": "string", "x-sql": "duckdb"}} if mode == "transform" else {}
    config = {"type": "object", "additionalProperties": False, "properties": {"path": {"type": "string"}, **sql}}
    delivery = "atomic_replace" if mode == "write" else None
    base = ComponentSpec(name, "1.0.0", name, name, "lake", (mode,), config, "a" * 64, name, delivery=delivery)
    return replace(base, **changes)


SPECS = {
    s.name: s for s in (spec("lake.reader", "read"), spec("lake.query", "transform"), spec("lake.writer", "write"))
}
STEPS = (
    Step("load", "lake.reader", "read", {"path": "a"}, connection=ConnectionRef("lake", "main")),
    Step("sums", "lake.query", "transform", {"query": "SELECT 1 AS x"}, needs=("load",), inputs={"df": "load"}),
    Step("save", "lake.writer", "write", {"path": "b", "limit": 3}, needs=("sums",), inputs={"df": "sums"}),
)
SCHEMA = (Field("x", "int64"), Field("y", "utf8"))
DESCRIBED = {"load": Described(SCHEMA, "fixed"), "sums": Described(SCHEMA), "save": Described(None)}
PREPARED = Prepared(
    Pipeline("p", STEPS, params={"since": "2025-01-01"}, description="d"),
    SPECS,
    {"@lake.main": {"host": "${HOST}"}},
    {"pyarrow": "26.0.1"},
)


def with_step(prepared, name, **changes):
    steps = tuple(replace(step, **changes) if step.id == name else step for step in prepared.pipeline.steps)
    return replace(prepared, pipeline=replace(prepared.pipeline, steps=steps))


def with_pipeline(**changes):
    return replace(PREPARED, pipeline=replace(PREPARED.pipeline, **changes))


def typed_build(prepared, described):
    return build(TypedPipeline(prepared, described))


PLAN = typed_build(PREPARED, DESCRIBED)
NARROW = DESCRIBED | {"sums": Described((Field("x", "int32"), Field("y", "utf8")))}
LONGER = DESCRIBED | {"load": Described((Field("w", "bool"), *SCHEMA), "fixed")}
SWAPPED = DESCRIBED | {"load": Described(SCHEMA[::-1], "fixed")}

CASES = [
    (with_step(PREPARED, "load", config={"path": "c"}), DESCRIBED, ['steps/load/config/path: "a" -> "c"']),
    (with_step(PREPARED, "save", config={"path": "b"}), DESCRIBED, ["steps/save/config/limit: 3 -> nothing"]),
    (
        with_step(PREPARED, "sums", config={"query": "SELECT 2 AS x"}),
        DESCRIBED,
        ['steps/sums/config/query: "SELECT 1 AS x" -> "SELECT 2 AS x"'],
    ),
    (with_step(PREPARED, "save", description="why"), DESCRIBED, ['steps/save/description: nothing -> "why"']),
    (with_step(PREPARED, "load", connection=None), DESCRIBED, ['steps/load/connection: "@lake.main" -> null']),
    (with_step(PREPARED, "save", inputs={"x": "sums"}), DESCRIBED, ['steps/save/inputs/df: "sums" -> nothing']),
    (with_pipeline(params={"since": "2026-01-01"}), DESCRIBED, ['params/since: "2025-01-01" -> "2026-01-01"']),
    (with_pipeline(sensitive=("token",)), DESCRIBED, ['sensitive: [] -> ["token"]']),
    (with_pipeline(description=None), DESCRIBED, ['pipeline/description: "d" -> nothing']),
    (replace(PREPARED, engines={"pyarrow": "27"}), DESCRIBED, ['engines/pyarrow: "26.0.1" -> "27"']),
    (
        replace(PREPARED, connections={"@lake.main": {"host": "h"}}),
        DESCRIBED,
        ['connections/@lake.main/host: "${HOST}" -> "h"'],
    ),
    (PREPARED, NARROW, ['steps/sums/schema/x/type: "int64" -> "int32"']),
    (PREPARED, SWAPPED, ['steps/load/columns/0: "x" -> "y"']),
    (PREPARED, LONGER, ['steps/load/columns: ["x", "y"] -> ["w", "x", "y"]']),
    (PREPARED, DESCRIBED | {"load": Described(SCHEMA, "free")}, ['steps/load/order: "fixed" -> "free"']),
    (with_pipeline(steps=STEPS[:2]), DESCRIBED, ['steps/save: "lake.writer" -> nothing']),
    (
        replace(PREPARED, specs=SPECS | {"lake.reader": spec("lake.reader", "read", version="1.1.0")}),
        DESCRIBED,
        ['steps/load/version: "1.0.0" -> "1.1.0"'],
    ),
]


@pytest.mark.parametrize(("prepared", "described", "expected"), CASES, ids=[case[2][0].split(":")[0] for case in CASES])
def test_the_first_difference_between_two_plans_is_the_one_that_was_made(prepared, described, expected):
    changed = typed_build(prepared, described)
    found = diff(PLAN, changed)
    assert str(found[0]) == expected[0]
    assert str(first_change(PLAN, changed)) == expected[0]
    assert changed.fingerprint != PLAN.fingerprint


def test_a_plan_does_not_differ_from_itself():
    again = typed_build(PREPARED, DESCRIBED)
    assert diff(PLAN, again) == []
    assert first_change(PLAN, again) is None


def test_without_a_saved_plan_all_of_it_is_new():
    assert str(first_change(None, PLAN)) == "build/ has no plan of this pipeline"


def test_steps_that_only_follow_a_change_are_not_listed():
    changed = typed_build(with_step(PREPARED, "load", config={"path": "c"}), DESCRIBED)
    assert [item.leaf for item in diff(PLAN, changed)] == ["steps/load/config"]
    assert all(old["hash"] != new["hash"] for old, new in zip(PLAN.steps, changed.steps, strict=True))


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("SELECT 1\nFROM a", "SELECT 1\nFROM b", 'line 2: "FROM a" -> "FROM b"'),
        ("SELECT 1\nFROM a", "SELECT 1", 'line 2: "FROM a" -> nothing'),
        ("a\nb\nc", "a\nB\nC", 'line 2: "b" -> "B" (lines that differ: 2)'),
    ],
)
def test_of_a_long_text_the_first_line_that_differs_is_shown(old, new, text):
    plans = [typed_build(with_step(PREPARED, "sums", config={"query": query}), DESCRIBED) for query in (old, new)]
    (found,) = diff(*plans)
    assert str(found) == f"steps/sums/config/query {text}"
    assert (found.old, found.new) == (old, new)


def test_texts_that_differ_in_their_line_ends_differ():
    plans = [typed_build(with_step(PREPARED, "sums", config={"query": query}), DESCRIBED) for query in ("a\n", "a\r\n")]
    assert [str(item) for item in diff(*plans)] == ['steps/sums/config/query: "a\\n" -> "a\\r\\n"']


def test_a_difference_as_json_leaves_out_what_is_not_there():
    (found,) = diff(PLAN, typed_build(with_pipeline(description=None), DESCRIBED))
    assert found.new is ABSENT
    assert found.to_json() == {
        "leaf": "pipeline",
        "path": "pipeline/description",
        "old": "d",
        "text": 'pipeline/description: "d" -> nothing',
    }


DIGEST = {
    "kind": "ordered",
    "algorithm": "sha256",
    "rows": 3,
    "schema": "s",
    "columns": {"x": "1", "y": "2"},
    "value": "v",
}
RUN = {
    "session": "first",
    "status": "complete",
    "outputs": {"save": {"digest": DIGEST, "rows": 3, "files": [{"path": "b", "size": 1, "sha256": "00"}]}},
}


def verify(*runs):
    return verify_below(*runs, Path("nowhere"))


def run(**changes):
    other = copy.deepcopy(RUN)
    other["outputs"]["save"]["digest"] |= changes
    return other


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"columns": {"x": "9", "y": "2"}, "value": "w"}, "DAT010", "step 'save': column 'x' differs"),
        ({"columns": {"x": "1"}, "schema": "t"}, "DAT010", "step 'save': column 'y' is only in the first run"),
        ({"columns": {"z": "", **DIGEST["columns"]}}, "DAT010", "step 'save': column 'z' is only in the second run"),
        ({"rows": 4, "value": "w"}, "DAT010", "save/rows: 3 -> 4"),
        ({"value": "w"}, "DAT010", "step 'save': pairing differs: every column has the same values, but in other rows"),
        ({"kind": "unordered"}, "DAT009", "step 'save': the kind of the digests differs, ordered and unordered"),
        ({"algorithm": "xxh3"}, "DAT009", "step 'save': the algorithm of the digests differs, sha256 and xxh3"),
        (
            {"schema": "t", "value": "w"},
            "DAT010",
            "step 'save': the columns have other types or another order",
        ),
    ],
)
def test_what_differs_between_two_runs_is_named(changes, code, text):
    found = verify(RUN, run(**changes))
    assert [(item.code, str(item)) for item in found] == [(code, text)]
    assert found[0].to_diagnostic().code == code
    assert found[0].to_diagnostic().message == text


def test_equal_runs_do_not_differ():
    assert verify(RUN, run()) == []


def test_every_column_that_differs_is_named_with_the_rows():
    found = verify(RUN, run(rows=4, columns={"x": "8", "y": "9"}))
    assert [item.path for item in found] == ["save/rows", "save/columns/x", "save/columns/y"]


@pytest.mark.parametrize("kept", [(2, 2), (3, 2)])
def test_digests_of_rows_that_a_target_refused_in_part_tell_nothing(kept):
    first, second = run(), run()
    for each, rows in zip((first, second), kept, strict=True):
        each["outputs"]["save"]["rows"] = rows
    (found,) = verify(first, second)
    assert (found.code, found.path) == ("DAT009", "save/rows")


def test_a_step_that_wrote_in_one_run_only_is_named():
    (found,) = verify(RUN, RUN | {"outputs": {}})
    assert str(found) == "step 'save' wrote only in the first run"


def test_two_runs_without_digests_cannot_be_compared():
    (found,) = verify(RUN | {"outputs": {}}, RUN | {"outputs": {}})
    assert found.code == "DAT009"


@pytest.mark.parametrize("status", ["failed", "lost", "cancelled", "running"])
def test_a_run_that_is_not_complete_is_named_before_anything_that_differs(status):
    part = run(rows=2) | {"session": "second", "status": status}
    part["outputs"]["save"]["rows"] = 2
    found = [item.to_diagnostic() for item in verify(RUN, part)]
    assert [item.code for item in found] == ["DAT009", "DAT010"]
    assert found[0].message == f"run second is {status}, not complete: its output may be partial"
    assert [item.code for item in verify(part, part)] == ["DAT009", "DAT009"]


def wrote(root, name, *contents, kind="ordered", suffix="csv"):
    """Return a run that wrote files of these contents, with a unique digest."""
    paths = [f"{name}-{number}.{suffix}" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        (root / path).write_bytes(content)
    files = [inspect_file(root, path).to_json() for path in paths]
    digest = DIGEST | {"kind": kind, "columns": {"x": name, "y": name}, "value": name}
    return {"session": name, "status": "complete", "outputs": {"save": {"digest": digest, "files": files}}}


def hints(root, old, new):
    return [item.to_diagnostic().hint for item in verify_below(old, new, root)]


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ([b"x,y\n1,2\n3,4\n"], [b"x,y\n1,2\n3,5\n"], "a-0.csv and b-0.csv first differ in line 3"),
        ([b"x\n1\n"], [b"x\n1\n2\n"], "a-0.csv and b-0.csv first differ in line 3"),
        ([b"x\n1"], [b"x\r\n1"], "a-0.csv and b-0.csv first differ in line 1"),
        ([b"", b"x\n\xff\n"], [b"", b"x\n\xfe\n"], "a-1.csv and b-1.csv first differ in line 2"),
        ([b"x\n"], [b"x\n"], "the first different row is unknown: the files are the same"),
        ([b"x\n"], [b"x\n", b"y\n"], "the first different row is unknown: one run wrote 1 files, the other 2"),
    ],
)
def test_the_first_line_that_differs_is_said_once_for_an_output(tmp_path, old, new, text):
    assert hints(tmp_path, wrote(tmp_path, "a", *old), wrote(tmp_path, "b", *new)) == [text, CODES["DAT010"].hint]


@pytest.mark.parametrize("harm", ["remove", "change"])
def test_a_file_that_is_not_as_its_run_left_it_is_not_read(tmp_path, harm):
    old, new = wrote(tmp_path, "a", b"x\n1\n"), wrote(tmp_path, "b", b"x\n2\n")
    if harm == "remove":
        (tmp_path / "b-0.csv").unlink()
    else:
        (tmp_path / "b-0.csv").write_bytes(b"x\n3\n")
    text = "the first different row is unknown: b-0.csv was changed or removed since its run"
    assert hints(tmp_path, old, new)[0] == text


def test_objects_of_stores_are_not_looked_into(tmp_path):
    runs = [wrote(tmp_path, name, name.encode()) for name in "ab"]
    for run in runs:
        run["outputs"]["save"]["files"][0]["path"] = f"s3://lake/{run['session']}.csv"
    assert hints(tmp_path, *runs)[0] == "the first different row is unknown: s3://lake/a.csv is in an object store"


def test_two_runs_that_wrote_one_path_are_told_how_to_keep_both(tmp_path):
    old, new = wrote(tmp_path, "a", b"x\n1\n"), wrote(tmp_path, "a", b"x\n2\n")
    new["outputs"]["save"]["digest"] |= {"rows": 9}
    text = "the first different row is unknown: both runs wrote a-0.csv; add ${run.id} to its path"
    assert hints(tmp_path, old, new) == [text]


def test_no_line_is_named_where_a_line_is_no_row_or_rows_have_no_order(tmp_path):
    binary = [wrote(tmp_path, name, name.encode(), suffix="parquet") for name in "ab"]
    assert hints(tmp_path, *binary)[0].endswith("a-0.parquet is not a text file")
    free = [wrote(tmp_path, name, name.encode(), kind="unordered") for name in "ab"]
    assert hints(tmp_path, *free)[0] == "rows have no defined order, so there is no first difference"
