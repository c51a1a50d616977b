"""Files on disk may contain anything: each key of each file is removed or gets another type, and nothing breaks."""

import json
import random
import shutil

import pytest

from osiris.session.stored import problem_of, read_summary

PIPELINE = """\
oml_version: "0.1.0"
name: orders
steps:
  - {id: rows, component: filesystem.csv_extractor, mode: read, config: {path: data/a.csv}}
  - id: written
    component: filesystem.csv_writer
    mode: write
    inputs: {df: "${rows.df}"}
    config: {path: output/b.csv}
"""
OTHERS = (None, 7, "text", [], {}, [7], {"x": 7}, True, -1)
COMMANDS = (
    ("logs", "aiop", "list"),
    ("logs", "html"),
    ("explain", "last"),
    ("run", "--resume", "orders.yaml"),
    ("run", "orders.yaml"),
)


@pytest.fixture(scope="module")
def ran(osiris, tmp_path_factory):
    """A project with a complete run, a failed one, and what these leave."""
    folder = tmp_path_factory.mktemp("ran")
    (folder / "data").mkdir()
    (folder / "osiris.yaml").write_text("{}\n")
    (folder / "data" / "a.csv").write_text("id,name\n1,a\n")
    (folder / "orders.yaml").write_text(PIPELINE)
    assert osiris("run", "orders.yaml", cwd=folder).returncode == 0
    (folder / "output" / "b.csv").unlink()
    (folder / "output" / "b.csv").mkdir()
    assert osiris("run", "orders.yaml", cwd=folder).returncode == 1
    (folder / "output" / "b.csv").rmdir()
    return folder


@pytest.fixture
def folder(ran, tmp_path):
    return shutil.copytree(ran, tmp_path / "project")


def last(folder):
    return max((folder / "logs").iterdir(), key=lambda path: path.name[-5:])


def leaves(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from leaves(item, (*path, key))


def mutations(value):
    """Yield a JSON value with each part removed or replaced by another value."""
    for path in leaves(value):
        for other in (*OTHERS, "gone"):
            changed = json.loads(json.dumps(value))
            inner = changed
            for key in path[:-1]:
                inner = inner[key]
            if not path:
                changed = other
            elif other == "gone":
                del inner[path[-1]]
            else:
                inner[path[-1]] = other
            yield path, other, changed


def run_all(osiris, folder, what):
    for words in COMMANDS:
        done = osiris(*words, cwd=folder)
        told = done.stdout + done.stderr
        assert "Traceback" not in told, (what, words, told)
        assert "INT000" not in told, (what, words, told)
        assert done.returncode in (0, 1, 2, 4), (what, words, told)
    assert done.returncode == 0, (what, told)  # a damaged session never keeps a run from running
    assert (folder / "output" / "b.csv").read_text() == "id,name\n1,a\n"


def try_some(osiris, ran, tmp_path, number, name):
    """Change `number` parts of a file of the last session, one at a time."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    before = json.loads((last(ran) / name).read_text())
    every = list(mutations(before))
    for turn, (path, other, changed) in enumerate(random.Random(seed).sample(every, min(number, len(every)))):
        folder = shutil.copytree(ran, tmp_path / str(turn))
        (last(folder) / name).write_text(json.dumps(changed))
        run_all(osiris, folder, (path, other))


def test_some_changes_of_run_json(osiris, ran, tmp_path):
    try_some(osiris, ran, tmp_path, 3, "run.json")


@pytest.mark.long
def test_many_changes_of_run_json(osiris, ran, tmp_path):
    try_some(osiris, ran, tmp_path, 2000, "run.json")


def test_each_key_of_run_json_is_looked_at(ran, tmp_path):
    """The schema accepts only values of each key's type."""
    whole = read_summary(last(ran))
    none = type(None)
    types = {key: {type(value)} for key, value in whole.items()}
    types |= {"continues": {none, str}, "selected": {none, list}, "ended_at": {none, str}, "oml": {none, str}}
    types |= {"duration_ms": {none, int, float}, "base": {none, dict}}
    folder = tmp_path / last(ran).name
    folder.mkdir()
    for path, _, changed in mutations(json.loads((last(ran) / "run.json").read_text())):
        if len(path) != 1:
            continue
        (folder / "run.json").write_text(json.dumps(changed))
        found = read_summary(folder)
        assert (found is None) == (problem_of(folder) is not None)
        for key in found or ():
            assert type(found[key]) in types[key], (path, key)


CONTENTS = {
    "empty": b"",
    "cut": b"{",
    "not UTF-8": b"\xff\xfe",
    "deep": b"[" * 100_000,
    "null": b"null",
    "a number": b'{"session": 7}',
}
LAST_PLAN = ".osiris/last_compile.json"
FILES = (
    "logs/*/run.json",
    "logs/*/events.jsonl",
    "logs/*/manifest.json",
    ".osiris/runs.jsonl",
    LAST_PLAN,
)


def test_all_files_that_are_none(osiris, folder):
    for name in FILES:
        for path in folder.glob(name):
            path.write_bytes(CONTENTS["deep"])
    run_all(osiris, folder, "all")


@pytest.mark.long
@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_none(osiris, folder, name, content):
    for path in folder.glob(name):
        path.write_bytes(CONTENTS[content])
    run_all(osiris, folder, name)


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in FILES if name != LAST_PLAN])
def test_a_file_that_is_a_folder(osiris, folder, name):
    for path in folder.glob(name):
        path.unlink()
        path.mkdir()
    run_all(osiris, folder, name)


def test_a_folder_where_the_name_of_the_last_plan_belongs(osiris, folder):
    """It cannot be replaced, so a run is refused before it begins, with the remedy."""
    path = folder / LAST_PLAN
    path.unlink()
    path.mkdir()
    refused = osiris("run", "orders.yaml", cwd=folder)
    assert (refused.returncode, "PRJ006" in refused.stderr, "move it away" in refused.stderr) == (2, True, True)
    assert not (folder / "output" / "b.csv").exists()
    path.rmdir()
    assert osiris("run", "orders.yaml", cwd=folder).returncode == 0


def test_a_damaged_session_is_named_by_lists_and_left_out(osiris, folder):
    (last(folder) / "run.json").write_text("{")
    done = osiris("logs", "list", "--json", cwd=folder)
    answer = json.loads(done.stdout)
    assert [item["code"] for item in answer["diagnostics"]] == ["RUN033"]
    assert last(folder).name in answer["diagnostics"][0]["message"]
    assert answer["data"]["total"] == 1
    done = osiris("logs", "show", last(folder).name, "--json", cwd=folder)
    assert [item["code"] for item in json.loads(done.stdout)["diagnostics"]] == ["RUN030"]


def test_markers_of_nothing_are_removed(osiris, folder):
    folder_of_markers = folder / ".osiris" / "open"
    (folder_of_markers / "no such session").touch()
    (folder_of_markers / "a folder").mkdir()
    assert osiris("run", "orders.yaml", cwd=folder).returncode == 0
    assert not (folder_of_markers / "no such session").exists()
