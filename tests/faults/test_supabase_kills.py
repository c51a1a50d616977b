"""Kills while rows are written to Supabase: once each over the wire protocol; an upsert over REST converges."""

import json
import random

import pytest
from tests.chance import FEW, MANY, draw_seed, say_tried
from tests.faults import server_kills as kills
from tests.faults.test_postgres_kills import Target
from tests.patience import wait_until
from tests.servers import start_postgrest

SIZE = 1000
"""Rows of a request over REST: so one run has thirty of them."""

DROPPED = 2
"""Answers that are lost in one turn: rows are written, and who sent them cannot know."""


class Wire(Target):
    """A database of a project, with its address."""

    family = "supabase"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return kills.write_source(tmp_path_factory.mktemp("source") / "rows.csv")


@pytest.mark.parametrize("number", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
def test_kills_over_the_wire(desk, make_step, source, postgres, number):
    target = Wire(postgres)
    kills.kill_and_converge(desk, kills.write_plan(desk, make_step, source, target), target, number)


@pytest.fixture
def project(postgres):
    """Tables that have every third row with old values, and one row that is in no source."""
    with start_postgrest(postgres.fields(postgres.new_database()), max_rows=None) as server:
        server.run("CREATE TABLE upsert (id int PRIMARY KEY, name text NOT NULL, amount numeric(12, 2))")
        server.run("CREATE TABLE append (id int, name text NOT NULL, amount numeric(12, 2))")
        yield server


@pytest.fixture
def make_plan(desk, make_step, source, project):
    """`make_plan(mode)`: the rows over REST into the table of that name."""

    def make(mode):
        (desk.project.root / "rows.csv").hardlink_to(source)
        types = {"id": "int32", "name": "utf8", "amount": "decimal(12,2)"}
        read = make_step("rows", "filesystem.csv_extractor", path="rows.csv", dtype=types)
        config = {"table": mode, "write_mode": mode, "batch_size": SIZE, **kills.MODES[mode]}
        write = {**make_step("out", "supabase.writer", "write", ["rows"], **config), "connection": "@supabase.target"}
        fields = {"url": project.url, "key": project.service_key}
        return desk.write_plan([read, write], {"@supabase.target": fields})

    return make


def reset(project):
    project.faults.clear()
    project.run(
        "TRUNCATE upsert, append",
        f"INSERT INTO upsert SELECT n, 'old', 0 FROM generate_series(0, {kills.ROWS - 1}, 3) n",
        "INSERT INTO upsert VALUES (-1, 'not ours', 1)",
    )


def settled(project):
    """Wait until nothing runs any more that a killed worker has requested."""
    busy = """
        SELECT 1 FROM pg_stat_activity
        WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()"""
    wait_until(lambda: not project.rows(busy))


def posted(project):
    return sum(request.method == "POST" for request in project.requests)


def kill_around(desk, plan, run_id, project, chance):
    """Start a run, and kill it around one of its write requests."""
    host, last = kills.start(desk, plan, run_id), posted(project) + chance.randrange(kills.ROWS // SIZE)
    wait_until(lambda: posted(project) > last or host.poll() is not None, pause=0.002)
    kills.kill_after(host, chance.uniform(0, 0.05), chance)
    settled(project)


def kill_between(desk, plan, run_id, project, chance):
    """Start a run, and kill it while one of its write requests, neither the first nor the last, is not answered."""
    hanging = chance.randrange(1, kills.ROWS // SIZE - 1)
    project.faults.hang(method="POST", skip=hanging, times=None)
    host, before = kills.start(desk, plan, run_id), posted(project)
    wait_until(lambda: posted(project) > before + hanging or host.poll() is not None)
    kills.kill_after(host, 0, chance)
    project.faults.clear()
    settled(project)


def assert_upserted(project):
    """All rows of the source exist unchanged, and other rows are as before."""
    wrong = """
        SELECT count(*) FROM upsert WHERE id >= 0 AND (name, amount) IS DISTINCT FROM
        ('name ' || id::bigint * id % 9973, round(id % 10000 / 100.0, 2))"""
    assert project.rows(wrong) == [(0,)]
    assert project.rows("SELECT count(*) FROM upsert WHERE id >= 0") == [(kills.ROWS,)]
    assert project.rows("SELECT name, amount FROM upsert WHERE id = -1") == [("not ours", 1)]


def lose_answers(project, chance):
    for _ in range(DROPPED):
        project.faults.drop_answer(method="POST", skip=chance.randrange(kills.ROWS // SIZE))


def finish(desk, plan, run_id, project):
    _, events = kills.finish(desk, plan, run_id)
    assert project.service_key not in json.dumps(events)


def kill_and_upsert(desk, plan, project, number, *, lossy):
    chance = seeded()
    reset(project)
    finish(desk, plan, "reference", project)
    assert_upserted(project)
    for turn in range(number):
        reset(project)
        if lossy:
            lose_answers(project, chance)
            kill_around(desk, plan, f"turn-{turn}", project, chance)
        else:
            kill_between(desk, plan, f"turn-{turn}", project, chance)
            ((old,),) = project.rows("SELECT count(*) FROM upsert WHERE name = 'old'")
            assert 0 < old < kills.ROWS // 3
        finish(desk, plan, f"turn-{turn}", project)
        assert_upserted(project)
        assert desk.left_over() == []
    say_tried("kills of an upsert over REST", number)
    lost = sum(request.fault == "drop_answer" for request in project.requests)
    print(f"{lost} answers lost")
    assert bool(lost) == lossy


def seeded():
    return random.Random(draw_seed())


@pytest.mark.parametrize("lossy", [False, True], ids=["kept", "lossy"])
@pytest.mark.parametrize("number", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
def test_kills_of_an_upsert_over_rest(desk, make_plan, project, number, lossy):
    kill_and_upsert(desk, make_plan("upsert"), project, number, lossy=lossy)


@pytest.mark.parametrize("number", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
def test_kills_of_an_append_over_rest(desk, make_plan, project, number):
    """At least once: none is lost, and none exists more often than there were attempts."""
    chance, plan, twice = seeded(), make_plan("append"), 0
    say_tried("kills of an append over REST, at least once", number)
    for turn in range(number):
        reset(project)
        kill_around(desk, plan, f"turn-{turn}", project, chance)
        finish(desk, plan, f"turn-{turn}", project)
        times = "SELECT id, count(*) AS times FROM append GROUP BY id"
        ((rows, least, most),) = project.rows(f"SELECT count(*), min(times), max(times) FROM ({times}) AS counted")
        assert rows == kills.ROWS
        assert 1 <= least <= most <= 2
        twice += most == 2
        assert desk.left_over() == []
    print(f"after {twice} of {number} kills rows are there twice")
