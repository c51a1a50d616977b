"""A case that breaks is a failure of its own: neither right, nor the end of the others."""

import pytest
from bench.evaluation.cases import HELD_OUT, Case, World, load_cases, load_worlds
from bench.evaluation.grade import grade
from bench.evaluation.hold import Held
from bench.evaluation.score import score_set
from tests.unit.chat.scripted import environment, serving
from tests.unit.chat.talking import proposal

from osiris.chat.conversation import Options

GOLD = {"sql": "SELECT 1 AS n", "mode": "replace", "target": {"kind": "parquet"}}
OML = "steps: [{component: filesystem.parquet_writer, config: {path: output/x.parquet}}]"


@pytest.mark.parametrize("expect", ["pipeline", "question", "refusal"])
def test_an_error_is_a_failure(expect, tmp_path):
    world = World(tmp_path, "files", None, {})
    graded = grade(Case("a", "w", "x", expect, None, None), world, tmp_path, Held(error="INT000 broken"))
    assert (graded.verdict, graded.why) == ("failed", "INT000 broken")


def test_a_target_that_cannot_be_read_is_wrong(tmp_path):
    (tmp_path / "schema.sql").write_text("CREATE TABLE t (n INTEGER);")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "t.csv").write_text("n\n")
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "x.parquet").write_text("no parquet")
    held = Held(oml=OML, run={"ok": True, "diagnostics": []})
    case = Case("a", "w", "x", "pipeline", None, GOLD)
    graded = grade(case, World(tmp_path, "files", None, {}), tmp_path, held)
    assert graded.verdict == "wrong"
    assert "the target cannot be read" in graded.why


def test_the_published_set_is_whole():
    assert {case.world for case in load_cases(HELD_OUT)} == set(load_worlds(HELD_OUT))


def test_a_set_that_is_not_there_is_told_plainly(tmp_path):
    for load in (load_cases, load_worlds):
        with pytest.raises(LookupError, match=f"{tmp_path} has no set of requests"):
            load(tmp_path)


def lay_out_set(folder, *sqls):
    import json

    world = folder / "worlds" / "w"
    (world / "data").mkdir(parents=True)
    (world / "world.json").write_text('{"kind": "files"}')
    (world / "schema.sql").write_text("CREATE TABLE pets (id INTEGER, name VARCHAR);")
    (world / "data" / "pets.csv").write_text("id,name\n1,Ada\n2,Bo\n")
    cases = [
        {
            "id": f"c{n}",
            "world": "w" if sql else "elsewhere",
            "request": "pets to csv",
            "expect": "pipeline",
            "answer": None,
            "gold": {"sql": sql, "mode": "replace", "target": {"kind": "csv"}},
        }
        for n, sql in enumerate(sqls)
    ]
    (folder / "cases.jsonl").write_text("".join(json.dumps(case) + "\n" for case in cases))


def test_what_breaks_in_one_case_does_not_end_the_others(tmp_path):
    lay_out_set(tmp_path / "set", "SELECT * FROM nothing", "", "SELECT * FROM pets")
    told = []
    with serving({"pets to csv": proposal("data/pets.csv", name="pets")}) as server:
        score = score_set(tmp_path / "set", tmp_path / "scratch", Options(), environment(server), told.append)
    assert [each.verdict for each in score.graded] == ["failed", "failed", "right"]
    assert [each.why.partition(":")[0] for each in told] == ["CatalogException", "KeyError", ""]


def test_a_case_that_is_not_there_is_refused(tmp_path):
    lay_out_set(tmp_path / "set", "SELECT * FROM pets")
    with pytest.raises(LookupError, match="the set has no request 'c9', but c0"):
        score_set(tmp_path / "set", tmp_path / "scratch", Options(), {}, print, ["c0", "c9"])
    assert not (tmp_path / "scratch").exists()
