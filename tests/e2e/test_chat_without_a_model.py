"""Without a model, free text gets one clear answer, and conversations of earlier versions' rules can still be read."""

import json
import sqlite3
from contextlib import closing

import pexpect
import pytest
from tests.conftest import OSIRIS, kept
from tests.patience import SOON
from tests.terminal import read_until_closed

from osiris.canonical import canonical_bytes, sha256_hex
from osiris.chat.store import _sum

OML = "oml_version: '0.1.0'\nname: places\nsteps: []\n"
ID = "20260101-120000-000-chat-0001"
OPTIONS = {"provider": None, "model": None, "fast": False, "pro_mode": False, "samples": None, "out": None}
USAGE = {"input_tokens": 0, "output_tokens": 0, "requests": 0, "cost": None}
ANSWER = {"value": {"name": "places"}, "model": "rules", "usage": USAGE, "sent": None, "latency_ms": 1.0}


@pytest.fixture
def project(tmp_path):
    (tmp_path / "osiris.yaml").write_text("{}\n")
    return tmp_path


def digest(kind, asked):
    return sha256_hex(canonical_bytes([kind, asked]))


def record(project, oml=OML, answer=ANSWER):
    """Store a conversation as earlier versions held it with their rules."""
    checked = {"ok": True, "oml": OML, "diagnostics": []}
    rows = [
        ("hear", digest("hear", [None]), "places to csv"),
        ("names", digest("names", ["places to csv"]), {"sources": [], "writers": [], "silent": {}}),
        ("ask", digest("ask", ["synthesis", []]), answer),
        ("check", digest("check", [oml]), checked),
    ]
    begun = (ID, "2026-01-01T12:00:00+00:00", json.dumps(OPTIONS))
    with closing(sqlite3.connect(project / ".osiris" / "conversations.sqlite")) as file, file:
        file.execute("INSERT INTO conversations VALUES (?, ?, ?, ?)", (*begun, _sum(b"", begun)))
        before = b""
        for number, (kind, asked, result) in enumerate(rows):
            text = json.dumps(result, ensure_ascii=False, separators=(",", ":"))
            row = (ID, number, kind, asked, "2026-01-01T12:00:01+00:00", text)
            before = _sum(before, row)
            file.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, before))


@pytest.fixture
def earlier(project, osiris):
    assert osiris("chat", "--replay", ID, cwd=project).returncode == 2  # makes the file
    record(project)
    return project


@pytest.mark.parametrize("words", [(), ("orders to csv",), ("orders to csv", "--yes", "--json")])
def test_words_without_a_model_end_with_what_can_be_done(words, project, osiris):
    done = osiris("chat", *words, cwd=project)
    told = done.stdout + done.stderr
    assert (done.returncode, "CHT065" in told) == (2, True)
    assert "osiris new" in told
    assert "chat.provider" in told
    assert not (project / "logs").exists()


def test_the_rules_are_refused_with_what_replaces_them(project, osiris):
    by_option = osiris("chat", "orders to csv", "--provider", "rules", cwd=project)
    (project / "osiris.yaml").write_text("chat: {provider: rules}\n")
    by_setting = osiris("chat", "orders to csv", cwd=project)
    for done, what in ((by_option, "--provider rules"), (by_setting, "chat.provider: rules")):
        assert (done.returncode, f"PRJ010 '{what}'" in done.stderr, "osiris new" in done.stderr) == (2, True, True)
    assert osiris("config", "explain", "run.memory", cwd=project).returncode == 0


def test_the_evaluation_is_elsewhere(project, osiris):
    done = osiris("eval", cwd=project)
    assert (done.returncode, "PRJ010" in done.stderr, "bench/" in done.stderr) == (2, True, True)


def test_what_the_rules_made_is_printed_from_the_record(earlier, osiris):
    done = osiris("chat", "--replay", ID, cwd=earlier)
    assert (done.returncode, done.stdout) == (0, OML)


def test_a_recorded_text_that_is_not_the_one_that_was_checked_is_refused(project, osiris):
    osiris("chat", "--replay", ID, cwd=project)
    record(project, oml=f"{OML}# other\n")
    done = osiris("chat", "--replay", ID, cwd=project)
    assert (done.returncode, "CHT024" in done.stderr) == (2, True)


def test_what_a_model_proposed_to_an_earlier_version_is_printed_from_the_record(project, osiris):
    osiris("chat", "--replay", ID, cwd=project)
    record(project, answer={**ANSWER, "model": "openai:gpt-5.1", "value": {"name": "places", "target": {}}})
    done = osiris("chat", "--replay", ID, cwd=project)
    assert (done.returncode, done.stdout) == (0, OML)
    assert "CHT066" in osiris("chat", "--resume", ID, cwd=project).stderr


@pytest.mark.parametrize("words", [("--resume", ID), ("--resume",)])
def test_a_conversation_of_the_rules_is_not_continued(words, earlier, osiris):
    done = osiris("chat", *words, cwd=earlier)
    assert (done.returncode, "CHT066" in done.stderr, f"--replay {ID}" in done.stderr) == (2, True, True)


def test_in_a_terminal_the_guide_starts_and_says_why(project):
    (project / "data").mkdir()
    (project / "data" / "places.csv").write_text("id,name\n1,Oslo\n")
    environment = {**kept(), "TERM": "xterm-256color"}
    process = pexpect.spawn(OSIRIS, ["chat"], cwd=str(project), env=environment, timeout=SOON)
    process.expect("free text needs a model")
    process.expect("places.csv")
    process.sendintr()
    read_until_closed(process)
    assert not (project / "pipelines").exists()
