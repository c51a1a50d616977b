"""The compile cache: it saves the worker, changes no byte, and is not trusted for the rows of a run."""

import hashlib
import json
import sqlite3
import time

import pytest

PIPELINE = """oml_version: "0.1.0"
name: p
steps:
  - {id: orders, component: filesystem.csv_extractor, mode: read, config: {path: orders.csv}}
  - {id: sums, component: duckdb.processor, mode: transform, config: {query: SELECT sum(id) AS total FROM orders}}
  - {id: save, component: filesystem.csv_writer, mode: write, config: {path: out.csv}}
"""
NO_TIME = "run: {step_timeout: 0.001}\n"
"""So little that a worker that is asked for anything is too late."""


@pytest.fixture
def project(osiris, tmp_path):
    """A project that was compiled once, and a function that runs a command in it with --json."""
    (tmp_path / "osiris.yaml").touch()
    (tmp_path / "p.yaml").write_text(PIPELINE)
    (tmp_path / "orders.csv").write_text("id\n1\n2\n")

    def call(*args):
        done = osiris(*args, "--json", cwd=tmp_path)
        assert "Traceback" not in done.stderr
        return done.returncode, json.loads(done.stdout)

    call.folder = tmp_path
    call.cache = tmp_path / ".osiris/cache/compile.sqlite"
    code, envelope = call("compile", "p.yaml")
    assert code == 0
    call.plan = (tmp_path / envelope["data"]["manifest"]).read_bytes()
    return call


def compiled(project):
    code, envelope = project("compile", "p.yaml")
    assert code == 0, envelope
    return (project.folder / envelope["data"]["manifest"]).read_bytes()


def test_unchanged_pipeline_needs_no_worker(project):
    (project.folder / "osiris.yaml").write_text(NO_TIME)
    assert compiled(project) == project.plan


@pytest.mark.parametrize("change", ["SELECT sum(id) AS s FROM orders", "SELECT id FROM orders"])
def test_what_changed_is_asked(project, change):
    (project.folder / "osiris.yaml").write_text(NO_TIME)
    (project.folder / "p.yaml").write_text(PIPELINE.replace("SELECT sum(id) AS total FROM orders", change))
    code, envelope = project("compile", "p.yaml")
    assert (code, [d["code"] for d in envelope["diagnostics"] if d["severity"] == "error"]) == (1, ["RUN002"])


@pytest.mark.parametrize("harm", ["remove", "garbage", "cut"])
def test_cache_that_is_lost_or_broken_changes_nothing(project, harm):
    content = project.cache.read_bytes()
    project.cache.unlink()
    if harm != "remove":
        project.cache.write_bytes(b"garbage" * 100 if harm == "garbage" else content[: len(content) // 2])
    assert compiled(project) == project.plan
    assert compiled(project) == project.plan


def poison(project, change):
    """Change the answers in the cache so that each still looks valid."""
    file = sqlite3.connect(project.cache)
    for key, text in file.execute("SELECT key, answer FROM found").fetchall():
        answer = json.loads(text)
        change(answer)
        text = json.dumps(answer).encode()
        file.execute(
            "UPDATE found SET sum = ?, answer = ? WHERE key = ?", (hashlib.sha256(key + text).digest(), text, key)
        )
    file.commit()
    file.close()


def test_answers_of_another_form_are_none(project):
    poison(project, lambda answer: answer.clear())
    assert compiled(project) == project.plan
    poison(project, lambda answer: answer.update(schema=5, flow=5))
    assert compiled(project) == project.plan


def test_poisoned_verdict_runs_nothing(project):
    (project.folder / "secret.txt").write_text("content\n")

    def steal(answer):
        if "canonical" in answer:
            answer["canonical"] = "SELECT content AS total FROM read_text('secret.txt')"

    poison(project, steal)
    code, envelope = project("run", "p.yaml")
    assert code != 0
    assert {"SQL005", "SQL006"} & {d["code"] for d in envelope["diagnostics"]}, envelope
    assert not (project.folder / "out.csv").exists()


def test_poisoned_answer_is_found_out_before_rows_are_written(project):
    def lie(answer):
        if answer.get("schema"):
            answer["schema"][0]["type"] = "int8"

    poison(project, lie)
    code, envelope = project("run", "p.yaml")
    assert (code, [d["code"] for d in envelope["diagnostics"] if d["severity"] == "error"]) == (6, ["DAT011"])
    assert not (project.folder / "out.csv").exists()


def test_no_text_that_was_refused_is_kept(project):
    secret = "-----BEGIN RSA PRIVATE KEY----- hunter2hunter2"
    query = f"SELECT '{secret}' AS key FROM orders"
    (project.folder / "p.yaml").write_text(
        PIPELINE.replace("query: SELECT sum(id) AS total FROM orders", f"query: {json.dumps(query)}")
    )
    code, envelope = project("compile", "p.yaml")
    assert (code, [d["code"] for d in envelope["diagnostics"] if d["severity"] == "error"]) == (2, ["CMP006"])
    assert b"hunter2" not in project.cache.read_bytes()


@pytest.mark.bench
def test_a_thousand_unchanged_statements_compile_within_a_second(project, osiris):
    step = "  - {{id: s{0}, component: duckdb.processor, mode: transform, config: {{query: {1}}}}}"
    steps = "\n".join(step.format(number, f"SELECT id + {number} AS id FROM df") for number in range(1000))
    (project.folder / "p.yaml").write_text(PIPELINE.partition("  - {id: sums")[0] + steps)
    assert project("compile", "p.yaml")[0] == 0

    def seconds():
        began = time.perf_counter()
        assert osiris("compile", "p.yaml", cwd=project.folder).returncode == 0
        return time.perf_counter() - began

    assert min(seconds() for _ in range(9)) <= 1.0
