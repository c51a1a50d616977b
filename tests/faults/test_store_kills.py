"""Kills and cuts during an upload: the object is the old or the new one, complete, and the same command converges."""

import json
import random
import time

import pytest
from tests.chance import FEW, MANY, draw_seed, say_tried
from tests.faults import server_kills as kills
from tests.faults.proxy import When, faulty

from osiris.families.stores.objects import PART

ROWS, WIDTH = 50_000, 1000
BEFORE = b"id,text\n-1,what was there before\n"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Rows for three parts of an upload."""
    path = tmp_path_factory.mktemp("source") / "rows.csv"
    with path.open("w") as file:
        file.write("id,text\n")
        file.writelines(f"{n},{n:0{WIDTH}d}\n" for n in range(ROWS))
    assert path.stat().st_size > 3 * PART
    return path


def write_plan(desk, make_step, source, server, bucket, port=None, **limits):
    """A plan that copies the rows into a bucket; its connection may go through a proxy."""
    (desk.project.root / "rows.csv").hardlink_to(source)
    read = make_step("rows", "filesystem.csv_extractor", path="rows.csv", dtype={"text": "utf8"})
    write = make_step("out", "filesystem.csv_writer", "write", ["rows"], path=f"{server.scheme}://{bucket}/out.csv")
    write = {**write, "connection": f"@{server.family}.target"}
    connections = {f"@{server.family}.target": {**server.fields(bucket, port=port), **limits}}
    return desk.write_plan([read, write], connections)


def finish(desk, plan, run_id):
    """Run to the end; returns the duration, the exit code and the codes of errors."""
    began = time.monotonic()
    host = kills.start(desk, plan, run_id)
    output, error = host.communicate(timeout=300)
    assert b"Traceback" not in error, error.decode()
    return time.monotonic() - began, host.returncode, json.loads(output.splitlines()[-1]), output + error


@pytest.mark.parametrize("number", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
def test_kills(desk, make_step, source, store, number):
    bucket, content = store.new_bucket(), source.read_bytes()
    plan = write_plan(desk, make_step, source, store, bucket)
    whole, code, _, _ = finish(desk, plan, "first")
    assert code == 0
    assert store.get(bucket, "out.csv") == content
    seed = draw_seed()
    chance = random.Random(seed)
    say_tried("kills while an object store is written", number)
    for turn in range(number):
        store.put(bucket, "out.csv", BEFORE)
        kills.kill_after(kills.start(desk, plan, f"turn-{turn}"), chance.uniform(0.2, whole), chance)
        assert store.keys(bucket) == ["out.csv"], f"seed {seed}, turn {turn}"
        assert store.get(bucket, "out.csv") in (BEFORE, content), f"seed {seed}, turn {turn}"
        _, code, told, _ = finish(desk, plan, f"turn-{turn}")
        assert (code, store.get(bucket, "out.csv") == content) == (0, True), f"seed {seed}, turn {turn}: {told}"


@pytest.mark.long
@pytest.mark.parametrize("fault", ["dead", "silent"])
def test_a_line_that_ends_while_parts_go_up(desk, make_step, source, store, fault):
    bucket = store.new_bucket()
    store.put(bucket, "out.csv", BEFORE)
    with faulty(store.port, fault, When(sent=PART + PART // 2)) as line:
        plan = write_plan(desk, make_step, source, store, bucket, port=line.port, read_timeout=4)
        _, code, told, said = finish(desk, plan, "cut")
        assert line.happened.is_set()
    assert (code, told["codes"]) == (3, ["CON039"])
    assert store.keys(bucket) == ["out.csv"]
    assert store.get(bucket, "out.csv") == BEFORE
    assert not any(secret.encode() in said for secret in store.secrets())
