"""Plans with one mistake each: every error is at the wrong word, and names the right one if there is one.

`mutated/good/` has the correct plans; `NAME.yaml` is one of them with one mistake, and `NAME.expect.json` has its line
and column (`or`: other acceptable positions), the text that the message or hint must contain, and the exit code if it
is not 2.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from osiris import api
from osiris.errors import OsirisError
from osiris.runner.adapter import start_worker

HERE = Path(__file__).parent / "mutated"
TABLES = Path(__file__).parents[1] / "fixtures" / "tpch"
MUTATED = sorted(path.stem for path in HERE.glob("*.yaml"))
GOOD = sorted(path.stem for path in HERE.glob("good/*.yaml"))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mutated")
    shutil.copytree(HERE / "data", folder / "data")
    (folder / "tables").mkdir()
    for table in ("nation", "region", "supplier"):
        shutil.copy(TABLES / f"{table}.parquet", folder / "tables")
    (folder / "osiris.yaml").write_text("")
    (folder / "pipelines").mkdir()
    opened = api.open_project(folder, {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ})
    with start_worker(folder) as worker:  # one for all, to be quick
        yield folder, opened, worker


def test_there_are_enough_of_them():
    assert len(MUTATED) >= 100


def compile_copy(path, workspace):
    folder, opened, worker = workspace
    file = folder / "pipelines" / "plan.yaml"
    shutil.copy(path, file)
    return api.compile_file(opened, file, params={}, worker=worker)


@pytest.mark.parametrize("name", GOOD)
def test_the_plan_without_the_mistake_compiles(name, workspace):
    assert compile_copy(HERE / "good" / f"{name}.yaml", workspace).manifest


@pytest.mark.parametrize("name", MUTATED)
def test_a_mistake_is_refused_at_its_place(name, workspace):
    expected = json.loads((HERE / f"{name}.expect.json").read_text("utf-8"))
    with pytest.raises(OsirisError) as refused:
        compile_copy(HERE / f"{name}.yaml", workspace)
    places = [(expected["line"], expected["column"]), *map(tuple, expected.get("or", ()))]
    found = [d for d in refused.value.diagnostics if d.severity == "error"]
    there = [d for d in found if (d.location.line, d.location.column) in places]
    assert there, f"expected at {places}: {[str(d) for d in found]}"
    said = " ".join(f"{d.message} {d.hint}" for d in there)
    unsaid = [word for word in expected["contains"] if not re.search(rf"(?<!\w){re.escape(word)}(?!\w)", said)]
    assert not unsaid, f"{unsaid} is not in: {said}"
    assert refused.value.exit_code == expected.get("exit", 2)


def test_the_command_says_the_same(osiris, workspace):
    folder, _, _ = workspace
    shutil.copy(HERE / "revenue-where-column.yaml", folder / "pipelines" / "plan.yaml")
    done = osiris("compile", "pipelines/plan.yaml", "--json", cwd=folder)
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["ok"]) == (2, False)
    expected = json.loads((HERE / "revenue-where-column.expect.json").read_text("utf-8"))
    errors = [(d["line"], d["column"]) for d in answer["diagnostics"] if d["severity"] == "error"]
    assert errors == [(expected["line"], expected["column"])]
