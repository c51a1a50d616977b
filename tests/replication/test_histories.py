"""Random histories of a source: after each load the target has what a model in memory says."""

from collections import Counter

import pytest
from tests.chance import draw_seed, say_tried
from tests.replication.histories import COLUMNS, draw

SMALL, LARGE, BATCH = 25, 1000, 50
ROUNDS = 4
PAIRS = (
    ("postgres", "postgres"),
    ("sqlite", "sqlite"),
    ("duckdb", "duckdb"),
    ("sqlite", "duckdb"),
    ("duckdb", "sqlite"),
    ("postgres", "duckdb"),
    ("mariadb", "mariadb"),
    ("mariadb", "postgres"),
)


def play(database, transactions):
    client = database.connect()
    cursor = client.cursor()
    for statements in transactions:
        for statement in ("BEGIN", *statements, "COMMIT"):
            cursor.execute(statement)
    client.close()


def compare(project, histories, round_number):
    """Compare the source with the model, so that the model is right, and then the target with it."""
    wrong = []
    for each in histories:
        assert project.source.count(each.name, COLUMNS) == Counter(each.rows.values()), each.name
        if different := each.differences(project.target):
            wrong.append((each.name, each.mode, each.deletes, each.cursor, different))
    assert not wrong, (round_number, wrong)


def live_through(project, number, seed):
    histories = draw(project.source, number, seed)
    project.source.run(*(statement for each in histories for statement in each.create()))
    project.write(*(each.pair for each in histories))
    for turn in range(ROUNDS):
        for each in histories:
            if turn:
                play(project.source, each.step())
            elif each.number == 0:
                play(project.source, [each.insert()])
        project.run()
        for each in histories:
            each.load()
        compare(project, histories, turn)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_some_histories(make_project, source, target):
    number = -(-SMALL // len(PAIRS))
    live_through(make_project(source, target), number, draw_seed())
    say_tried(f"random histories of tables that are read with a cursor, {source} to {target}", number)


@pytest.mark.long
@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_many_histories(make_project, source, target):
    seed = draw_seed()
    batches = -(-LARGE // BATCH // len(PAIRS))
    for turn in range(batches):
        project = make_project(source, target, f"batch-{turn}")
        live_through(project, BATCH, seed + 1000 * turn)
    say_tried(f"random histories of tables that are read with a cursor, {source} to {target}", batches * BATCH)
