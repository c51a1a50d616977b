"""Conversations through the command: from a sentence to a run, with questions, changes, and a complete record."""

import itertools
import json
import os
import shutil
import sqlite3
import stat
import time

import duckdb
import pytest
from tests.conftest import OSIRIS
from tests.patience import SOON
from tests.unit.chat.scripted import environment, serving
from tests.unit.chat.talking import proposal, question, refusal, typed

from osiris import api

STATES = [
    "INIT",
    "INTENT_CAPTURED",
    "DISCOVERY",
    "OML_SYNTHESIS",
    "VALIDATE_OML",
    "COMPILE",
    "RUN",
    "COMPLETE",
]
SENTENCE = "flights per carrier and month with the average delay, to parquet"
FLIGHTS, AIRPORTS = "data/flights.parquet", "data/airports.csv"
AIRLINES, PLANES = "data/airlines.csv", "data/planes.csv"
PARQUET = "filesystem.parquet_writer"
AVERAGES = [{"name": f"{each}_delay", "function": "average", "column": f"{each}_delay"} for each in ("dep", "arr")]
MONTHLY = {
    "name": "monthly",
    "input": "flights",
    "group": [{"column": "carrier"}, {"column": "month"}],
    "measures": [{"name": "flights", "function": "count"}, *AVERAGES],
}
OF_AA = [{"column": "carrier", "operator": "=", "values": ["AA"]}]
TOP = """SELECT dest, count(*) AS flights
FROM flights
GROUP BY dest
ORDER BY flights DESC, dest
LIMIT 5"""
NO_TARGET = "top 5 destinations by number of flights"
TOP_TO_CSV = proposal(FLIGHTS, sql=TOP, name="flights_by_dest")
NOT_DONE = refusal("I can copy, filter, join and group what tables hold, and nothing else.")
ANSWERS = {
    SENTENCE: typed(MONTHLY, FLIGHTS, name="by_month", component=PARQUET),
    "only carrier AA": typed({**MONTHLY, "filters": OF_AA}, FLIGHTS, name="by_month", component=PARQUET),
    NO_TARGET: question("Where do the rows go?", "csv", "parquet", about="target"),
    "to csv": TOP_TO_CSV,
    "csv": TOP_TO_CSV,
    "airports to csv": proposal(AIRPORTS, name="airports"),
    "airports to output/airports.csv": proposal(AIRPORTS, name="airports", path="output/airports.csv"),
    "airports to output/places.csv": proposal(AIRPORTS, name="airports", path="output/places.csv"),
    "to output/places.csv instead": proposal(AIRPORTS, name="airports", path="output/places.csv"),
    "airports to output/sub/places.csv": proposal(AIRPORTS, name="airports", path="output/sub/places.csv"),
    "as parquet to output/places.parquet instead": proposal(
        AIRPORTS, name="airports", component=PARQUET, path="output/places.parquet"
    ),
    "airlines to csv": proposal(AIRLINES, name="airlines"),
    "number of planes per manufacturer to csv": proposal(
        PLANES,
        sql="SELECT manufacturer, count(*) AS planes\nFROM planes\nGROUP BY manufacturer\nORDER BY manufacturer",
        name="planes_by_manufacturer",
    ),
    "flights per month to csv": proposal(
        FLIGHTS, sql="SELECT month, count(*) AS flights FROM flights GROUP BY month ORDER BY month", name="monthly"
    ),
    "draw a chart of flights per month": NOT_DONE,
    "delete all flights": NOT_DONE,
}
"""What the model makes of each of the person's words."""


@pytest.fixture(scope="module")
def demo_data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "flights"
    api.lay_out("demo", folder)
    return folder / "data"


@pytest.fixture(scope="module")
def model():
    """The variables that configure a model with these answers for a project."""
    with serving(ANSWERS) as server:
        yield environment(server)


@pytest.fixture
def talk(tmp_path, demo_data, osiris, model):
    """A project with the demo's data; `talk(words…, code=0)` holds a conversation and returns the finished process."""
    (tmp_path / "osiris.yaml").write_text("{}\n")
    shutil.copytree(demo_data, tmp_path / "data")

    def call(*words, code=0, env=(), **options):
        done = osiris("chat", *words, cwd=tmp_path, env={**model, **dict(env)}, **options)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    call.folder, call.model = tmp_path, model
    return call


def conversation(folder):
    """Return the folder of the newest conversation."""
    return max(path for path in (folder / "logs").iterdir() if "-chat-" in path.name)


def events(folder):
    return [json.loads(line) for line in (conversation(folder) / "events.jsonl").read_text().splitlines()]


def test_one_sentence_and_one_yes_end_in_a_run_whose_numbers_are_right(talk):
    done = talk(stdin=f"{SENTENCE}\nyes\n")
    assert "Run plan" in done.stderr
    (file,) = (talk.folder / "output").glob("*.parquet")
    found = duckdb.sql(f"SELECT * FROM '{file}' ORDER BY ALL").fetchall()
    assert (
        found
        == duckdb.sql(
            f"""SELECT carrier, month, count(*), avg(dep_delay), avg(arr_delay)
        FROM '{talk.folder}/data/flights.parquet' GROUP BY ALL ORDER BY ALL"""
        ).fetchall()
    )


@pytest.mark.long
def test_each_state_and_each_turn_is_on_record(talk, osiris):
    talk(SENTENCE, "--yes")
    told = events(talk.folder)
    moves = [(e["from_state"], e["to_state"]) for e in told if e["event"] == "state_transition"]
    assert moves == list(itertools.pairwise(STATES))
    assert [event["seq"] for event in told] == list(range(1, len(told) + 1))
    assert [event["told"] for event in told if "told" in event] == list(range(1, sum("told" in e for e in told) + 1))
    names = [event["event"] for event in told]
    assert (names[0], names[-1]) == ("chat_start", "chat_end")
    assert {"user_message", "discovery_start", "discovery_done", "llm_request_start", "llm_exchange"} <= set(names)
    assert {"llm_response_complete", "oml_synthesis_complete", "validation", "plan", "saved", "run_result"} <= set(
        names
    )
    home = conversation(talk.folder)
    summary = json.loads((home / "run.json").read_text())
    assert (summary["kind"], summary["status"], summary["state"]) == ("chat", "complete", "COMPLETE")
    metrics = [json.loads(line)["metric"] for line in (home / "metrics.jsonl").read_text().splitlines()]
    assert {"llm_latency_ms", "llm_requests", "llm_input_tokens", "discovery_recalled"} <= set(metrics)
    (saved,) = (talk.folder / "output").glob("*.yaml")
    artifacts = {path.name for path in (home / "artifacts").iterdir()}
    snapshots = {name for name in artifacts if name.startswith("discovery-")}
    assert snapshots
    assert artifacts - snapshots == {"draft-1.yaml", "diagnostics-1.json", "pipeline.yaml"}
    assert (home / "artifacts" / "pipeline.yaml").read_bytes() == saved.read_bytes()
    listed = osiris("logs", "list", cwd=talk.folder).stdout
    assert "chat complete" in listed
    shown = osiris("logs", "show", home.name, cwd=talk.folder).stdout
    assert SENTENCE in shown
    assert summary["runs"][0] in shown
    page = osiris("logs", "html", home.name, cwd=talk.folder)
    assert page.returncode == 0, page.stderr
    text = (home / "report.html").read_text()
    assert SENTENCE in text
    assert "<script" not in text
    assert f"../{summary['runs'][0]}/report.html" not in text  # the run has no page yet
    osiris("logs", "html", summary["runs"][0], cwd=talk.folder)
    osiris("logs", "html", home.name, cwd=talk.folder)
    assert f"../{summary['runs'][0]}/report.html" in (home / "report.html").read_text()


def test_a_question_waits_and_an_answer_goes_on(talk):
    waiting = talk("top 5 destinations by number of flights", code=1)
    assert "CHT027" in waiting.stderr
    name = conversation(talk.folder).name
    assert f"osiris chat --resume {name} ANSWER" in waiting.stderr
    shown = talk("--resume", name, "to csv")
    assert "Run plan" in shown.stderr
    assert not (talk.folder / "output").exists()
    talk("--resume", name, "yes")
    lines = (talk.folder / "output" / "flights_by_dest.csv").read_text().splitlines()
    assert lines[0] == "dest,flights"
    assert len(lines) == 6
    assert [e["event"] for e in events(talk.folder)].count("chat_resumed") == 2


def test_words_change_the_plan_before_it_is_accepted(talk):
    talk(stdin="airports to output/places.csv\nas parquet to output/places.parquet instead\nyes\n")
    assert [path.name for path in (talk.folder / "output").iterdir() if path.suffix == ".parquet"] == ["places.parquet"]
    assert not (talk.folder / "output" / "places.csv").exists()


@pytest.mark.long
@pytest.mark.parametrize(("word", "files"), [("no", 0), ("quit", 0), ("save", 1)])
def test_a_plan_may_be_turned_down_or_only_saved(talk, word, files):
    talk(stdin=f"airports to csv\n{word}\n")
    output = talk.folder / "output"
    assert [path.suffix for path in output.iterdir()] == [".yaml"] * files if output.exists() else files == 0
    assert not [path for path in (talk.folder / "logs").iterdir() if "-chat-" not in path.name]


@pytest.mark.long
def test_a_draft_may_be_edited(talk):
    editor = talk.folder / "editor.sh"
    editor.write_text('#!/bin/sh\nsed -i "s|output/airports.csv|output/ports.csv|" "$1"\n')
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    script = "airports to output/airports.csv\nedit\nyes\n"
    talk(stdin=script, env={"EDITOR": str(editor), "VISUAL": str(editor)})
    assert (talk.folder / "output" / "ports.csv").exists()
    assert not (talk.folder / "output" / "airports.csv").exists()


@pytest.mark.long
@pytest.mark.parametrize("editor", ["/no/such/editor", ""])
def test_without_an_editor_the_draft_stays_and_the_conversation_goes_on(talk, editor):
    done = talk(stdin="airports to csv\nedit\nyes\n", env={"EDITOR": editor, "VISUAL": ""})
    assert "CHT026" in done.stderr
    assert (talk.folder / "output" / "airports.csv").exists()


@pytest.mark.long
def test_a_replay_gives_the_same_oml_byte_for_byte_without_its_sources(talk):
    talk(stdin=f"{SENTENCE}\nonly carrier AA\nsave\n")
    saved = max((talk.folder / "output").glob("*.yaml")).read_text()
    shutil.rmtree(talk.folder / "data")
    before = sorted(str(path) for path in talk.folder.rglob("*"))
    replayed = talk("--replay", conversation(talk.folder).name)
    assert replayed.stdout == saved
    assert sorted(str(path) for path in talk.folder.rglob("*")) == before


@pytest.mark.long
def test_a_conversation_without_a_pipeline_cannot_be_replayed(talk):
    talk(stdin="quit\n")
    refused = talk("--replay", conversation(talk.folder).name, code=2)
    assert "CHT025" in refused.stderr


@pytest.mark.long
def test_a_record_of_something_else_is_refused(talk):
    talk(stdin="airports to csv\nno\n")
    path = talk.folder / ".osiris" / "conversations.sqlite"
    from osiris.chat import store

    with sqlite3.connect(path) as file:
        rows = file.execute("SELECT * FROM entries ORDER BY number").fetchall()
        file.execute("DELETE FROM entries")
        before = b""
        for number, row in enumerate(rows):
            told = (*row[:3], "0" * 64 if number == 1 else row[3], *row[4:6])
            before = store._sum(before, told)
            file.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", (*told, before))
    file.close()
    refused = talk("--resume", conversation(talk.folder).name, code=2)
    assert "CHT024" in refused.stderr


@pytest.mark.long
def test_programs_get_one_document(talk):
    waiting = json.loads(talk("top 5 destinations by number of flights", "--json", code=1).stdout)
    assert waiting["data"]["question"]["choices"]
    assert waiting["diagnostics"][0]["code"] == "CHT027"
    name = waiting["data"]["session"]
    planned = json.loads(talk("--resume", name, "csv", "--json").stdout)
    assert planned["ok"]
    assert planned["data"]["question"]["about"] == "accept"
    assert planned["data"]["oml"].startswith("oml_version")
    assert planned["next"] == [f"osiris chat --resume {name} yes", f"osiris chat --resume {name}"]
    ran = json.loads(talk("--resume", name, "--yes", "--json").stdout)
    assert (ran["data"]["status"], ran["data"]["state"], len(ran["data"]["runs"])) == ("complete", "COMPLETE", 1)


def test_only_one_process_holds_a_conversation(talk):
    import subprocess

    talk("top 5 destinations by number of flights", code=1)
    name = conversation(talk.folder).name
    command, env = [OSIRIS, "chat", "--resume", name], {**os.environ, **talk.model}
    holder = subprocess.Popen(command, cwd=talk.folder, env=env, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + SOON
    while b"chat_resumed" not in (conversation(talk.folder) / "events.jsonl").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "CHT023" in talk("--resume", name, "csv", code=2).stderr
    holder.communicate(timeout=300)
    talk("--resume", name, "csv")


@pytest.mark.long
def test_a_conversation_is_no_run(talk, osiris):
    talk(stdin="quit\n")
    name = conversation(talk.folder).name
    for words in (["explain", name], ["replay", name], ["logs", "aiop", name], ["logs", "bundle", name]):
        done = osiris(*words, cwd=talk.folder)
        assert done.returncode == 2, words
        assert "CHT029" in done.stderr, words
    assert osiris("logs", "show", "last", cwd=talk.folder).returncode == 2


@pytest.mark.long
def test_a_damaged_store_is_set_aside_and_named(talk):
    talk(stdin="airports to csv\nno\n")
    path = talk.folder / ".osiris" / "conversations.sqlite"
    path.write_bytes(path.read_bytes()[:5000] + os.urandom(3000))
    for side in ("-wal", "-shm"):
        path.with_name(path.name + side).unlink(missing_ok=True)
    done = talk("airports to csv", "--yes")
    assert "CHT022" in done.stderr
    assert list(path.parent.glob("conversations.sqlite.corrupt-*"))


def test_a_failed_run_comes_back_and_can_be_mended_in_words(talk):
    """The folder that the target needs is a file: the run fails, and other words choose another target."""
    (talk.folder / "output").mkdir()
    (talk.folder / "output" / "sub").write_text("in the way")
    done = talk(stdin="airports to output/sub/places.csv\nyes\nto output/places.csv instead\nyes\n")
    assert (talk.folder / "output" / "places.csv").exists(), done.stderr


@pytest.mark.long
def test_a_run_that_failed_and_was_not_mended_ends_with_one(talk):
    (talk.folder / "output").mkdir()
    (talk.folder / "output" / "sub").write_text("in the way")
    done = talk(stdin="airports to output/sub/places.csv\nyes\n", code=1)
    assert "CHT028" in done.stderr


@pytest.mark.long
def test_no_secret_of_a_connection_or_of_a_message_is_on_record(talk):
    canary = "cAnArY-7f3e91d2-secret"
    fields = 'host: 127.0.0.1, port: 1, database: d, user: u, password: "${SHOP_PASSWORD}"'
    (talk.folder / "osiris_connections.yaml").write_text(f"connections: {{postgres: {{shop: {{{fields}}}}}}}\n")
    talk(f"airports to csv, the password is {canary}", "--yes", env={"SHOP_PASSWORD": canary}, code=1)
    for path in talk.folder.rglob("*"):
        if path.is_file() and not path.is_relative_to(talk.folder / "data"):
            assert canary.encode() not in path.read_bytes(), path


@pytest.mark.long
def test_pipelines_are_saved_where_the_project_or_the_command_says(talk):
    (talk.folder / "osiris.yaml").write_text("chat: {output: pipelines}\n")
    talk(stdin="airports to csv\nsave\n")
    assert len(list((talk.folder / "pipelines").glob("*.yaml"))) == 1
    talk("--out", "output/drafts", stdin="airlines to csv\nsave\n")
    assert len(list((talk.folder / "output" / "drafts").glob("*.yaml"))) == 1
    assert "CHT031" in talk("--out", "logs", stdin="airlines to csv\nsave\n", code=2).stderr


@pytest.mark.long
def test_a_refusal_ends_as_one_with_what_can_be_done_instead(talk):
    refused = talk("draw a chart of flights per month", "--yes", code=1)
    assert "CHT034" in refused.stderr
    assert "CHT027" not in refused.stderr
    assert "I can copy, filter, join" in refused.stderr
    assert "ANSWER" not in refused.stderr
    name = conversation(talk.folder).name
    assert f"osiris chat --resume {name} WORDS" in refused.stderr
    document = json.loads(talk("--resume", name, "delete all flights", "--json", code=1).stdout)
    assert document["diagnostics"][0]["code"] == "CHT034"
    assert document["data"]["question"] is None
    assert "Run plan" in talk("--resume", name, "flights per month to csv").stderr


@pytest.mark.long
def test_the_last_conversation_is_replayed(talk):
    talk("airlines to csv")
    talk("number of planes per manufacturer to csv")
    assert "planes_by_manufacturer" in talk("--replay", "last").stdout


@pytest.mark.long
def test_a_session_that_goes_takes_its_conversation_along(talk, osiris):
    for words in ("airlines to csv", "number of planes per manufacturer to csv"):
        talk(words)
    first, second = sorted(path.name for path in (talk.folder / "logs").iterdir() if "-chat-" in path.name)
    tried = osiris("logs", "gc", "--keep", "1", "--dry-run", cwd=talk.folder)
    assert tried.returncode == 0, tried.stderr
    talk("--replay", first)
    osiris("logs", "gc", "--keep", "1", cwd=talk.folder)
    assert "CHT021" in talk("--replay", first, code=2).stderr
    assert "planes_by_manufacturer" in talk("--replay", second).stdout
    with sqlite3.connect(talk.folder / ".osiris" / "conversations.sqlite") as file:
        assert file.execute("SELECT DISTINCT conversation FROM entries").fetchall() == [(second,)]
