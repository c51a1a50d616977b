"""Conversations on disk: what was said is stored, and damage is detected, reported and repaired as far as possible."""

import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.patience import SOON

from osiris.chat.store import Conversation, Entry, open_store, store_path
from osiris.errors import OsirisError
from osiris.project import Project

ENTRIES = [Entry("hear", f"{n:064x}", "2026-01-01T00:00:00Z", {"text": f"wörds {n}", "n": n}) for n in range(30)]


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def fill(project, names=("20260101-a", "20260102-b")):
    with open_store(project) as store:
        for name in names:
            store.begin(Conversation(name, "2026-01-01T00:00:00Z", {"fast": False}))
            for number, entry in enumerate(ENTRIES):
                store.append(name, number, entry)


def change(project, statement):
    with sqlite3.connect(store_path(project)) as file:
        file.execute(statement)
    file.close()


def aside(project):
    return [path for path in store_path(project).parent.glob("*.corrupt-*") if path.name[-4:] not in ("-wal", "-shm")]


@contextmanager
def python(program, *words):
    """Run a program that says when it is ready, and is killed in the end."""
    process = subprocess.Popen([sys.executable, "-c", program, *map(str, words)], stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def full_disk(size):
    """Let no file grow beyond this size, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def read(project):
    with open_store(project) as store:
        return {each.id: store.entries(each.id) for each in store.conversations()}, store.notes


def test_what_was_kept_is_there_when_it_is_opened_again(project):
    fill(project)
    found, notes = read(project)
    assert found == {"20260101-a": ENTRIES, "20260102-b": ENTRIES}
    assert notes == []


def test_a_row_without_the_one_before_is_refused(project):
    fill(project, ["20260101-a"])
    with open_store(project) as store, pytest.raises(KeyError):
        store.append("20260101-a", len(ENTRIES) + 1, ENTRIES[0])


def test_conversations_are_found_by_the_beginning_of_their_id(project):
    fill(project)
    with open_store(project) as store:
        assert store.find("20260101").id == "20260101-a"
        for name in ("2026", "x"):
            with pytest.raises(OsirisError) as refused:
                store.find(name)
            assert refused.value.diagnostics[0].code == "CHT021"


def test_an_empty_store_has_no_conversation_to_take_up(project):
    with open_store(project) as store, pytest.raises(OsirisError) as refused:
        store.find("20260101")
    assert refused.value.diagnostics[0].code == "CHT021"


def test_a_row_that_somebody_changed_ends_what_is_believed(project):
    fill(project, ["20260101-a"])
    with sqlite3.connect(store_path(project)) as file:
        file.execute("UPDATE entries SET result = '{}' WHERE number = 20")
    file.close()
    found, notes = read(project)
    assert found == {"20260101-a": ENTRIES[:20]}
    (note,) = notes
    assert note.code == "CHT022"
    assert "1 conversations with 20 entries" in note.message
    aside = next(store_path(project).parent.glob("*.corrupt-*"))
    assert aside.name in note.message
    assert read(project) == (found, [])


def test_a_file_of_a_later_version_is_left_alone(project):
    fill(project)
    with sqlite3.connect(store_path(project)) as file:
        file.execute("PRAGMA user_version = 99")
    file.close()
    with pytest.raises(OsirisError) as refused:
        read(project)
    assert refused.value.diagnostics[0].code == "CHT020"
    assert "later version" in str(refused.value)
    assert not list(store_path(project).parent.glob("*.corrupt-*"))


def test_a_store_that_cannot_be_made_is_an_error(project):
    project.state.write_text("in the way")
    with pytest.raises(OsirisError) as refused:
        read(project)
    assert refused.value.diagnostics[0].code == "CHT020"


def read_or_refused(project):
    """Return the content, or nothing and the reason for a rejection: a flipped bit may be in the version number."""
    try:
        return read(project)
    except OsirisError as refused:
        return {}, refused.diagnostics


def damaged(content: bytes, way: str, chance: random.Random) -> bytes:
    if way == "flip":
        at = chance.randrange(len(content))
        return content[:at] + bytes([content[at] ^ (1 << chance.randrange(8))]) + content[at + 1 :]
    return content[: chance.randrange(0, len(content), 512)]


@pytest.mark.parametrize(("way", "seed"), [("flip", None), ("cut", None), ("flip", 4286369997)])
def test_no_damage_goes_unnoticed_and_none_is_fatal(way, seed, tmp_path, request):
    """Whatever happens to the file, the result is a prefix of the conversation, and a loss is reported."""
    seed = random.randrange(2**32) if seed is None else seed
    print(f"seed {seed}")
    chance = random.Random(seed)
    whole = Project(tmp_path / "whole")
    fill(whole)
    content = store_path(whole).read_bytes()
    many = 250 if "long" in (request.config.option.markexpr or "").replace("not long", "") else 60
    for attempt in range(many):
        project = Project(tmp_path / f"{attempt}")
        path = store_path(project)
        path.parent.mkdir(parents=True)
        path.write_bytes(damaged(content, way, chance))
        found, notes = read_or_refused(project)
        for name, entries in found.items():
            assert name in ("20260101-a", "20260102-b")
            assert entries == ENTRIES[: len(entries)]
        lost = found != {"20260101-a": ENTRIES, "20260102-b": ENTRIES}
        assert not lost or [note.code for note in notes] in (["CHT022"], ["CHT020"]), attempt
        shutil.rmtree(project.root)


def test_an_empty_file_is_damaged_and_not_new(project):
    path: Path = store_path(project)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    found, notes = read(project)
    assert (found, [note.code for note in notes]) == ({}, ["CHT022"])
    assert read(project) == ({}, [])


APPENDS = """
import itertools, sqlite3, sys
from pathlib import Path
from osiris.chat.store import Conversation, Entry, Store
path = Path(sys.argv[1])
store = Store(sqlite3.connect(path, timeout=10), path, [])
store.begin(Conversation("20260100-c", "2026-01-01T00:00:00Z", {}))
print("ready", flush=True)
for number in itertools.count():
    store.append("20260100-c", number, Entry("hear", "0", "2026-01-01T00:00:00Z", number))
"""
"""Appends without a lock, like a process that opened the file before the lock existed."""


@pytest.mark.long
def test_a_file_to_which_another_process_appends_is_sound(project):
    fill(project)
    with python(APPENDS, store_path(project)) as process:
        opened = [read(project) for _ in range(100)]
        assert process.poll() is None
    assert {len(notes) for _, notes in opened} == {0}
    assert len(opened[0][0]["20260100-c"]) < len(opened[-1][0]["20260100-c"])


HOLDS = """
import signal, sys
from pathlib import Path
from osiris.chat.store import open_store
from osiris.project import Project
with open_store(Project(Path(sys.argv[1]))) as store:
    print("ready", flush=True)
    signal.pause()
"""


def test_a_damaged_file_is_not_taken_away_from_who_has_it_open(project):
    fill(project, ["20260101-a"])
    with python(HOLDS, project.root):
        change(project, "UPDATE entries SET result = '{}' WHERE number = 20")
        mending = subprocess.Popen([sys.executable, "-c", KILLED, project.root, "99"])
        time.sleep(2)
        assert (mending.poll(), aside(project)) == (None, [])
    assert (mending.wait(timeout=SOON), len(aside(project))) == (0, 1)


@pytest.mark.long
def test_a_damaged_file_that_another_process_keeps_open_is_an_error(project):
    fill(project, ["20260101-a"])
    with open_store(project):
        change(project, "UPDATE entries SET result = '{}' WHERE number = 20")
        with pytest.raises(OsirisError) as refused:
            read(project)
    assert "CHT020" in str(refused.value)
    assert "another process has it open" in str(refused.value)
    assert aside(project) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from osiris.chat.store import open_store
from osiris.project import Project
left = int(sys.argv[2])
def count(name, _arguments):
    global left
    if name in ("os.rename", "os.remove"):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
with open_store(Project(Path(sys.argv[1]))):
    pass
"""


def left_behind(project):
    """Create a damaged file with a part of it in the write-ahead log, as a kill leaves it: row 20 of 30 is changed."""
    whole = Project(project.root / "whole")
    fill(whole, ["20260101-a"])
    with sqlite3.connect(store_path(whole)) as file:
        file.execute("UPDATE entries SET result = '{}' WHERE number = 20")
        file.commit()
        shutil.copytree(whole.state, project.state)
    file.close()
    assert store_path(project).with_name("conversations.sqlite-wal").stat().st_size


@pytest.mark.parametrize("number", range(6))
def test_a_kill_while_a_file_is_mended_loses_nothing(project, number):
    left_behind(project)
    done = subprocess.run([sys.executable, "-c", KILLED, project.root, str(number)])
    killed = done.returncode == -signal.SIGKILL
    assert killed == (number < 5)
    found, notes = read(project)
    assert found == {"20260101-a": ENTRIES[:20]}
    assert [note.code for note in notes] == ["CHT022"] * killed
    assert aside(project)
    assert read(project) == (found, [])


def test_a_file_that_is_gone_beside_one_set_aside_is_told(project):
    fill(project, ["20260101-a"])
    change(project, "UPDATE entries SET result = '{}' WHERE number = 20")
    read(project)
    store_path(project).unlink()
    found, notes = read(project)
    assert (found, [note.code for note in notes]) == ({"20260101-a": ENTRIES[:20]}, ["CHT022"])


def test_a_full_disk_is_no_damage(project):
    fill(project, ["20260101-a"])
    with full_disk(4096), pytest.raises(OsirisError) as refused:
        read(project)
    assert refused.value.diagnostics[0].code == "CHT020"
    assert aside(project) == []
    large = Entry("hear", "0", "2026-01-01T00:00:00Z", "x" * 200_000)
    with open_store(project) as store, full_disk(100_000):
        for act in (
            lambda: store.append("20260101-a", len(ENTRIES), large),
            lambda: store.begin(Conversation("20260102-b", "2026-01-01T00:00:00Z", {"x": "x" * 200_000})),
        ):
            with pytest.raises(OsirisError) as refused:
                act()
            assert refused.value.diagnostics[0].code == "CHT020"
    assert read(project) == ({"20260101-a": ENTRIES}, [])


@pytest.mark.parametrize(
    "statement", ["UPDATE entries SET kind = CAST(x'ff' AS TEXT)", "ALTER TABLE entries DROP COLUMN at"]
)
def test_rows_that_cannot_be_read_are_damage(project, statement):
    fill(project, ["20260101-a"])
    change(project, statement)
    found, notes = read(project)
    assert (found, [note.code for note in notes]) == ({"20260101-a": []}, ["CHT022"])
