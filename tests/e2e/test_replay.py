"""Two runs compared, and a run replayed: the same, or the difference and its reason; targets are not touched."""

import json
import signal
import sqlite3

import pytest
from tests.e2e.sessions import Shop, slow

MORE = "1010,Zed,north,2025-03-03,10.00,\n"
BACK = """
  - {id: back, component: filesystem.csv_extractor, mode: read, needs: [report], config: {path: output/revenue.csv}}
  - id: second
    component: filesystem.csv_writer
    mode: write
    inputs: {df: "@back"}
    config: {path: output/second.csv}
"""
CONNECTIONS = "connections: {sqlite: {default: {path: data/app.db, }}}\n"
STORE = """
  - {id: store, component: sqlite.writer, mode: write, needs: [revenue], config: {table: revenue}}
"""


@pytest.fixture
def shop(osiris, tmp_path):
    return Shop(osiris, tmp_path / "shop")


def add_order(shop):
    with shop.orders.open("a") as file:
        file.write(MORE)


def reasons(told):
    return [item["kind"] for item in told["data"]["reasons"]]


def edit_summary(shop, session, **changes):
    """Make a session look as if it had run elsewhere or earlier."""
    path = shop.folder / "logs" / session / "run.json"
    path.write_text(json.dumps(shop.summary(session) | changes, separators=(",", ":")) + "\n")


def test_runs_that_did_the_same(shop):
    first, second = shop.run(), shop.run()
    told = shop.json("diff", first, second)["data"]
    assert (told["same"], set(told["sections"])) == (
        True,
        {"outcome", "plan", "environment", "schemas", "rows", "digests"},
    )
    assert [each["step"] for each in told["times"]] == [None, "orders", "revenue", "report"]


def test_runs_that_differ_in_everything(shop):
    first = shop.run("--digest", "all")
    add_order(shop)
    shop.example.write_text(shop.example.read_text().replace("sum(amount) AS", "CAST(sum(amount) AS DOUBLE) AS"))
    second = shop.run("--digest", "all", env={"OSIRIS_RUN__THREADS": "1"})
    edit_summary(shop, second, environment=shop.summary(second)["environment"] | {"osiris": "9.9.9"})
    told = shop.json("diff", first, second, code=1)["data"]
    paths = {name: [item["path"] for item in items] for name, items in told["sections"].items()}
    assert paths["outcome"] == []
    assert "steps/revenue/config/query" in paths["plan"]
    assert paths["environment"] == ["environment/osiris", "limits/threads", "sources/orders"]
    assert paths["schemas"] == ["steps/revenue/schema/revenue"]
    assert "steps/orders/rows_in" in paths["rows"]
    assert paths["digests"][0] == "orders/columns/customer"
    text = shop("diff", first, second, code=1).stdout
    assert "steps/orders/rows_in: 8 -> 9" in text
    assert "the source of step 'orders' changed" in text


def test_a_failed_run_differs_in_how_it_ended(shop):
    first = shop.run()
    shop.orders.write_text("code\n1\n")
    shop("run", "--last-compile", "--new-run", code=6)
    told = shop.json("diff", first, "last", code=1)["data"]
    assert [item["text"] for item in told["sections"]["outcome"]][:2] == [
        'status: "complete" -> "failed"',
        'steps/orders/status: "complete" -> "DAT011"',
    ]


def test_the_same_comes_out_and_nothing_is_written(shop):
    session = shop.run("--run-id", "night")
    target = shop.folder / "output" / "revenue.csv"
    target.write_text("mine\n")
    told = shop.json("replay", "night")["data"]
    assert (told["run"], told["same"], told["outputs"]) == (session, True, ["report"])
    assert list((shop.folder / "logs" / told["session"] / "aiop").glob("*_aiop.json"))
    assert target.read_text() == "mine\n"
    again = shop.summary(told["session"])
    assert (again["kind"], again["replays"]["session"], again["deliveries"]) == ("replay", session, {})
    assert not any((shop.folder / "logs" / told["session"] / "artifacts").iterdir())
    assert shop.json("verify", session, told["session"])["data"]["same"]


def test_a_replay_is_no_run_of_the_pipeline(shop):
    first = shop.run("--run-id", "night")
    shop("replay")
    assert shop.json("replay")["data"]["run"] == first
    assert shop.json("logs", "show", "night")["data"]["session"]["session"] == first
    replayed = shop.json("logs", "show")["data"]["session"]["session"]
    assert "replay complete" in shop("logs", "list").stdout.splitlines()[1]
    for command in (("logs", "show"), ("explain", "last")):
        assert first in shop(*command).stdout.splitlines()[1]
    assert shop.json("explain", replayed)["next"] == [f"osiris diff {first} {replayed}"]
    (found,) = shop.json("replay", replayed, code=2)["diagnostics"]
    assert (found["code"], first in found["message"]) == ("RUN022", True)
    shop.orders.write_text("code\n1\n")
    shop("replay", code=1)
    shop.orders.write_text("order_id,customer,region,ordered_on,amount,comment\n1,Ada,n,2025-01-03,1.50,\n")
    shop("run", "--last-compile")
    last = shop.json("logs", "show")["data"]["session"]
    assert (last["continues"], last["status"]) == (None, "complete")


def test_a_changed_source_is_named_with_column_and_row(shop):
    session = shop.run()
    add_order(shop)
    told = shop.json("replay", code=1)
    data = told["data"]
    assert (data["run"], data["same"], reasons(told)) == (session, False, ["source"])
    assert data["differences"][0]["path"] == "report/rows"
    verdict = next(item for item in told["diagnostics"] if item["code"] == "RUN021")
    assert verdict["hint"] == "the source of step 'orders' changed"
    row = next(item for item in told["diagnostics"] if item["code"] == "DAT010")
    copy = f"logs/{data['session']}/artifacts/report/revenue.csv"
    assert row["hint"].startswith(f"output/revenue.csv and {copy} first differ in line ")
    assert (shop.folder / copy).exists()


def test_with_all_digests_the_first_step_is_named(shop):
    shop.run("--digest", "all")
    add_order(shop)
    differences = shop.json("replay", code=1)["data"]["differences"]
    assert next(item["leaf"] for item in differences if "columns" in item["path"]) == "orders"


def test_the_row_is_found_in_files_that_are_no_text(shop):
    text = shop.example.read_text().replace("csv_writer", "parquet_writer").replace("revenue.csv", "${run.id}.parquet")
    shop.example.write_text(text)
    first = shop.run("--run-id", "one")
    shop.orders.write_text(shop.orders.read_text().replace("15.00", "14.00"))
    second = shop.run("--run-id", "two")
    (found,) = shop.json("verify", first, second, code=1)["diagnostics"]
    assert found["message"] == "step 'report': column 'revenue' differs"
    assert found["hint"] == "output/one.parquet and output/two.parquet first differ in row 4"
    told = shop.json("replay", "one", code=1)["diagnostics"]
    assert "first differ in row 4" in next(item["hint"] for item in told if item["code"] == "DAT010")
    assert not list((shop.folder / ".osiris" / "scratch").iterdir())


def test_a_source_that_does_not_fit_any_more_is_named(shop):
    shop.run()
    shop.orders.unlink()
    told = shop.json("replay", code=1)
    assert reasons(told)[0] == "source"
    assert "DRV001" in told["data"]["differences"][0]["text"]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"osiris": "0.0.9"}, "code"),
        ({"engines": {"duckdb": "1.0.0", "pyarrow": "26.0.1", "sqlglot": "30.30.0"}}, "engine"),
        ({"python": "3.1.4"}, "environment"),
        ({}, "unknown"),
    ],
)
def test_other_reasons_are_named(shop, changes, kind):
    session = shop.run()
    run = shop.summary(session)
    outputs = run["outputs"]
    outputs["report"]["digest"]["columns"]["revenue"] = "0" * 16
    edit_summary(shop, session, outputs=outputs, environment=run["environment"] | changes)
    told = shop.json("replay", code=1)
    assert kind in reasons(told)
    assert told["data"]["differences"][0]["path"] == "report/columns/revenue"


def test_a_database_is_not_touched_unless_asked(shop):
    (shop.folder / "osiris_connections.yaml").write_text(CONNECTIONS)
    shop.example.write_text(shop.example.read_text() + STORE)
    shop.run("--run-id", "night")
    database = shop.folder / "data" / "app.db"

    def rows():
        client = sqlite3.connect(database)
        found = client.execute("SELECT count(*) FROM revenue").fetchone()[0]
        client.close()
        return found

    before = database.read_bytes()
    told = shop.json("replay")["data"]
    assert (told["same"], sorted(told["outputs"])) == (True, ["report", "store"])
    assert database.read_bytes() == before
    add_order(shop)
    told = shop.json("replay", code=1)
    assert {item["leaf"] for item in told["data"]["differences"]} == {"report", "store"}
    assert database.read_bytes() == before
    shop.orders.write_text(shop.orders.read_text().replace(MORE, ""))
    assert shop.json("replay", "--to-targets")["data"]["same"]
    assert rows() == 2 * 4


def test_what_the_run_wrote_and_read_is_read_where_the_replay_wrote_it(shop):
    target = shop.folder / "output" / "revenue.csv"
    target.parent.mkdir(exist_ok=True)
    target.write_text("customer,orders,revenue\nx,1,1.00\n")
    shop.example.write_text(shop.example.read_text() + BACK)
    shop.run()
    target.write_text("customer,orders,revenue\nother,1,1.00\n")
    told = shop.json("replay")["data"]
    assert (told["same"], sorted(told["outputs"])) == (True, ["report", "second"])
    shop.run("--select", "report")
    told = shop.json("replay")["data"]
    assert (told["same"], told["outputs"]) == (True, ["report"])


def test_values_of_the_run_are_those_that_it_had(shop):
    text = shop.example.read_text().replace(
        "SELECT customer,", "SELECT ${run.started_at} AS at, ${run.id} AS run, customer,"
    )
    shop.example.write_text(text.replace("GROUP BY customer", "GROUP BY ALL"))
    shop.run("--run-id", "night")
    assert shop.json("replay")["data"]["same"]


def test_a_failed_run_fails_again_for_the_same_reason(shop):
    shop.run()
    shop.orders.write_text("code\n1\n")
    shop("run", "--last-compile", "--new-run", code=6)
    failed = shop.json("logs", "show")["data"]["session"]["session"]
    assert shop.json("replay", failed)["data"]["same"]


def test_what_a_failure_stops_is_at_another_place_each_time(shop):
    """Of a failed run, only what both wrote is compared."""
    shop.run()
    shop.orders.write_text("code\n1\n")
    shop("run", "--last-compile", "--new-run", code=6)
    failed = shop.json("logs", "show")["data"]["session"]["session"]
    wrote = shop.summary(failed)["outputs"] or {"report": {"rows": 1, "files": [], "digest": None}}
    edit_summary(shop, failed, outputs=wrote)
    assert shop.json("replay", failed)["data"]["same"]


def test_a_session_that_recorded_less_is_read_like_others(shop):
    first = shop.run()
    short = shop.summary(first)
    for key in ("environment", "base", "settings", "oml"):
        del short[key]
    path = shop.folder / "logs" / first / "run.json"
    path.write_text(json.dumps(short, separators=(",", ":")) + "\n")
    assert shop.json("diff", first, shop.run())["data"]["same"]
    assert shop.json("replay", first)["data"]["same"]
    add_order(shop)
    told = shop.json("replay", first, code=1)
    assert reasons(told) == ["source"]
    for words in (("logs", "html"), ("logs", "aiop"), ("logs", "bundle"), ("logs", "show"), ("explain",)):
        shop(*words, first)
    shop("lineage", first, "--format", "openlineage")


def test_a_target_that_failed_is_not_asked_again(shop):
    (shop.folder / "osiris_connections.yaml").write_text(
        "connections:\n  postgres:\n"
        '    default: {host: 127.0.0.1, port: 9, database: x, user: ada, password: "${PW}"}\n'
    )
    more = "  - {id: far, component: postgres.writer, mode: write, needs: [revenue], config: {table: t}}\n"
    shop.example.write_text(shop.example.read_text() + more)
    shop("run", "pipelines/example.yaml", code=3, env={"PW": "z"})
    assert reasons(shop.json("replay", code=1)) == ["target"]


def test_a_plan_that_was_changed_is_refused(shop):
    session = shop.run()
    path = shop.folder / "logs" / session / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b"SUM(", b"MAX(", 1))
    (found,) = shop.json("replay", code=4)["diagnostics"]
    assert found["code"] == "CMP022"


def test_a_replay_that_is_killed_leaves_no_trace_but_its_session(shop):
    (shop.folder / "pipelines" / "slow.yaml").write_text(slow(9))
    session = shop.json("run", "pipelines/slow.yaml")["data"]["session"]
    target = shop.folder / "output" / "slow.csv"
    target.write_text("mine\n")
    process, replayed = shop.begin_any("replay", session)
    process.send_signal(signal.SIGKILL)
    process.wait()
    told = shop.json("logs", "show", replayed)["data"]["session"]
    assert (told["kind"], told["status"]) == ("replay", "lost")
    assert target.read_text() == "mine\n"
    assert not list((shop.folder / ".osiris" / "open").iterdir())
    again = shop.json("run", "pipelines/slow.yaml")["data"]["session"]
    assert shop.summary(again)["continues"] is None
    assert not list((shop.folder / ".osiris").glob("spools/*"))


def test_what_cannot_be_replayed(shop):
    assert shop.json("replay", code=2)["diagnostics"][0]["code"] == "RUN010"
    process, session = shop.begin()
    (found,) = shop.json("replay", session, code=2)["diagnostics"]
    assert (found["code"], "has not ended" in found["message"]) == ("RUN022", True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (found,) = shop.json("replay", session, code=2)["diagnostics"]
    assert (found["code"], "ended as lost" in found["message"]) == ("RUN022", True)
