"""Rows that commit late, under eight writers: every way to find them loses none, and appends none twice.

`none` must lose rows: otherwise this test would not see a loss.
"""

import random
import threading
import time

import pytest
from tests.chance import FEW, MANY, draw_seed, say_tried
from tests.replication.projects import Pair
from tests.replication.writers import Straggler, make_tables, straggling, writing

SERVERS = ("postgres", "mariadb")
SECONDS = 10
ROUNDS = 4
TIMES = {"lag": "5m"}
"""Longer than a late transaction is held open while runs are killed, on a busy machine."""
NUMBERS = {"lag": 5000}
COLUMNS = "id, writer, amount"
EACH_FORM = set(range(len(Straggler.FORMS)))


def ways(kind, *, all_of_them=False):
    """Return one pair for each way, with both write modes: `events` only grows, rows of `orders` change."""
    found = [
        Pair("stamped", "events", {"column": "stamp"}),
        Pair("clocked", "events", {"column": "clock", "late": "open_transactions"}),
        Pair("local", "events", {"column": "local", "zone": "UTC"}),
        Pair("lagging", "events", {"column": "stamp", "late": TIMES}),
        Pair("numbered", "events", {"column": "id", "late": NUMBERS}),
        Pair("changed", "orders", {"column": "stamp", "late": "open_transactions"}, "upsert"),
        Pair("careless", "events", {"column": "stamp", "late": "none"}),
    ]
    if all_of_them:
        found += [
            Pair("grown", "events", {"column": "stamp"}, "upsert"),
            Pair("late", "orders", {"column": "stamp", "late": TIMES}, "upsert"),
            Pair("counted", "events", {"column": "id", "late": "none"}),
            Pair("forgetful", "orders", {"column": "stamp", "late": "none"}, "upsert"),
        ]
    if kind == "postgres":
        found += [
            Pair("identified", "events", {"column": "id", "late": "row_xids"}),
            Pair("touched", "orders", {"column": "stamp", "late": "row_xids"}, "upsert"),
        ]
    return found


def some(kind):
    """Return a few ways that lose nothing."""
    return [pair for pair in ways(kind) if pair.name in ("stamped", "clocked", "changed", "touched")]


def difference(project, pair):
    """Return the rows that are missing in the target of a pair, and those that are there too often."""
    there = project.source.count(pair.table, COLUMNS)
    here = project.target.count(pair.target, COLUMNS)
    return there - here, here - there


def assert_in_step(project, pairs, losing=True):
    """Each pair has each row once; only those that may lose rows have lost some, and have none twice."""
    wrong = {}
    for pair in pairs:
        missing, more = difference(project, pair)
        careless = pair.cursor.get("late") == "none"
        if careless and losing:
            assert missing, f"{pair.name} lost nothing: this test would not see a loss"
        said = [f"{missing.total()} missing: {list(missing)[:5]}"] if missing and not careless else []
        if more and not (careless and pair.mode == "upsert"):
            said.append(f"{more.total()} too many: {list(more)[:5]}")
        wrong |= {pair.name: said} if said else {}
    assert not wrong, wrong


def load_under_writers(project, pairs, seconds, kills, at_once=1):
    """Load all the time while eight writers write, with kills at random moments; then everything is in step.

    While loads run there are transactions of all forms that are late for certain, some for longer than one load.
    """
    seed = draw_seed()
    chance = random.Random(seed)
    make_tables(project.source)
    project.write(*pairs)
    project.run()
    began, turns, killed, whole = time.monotonic(), 0, 0, 2.0
    with writing(project.source, seed):
        while killed < kills or turns < len(Straggler.FORMS) or time.monotonic() < began + seconds:
            turns += 1
            with straggling(project.source, turns):
                for _ in range(min(at_once, kills - killed)):
                    ended = project.kill(chance.uniform(0.3, 1.2) * whole, chance)
                    killed += ended.answer is None or ended.code != 0
                start = time.monotonic()
                project.run()
                whole = time.monotonic() - start
            if chance.random() < 0.3:
                project.run()
            assert killed < kills or turns < 3 * kills, f"only {killed} kills in {turns} turns"
    project.run()
    print(f"{turns} turns, {killed} kills in {time.monotonic() - began:.0f} s; one load took {whole:.1f} s")
    say_tried(f"kills while rows that commit late are read from {project.source.kind}, by all ways", killed)
    assert_in_step(project, pairs)
    assert forms_lost(project, pairs) == EACH_FORM


def forms_lost(project, pairs):
    """Return the forms of late transactions of which the pair that may lose rows has lost one: each can be lost."""
    careless = next(pair for pair in pairs if pair.name == "careless")
    missing, _ = difference(project, careless)
    return {-writer % len(Straggler.FORMS) for _, writer, _ in missing if writer < 0}


@pytest.mark.parametrize("kind", SERVERS)
def test_no_row_is_lost_or_appended_twice(make_project, kind):
    project, pairs = make_project(kind), ways(kind)
    load_under_writers(project, pairs, SECONDS, FEW)
    quiet = project.run()
    assert quiet.rows("stamped") < project.source.ask("SELECT COUNT(*) FROM events")[0][0] - 500
    assert_in_step(project, pairs)


@pytest.mark.long
@pytest.mark.parametrize("kind", SERVERS)
def test_many_kills(make_project, kind):
    load_under_writers(make_project(kind), ways(kind, all_of_them=True), SECONDS, MANY, at_once=3)


@pytest.mark.parametrize("kind", SERVERS)
def test_two_checkouts_of_a_project_at_once(make_project, tmp_path, kind):
    """One of two loads that read the same state is refused; nothing is lost, and nothing appended twice."""
    first, pairs = make_project(kind), some(kind)
    make_tables(first.source)
    first.write(*pairs)
    second = first.checkout(tmp_path / "second")
    seed, ended = draw_seed(), []

    def load(project):
        ended.extend(project.run(code=None) for _ in range(ROUNDS))

    with writing(first.source, seed):
        threads = [threading.Thread(target=load, args=(project,)) for project in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    refused = [done for done in ended if done.code]
    assert all(done.code == 1 and set(done.codes) <= {"STA001"} for done in refused), [d.text for d in refused]
    assert len(ended) == 2 * ROUNDS
    print(f"{len(refused)} of {len(ended)} loads were refused")
    second.run()
    assert_in_step(first, pairs)


@pytest.mark.parametrize("kind", SERVERS)
def test_a_project_that_is_wiped_between_runs(make_project, kind):
    """Each run begins with what stands in version control: the state is in the target."""
    project, pairs = make_project(kind), some(kind)
    make_tables(project.source)
    project.write(*pairs)
    project.run()
    with writing(project.source, draw_seed()):
        for turn in range(1, 4):
            project.wipe()
            with straggling(project.source, turn):
                read = project.run().rows("stamped")
                assert read < project.source.ask("SELECT COUNT(*) FROM events")[0][0] - 490
    project.wipe()
    project.run()
    assert_in_step(project, pairs)
