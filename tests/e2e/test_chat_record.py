"""What a conversation leaves behind, and how it is resumed: by its id, by its options, or not at all."""

import json
import os
import signal
import sqlite3
import stat
import subprocess
import time

import pytest
from tests.conftest import KEPT, OSIRIS
from tests.e2e.test_chat_providers import configure
from tests.patience import SOON
from tests.servers.models import failure, model_server
from tests.unit.chat.scripted import environment, serving
from tests.unit.chat.talking import make_project, proposal, question

TO_CSV, NO_TARGET = "places to csv", "top 5 name by number of places"
PLACES = "data/places.csv"
ANSWERS = {
    TO_CSV: proposal(PLACES, name="places"),
    "places to csv ?": proposal(PLACES, name="places"),
    NO_TARGET: question("Where do the rows go?", "csv", "parquet", about="target"),
    "to output/top.csv": proposal(
        PLACES, sql="SELECT name, count(*) AS places FROM places GROUP BY name ORDER BY name", path="output/top.csv"
    ),
    "to output/other.csv instead": proposal(PLACES, name="places", path="output/other.csv"),
}
"""What the model makes of each of the person's words."""


@pytest.fixture(scope="module")
def model():
    """The variables that configure a model with these answers for a project."""
    with serving(ANSWERS) as server:
        yield environment(server)


@pytest.fixture
def talk(tmp_path, osiris, model):
    """A project with one file; `talk(words…, code=0)` holds a conversation and returns the finished process."""
    (tmp_path / "osiris.yaml").write_text("{}\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "places.csv").write_text("id,name\n1,Oslo\n2,Bergen\n")

    def call(*words, code=0, env=(), **options):
        done = osiris("chat", *words, cwd=tmp_path, env={**model, **dict(env)}, **options)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    call.folder, call.model = tmp_path, model
    return call


def conversations(folder):
    """Return the folders of all conversations, the oldest first."""
    return sorted(path for path in (folder / "logs").iterdir() if "-chat-" in path.name)


def events(home, name):
    told = [json.loads(line) for line in (home / "events.jsonl").read_text().splitlines()]
    return [event for event in told if event["event"] == name]


def summary(home):
    return json.loads((home / "run.json").read_text())


def entries(folder):
    with sqlite3.connect(folder / ".osiris" / "conversations.sqlite") as file:
        return file.execute("SELECT kind, result FROM entries ORDER BY conversation, number").fetchall()


def until(is_so):
    deadline = time.monotonic() + SOON
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.long
def test_a_conversation_that_is_killed_is_a_session(talk, osiris):
    kept = {**{name: os.environ[name] for name in KEPT if name in os.environ}, **talk.model}
    process = subprocess.Popen(
        [OSIRIS, "chat"], cwd=talk.folder, env=kept, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    until(lambda: list(talk.folder.glob("logs/*/run.json")))
    (home,) = conversations(talk.folder)
    assert (summary(home)["status"], summary(home)["state"], summary(home)["ended_at"]) == ("waiting", "INIT", None)
    process.stdin.write(f"{TO_CSV}\n".encode())
    process.stdin.flush()
    until(lambda: summary(home)["state"] == "COMPILE")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert "chat waiting" in osiris("logs", "list", cwd=talk.folder).stdout
    assert TO_CSV in osiris("logs", "show", home.name, cwd=talk.folder).stdout
    talk("--resume", home.name, "yes")
    assert (summary(home)["status"], summary(home)["ended_at"] is None) == ("complete", False)


@pytest.mark.long
def test_each_event_has_the_session_of_its_conversation(talk):
    talk(TO_CSV, "--yes")
    (home,) = conversations(talk.folder)
    told = [json.loads(line) for line in (home / "events.jsonl").read_text().splitlines()]
    assert {event["session"] for event in told} == {home.name}
    assert [event["run"] for event in told if event["event"] == "run_result"] == summary(home)["runs"]


@pytest.mark.long
def test_what_sources_answered_is_an_artifact_each(talk):
    talk(TO_CSV, "--yes")
    (home,) = conversations(talk.folder)
    asked = {event["entry"]: event for event in events(home, "tool_call") if event["tool"] in ("names", "look")}
    kept = {path.name: json.loads(path.read_text()) for path in (home / "artifacts").glob("discovery-*.json")}
    assert kept.keys() == {f"discovery-{number}.json" for number in asked}
    for number, event in asked.items():
        found = kept[f"discovery-{number}.json"]
        assert found["asked"] == event["arguments"]
        assert len(json.dumps(found["found"])) == event["result_bytes"]
    looks = [kept[f"discovery-{number}.json"] for number, event in asked.items() if event["tool"] == "look"]
    assert any("places.csv" in text and '"name"' in text for text in map(json.dumps, looks))


@pytest.mark.long
def test_the_newest_that_waits_is_taken_up(talk):
    talk(NO_TARGET, code=1)
    talk(TO_CSV, "--yes")
    first, _ = conversations(talk.folder)
    done = talk("--resume", "to output/top.csv")
    assert f"resuming {first.name}" in done.stderr
    talk("--resume", "--yes")
    assert (talk.folder / "output" / "top.csv").exists()
    refused = talk("--resume", "yes", code=2)
    assert "CHT021 conversation that waits does not exist" in refused.stderr


@pytest.mark.long
def test_a_conversation_that_was_ended_hears_nothing_and_says_so(talk):
    talk(stdin=f"{TO_CSV}\nquit\n")
    (home,) = conversations(talk.folder)
    assert "CHT030" in talk("--resume", home.name, "yes", code=2).stderr
    talk(TO_CSV, "--yes")
    complete = conversations(talk.folder)[-1]
    assert "Run plan" in talk("--resume", complete.name, "to output/other.csv instead").stderr


@pytest.mark.long
def test_where_pipelines_go_is_checked_before_anything_is_asked(talk):
    (talk.folder / "elsewhere").mkdir()
    (talk.folder / "output").mkdir()
    (talk.folder / "output" / "away").symlink_to(talk.folder / "elsewhere")
    for folder in ("logs", "..", "output/../data", "output/away"):
        assert "CHT031" in talk("--out", folder, TO_CSV, code=2).stderr
    assert not (talk.folder / "logs").exists()


@pytest.mark.long
def test_options_that_are_given_later_count_from_then_on(talk):
    talk(TO_CSV)
    (home,) = conversations(talk.folder)
    talk("--resume", home.name, "--out", "pipelines/drafts", "--samples", "masked")
    talk("--resume", home.name, "save")
    assert len(list((talk.folder / "pipelines" / "drafts").glob("*.yaml"))) == 1
    for event in events(home, "chat_resumed"):
        assert (event["options"]["out"], event["options"]["samples"]) == ("pipelines/drafts", "masked")
    assert "CHT031" in talk("--resume", home.name, "--out", "logs", code=2).stderr
    for option in ("--fast", "--pro-mode"):
        assert "can only be given when a conversation starts" in talk("--resume", home.name, option, code=2).stderr


@pytest.mark.long
def test_a_model_goes_with_its_provider(osiris, tmp_path):
    project = make_project(tmp_path / "project")
    with model_server(failure(401)) as server:
        configure(project, server, "openai")
        osiris("chat", "--model", "gpt-x", "customers to csv", cwd=project)
    (home,) = conversations(project)
    osiris("chat", "--resume", home.name, "-p", "openai", cwd=project)
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "ANTHROPIC_API_KEY": "k"}
    osiris("chat", "--resume", home.name, "-p", "anthropic", cwd=project, env=nowhere)
    assert [event["options"]["model"] for event in events(home, "chat_resumed")] == ["gpt-x", None]


@pytest.mark.long
def test_words_that_are_not_utf8_are_heard_as_far_as_they_are(talk):
    talk("places to csv \udcff")
    assert entries(talk.folder)[0] == ("hear", json.dumps("places to csv ?"))


@pytest.mark.long
def test_a_draft_that_was_saved_in_another_encoding_stays_as_it_was(talk):
    editor = talk.folder / "editor.sh"
    editor.write_text("#!/bin/sh\nprintf '\\377\\n' >> \"$1\"\n")
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    done = talk(stdin=f"{TO_CSV}\nedit\nyes\n", env={"EDITOR": str(editor), "VISUAL": str(editor)})
    assert "CHT026 the draft could not be edited: the saved text is not UTF-8" in done.stderr
    assert (talk.folder / "output" / "places.csv").exists()


@pytest.mark.long
def test_more_words_than_are_heard_are_refused_and_not_kept(talk):
    assert "CHT032" in talk("a" * 20_001, code=2).stderr
    assert entries(talk.folder) == []


@pytest.mark.long
def test_a_secret_that_somebody_says_is_told_once_and_kept_nowhere(talk):
    secret = "hunter22x"
    url = f"postgres://me:{secret}@db.example.com/shop"
    done = talk(stdin=f"orders of {url} to csv\n{url}\nquit\n")
    assert done.stderr.count("CHT033") == 1
    assert secret not in done.stdout + done.stderr
    for path in talk.folder.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path


@pytest.mark.long
def test_a_request_that_failed_is_on_record(osiris, tmp_path):
    project = make_project(tmp_path / "project")
    with model_server(failure(401)) as server:
        configure(project, server, "openai")
        assert osiris("chat", "customers to csv", cwd=project).returncode == 3
    (home,) = conversations(project)
    (failed,) = events(home, "llm_failed")
    assert (failed["purpose"], failed["code"]) == ("intent", "LLM014")
