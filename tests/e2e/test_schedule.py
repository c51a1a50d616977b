"""`osiris schedule` and `osiris status`: each due time runs once, whatever is killed, and what is late is said.

Due times are made by a clock that is behind when the schedule is seen for the first time (faketime); what ran is in a
table to which each run appends its run id. Schedules are due two minutes before a test and not again for ten minutes,
so that no due time passes while a test works.
"""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.faults.server_kills import kill
from tests.patience import SOON, started, wait_until

from osiris.project import Project
from osiris.project_lock import hold_run

OSIRIS = str(Path(sys.executable).parent / "osiris")
FAKE = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
CONNECTIONS = "connections:\n  sqlite:\n    log:\n      path: data/log.sqlite\n      default: true\n"
PIPELINE = """
oml_version: "0.2.0"
name: {name}
schedule: {{cron: "{cron}", catch_up: {catch_up}}}
steps:
  - {{id: one, component: duckdb.processor, mode: transform, config: {{query: "{query}"}}}}
  - {{id: log, component: sqlite.writer, mode: write, config: {{table: {table}, write_mode: append}}}}
"""
ONE = "SELECT ${run.id} AS run"
SLOW = "SELECT ${run.id} || left(CAST(sum(a.i * b.i) AS VARCHAR), 0) AS run FROM range(200000) a(i), range(200000) b(i)"


class Shop:
    """A project whose pipelines append their run ids to tables."""

    def __init__(self, root):
        self.root = root
        self.last = (datetime.now(UTC) - timedelta(minutes=2)).replace(second=0, microsecond=0)
        root.mkdir()
        (root / "osiris.yaml").write_text("run:\n  threads: 1\n", encoding="utf-8")
        (root / "osiris_connections.yaml").write_text(CONNECTIONS, encoding="utf-8")
        (root / "pipelines").mkdir()
        (root / "data").mkdir()
        sqlite3.connect(root / "data" / "log.sqlite").close()

    def every(self, minutes):
        """Return a cron expression that was due at `last`, and every so many minutes in the 45 minutes before."""
        times = (self.last - timedelta(minutes=back) for back in range(0, 46, minutes))
        return ",".join(str(minute) for minute in sorted({each.minute for each in times})) + " * * * *"

    def put(self, name, cron, catch_up="all", query=ONE, table="runs"):
        text = PIPELINE.format(name=name, cron=cron, catch_up=catch_up, query=query, table=table)
        (self.root / "pipelines" / f"{name}.yaml").write_text(text, encoding="utf-8")

    def call(self, *words, ago=None, **variables):
        """Run a command, if asked with a clock that is behind by so much; returns the finished process."""
        environment = {**os.environ, **variables}
        if ago is not None:
            assert FAKE, "sh tools/servers.sh installs faketime"
            environment |= {"LD_PRELOAD": str(FAKE), "FAKETIME": f"{-ago.total_seconds():+.0f}"}
        command = [OSIRIS, *words]
        return subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, timeout=3600)

    def events(self, *words, code=0, **options):
        done = self.call("schedule", "--once", "--json", *words, **options)
        assert done.returncode == code, done.stdout + done.stderr
        *events, answer = map(json.loads, done.stdout.splitlines())
        assert answer.keys() == {"ok", "data", "diagnostics", "next"}
        return events

    def states(self, *words, **options):
        done = self.call("status", "--json", *words, **options)
        answer = json.loads(done.stdout)
        states = {each["name"] or each["file"]: each["state"] for each in answer["data"]["pipelines"]}
        return done.returncode, states, [each["code"] for each in answer["diagnostics"]]

    def ran(self, table="runs"):
        with sqlite3.connect(self.root / "data" / "log.sqlite", timeout=SOON) as database:
            exists = database.execute("SELECT count(*) FROM sqlite_master WHERE name = ?", [table]).fetchone()[0]
            return [run for (run,) in database.execute(f'SELECT run FROM "{table}"')] if exists else []

    def handled(self, name):
        record = json.loads((self.root / ".osiris" / "schedule.json").read_bytes())["pipelines"][name]
        return datetime.fromisoformat(record["handled"]).astimezone(UTC)


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path / "shop")


def due(name, first, last, cron):
    """Return the run ids of the minutes of a cron expression after one instant, up to and including another one."""
    minutes = {int(word) for word in cron.split()[0].split(",")}
    start = first.replace(second=0, microsecond=0)
    times = (start + timedelta(minutes=n) for n in range((last - start) // timedelta(minutes=1) + 1))
    return [f"{name}-{each:%Y%m%dT%H%M%S}Z" for each in times if each > first and each.minute in minutes]


def killed_somewhere(shop, moments):
    """Serve schedules, and kill the process that does so, or the run that it has started, at random moments."""
    for moment in moments:
        with started([OSIRIS, "schedule"], cwd=shop.root, stderr=subprocess.DEVNULL) as service:
            time.sleep(moment)
            children = Path(f"/proc/{service.pid}/task/{service.pid}/children").read_text().split()
            kill(*(int(child) for child in children if random.Random(moment).random() < 0.5))
            service.kill()


def caught_up_after_kills(shop, minutes, cron, moments):
    shop.put("tick", cron)
    shop.events(ago=timedelta(minutes=minutes))
    seen = shop.handled("tick")
    killed_somewhere(shop, moments)
    shop.events()
    assert Counter(shop.ran()) == Counter(due("tick", seen, shop.handled("tick"), cron))
    return shop.ran()


def test_missed_runs_are_made_up_for_once_each_after_kills(shop):
    ran = caught_up_after_kills(shop, 45, shop.every(10), [1.3, 2.1])
    assert len(ran) >= 4
    assert ran == sorted(ran)


def test_a_run_that_is_finished_already_is_not_said_to_have_run(shop):
    shop.put("tick", shop.every(5))
    shop.events(ago=timedelta(minutes=6))
    (first, *_) = due("tick", shop.handled("tick"), datetime.now(UTC), shop.every(5))
    assert shop.call("run", "pipelines/tick.yaml", "--run-id", first).returncode == 0
    ends = {each["run_id"]: each["status"] for each in shop.events() if each["event"] == "end"}
    assert ends.pop(first) == "already complete"
    assert {*ends.values()} <= {"complete"}
    assert Counter(shop.ran())[first] == 1


@pytest.mark.parametrize("words", [(), ("--json",)], ids=["text", "json"])
def test_warnings_of_a_run_are_reported(shop, words):
    """Its session is gone, so the run is new here, and its rows are in the target: nothing is delivered."""
    shop.put("tick", shop.every(5))
    shop.events(ago=timedelta(minutes=6))
    (first, *_) = due("tick", shop.handled("tick"), datetime.now(UTC), shop.every(5))
    assert shop.call("run", "pipelines/tick.yaml", "--run-id", first).returncode == 0
    shutil.rmtree(shop.root / "logs")
    done = shop.call("schedule", "--once", *words)
    assert done.returncode == 0
    assert (done.stdout + done.stderr).count("RUN065") == 1
    assert shop.ran().count(first) == 1


def test_a_schedule_without_effect_is_named(shop):
    shop.put("tick", shop.every(5))
    path = shop.root / "pipelines" / "tick.yaml"
    path.write_text(path.read_text().replace("0.2.0", "0.1.0"))
    (problem,) = (each for each in shop.events() if each["event"] == "problem")
    assert [(each["code"], each["file"]) for each in problem["diagnostics"]] == [("OML032", "pipelines/tick.yaml")]
    assert shop.states("--check") == (0, {"tick": "never run"}, ["OML032"])


@pytest.mark.long
def test_200_missed_runs_are_made_up_for_once_each_after_kills(shop):
    moments = [random.Random(number).uniform(0.5, 12) for number in range(12)]
    assert len(caught_up_after_kills(shop, 200, ",".join(map(str, range(60))) + " * * * *", moments)) >= 200


@pytest.mark.parametrize(("point", "ran"), [("record:1", 0), ("recorded:1", 0), ("record:2", 1)])
def test_a_kill_before_or_after_a_run_loses_and_repeats_nothing(shop, point, ran):
    """The record is written before a run starts and after it has ended."""
    shop.put("tick", shop.every(5), "last")
    shop.events(ago=timedelta(minutes=10))
    assert shop.call("schedule", "--once", OSIRIS_FAULT=f"schedule.{point}:kill").returncode == -signal.SIGKILL
    assert len(shop.ran()) == ran
    first, *_ = (event for event in shop.events() if event["event"] == "end")
    assert (first["status"], first["exit_code"]) == ("already complete" if ran else "complete", 0)
    assert max(Counter(shop.ran()).values()) == 1
    assert f"tick-{shop.handled('tick'):%Y%m%dT%H%M%SZ}" in shop.ran()


@pytest.mark.parametrize("number", [1, 2])
def test_a_full_disk_is_reported_and_what_is_due_stays_due(shop, number):
    shop.put("tick", shop.every(5), "last")
    shop.events(ago=timedelta(minutes=10))
    *_, problem = shop.events(code=1, OSIRIS_FAULT=f"schedule.record:{number}:no-space")
    assert [each["code"] for each in problem["diagnostics"]] == ["PRJ006"]
    assert {event["exit_code"] for event in shop.events() if event["event"] == "end"} == {0}
    assert max(Counter(shop.ran()).values()) == 1
    assert f"tick-{shop.handled('tick'):%Y%m%dT%H%M%SZ}" in shop.ran()


def test_a_run_whose_process_is_always_killed_is_started_three_times(shop):
    shop.put("tick", shop.every(5), "last")
    shop.events(ago=timedelta(minutes=10))
    events = shop.events(code=1, OSIRIS_FAULT="host/marker.make:1:kill")
    ends = [event for event in events if event["event"] == "end"]
    assert [end["exit_code"] for end in ends] == [-signal.SIGKILL] * 3
    assert len({end["run_id"] for end in ends}) == 1
    code, states, codes = shop.states("--check")
    assert (code, states, codes) == (1, {"tick": "failing"}, ["SCH003"])


def test_catch_up_says_which_missed_runs_are_made_up_for(shop):
    for catch_up in ("none", "last", "all"):
        shop.put(catch_up, shop.every(60), catch_up, table=catch_up)
    shop.events(ago=timedelta(hours=3))
    (shop.root / "osiris.yaml").write_text("schedule:\n  late_after: 1s\n", encoding="utf-8")
    events = shop.events()
    assert shop.ran("none") == []
    assert shop.ran("last") == [f"last-{shop.last:%Y%m%dT%H%M}00Z"]
    assert len(shop.ran("all")) == 3
    skipped = [event["pipeline"] for event in events if event["event"] == "skipped"]
    assert skipped == ["none", "last"]
    order = [event["due"] for event in events if event["event"] == "start"]
    assert order == sorted(order)


def test_a_clock_that_was_set_back_repeats_nothing(shop):
    shop.put("tick", shop.every(5), "all")
    shop.events(ago=timedelta(minutes=10))
    shop.events()
    ran = shop.ran()
    assert shop.events(ago=timedelta(minutes=20))[1:] == []
    assert shop.events(ago=timedelta(days=3))[1:] == []  # far behind: the record starts anew
    assert shop.ran() == ran


def test_a_broken_file_is_reported_once_stops_no_other_and_is_made_up_for(shop):
    shop.put("tick", shop.every(5), "last")
    shop.put("tock", shop.every(5), "last")
    shop.events(ago=timedelta(minutes=30))
    tock = shop.root / "pipelines" / "tock.yaml"
    text = tock.read_text()
    tock.write_text("broken: [\n")
    events = shop.events()
    assert [event["diagnostics"][0]["file"] for event in events if event["event"] == "problem"] == [
        "pipelines/tock.yaml"
    ]
    assert [event["pipeline"] for event in events if event["event"] == "start"] == ["tick"]
    assert shop.states("--check")[:2] == (1, {"tick": "ok", "tock": "broken file"})
    tock.write_text(text)
    assert shop.states()[:2] == (0, {"tick": "ok", "tock": "late"})
    events = shop.events()
    assert "tock" in [event["pipeline"] for event in events if event["event"] == "start"]
    assert shop.states("--check") == (0, {"tick": "ok", "tock": "ok"}, [])


@pytest.mark.parametrize("catch_up", ["last", "all"])
def test_a_file_that_is_away_for_a_while_is_made_up_for(shop, catch_up):
    shop.put("tick", shop.every(5), catch_up)
    shop.events(ago=timedelta(minutes=15))
    seen, path = shop.handled("tick"), shop.root / "pipelines" / "tick.yaml"
    os.utime(path, times=(seen.timestamp(),) * 2)
    path.rename(shop.root / "away.yaml")
    assert [event["event"] for event in shop.events()] == ["begin"]
    assert shop.states() == (0, {}, [])
    (shop.root / "away.yaml").rename(path)
    assert shop.states()[1] == {"tick": "late"}
    shop.events()
    missed = due("tick", seen, shop.handled("tick"), shop.every(5))
    assert shop.ran() == (missed if catch_up == "all" else missed[-1:])
    assert len(missed) >= 3


def test_a_run_whose_file_is_away_is_resumed_when_it_is_back(shop):
    shop.put("tick", shop.every(5), "last")
    shop.events(ago=timedelta(minutes=10))
    assert shop.call("schedule", "--once", OSIRIS_FAULT="schedule.recorded:1:kill").returncode == -signal.SIGKILL
    path = shop.root / "pipelines" / "tick.yaml"
    path.rename(shop.root / "away.yaml")
    shop.events()
    (shop.root / "pipelines" / "sub").mkdir()
    (shop.root / "away.yaml").rename(shop.root / "pipelines" / "sub" / "other.yaml")
    shop.events()
    assert f"tick-{shop.handled('tick'):%Y%m%dT%H%M%SZ}" in shop.ran()
    assert max(Counter(shop.ran()).values()) == 1


@pytest.mark.parametrize("how", ["missing for a day", "no schedule", "another name", "another schedule"])
def test_missed_runs_that_are_given_up_are_reported_once(shop, how):
    shop.put("tick", shop.every(5), "all")
    begun = timedelta(days=2)
    shop.events(ago=begun)
    path = shop.root / "pipelines" / "tick.yaml"
    text = path.read_text()
    if how == "missing for a day":
        path.unlink()
        assert shop.events(ago=begun - timedelta(minutes=20))[1:] == []
    elif how == "no schedule":
        path.write_text(text.replace(f'schedule: {{cron: "{shop.every(5)}", catch_up: all}}\n', ""))
    elif how == "another name":
        path.write_text(text.replace("name: tick", "name: tock"))
    else:
        path.write_text(text.replace(shop.every(5), "0 0 1 1 *"))
    (skipped,) = (event for event in shop.events() if event["event"] == "skipped")
    assert (skipped["pipeline"], skipped["catch_up"]) == ("tick", None)
    assert (
        timedelta(0)
        < begun - (datetime.now(UTC) - datetime.fromisoformat(skipped["missed_since"]))
        < timedelta(minutes=20)
    )
    assert shop.events()[1:] == []
    assert shop.ran() == []


@pytest.mark.parametrize("obstacle", ["loop of links", "folder"])
def test_a_record_that_cannot_be_read_is_not_replaced_and_what_is_due_stays_due(shop, obstacle):
    shop.put("tick", shop.every(5), "all")
    shop.events(ago=timedelta(minutes=15))
    record, aside = shop.root / ".osiris" / "schedule.json", shop.root / ".osiris" / "aside"
    seen = shop.handled("tick")
    record.rename(aside)
    if obstacle == "folder":
        record.mkdir()
    else:
        record.symlink_to(record)
    begin, problem = shop.events(code=1)
    assert (begin["event"], [each["code"] for each in problem["diagnostics"]]) == ("begin", ["SCH004"])
    done = shop.call("status", "--json")
    assert (done.returncode, [each["code"] for each in json.loads(done.stdout)["diagnostics"]]) == (2, ["SCH004"])
    assert shop.ran() == []
    record.rmdir() if obstacle == "folder" else record.unlink()
    aside.rename(record)
    shop.events()
    assert Counter(shop.ran()) == Counter(due("tick", seen, shop.handled("tick"), shop.every(5)))


def test_one_process_serves_a_project_and_a_signal_ends_it_and_its_run(shop):
    shop.put("slow", shop.every(5), "last", query=SLOW)
    shop.events(ago=timedelta(minutes=10))
    with started([OSIRIS, "schedule", "--json"], cwd=shop.root, stdout=subprocess.PIPE, text=True) as service:
        seen = [json.loads(service.stdout.readline())["event"] for _ in range(3)]
        assert seen == ["begin", "skipped", "start"]
        wait_until(lambda: shop.states()[1] == {"slow": "running"}, pause=0.2)
        second = shop.call("schedule", "--json")
        assert second.returncode == 75
        (problem,) = json.loads(second.stdout)["diagnostics"]
        assert (problem["code"], "osiris schedule" in problem["message"]) == ("RUN004", True)
        service.send_signal(signal.SIGTERM)
        rest = service.communicate(timeout=SOON)[0].splitlines()
        assert service.returncode == 143
    assert json.loads(rest[-1])["data"] == {"stopped": "SIGTERM"}
    assert shop.states("--check")[:2] == (1, {"slow": "failing"})
    shop.put("slow", shop.every(5), "last")
    ends = [each for each in shop.events() if each["event"] == "end" and each["exit_code"] == 0]
    assert ends, "neither the stopped run nor one that became due meanwhile"
    assert {each["run_id"] for each in ends} <= {*shop.ran()}


def test_status_tells_what_is_late_whoever_runs_it(shop):
    shop.put("fresh", "0 0 1 1 *")
    shop.put("late", "0 * * * *", "last")
    os.utime(shop.root / "pipelines" / "late.yaml", times=(time.time() - 86_400,) * 2)
    assert shop.states()[:2] == (0, {"fresh": "never run", "late": "late"})
    assert shop.states("--check") == (1, {"fresh": "never run", "late": "late"}, ["SCH002"])
    assert shop.call("run", "pipelines/late.yaml").returncode == 0
    assert shop.states("--check") == (0, {"fresh": "never run", "late": "ok"}, [])
    lines = shop.call("status").stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["pipeline", "status"], ["fresh", "never"], ["late", "ok"]]


def test_a_damaged_record_is_written_anew_and_schedules_start_from_now(shop):
    shop.put("tick", shop.every(5), "all")
    shop.events(ago=timedelta(minutes=30))
    (shop.root / ".osiris" / "schedule.json").write_text("{", encoding="utf-8")
    begin, problem = shop.events()
    assert (begin["event"], [each["code"] for each in problem["diagnostics"]]) == ("begin", ["SCH001"])
    assert shop.handled("tick") > datetime.now(UTC) - timedelta(minutes=5)
    assert len(shop.events()) == 1


def test_what_is_late_is_notified_once_by_the_service_and_by_status(shop, hooks):
    (shop.root / "osiris.yaml").write_text('notify:\n  timeout: 5m\n  webhook: "${HOOK}"\n', encoding="utf-8")
    (shop.root / ".env").write_text(f"HOOK={hooks.url}/late\n", encoding="utf-8")
    shop.put("tick", shop.every(5), "last")
    shop.events(ago=timedelta(minutes=30))
    seen = shop.handled("tick")
    assert shop.states("--check")[0] == 1
    shop.states("--check")
    shop.events()
    (message,) = [each.json() for each in hooks.requests if "late" in each.json()["events"]]
    assert (message["pipeline"], message["events"]) == ("tick", ["late"])
    assert seen < datetime.fromisoformat(message["due"]) <= seen + timedelta(minutes=5)


@pytest.mark.long
def test_two_processes_without_a_lock_run_nothing_twice(shop):
    shop.put("tick", shop.every(5))
    shop.events(ago=timedelta(minutes=30))
    seen, lock = shop.handled("tick"), shop.root / ".osiris" / "schedule.lock"
    with started([OSIRIS, "schedule", "--once"], cwd=shop.root, stderr=subprocess.DEVNULL) as first:
        wait_until(lambda: len(shop.ran()) > 0)
        lock.unlink()
        shop.events()
        assert first.wait(timeout=SOON) == 0
    assert Counter(shop.ran()) == Counter(due("tick", seen, shop.handled("tick"), shop.every(5)))


def test_a_profile_is_that_of_each_run_and_a_schedule_is_no_part_of_the_plan(shop):
    path, more = shop.root / "pipelines" / "tick.yaml", "params: {s: -dev}\nprofiles: {prod: {params: {s: -prod}}}\n"
    plans = set()
    for cron in ("0 2 * * MON", shop.every(5)):
        shop.put("tick", cron, "last", query="SELECT ${run.id} || ${params.s} AS run")
        path.write_text(path.read_text() + more, encoding="utf-8")
        plans.add(json.loads(shop.call("compile", "pipelines/tick.yaml", "--json").stdout)["data"]["fingerprint"])
    assert len(plans) == 1
    shop.events("--profile", "prod", ago=timedelta(minutes=10))
    shop.events("--profile", "prod")
    assert shop.ran()[0].endswith("Z-prod")


HEAD = 'oml_version: "0.2.0"\nname: {name}\nschedule: {{cron: "{cron}", catch_up: last}}\nsteps:\n'
FILL = """
  - {id: rows, component: filesystem.csv_extractor, mode: read, config: {path: data/in.csv, dtype: {id: int64}}}
  - {id: out, component: filesystem.csv_writer, mode: write, config: {path: data/out.csv}}
"""
USE = """
  - {id: rows, component: filesystem.csv_extractor, mode: read, config: {path: data/out.csv, dtype: {id: int64}}}
  - {id: one, component: duckdb.processor, mode: transform, config: {query: "SELECT ${run.id} AS run FROM rows"}}
  - {id: log, component: sqlite.writer, mode: write, config: {table: runs, write_mode: append}}
"""


def chain(shop, *, reader="use", writer="fill"):
    """Make two pipelines: one copies a file, and the other logs each run that reads the copy."""
    for name, steps in ((writer, FILL), (reader, USE)):
        text = HEAD.format(name=name, cron=shop.every(5)) + steps
        (shop.root / "pipelines" / f"{name}.yaml").write_text(text, encoding="utf-8")
    for name in ("in", "out"):
        (shop.root / "data" / f"{name}.csv").write_text("id\n1\n", encoding="utf-8")


def forget(shop, *names):
    """Have what was due of pipelines be due again, as at another day."""
    path = shop.root / ".osiris" / "schedule.json"
    record = json.loads(path.read_bytes())
    for name in names or record["pipelines"]:
        handled = record["pipelines"][name]
        handled["handled"] = (datetime.fromisoformat(handled["handled"]) - timedelta(minutes=5)).isoformat()
    path.write_text(json.dumps(record))


@pytest.mark.parametrize("names", [("use", "fill"), ("a", "b")], ids=["after it by name", "before it by name"])
def test_a_pipeline_that_reads_what_a_failed_one_writes_is_skipped_until_that_completes(shop, names):
    reader, writer = names
    chain(shop, reader=reader, writer=writer)
    shop.events(ago=timedelta(minutes=30))
    source = shop.root / "data" / "in.csv"
    source.rename(source.with_suffix(".away"))
    events = shop.events(code=1)
    (skipped,) = [each for each in events if each["event"] == "skipped" and "diagnostics" in each]
    assert (skipped["pipeline"], skipped["diagnostics"][0]["code"]) == (reader, "RUN062")
    assert f"'{writer}'" in skipped["diagnostics"][0]["message"]
    assert [each["pipeline"] for each in events if each["event"] == "start"] == [writer]
    assert shop.ran() == []
    code, states, codes = shop.states("--check")
    assert (code, states, codes) == (1, {reader: "skipped", writer: "failing"}, ["SCH003", "SCH003"])
    assert "skipped" in shop.call("status").stdout
    source.with_suffix(".away").rename(source)
    forget(shop)
    events = shop.events()
    assert [each["pipeline"] for each in events if each["event"] == "start"] == [writer, reader]
    assert len(shop.ran()) == 1
    assert shop.states("--check") == (0, {reader: "ok", writer: "ok"}, [])


def test_so_is_one_that_reads_from_a_skipped_one_and_one_that_reads_from_a_broken_file(shop):
    chain(shop)
    text = (shop.root / "pipelines" / "use.yaml").read_text()
    last = text.replace("name: use", "name: zuletzt").replace("filesystem.csv_extractor", "sqlite.extractor")
    last = last.replace("{path: data/out.csv, dtype: {id: int64}}", "{table: runs}").replace(
        "table: runs, w", "table: z, w"
    )
    (shop.root / "pipelines" / "zuletzt.yaml").write_text(last)
    shop.events(ago=timedelta(minutes=30))
    fill = shop.root / "pipelines" / "fill.yaml"
    fill.write_text(fill.read_text().replace("data/in.csv,", "data/in.csv, unknown: 1,"))
    events = shop.events(code=1)
    assert [each["pipeline"] for each in events if each["event"] == "start"] == []
    skipped = [each["diagnostics"][0]["message"] for each in events if each["event"] == "skipped"]
    assert ["'fill'" in skipped[0], "'use'" in skipped[1]] == [True, True]
    assert shop.states()[1] == {"fill": "broken file", "use": "skipped", "zuletzt": "skipped"}


BACK = """
  - {id: rows, component: filesystem.csv_extractor, mode: read, config: {path: data/out.csv, dtype: {id: int64}}}
  - {id: out, component: filesystem.csv_writer, mode: write, config: {path: data/in.csv}}
"""


def test_pipelines_that_feed_each_other_run_again_once_the_cause_is_repaired(shop):
    chain(shop)
    (shop.root / "pipelines" / "back.yaml").write_text(HEAD.format(name="back", cron=shop.every(5)) + BACK)
    shop.events(ago=timedelta(minutes=30))
    source = shop.root / "data" / "in.csv"
    text = source.read_text()
    source.unlink()
    (shop.root / "data" / "out.csv").write_text("no\nid\n")
    shop.events(code=1)
    source.write_text(text)
    (shop.root / "data" / "out.csv").write_text(text)
    forget(shop)
    events = shop.events()
    assert {each["pipeline"] for each in events if each["event"] == "start"} == {"back", "fill", "use"}
    assert shop.states()[1] == {"back": "ok", "fill": "ok", "use": "ok"}


def test_what_reads_from_a_busy_pipeline_waits_with_it(shop):
    """Also if another pipeline, which waits too, is between both."""
    chain(shop)
    between = FILL.replace("data/in.csv", "data/out.csv").replace("path: data/out.csv}}\n", "path: data/more.csv}}\n")
    (shop.root / "pipelines" / "between.yaml").write_text(HEAD.format(name="between", cron=shop.every(5)) + between)
    use = shop.root / "pipelines" / "use.yaml"
    use.write_text(use.read_text().replace("data/out.csv", "data/more.csv"))
    (shop.root / "data" / "more.csv").write_text("id\n1\n")
    (shop.root / "osiris.yaml").write_text("run: {threads: 1, wait: 0}\n")
    shop.events(ago=timedelta(minutes=30))
    with hold_run(Project(shop.root), "fill", "run of 'fill'", ()):
        events = shop.events(code=1)
    assert [each["pipeline"] for each in events if each["event"] == "start"] == ["fill"]
    events = shop.events()
    assert [each["pipeline"] for each in events if each["event"] == "start"] == ["fill", "between", "use"]
    assert len(shop.ran()) == 1


def test_a_run_by_hand_that_completes_ends_the_skipping(shop):
    chain(shop)
    shop.events(ago=timedelta(minutes=30))
    source = shop.root / "data" / "in.csv"
    source.rename(source.with_suffix(".away"))
    shop.events(code=1)
    source.with_suffix(".away").rename(source)
    assert shop.call("run", "pipelines/fill.yaml").returncode == 0
    forget(shop, "use")
    assert [each["pipeline"] for each in shop.events() if each["event"] == "start"] == ["use"]
    assert shop.states("--check")[:2] == (0, {"fill": "ok", "use": "ok"})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("table: runs", "tabel: runs"),
        ("table: runs", 'connection: "@sqlite.none", table: runs'),
        (ONE, "DROP TABLE runs"),
    ],
    ids=["key", "connection", "query"],
)
def test_status_says_that_a_file_is_broken_whatever_its_last_run_did(shop, old, new):
    shop.put("tick", "0 0 1 1 *")
    assert shop.call("run", "pipelines/tick.yaml").returncode == 0
    assert shop.states("--check") == (0, {"tick": "ok"}, [])
    path = shop.root / "pipelines" / "tick.yaml"
    path.write_text(path.read_text().replace(old, new))
    number, states, codes = shop.states("--check")
    assert (number, [*states.values()]) == (1, ["broken file"])
    (told,) = json.loads(shop.call("status", "--json").stdout)["data"]["pipelines"]
    assert told["last"]["status"] == "complete"
    found = json.loads(shop.call("validate", "--json").stdout)["diagnostics"]
    assert codes == [each["code"] for each in found if each["severity"] == "error"] != []
