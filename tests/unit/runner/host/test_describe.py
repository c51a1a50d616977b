import os
import subprocess
import sys

import pytest

from osiris.api.opening import open_project
from osiris.api.pipelines import validate_file
from osiris.errors import OsirisError
from osiris.runner.adapter import start_worker
from osiris.runner.host.describe import describe

RUN_COLUMNS = [("id", "int64"), ("run", "utf8"), ("at", "timestamp[us,UTC]")]
TEXT = """oml_version: "0.1.0"
name: p
steps:
  - id: src
    component: filesystem.csv_extractor
    mode: read
    config:
      path: in.csv
  - id: sorted
    component: duckdb.processor
    mode: transform
    config:
      query: SELECT id, ${run.id} AS run, ${run.started_at} AS at FROM src ORDER BY id
  - id: broken
    component: duckdb.processor
    mode: transform
    needs: [src]
    config:
      query: SELECT nope FROM src
  - id: lost
    component: filesystem.csv_extractor
    mode: read
    needs: []
    config:
      path: missing.csv
"""


@pytest.fixture
def prepare(tmp_path):
    (tmp_path / "osiris.yaml").touch()
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "in.csv").write_text("id,name\n1,a\n")

    def call(text):
        (tmp_path / "pipelines/p.yaml").write_text(text)
        workspace = open_project(tmp_path, os.environ)
        checked = validate_file(workspace, tmp_path / "pipelines/p.yaml", params={})
        assert checked.prepared, checked.diagnostics
        return workspace.project, checked.prepared, workspace.config

    return call


def test_schemas_and_orders(prepare):
    project, prepared, config = prepare(TEXT.partition("  - id: broken")[0])
    with start_worker(project.root) as link:
        for _ in range(2):
            described, notes = describe(project, prepared, config, link)
            assert notes == []
            assert [(f.name, f.type) for f in described["src"].schema] == [("id", "int64"), ("name", "utf8")]
            assert [(f.name, f.type) for f in described["sorted"].schema] == RUN_COLUMNS
            assert [described[name].order for name in ("src", "sorted")] == ["fixed", "fixed"]
    assert list(project.scratch.iterdir()) == []


MISSPELT = """  - id: sums
    component: duckdb.processor
    mode: transform
    needs: [src]
    config:
      query: {query}
  - id: save
    component: filesystem.csv_writer
    mode: write
    needs: [sums]
    config: {{path: name.csv}}
"""


@pytest.mark.parametrize(
    ("query", "line", "column"),
    [
        ("|\n        -- sums\n        select s.name,\n               sum(s.nmae) as n\n        from src as s", 3, 22),
        ("|\n        select name,\n          nmae::int as n from src", 2, 11),
        ('"SELECT s.name, s.nmae FROM src AS s"', 0, 32),
        ("'SELECT \"na me\" FROM src'", 0, 22),
        ("|\n        select nmae, -- nmae\n        name from src", 1, 16),
        ("|\n        select name from src where nmae = 'nmae'", 1, 36),
        ('"SELECT s.n\\x6Dae FROM src AS s"', 0, 24),
    ],
)
def test_a_misspelt_column_is_told_where_it_is_written(query, line, column, prepare):
    text = TEXT.partition("  - id: sorted")[0] + MISSPELT.format(query=query)
    with pytest.raises(OsirisError) as caught:
        describe(*prepare(text))
    (found,) = caught.value.diagnostics
    first = next(number for number, each in enumerate(text.splitlines(), 1) if "query:" in each)
    assert (found.code, found.location.file) == ("SQL009", "pipelines/p.yaml")
    assert (found.location.line - first, found.location.column) == (line, column)
    assert found.hint == "did you mean 'name' (utf8)?"


KEEPING = """  - id: kept
    component: duckdb.processor
    mode: transform
    needs: [{parent}]
    config:
      query: SELECT id FROM df WHERE id > 0
  - id: kept_again
    component: duckdb.processor
    mode: transform
    needs: [kept]
    config:
      query: SELECT id FROM df LIMIT 3
"""
GROUPED = """  - id: grouped
    component: duckdb.processor
    mode: transform
    needs: [src]
    config:
      query: SELECT id FROM df GROUP BY id
"""


@pytest.mark.parametrize(("parent", "order"), [("src", "fixed"), ("grouped", "free")])
def test_a_step_that_keeps_the_order_has_that_of_its_input(parent, order, prepare):
    start = TEXT.partition("  - id: sorted")[0]
    described, _ = describe(*prepare(start + GROUPED + KEEPING.format(parent=parent)))
    assert [described[name].order for name in ("kept", "kept_again")] == [order, order]


def test_scratch_of_a_killed_process_is_removed(prepare):
    project, prepared, config = prepare(TEXT.partition("  - id: sorted")[0])
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for pid in (gone.pid, os.getpid()):
        (project.scratch / f"describe-{pid}-x").mkdir(parents=True)
    describe(project, prepared, config)
    assert [path.name for path in project.scratch.iterdir()] == [f"describe-{os.getpid()}-x"]


def test_every_problem_has_its_place(prepare):
    project, prepared, config = prepare(TEXT)
    with pytest.raises(OsirisError) as caught:
        describe(project, prepared, config)
    found = [(d.code, d.location.file, d.location.line) for d in caught.value.diagnostics]
    lines = TEXT.splitlines()
    assert ("SQL009", "pipelines/p.yaml", lines.index("      query: SELECT nope FROM src") + 1) in found
    assert ("DRV001", "pipelines/p.yaml") in [entry[:2] for entry in found]
    assert len(found) == 2
