import os
import random
import sqlite3
import time
from contextlib import closing

import pytest

from osiris.cache import MAX_ENTRIES, code_state, open_cache
from osiris.fault import arm

KEY = ["text", {"a": [1, None]}]
ANSWER = {"answer": ["é", 1.5, None]}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "below" / "cache.sqlite"


def keep(path, answers):
    with open_cache(path) as found:
        for key, answer in answers:
            found.put(key, answer)


def recall(path, key):
    with open_cache(path) as found:
        return found.get(key)


def test_answers_come_back(path):
    with open_cache(path) as found:
        assert found.get(KEY) is None
        found.put(KEY, ANSWER)
        assert found.get(KEY) == ANSWER
    assert recall(path, KEY) == ANSWER
    assert recall(path, ["text", {"a": [1]}]) is None


def test_nothing_is_kept_of_what_failed(path):
    def fail():
        with open_cache(path) as found:
            found.put(KEY, ANSWER)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert recall(path, KEY) is None


def test_damaged_entry_is_none(path):
    keep(path, [(KEY, ANSWER), ("other", 2)])
    with sqlite3.connect(path) as file:
        file.execute("UPDATE found SET answer = CAST(replace(answer, '1.5', '2.5') AS BLOB)")
    file.close()
    assert (recall(path, KEY), recall(path, "other")) == (None, 2)


def test_entry_of_another_key_is_none(path):
    keep(path, [(KEY, ANSWER), ("other", 2)])
    with sqlite3.connect(path) as file:
        file.execute("UPDATE found SET (sum, answer) = (SELECT sum, answer FROM found ORDER BY rowid LIMIT 1)")
    file.close()
    assert (recall(path, KEY), recall(path, "other")) == (ANSWER, None)


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + b"x" * 5000])
def test_file_that_is_no_cache_is_made_anew(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    keep(path, [(KEY, ANSWER)])
    assert recall(path, KEY) == ANSWER


def test_table_of_another_shape_is_made_anew(path):
    path.parent.mkdir()
    file = sqlite3.connect(path)
    file.execute("CREATE TABLE found (x)")
    file.close()
    keep(path, [(KEY, ANSWER)])
    assert recall(path, KEY) == ANSWER


def test_file_that_is_broken_inside_is_made_anew(path):
    keep(path, [(number, "x" * 1000) for number in range(100)])
    content = bytearray(path.read_bytes())
    content[8192:] = os.urandom(len(content) - 8192)
    path.write_bytes(content)
    with open_cache(path) as found:
        assert [found.get(number) for number in range(100)].count(None) > 0
    keep(path, [(KEY, ANSWER)])
    keep(path, [(KEY, ANSWER)])
    assert recall(path, KEY) == ANSWER


def test_flipped_byte_costs_answers_at_most(path):
    answers = [(["key", number], {"answer": [number] * 9}) for number in range(30)]
    keep(path, answers)
    good, chance = path.read_bytes(), random.Random(5)
    first = [position for position, byte in enumerate(good[:4096]) if byte]
    for position in [*first, *chance.sample(range(4096, len(good)), 100)]:
        content = bytearray(good)
        content[position] ^= chance.choice((0x01, 0x80, 0xFF))
        path.write_bytes(content)
        with open_cache(path) as found:
            assert all(found.get(key) in (answer, None) for key, answer in answers), position
            found.put("more", 1)
        keep(path, answers)
        assert recall(path, ["key", 0]) == answers[0][1], position


def test_folder_in_the_place_of_the_file_is_left_alone(path):
    path.mkdir(parents=True)
    keep(path, [(KEY, ANSWER)])
    assert recall(path, KEY) is None
    assert path.is_dir()


def test_file_that_somebody_else_writes_is_waited_for_and_then_left_alone(path):
    keep(path, [(KEY, ANSWER)])
    other = sqlite3.connect(path)
    other.execute("BEGIN EXCLUSIVE")
    keep(path, [("other", 2)])
    other.rollback()
    other.close()
    assert (recall(path, KEY), recall(path, "other")) == (ANSWER, None)


@pytest.mark.parametrize("begun", [["BEGIN", "SELECT * FROM found"], ["BEGIN IMMEDIATE"]])
def test_what_others_hinder_is_given_up_and_hinders_nobody(path, begun):
    keep(path, [(KEY, ANSWER)])
    with open_cache(path) as found, closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        found.put("other", 2)
        for statement in begun:
            other.execute(statement).fetchone()
        found.write()
        other.execute("ROLLBACK")
        assert other.execute("SELECT count(*) FROM found").fetchone() == (1,)
        other.execute("INSERT INTO found VALUES (x'00', x'00', x'00')")
        assert found.get(KEY) == ANSWER
    assert (recall(path, KEY), recall(path, "other")) == (ANSWER, 2)


def test_what_failed_to_be_written_is_not_written_by_what_is_kept_later(path):
    keep(path, [(KEY, ANSWER)])
    with open_cache(path) as found:
        arm({"OSIRIS_FAULT": "cache.commit:1:raise"}, "host")
        try:
            found.keep([("given up", [b"1"])])
        finally:
            arm({}, "host")
        found.keep([("other", [b"2"])])
    assert (recall(path, KEY), recall(path, "given up"), recall(path, "other")) == (ANSWER, None, 2)


def test_file_whose_journal_cannot_be_opened_is_made_anew(path):
    keep(path, [(KEY, ANSWER)])
    journal = path.with_name(f"{path.name}-journal")
    with open_cache(path) as found:
        assert found.get(KEY) == ANSWER
        journal.symlink_to(path.with_name("nowhere") / "journal")
        found.put("other", 2)
    journal.unlink()
    assert recall(path, KEY) is None


def test_the_oldest_go(path):
    keep(path, [(number, number) for number in range(8)])
    keep(path, [(number, 1) for number in range(8, MAX_ENTRIES + 5)])
    with open_cache(path) as found:
        assert [number for number in range(8) if found.get(number) is not None] == [5, 6, 7]
        assert found.get(MAX_ENTRIES + 4) == 1


def test_code_has_a_state():
    assert code_state() == code_state()
    assert len(code_state()) == 64


@pytest.mark.bench
def test_ten_thousand_answers_are_found_in_no_time(path):
    answers = [([number, f"SELECT a + {number} FROM input_df"], {"canonical": "x" * 300}) for number in range(10_000)]
    keep(path, answers)

    def seconds():
        began = time.perf_counter()
        with open_cache(path) as found:
            assert all(found.get(key) for key, _ in answers)
        return time.perf_counter() - began

    assert min(seconds() for _ in range(9)) < 0.2
