"""Sessions packed into one archive, and deleted when they are no longer needed; also lost and stopped ones."""

import hashlib
import json
import os
import shutil
import signal
import time
import zipfile

import pytest
from tests.e2e.sessions import Shop
from tests.openlineage_standard import check_event

CANARY = "zQ7canary-9x4-secret"
PASSWORD = """
connections:
  postgres:
    default: {host: 127.0.0.1, port: 9, database: shop, user: ada, password: "${SHOP_PASSWORD}", connect_timeout: 1}
"""
SECRET = """
  - {id: keys, component: postgres.extractor, mode: read, needs: [], config: {table: keys, cast: {id: int64}}}
"""


@pytest.fixture
def shop(osiris, tmp_path):
    return Shop(osiris, tmp_path / "shop")


def names(shop):
    return sorted(path.name for path in (shop.folder / "logs").iterdir())


def test_packing_twice_gives_the_same_bytes(shop, tmp_path):
    session = shop.run()
    first = shop.json("logs", "bundle", "--output", tmp_path / "a.zip")["data"]
    time.sleep(2.1)  # the resolution of times in archives of this kind
    os.utime(shop.folder / "logs" / session / "run.json")
    shop("logs", "bundle", session, "-o", tmp_path / "b.zip", env={"TZ": "Asia/Tokyo", "LANG": "C"})
    data = (tmp_path / "a.zip").read_bytes()
    assert data == (tmp_path / "b.zip").read_bytes()
    assert (first["sha256"], first["bytes"]) == (hashlib.sha256(data).hexdigest(), len(data))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        found = archive.namelist()
        contents = json.loads(archive.read(f"{session}/contents.json"))["files"]
        told = {name: archive.read(f"{session}/{name}") for name in contents}
        environment = json.loads(archive.read(f"{session}/environment.json"))
    assert found == sorted(found)
    assert {name: hashlib.sha256(data).hexdigest() for name, data in told.items()} == {
        name: entry["sha256"] for name, entry in contents.items()
    }
    for name in ("run.json", "manifest.json", "events.jsonl", "metrics.jsonl"):
        assert told[name] == (shop.folder / "logs" / session / name).read_bytes()
    assert set(environment["environment"]) == {"osiris", "python", "system", "machine", "engines"}


def test_the_archive_is_put_where_one_is_and_artifacts_only_when_asked(shop, tmp_path):
    session = shop.run()
    folder = shop.folder / "logs" / session
    (folder / "artifacts" / "report").mkdir(parents=True)
    (folder / "artifacts" / "report" / "rejects.csv").write_text("a\n")
    (folder / "aiop").mkdir(exist_ok=True)
    (folder / "aiop" / "card.md").write_text("# card\n")
    (folder / "aiop" / "elsewhere").symlink_to("/etc/hostname")
    (folder / "report.html").write_text("<p>report</p>")
    plain = shop.json("logs", "bundle")["data"]
    assert (shop.folder / f"{session}.zip").exists()
    assert {"aiop/card.md", "report.html"} <= set(plain["entries"])
    assert not [name for name in plain["entries"] if name.startswith("artifacts") or "elsewhere" in name]
    full = shop.json("logs", "bundle", "--artifacts", "-o", tmp_path)["data"]
    assert (tmp_path / f"{session}.zip").exists()
    assert "artifacts/report/rejects.csv" in full["entries"]
    (folder / "artifacts").rename(tmp_path / "elsewhere")
    (folder / "artifacts").symlink_to(tmp_path / "elsewhere")
    linked = shop.json("logs", "bundle", "--artifacts", "-o", tmp_path)["data"]
    assert linked["entries"] == plain["entries"]


def test_what_cannot_be_packed(shop, tmp_path):
    assert shop.json("logs", "bundle", code=2)["diagnostics"][0]["code"] == "RUN010"
    shop.run()
    (tmp_path / "file").write_text("")
    refused = shop.json("logs", "bundle", "-o", tmp_path / "file" / "a.zip", code=2)
    assert refused["diagnostics"][0]["code"] == "PRJ006"
    process, session = shop.begin()
    refused = shop.json("logs", "bundle", session, code=2)
    assert refused["diagnostics"][0]["code"] == "AIO012"
    process.send_signal(signal.SIGKILL)
    process.wait()
    shop("logs", "bundle", session)


def test_no_secret_leaves(shop, tmp_path):
    (shop.folder / "osiris_connections.yaml").write_text(PASSWORD)
    good = shop.run()
    shop.example.write_text(shop.example.read_text() + SECRET)
    env = {"SHOP_PASSWORD": CANARY, "OTHER": CANARY}
    done = shop("run", "pipelines/example.yaml", code=3, env=env)
    told = [done, shop("diff", good, "last", code=2, env=env)]  # a run that could not start has no plan
    told += [shop("lineage", "--format", "openlineage", env=env)]
    told += [shop("logs", "bundle", "--artifacts", "-o", tmp_path / "a.zip", env=env)]
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
    assert CANARY.encode() not in content
    assert all(CANARY not in each.stdout + each.stderr for each in told)


def test_lost_and_stopped_runs_are_told(shop):
    (shop.folder / "osiris.yaml").write_text("openlineage: {file: lineage.jsonl}\n")
    lost = shop.lose()
    assert shop.json("logs", "show", lost)["data"]["session"]["status"] == "lost"
    process, _ = shop.begin("--new-run")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=300) == 143
    events = [json.loads(line) for line in (shop.folder / "lineage.jsonl").read_text().splitlines()]
    for event in events:
        check_event(event)
    ends = [event["eventType"] for event in events if event["job"]["name"] == "slow"]
    assert ends == ["START", "FAIL", "START", "ABORT"]
    assert events[1]["run"]["facets"]["errorMessage"]["message"].startswith("RUN008 ")


def test_a_limit_has_to_be_given(shop):
    for words, part in (
        ((), "no limit"),
        (("--older-than", "soon"), "a time like"),
        (("--max-size", "x"), "a size like"),
    ):
        (found,) = shop.json("logs", "gc", *words, code=2)["diagnostics"]
        assert (found["code"], part in found["message"]) == ("PRJ008", True)


def test_by_number_and_only_told_first(shop):
    sessions = [shop.run() for _ in range(4)]
    told = shop.json("logs", "gc", "--keep", "2", "--dry-run")["data"]
    assert [item["session"] for item in told["removed"]] == sessions[:2]
    assert (told["dry_run"], names(shop)) == (True, sessions)
    shop("logs", "html")
    removed = shop.json("logs", "gc", "--keep", "2")["data"]
    assert [item["session"] for item in removed["removed"]] == sessions[:2]
    assert names(shop) == [*sessions[2:], "index.html"]
    page = (shop.folder / "logs" / "index.html").read_text()
    assert [session in page for session in sessions] == [False, False, True, True]
    catalogue = (shop.folder / ".osiris" / "runs.jsonl").read_text().splitlines()
    assert [json.loads(line)["session"] for line in catalogue] == sessions[2:]
    assert shop.json("logs", "gc", "--keep", "2")["data"]["removed"] == []
    assert not list((shop.folder / ".osiris" / "removed").iterdir())


def test_by_size_the_oldest_go_and_the_newest_success_stays(shop):
    sessions = [shop.run() for _ in range(3)]
    whole = shop.json("logs", "gc", "--max-size", "1GB")["data"]
    assert (whole["removed"], whole["sessions_before"]) == ([], 3)
    told = shop.json("logs", "gc", "--max-size", str(whole["bytes_before"] - 1))["data"]
    assert [item["session"] for item in told["removed"]] == sessions[:1]
    told = shop.json("logs", "gc", "--max-size", "1B")["data"]
    assert [item["session"] for item in told["removed"]] == sessions[1:2]
    assert told["kept"] == [{"session": sessions[2], "reason": "it is the newest success of 'example'"}]


def test_by_age_but_never_what_may_be_continued(shop):
    old = shop.run()
    good = shop.run()
    shop.orders.write_text("code\n1\n")
    shop("run", "--last-compile", "--new-run", code=6)
    failed = names(shop)[-1]
    time.sleep(1.1)
    told = shop.json("logs", "gc", "--older-than", "1s")["data"]
    assert [item["session"] for item in told["removed"]] == [old]
    assert {item["session"]: item["reason"] for item in told["kept"]} == {
        good: "it is the newest success of 'example'",
        failed: "it can still be resumed",
    }
    (shop.folder / "osiris.yaml").write_text("run: {continue_within: 1s}\n")
    assert shop.json("logs", "gc", "--older-than", "1s")["data"]["removed"][0]["session"] == failed


def test_a_run_that_another_has_completed_goes_before_that(shop):
    """If it stayed alone, it could be resumed again, and would write its targets once more."""
    first, good = shop.run(), shop.orders.read_text()
    shop.orders.write_text("code\n1\n")
    shop("run", "--last-compile", "--run-id", "night", code=6)
    shop.orders.write_text(good)
    shop("run", "--last-compile", "--run-id", "night")
    _, failed, completed = names(shop)
    newest = shop.run()
    told = shop.json("logs", "gc", "--keep", "1")["data"]
    assert [item["session"] for item in told["removed"]] == [first, failed, completed]
    assert names(shop) == [newest]


def test_a_run_in_progress_and_kept_outputs_stay(shop):
    (shop.folder / "osiris.yaml").write_text("run: {continue_within: 1s}\n")
    process, session = shop.begin()
    try:
        told = shop.json("logs", "gc", "--keep", "0")["data"]
        assert told["kept"] == [{"session": session, "reason": "it is running"}]
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    spools = shop.folder / ".osiris" / "spools" / session
    spools.mkdir(parents=True, exist_ok=True)
    time.sleep(1.1)
    (kept,) = shop.json("logs", "gc", "--keep", "0")["data"]["kept"]
    assert kept["reason"].startswith("it has spooled outputs")
    shutil.rmtree(spools)
    assert shop.json("logs", "gc", "--keep", "0")["data"]["removed"][0]["session"] == session
    assert names(shop) == []


def test_a_session_that_cannot_be_removed_is_named(shop):
    first = shop.run()
    shop.run()
    (shop.folder / ".osiris" / "removed").write_text("")
    told = shop.json("logs", "gc", "--keep", "1", code=1)
    assert [item["code"] for item in told["diagnostics"]] == ["AIO013"]
    assert first in names(shop)


def test_replays_and_links_are_sessions_like_others(shop, tmp_path):
    session = shop.run()
    shop("replay")
    replayed = names(shop)[-1]
    (shop.folder / "logs" / session).rename(tmp_path / session)
    (shop.folder / "logs" / session).symlink_to(tmp_path / session)
    told = shop.json("logs", "gc", "--keep", "0")["data"]
    assert [item["session"] for item in told["removed"]] == [replayed]
    assert told["kept"] == [{"session": session, "reason": "it is a symbolic link"}]


@pytest.mark.parametrize(
    "words",
    [
        ("logs", "bundle", "last", "--output"),
        ("logs", "aiop", "--output"),
        ("logs", "aiop", "--format", "md", "--output"),
        ("logs", "html", "last", "--output"),
        ("compile", "pipelines/example.yaml", "--html"),
    ],
    ids=" ".join,
)
def test_what_is_told_takes_only_the_place_of_its_own_kind(shop, words):
    shop.run()
    path = shop.folder / ("data.html" if "html" in words else "data.csv")
    path.write_text("a,b\n1,2\n")
    found = shop.json(*words, path, code=2)["diagnostics"]
    assert [item["code"] for item in found if item["severity"] == "error"] == ["PRJ014"]
    assert path.read_text() == "a,b\n1,2\n"
    path.unlink()
    shop(*words, path)
    written = path.read_bytes()
    shop(*words, path)
    assert path.read_bytes() == written
