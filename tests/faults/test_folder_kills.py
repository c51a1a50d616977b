"""Kills while a folder is published: it has the old rows or the new ones, and the same command converges."""

import json
import random
import shutil
import time
from pathlib import Path

import pytest
from tests.chance import FEW, MANY, draw_seed, say_tried
from tests.components.test_published_folders import MANIFEST, Local, Stored, by_id, read
from tests.faults import server_kills as kills

FOLDERS, ROWS = 60, 3000
PATIENCE = 60


@pytest.fixture(params=["local", "s3", "azurite", "gcs"])
def place(request, desk):
    if request.param == "local":
        return Local(desk.project.root)
    store = request.getfixturevalue(request.param)
    return Stored(desk.project.root, store, store.new_bucket())


def write_plan(desk, make_step, place, name, first):
    """A plan that publishes its own rows; returns its path."""
    source = "".join(f"{n},{n % FOLDERS},row {n}\n" for n in range(first, first + ROWS))
    (desk.project.root / f"{name}.csv").write_text(f"id,folder,text\n{source}")
    step = make_step("rows", "filesystem.csv_extractor", path=f"{name}.csv")
    out = make_step("out", "filesystem.parquet_writer", "write", ["rows"], path="lake/", partition_by=["folder"])
    connections = {}
    if isinstance(place, Stored):
        out = {**out, "connection": f"@{place.store.family}.lake"}
        connections = {f"@{place.store.family}.lake": place.store.fields(place.bucket)}
    return desk.write_plan([step, out], connections, name)


@pytest.fixture
def plans(desk, make_step, place):
    return {name: write_plan(desk, make_step, place, name, first) for name, first in (("even", 0), ("odd", 10_000))}


def finish(desk, plan, run_id, root=None):
    host = kills.start(desk, plan, run_id, root)
    output, error = host.communicate(timeout=300)
    assert b"Traceback" not in error, error.decode()
    return host.returncode, json.loads(output.splitlines()[-1])


def rows(place):
    """Return the content of the folder: which plan wrote it."""
    ids = by_id(read(place))["id"].to_pylist()
    first = ids[0]
    assert ids == list(range(first, first + ROWS))
    return {0: "even", 10_000: "odd"}[first]


def assert_clean(desk, place):
    there = place.all()
    assert there.keys() - {MANIFEST} == {file["path"] for file in json.loads(there[MANIFEST])["files"]}
    assert desk.left_over() == []


def parts(place):
    if isinstance(place, Local):
        return {path.name for path in (place.root / "lake").rglob("part-*")}
    return {key.rpartition("/")[2] for key in place.store.keys(place.bucket) if "part-" in key}


def manifest(place):
    if isinstance(place, Local):
        return (place.root / "lake" / MANIFEST).read_bytes()
    return place.store.get(place.bucket, f"lake/{MANIFEST}")


def seen(reached):
    """List a folder while files come and go."""
    try:
        return reached()
    except FileNotFoundError:
        return False


def kill_once(host, reached):
    """Kill host and worker once a stage is reached; returns whether it was, before they had ended."""
    until = time.monotonic() + PATIENCE
    while not seen(reached) and host.poll() is None and time.monotonic() < until:
        time.sleep(0.001)
    alive = host.poll() is None
    children = Path(f"/proc/{host.pid}/task/{host.pid}/children")
    if alive:
        kills.kill(host.pid, *map(int, children.read_text().split()))
    _, error = host.communicate(timeout=300)
    assert b"Traceback" not in error, error.decode()
    return alive


def staged(desk, _before):
    return any(desk.project.scratch.rglob("staged"))


STAGES = {
    "while rows are sorted": lambda desk, place, before, first: staged(desk, before),
    "the first files are there": lambda desk, place, before, first: len(parts(place) - before) > 0,
    "half of the files are there": lambda desk, place, before, first: len(parts(place) - before) > FOLDERS // 2,
    "the manifest is another": lambda desk, place, before, first: manifest(place) != first,
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_kill_at_each_stage(desk, place, plans, stage):
    assert finish(desk, plans["even"], "first")[0] == 0
    before, first = parts(place), manifest(place)
    reached = STAGES[stage]
    host = kills.start(desk, plans["odd"], "second")
    killed = kill_once(host, lambda: reached(desk, place, before, first))
    if killed:
        assert rows(place) == ("even" if manifest(place) == first else "odd")
    code, told = finish(desk, plans["odd"], "second")
    assert (code, rows(place)) == (0, "odd"), told
    assert_clean(desk, place)


@pytest.mark.parametrize("number", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
def test_kills_at_any_time(desk, place, plans, number):
    seed = draw_seed()
    chance = random.Random(seed)
    began = time.monotonic()
    assert finish(desk, plans["odd"], "reference")[0] == 0
    whole = time.monotonic() - began
    expected = {}
    say_tried("kills while a folder of partitioned Parquet is published", number)
    for turn in range(number):
        name = ("even", "odd")[turn % 2]
        kills.kill_after(kills.start(desk, plans[name], f"turn-{turn}"), chance.uniform(0.2, whole), chance)
        assert rows(place) in ("even", "odd"), f"seed {seed}, turn {turn}"
        code, told = finish(desk, plans[name], f"turn-{turn}")
        assert (code, rows(place)) == (0, name), f"seed {seed}, turn {turn}: {told}"
        assert_clean(desk, place)
        assert expected.setdefault(name, place.all()) == place.all()


@pytest.mark.long
def test_two_projects_at_once(desk, place, plans):
    assert finish(desk, plans["even"], "first")[0] == 0
    other = desk.project.root.with_name(f"{desk.project.root.name}-other")
    shutil.copytree(desk.project.root, other)
    if isinstance(place, Local):
        shutil.rmtree(other / "lake")
        (other / "lake").symlink_to(desk.project.root / "lake")
        lake = json.dumps([str(desk.project.root / "lake")])
        (other / "osiris.yaml").write_text(f"run: {{wait: 0}}\npaths: {{read: {lake}, write: {lake}}}\n")
    hosts = {
        "odd": kills.start(desk, plans["odd"], "one"),
        "even": kills.start(desk, plans["even"], "two", other),
    }
    ends = {name: (json.loads(host.communicate(timeout=300)[0].splitlines()[-1])) for name, host in hosts.items()}
    codes = {name: end["codes"] for name, end in ends.items()}
    assert all(told in ([], ["DRV046"]) for told in codes.values()), codes
    won = [name for name, told in codes.items() if not told]
    assert rows(place) in won
    assert_clean(desk, place)
    shutil.rmtree(other)
