"""The installed command with osiris.lock: compiling without sources, refreshing, and rejecting drift."""

import json

import pytest

PIPELINE = """oml_version: "0.1.0"
name: p
steps:
  - {id: orders, component: filesystem.csv_extractor, mode: read, needs: [], config: {path: orders.csv}}
  - {id: people, component: filesystem.csv_extractor, mode: read, needs: [], config: {path: people.csv}}
  - id: joined
    component: duckdb.processor
    mode: transform
    needs: [orders, people]
    config:
      query: SELECT name, count(*) AS n FROM orders JOIN people ON orders.person = people.id GROUP BY name
  - {id: save, component: filesystem.csv_writer, mode: write, needs: [joined, copy], config: {path: out.csv}}
  - id: copy
    component: filesystem.parquet_writer
    mode: write
    needs: [people]
    config: {path: "${run.id}.parquet"}
"""


@pytest.fixture
def project(osiris, tmp_path):
    """A project with a pipeline over two files, and a function that runs a command in it with --json."""
    (tmp_path / "osiris.yaml").touch()
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines/p.yaml").write_text(PIPELINE)
    (tmp_path / "orders.csv").write_text("id,person\n1,1\n2,1\n")
    (tmp_path / "people.csv").write_text("id,name\n1,Ada\n")

    def call(*args):
        done = osiris(*args, "--json", cwd=tmp_path)
        assert "Traceback" not in done.stderr
        return done.returncode, json.loads(done.stdout)

    call.folder = tmp_path
    return call


def origins(envelope):
    return {step: told["from"] for step, told in envelope["data"]["sources"].items()}


def problems(envelope):
    return [(d["code"], d["message"], d["hint"]) for d in envelope["diagnostics"] if d["severity"] == "error"]


def test_compiling_needs_no_source_once_it_is_pinned(project):
    code, first = project("compile", "pipelines/p.yaml")
    assert (code, origins(first)) == (0, {"orders": "source", "people": "source"})
    lock = (project.folder / "osiris.lock").read_bytes()
    for name in ("orders.csv", "people.csv"):
        (project.folder / name).unlink()
    for arguments in ((), ("--check", "--detailed-exitcode")):
        code, again = project("compile", "pipelines/p.yaml", *arguments)
        assert (code, origins(again)) == (0, {"orders": "lock", "people": "lock"})
        assert again["data"]["fingerprint"] == first["data"]["fingerprint"]
    assert (project.folder / "osiris.lock").read_bytes() == lock
    code, refused = project("compile", "pipelines/p.yaml", "--refresh")
    assert (code, [c for c, *_ in problems(refused)]) == (1, ["DRV001", "DRV001"])


def test_what_is_not_pinned_is_asked_and_added(project):
    project("compile", "pipelines/p.yaml")
    text = (project.folder / "pipelines/p.yaml").read_text()
    (project.folder / "more.csv").write_text("id,name\n1,Ada\n")
    (project.folder / "people.csv").unlink()
    (project.folder / "pipelines/p.yaml").write_text(text.replace("orders.csv", "further.csv"))
    (project.folder / "further.csv").write_text("id,person\n1,1\n")
    code, envelope = project("compile", "pipelines/p.yaml")
    assert (code, origins(envelope)) == (0, {"orders": "source", "people": "lock"})
    assert (project.folder / "osiris.lock").read_text().count("- component") == 3


@pytest.mark.parametrize("command", [("compile", "--check"), ("run", "--dry-run"), ("validate",)], ids=" ".join)
def test_what_only_looks_writes_no_lock(project, command):
    assert project(command[0], "pipelines/p.yaml", *command[1:])[0] == 0
    assert not (project.folder / "osiris.lock").exists()


def test_refresh_tells_each_change_by_column(project):
    project("compile", "pipelines/p.yaml")
    (project.folder / "people.csv").write_text("id,name,born\n1,Ada,1815-12-10\n")
    (project.folder / "orders.csv").write_text("person,id\n1,a\n")
    code, still = project("compile", "pipelines/p.yaml")
    assert (code, still["data"]["sources"]["people"]["changes"]) == (0, [])
    code, envelope = project("compile", "pipelines/p.yaml", "--refresh")
    assert code == 0
    assert envelope["data"]["sources"]["people"]["changes"] == [
        {"kind": "added", "column": "born", "old": None, "new": "date"}
    ]
    assert [change["kind"] for change in envelope["data"]["sources"]["orders"]["changes"]] == ["type", "places"]
    notes = [(d["file"], d["line"], d["message"]) for d in envelope["diagnostics"] if d["code"] == "LCK006"]
    assert ("pipelines/p.yaml", 5, "step 'people' reads people.csv: column 'born' is new (date)") in notes
    assert '"born": "date"' in (project.folder / "osiris.lock").read_text()
    assert origins(project("compile", "pipelines/p.yaml")[1]) == {"orders": "lock", "people": "lock"}


def test_a_run_compiles_from_the_lock_and_pins(project):
    assert project("run", "pipelines/p.yaml")[0] == 0
    assert (project.folder / "osiris.lock").read_text().count("- component") == 2
    lock = (project.folder / "osiris.lock").read_bytes()
    assert project("run", "pipelines/p.yaml")[0] == 0
    assert (project.folder / "osiris.lock").read_bytes() == lock


@pytest.mark.parametrize("target", ["pipelines/p.yaml", "--last-compile"])
def test_drift_of_all_sources_is_refused_before_anything_is_written(project, target):
    project("compile", "pipelines/p.yaml")
    (project.folder / "orders.csv").write_text("id,human\n1,1\n")
    (project.folder / "people.csv").write_text("id\n1\n")
    before = sorted(path.name for path in project.folder.iterdir())
    code, envelope = project("run", target)
    assert (code, envelope["data"]["status"]) == (6, "failed")
    found = problems(envelope)
    assert {c for c, *_ in found} == {"DAT011"}
    for step, column in (("orders", "person"), ("people", "name")):
        assert any(f"'{step}'" in message and f"'{column}'" in message for _, message, _ in found)
        assert envelope["data"]["steps"][step]["status"] == "failed"
    assert all("--refresh" in hint and "FILE" not in hint for *_, hint in found)
    assert sorted(path.name for path in project.folder.iterdir()) == sorted({*before, "logs"})


def test_a_plan_runs_without_a_lock(project):
    project("compile", "pipelines/p.yaml")
    (project.folder / "osiris.lock").write_text("<<<<<<< HEAD\n")
    assert project("run", "--last-compile")[0] == 0
    code, envelope = project("compile", "pipelines/p.yaml")
    assert (code, [c for c, *_ in problems(envelope)]) == (4, ["LCK002"])


def test_source_that_was_mended_is_read_again_beside_what_was_kept_of_another(project):
    project("compile", "pipelines/p.yaml")
    (project.folder / "orders.csv").write_text("id,person\n" + "1,1\n" * 100_000 + "2,nobody\n")
    failed = project("run", "--last-compile")[1]
    assert [step for step, told in failed["data"]["steps"].items() if told["status"] == "failed"] == ["orders"]
    (project.folder / "orders.csv").write_text("id,person\n1,1\n2,1\n3,1\n")
    code, envelope = project("run", "--last-compile", "--resume", failed["data"]["session"])
    assert (code, [d["code"] for d in envelope["diagnostics"] if d["code"].startswith("RUN")]) == (0, ["RUN011"])
    assert envelope["data"]["run_key"] == failed["data"]["run_key"]
    assert (project.folder / "out.csv").read_text() == "name,n\nAda,3\n"


def test_unchanged_sources_are_continued(project):
    (project.folder / "out.csv").mkdir()
    failed = project("run", "pipelines/p.yaml")[1]
    (project.folder / "out.csv").rmdir()
    code, envelope = project("run", "pipelines/p.yaml")
    assert (code, [d["code"] for d in envelope["diagnostics"] if d["code"].startswith("RUN")]) == (0, ["RUN011"])
    assert envelope["data"]["run_key"] == failed["data"]["run_key"]


def test_a_compile_tells_that_it_did_not_look_and_what_a_run_has_seen(project, osiris):
    """It uses the lock, and so does not query the source; but a run that was rejected has seen it."""

    def compiled(*options):
        _, envelope = project("compile", "pipelines/p.yaml", *options)
        done = osiris("compile", "pipelines/p.yaml", *options, cwd=project.folder)
        return done.stdout, [(d["code"], d["line"]) for d in envelope["diagnostics"] if d["severity"] == "warning"]

    project("run", "pipelines/p.yaml")
    text, warnings = compiled()
    assert (
        "sources not read, as their schemas are known: orders, people "
        "(to read them: osiris compile pipelines/p.yaml --refresh)" in text
    )
    assert warnings == []
    (project.folder / "people.csv").write_text("id,fullname\n1,Ada\n")
    assert project("run", "pipelines/p.yaml", "--new-run")[0] == 6
    text, warnings = compiled()
    assert (warnings, "as their schemas are known" in text) == ([("DAT036", 5)], True)
    (project.folder / "people.csv").write_text("id,name,more\n1,Ada,2\n")
    text, warnings = compiled("--refresh")
    assert (warnings, "schemas from" in text, "people" in text) == ([], False, True)
    assert project("run", "pipelines/p.yaml", "--new-run")[0] == 0
    assert compiled()[1] == []
