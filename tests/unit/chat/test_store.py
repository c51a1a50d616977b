"""Conversations on disk: what was said is there, and damage is found, told, and mended as far as that goes."""

import random
import shutil
import sqlite3
from pathlib import Path

import pytest

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
        assert store.find(None).id == "20260102-b"
        for name in ("2026", "x"):
            with pytest.raises(OsirisError) as refused:
                store.find(name)
            assert refused.value.diagnostics[0].code == "CHT021"


def test_an_empty_store_has_no_conversation_to_take_up(project):
    with open_store(project) as store, pytest.raises(OsirisError) as refused:
        store.find(None)
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


def damaged(content: bytes, way: str, chance: random.Random) -> bytes:
    if way == "flip":
        at = chance.randrange(len(content))
        return content[:at] + bytes([content[at] ^ (1 << chance.randrange(8))]) + content[at + 1 :]
    return content[: chance.randrange(0, len(content), 512)]


@pytest.mark.parametrize("way", ["flip", "cut"])
def test_no_damage_goes_unnoticed_and_none_is_fatal(way, tmp_path, request):
    """Whatever happens to the file, what comes out is a beginning of what was said, and a loss is told."""
    seed = random.randrange(2**32)
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
        found, notes = read(project)
        for name, entries in found.items():
            assert name in ("20260101-a", "20260102-b")
            assert entries == ENTRIES[: len(entries)]
        lost = found != {"20260101-a": ENTRIES, "20260102-b": ENTRIES}
        assert not lost or [note.code for note in notes] == ["CHT022"], attempt
        shutil.rmtree(project.root)


def test_an_empty_file_is_damaged_and_not_new(project):
    path: Path = store_path(project)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    found, notes = read(project)
    assert (found, [note.code for note in notes]) == ({}, ["CHT022"])
    assert read(project) == ({}, [])
