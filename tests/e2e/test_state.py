"""`osiris state` with the installed command and real databases: what states are, and moving them by hand."""

import json
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from tests.e2e.test_cursor import APPEND, PIPELINE, STAMPED, Shop, codes, written
from tests.patience import wait_until

FILE = "pipelines/orders.yaml"
BY_ID = "{column: id, late: none}"
UPSERT = "write_mode: upsert, primary_key: [id]"


@pytest.fixture
def shop(tmp_path, osiris, postgres):
    return Shop(tmp_path, osiris, postgres, "postgres")


@pytest.fixture
def files(tmp_path, osiris):
    return Files(tmp_path, osiris)


class Files:
    """A project that copies a table of one SQLite file to another: `run` and `state` return the command's JSON."""

    def __init__(self, root, osiris):
        self.root, self.osiris, self.env = root, osiris, {}
        (root / "osiris.yaml").write_text("")
        declared = {"shop": {"path": "shop.sqlite"}, "copy": {"path": "copy.sqlite"}}
        (root / "osiris_connections.yaml").write_text(yaml.safe_dump({"connections": {"sqlite": declared}}))
        self.sql("CREATE TABLE orders (id INTEGER PRIMARY KEY NOT NULL, amount INTEGER)")

    def sql(self, *statements, database="shop"):
        with sqlite3.connect(self.root / f"{database}.sqlite") as client:
            for statement in statements:
                client.execute(statement)
        client.close()

    def add(self, *ids):
        self.sql(*(f"INSERT INTO orders VALUES ({each}, {each})" for each in ids))

    def copied(self):
        with sqlite3.connect(self.root / "copy.sqlite") as client:
            return [row[0] for row in client.execute("SELECT id FROM orders_copy ORDER BY 1")]

    def dump(self):
        with sqlite3.connect(self.root / "copy.sqlite") as client:
            return "\n".join(client.iterdump())

    def run(self, cursor=BY_ID, mode=APPEND, *arguments, code=0, name="orders"):
        path = self.root / "pipelines" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(PIPELINE.format(name=name, source="sqlite", target="sqlite", cursor=cursor, mode=mode))
        return call(self, "run", path, *arguments, code=code)


def call(project, *words, code=0, env=()):
    done = project.osiris(*words, "--json", cwd=project.root, env={**project.env, **dict(env)})
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def state(project, verb, *words, file="pipelines/orders.yaml", code=0, env=()):
    return call(project, "state", verb, file, *words, code=code, env=env)


def only(answer):
    (each,) = answer["data"]["states"]
    return each


def warned(answer):
    return [each["code"] for each in answer["diagnostics"]]


def test_list_and_show_say_how_far_a_pair_was_read(files):
    files.add(1, 2, 3)
    run = files.run()
    listed = only(call(files, "state", "list"))
    assert (listed["pipeline"], listed["mark"], listed["version"]) == ("orders", "3", 1)
    assert listed["source"] == "@sqlite.shop orders"
    assert listed["target"] == "@sqlite.copy.orders_copy"
    assert listed["last_run"] == f"orders/{run['data']['session']}"
    assert listed["rows_kept"] == 1
    shown = only(state(files, "show"))
    assert [mark["mark"] for mark in shown["state"]["marks"]] == ["3"]
    assert shown["state"]["columns"] == {"id": "int64", "amount": "int64"}
    explained = files.osiris("state", "show", "--help", cwd=files.root).stdout
    assert all(f"'{name}'" in explained for name in ("mark", "greatest", "zone", "version", "clock"))


def test_list_shows_pairs_without_a_state_and_those_that_cannot_be_asked(files):
    files.add(1)
    files.run()
    path = files.root / "pipelines" / "other.yaml"
    path.write_text(
        (path.parent / "orders.yaml").read_text().replace("orders_copy", "more").replace("name: orders", "name: other")
    )
    assert [each["version"] for each in call(files, "state", "list")["data"]["states"]] == [1, 0]
    (files.root / "copy.sqlite").write_bytes(b"this is no database" * 100)
    path.unlink()
    answer = call(files, "state", "list", code=1)
    assert only(answer)["codes"] == codes(answer) == ["DRV010"]
    assert [each["file"] for each in answer["diagnostics"]] == ["pipelines/orders.yaml"]


ENTRY = """
oml_version: "0.3.0"
name: night
replicate:
  - id: night
    from: {connection: "@sqlite.gone", tables: ["*"]}
    to: {connection: "@sqlite.copy", table: "{table}"}
    defaults: {cursor: {column: id, late: none}, write_mode: upsert}
"""


def test_list_names_the_file_of_an_entry_whose_source_cannot_be_asked(files):
    files.add(1)
    files.run()
    declared = {name: {"path": f"{name}.sqlite"} for name in ("shop", "copy", "gone")}
    (files.root / "osiris_connections.yaml").write_text(yaml.safe_dump({"connections": {"sqlite": declared}}))
    (files.root / "pipelines" / "night.yaml").write_text(ENTRY)
    answer = call(files, "state", "list", code=1)
    assert only(answer)["pipeline"] == "orders"
    assert [(each["code"], each["file"], each["line"]) for each in answer["diagnostics"]] == [
        ("STA046", "pipelines/night.yaml", 6)
    ]
    (files.root / "pipelines" / "orders.yaml").unlink()
    shown = files.osiris("state", "list", cwd=files.root)
    assert shown.returncode == 1
    assert "no pipeline has a cursor" not in shown.stdout


def test_list_names_the_tables_of_an_entry_that_are_read_whole(files):
    files.add(1)
    files.run()
    files.sql("CREATE TABLE codes (code TEXT PRIMARY KEY NOT NULL)", "CREATE TABLE rates (id INTEGER PRIMARY KEY)")
    text = ENTRY.replace("gone", "shop") + '    tables: {"codes": {cursor: none}, "rates": {cursor: none}}\n'
    (files.root / "pipelines" / "night.yaml").write_text(text)
    call(files, "run", "pipelines/night.yaml")
    answer = call(files, "state", "list")
    assert [each["step"] for each in answer["data"]["states"]] == ["night-main-orders", "copy"]
    (note,) = answer["diagnostics"]
    assert (note["code"], note["severity"], note["file"]) == ("STA047", "note", "pipelines/night.yaml")
    assert note["message"].endswith("read whole in each run and have no state: codes, rates")
    assert "STA047" in files.osiris("state", "list", cwd=files.root).stderr
    assert codes(call(files, "state", "show", "pipelines/night.yaml", "orders")) == []
    (note,) = call(files, "state", "show", "pipelines/night.yaml", "rates")["diagnostics"]
    assert note["message"].endswith("read whole in each run and have no state: rates")
    assert codes(call(files, "state", "show", "pipelines/night.yaml", "rate", code=2)) == ["STA044"]


def test_list_says_what_the_number_of_recognized_rows_is(files):
    files.add(1)
    files.run()
    shown = files.osiris("state", "list", cwd=files.root).stdout.splitlines()
    assert shown[0].endswith("recognized")
    assert "'recognized' is how many" in " ".join(
        files.osiris("state", "list", "--help", cwd=files.root).stdout.split()
    )


def test_list_has_one_line_for_each_pipeline_with_errors(files):
    files.add(1)
    files.run()
    path = files.root / "pipelines" / "broken.yaml"
    path.write_text(
        (path.parent / "orders.yaml")
        .read_text()
        .replace("@sqlite.shop", "@sqlite.no")
        .replace("name: orders", "name: broken")
    )
    answer = call(files, "state", "list", code=1)
    assert only(answer)["mark"] == "1"
    (problem,) = answer["diagnostics"]
    assert (problem["code"], problem["severity"], problem["file"]) == ("STA046", "warning", "pipelines/broken.yaml")
    (line,) = files.osiris("state", "list", cwd=files.root).stderr.splitlines()
    assert line.startswith("pipelines/broken.yaml:8:26: ")
    assert codes(call(files, "state", "list", path, code=3)) == ["CON003"]
    (files.root / "pipelines" / "orders.yaml").unlink()
    assert files.osiris("state", "list", cwd=files.root).stdout == ""


@pytest.mark.parametrize("verb", [("rewind", "--to", "2"), ("reset",)])
def test_a_dry_run_changes_nothing(files, verb):
    files.add(1, 2, 3)
    files.run()
    before = files.dump()
    answer = state(files, verb[0], *verb[1:], "--dry-run")
    assert only(answer)["appended_again"] == {"rewind": 2, "reset": 3}[verb[0]]
    assert warned(answer) == ["STA042"]
    assert files.dump() == before
    assert written(files.run()) == 0


@pytest.mark.parametrize(
    ("words", "again"),
    [(("rewind", "--to", "2"), [1, 2, 2, 3, 3]), (("reset",), [1, 1, 2, 2, 3, 3])],
    ids=["value", "reset"],
)
def test_an_append_repeats_the_rows_that_are_read_again(files, words, again):
    files.add(1, 2, 3)
    files.run()
    answer = state(files, words[0], *words[1:])
    assert only(answer)["appended_again"] == len(again) - 3
    files.run()
    assert files.copied() == again
    assert written(files.run()) == 0


def test_an_upsert_repeats_no_row(files):
    mode = UPSERT
    files.add(1, 2, 3)
    files.run(mode=mode)
    files.sql("UPDATE orders SET amount = 10 WHERE id = 2")
    answer = state(files, "rewind", "--to", "2")
    assert warned(answer) == []
    assert "none is doubled" in only(answer)["effect"]
    assert written(files.run(mode=mode)) == 2
    assert files.copied() == [1, 2, 3]


def test_what_a_run_read_is_read_again(files):
    files.add(1, 2)
    files.run(BY_ID, APPEND, "--run-id", "monday")
    files.add(3, 4)
    second = files.run(BY_ID, APPEND, "--run-id", "tuesday")
    files.add(5)
    files.run()
    files.sql("DELETE FROM orders_copy WHERE id > 2", database="copy")
    answer = state(files, "rewind", "--to", second["data"]["session"])
    assert only(answer)["reads"] == "from 2, as before orders/tuesday"
    files.run()
    assert files.copied() == [1, 2, 2, 3, 4, 5]
    tried = only(state(files, "rewind", "--to", "monday", "--dry-run"))
    assert tried["reads"] == "everything, as before orders/monday"


@pytest.mark.parametrize("change", ["DROP TABLE orders_copy", "DELETE FROM orders_copy"])
def test_rows_that_were_deleted_are_not_taken_for_delivered(files, change):
    files.add(1, 2, 3)
    files.run()
    files.sql(change, database="copy")
    assert only(state(files, "reset"))["appended_again"] == 0
    files.run()
    assert files.copied() == [1, 2, 3]


def test_a_ledger_row_records_each_change(files):
    files.add(1)
    files.run()
    state(files, "reset")
    with sqlite3.connect(files.root / "copy.sqlite") as client:
        rows = client.execute("SELECT step, rows FROM _osiris_ledger WHERE run_key LIKE 'state/%'").fetchall()
        ((version,),) = client.execute("SELECT version FROM _osiris_state").fetchall()
    assert rows == [("copy", 0)]
    assert version == 2


def test_a_table_without_state_gets_one(files):
    files.add(1, 2, 3)
    files.run()
    files.sql("DELETE FROM _osiris_state", "DELETE FROM _osiris_overlap", database="copy")
    files.add(4)
    assert codes(files.run(code=1)) == ["STA006"]
    state(files, "rewind", "--to", "4")
    files.run()
    assert files.copied() == [1, 2, 3, 4]


def test_a_state_before_the_first_run_says_where_to_begin(files):
    files.add(1, 2, 3)
    files.run(code=0)
    (files.root / "copy.sqlite").unlink()
    state(files, "rewind", "--to", "3")
    files.run()
    assert files.copied() == [3]


@pytest.mark.parametrize("change", ["DROP TABLE orders_copy", "DELETE FROM orders_copy"])
def test_a_target_that_was_replaced_is_filled_again(files, change):
    files.add(1, 2, 3)
    files.run(mode=UPSERT)
    files.sql(change, database="copy")
    files.add(4)
    assert codes(files.run(mode=UPSERT, code=1)) == ["STA004"]
    state(files, "reset")
    files.run(mode=UPSERT)
    assert files.copied() == [1, 2, 3, 4]


def test_a_changed_cursor_is_accepted_but_marks_of_the_old_one_are_not(files):
    files.add(1, 2, 3)
    first = files.run(mode=UPSERT)
    changed = "{column: amount, late: none}"
    files.sql("CREATE TABLE other AS SELECT * FROM orders", "DROP TABLE orders")
    files.sql("CREATE TABLE orders (id INTEGER PRIMARY KEY NOT NULL, amount INTEGER NOT NULL)")
    files.sql("INSERT INTO orders SELECT * FROM other")
    call(files, "compile", "pipelines/orders.yaml", "--refresh")
    answer = files.run(changed, UPSERT, code=1)
    assert codes(answer) == ["STA002"]
    assert f"its cursor changed from {BY_ID} to {changed}" in str(answer["diagnostics"])
    assert f"changed since: cursor, was {BY_ID}" in files.osiris("state", "show", FILE, cwd=files.root).stdout
    refused = state(files, "rewind", "--to", first["data"]["session"], code=2)
    assert codes(refused) == ["STA045"]
    ways = "possible: '--to 10000', or any other value of amount; 'osiris state reset' reads everything again"
    assert refused["diagnostics"][-1]["hint"] == ways
    state(files, "rewind", "--to", "2")
    assert written(files.run(changed, UPSERT)) == 2
    assert len(only(state(files, "show"))["state"]["marks"]) == 2


def test_the_run_after_a_rewind_says_that_rows_are_read_again(files):
    files.add(1, 2, 3)
    files.run(mode=UPSERT)
    state(files, "rewind", "--to", "2")
    files.run(mode=UPSERT)
    for command in (("logs", "show", "last"), ("explain", "last")):
        shown = files.osiris(*command, cwd=files.root).stdout
        assert "orders: rows from 2 again (set by 'osiris state')" in shown, shown
    files.run(mode=UPSERT)
    assert "set by 'osiris state'" not in files.osiris("logs", "show", "last", cwd=files.root).stdout


@pytest.mark.parametrize("mode", [UPSERT, APPEND])
def test_a_failed_run_of_a_cursor_is_safe_to_retry(files, mode):
    files.add(1)
    files.run(mode=mode)
    session = files.run(mode=mode, code=0)["data"]["session"]
    why = call(files, "explain", session)["data"]["why"]
    files.add(2)
    files.sql("ALTER TABLE orders_copy RENAME TO away", "CREATE TABLE orders_copy (other TEXT)", database="copy")
    failed = files.run(mode=mode, code=6)["data"]["session"]
    shown = " ".join(files.osiris("explain", failed, cwd=files.root).stdout.split())
    assert "Once the cause is fixed, the same command reads on from the recorded position of copy." in shown, shown
    assert "append the rows" not in str(why)
    assert "does not run" not in shown


def test_a_state_that_must_be_moved_first_is_not_called_safe_to_retry(files):
    files.add(1)
    files.run(mode=UPSERT)
    files.sql("DELETE FROM orders_copy", database="copy")
    answer = files.run(mode=UPSERT, code=1)
    assert codes(answer) == ["STA004"]
    session = answer["data"]["session"]
    explained = files.osiris("explain", session, cwd=files.root)
    console = explained.stdout + explained.stderr
    files.osiris("logs", "html", session, "--output", "page.html", cwd=files.root)
    page = (files.root / "page.html").read_text()
    package = next((files.root / "logs" / session / "aiop").glob("*_aiop.json")).read_text()
    card = next((files.root / "logs" / session / "aiop").glob("*_runcard.md")).read_text()
    for shown in (console, page, package, card):
        shown = " ".join(shown.split())
        assert "Once the cause is fixed, the same command reads on" in shown
        assert "Safe to retry" not in shown
    assert "Fix the cause first" in console
    assert "osiris explain STA004" in console
    assert "A retry is safe, and" not in page


def test_a_changed_query_is_shown_as_it_was(files):
    files.add(1)
    files.run()
    path = files.root / FILE
    step = """  - {{id: large, component: duckdb.processor, mode: transform, needs: [orders],
     config: {{query: "SELECT id, amount FROM orders WHERE amount > {}"}}}}
"""
    earlier = path.read_text().replace("needs: [orders]", "needs: [large]").replace("orders_copy", "large")
    path.write_text(earlier + step.format(0))
    call(files, "run", path)
    path.write_text(earlier + step.format(1))
    answer = str(call(files, "run", path, code=1)["diagnostics"])
    assert "what it reads changed from orders -> SELECT " in answer
    assert answer.index("> 0") < answer.index(" to orders -> SELECT ") < answer.index("> 1")


def test_a_state_of_an_earlier_version_is_read(files):
    files.add(1)
    files.run()
    files.sql("UPDATE _osiris_state SET content = json_remove(content, '$.texts')", database="copy")
    files.add(2)
    assert written(files.run()) == 1
    files.sql("UPDATE _osiris_state SET content = json_remove(content, '$.texts')", database="copy")
    answer = files.run(BY_ID.replace("none", "{lag: 10}"), code=1)
    assert "does not fit: its cursor changed'" in str(answer["diagnostics"]).replace('"', "'")


def test_a_new_column_does_not_double_rows_that_are_kept(files):
    files.add(1, 2, 3)
    files.run()
    files.sql("ALTER TABLE orders ADD COLUMN note TEXT")
    files.sql("ALTER TABLE orders_copy ADD COLUMN note TEXT", database="copy")
    call(files, "compile", "pipelines/orders.yaml", "--refresh")
    files.run()
    assert files.copied() == [1, 2, 3]


def test_a_damaged_state_is_reset(files):
    files.add(1, 2)
    files.run(mode=UPSERT)
    files.sql("UPDATE _osiris_state SET content = 'x'", database="copy")
    assert codes(state(files, "show", code=4)) == ["STA010"]
    assert codes(files.run(mode=UPSERT, code=4)) == ["STA010"]
    state(files, "reset")
    assert written(files.run(mode=UPSERT)) == 2


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--to", "yesterday"), "STA040"),
        (("--to", "2025-01-01"), "STA040"),
        (("--to", "99999999999999999999"), "STA040"),
        (("--to", "-99999999999999999999"), "STA040"),
        (("--to", "7"), "STA041"),
        (("nothing", "--to", "7"), "STA044"),
    ],
)
def test_what_is_neither_run_nor_value_is_refused(files, words, code):
    files.add(1)
    files.run(BY_ID, APPEND, "--run-id", "7")
    before = files.dump()
    assert codes(state(files, "rewind", *words, code=2)) == [code]
    assert files.dump() == before


def test_a_step_without_a_cursor_has_no_state(files):
    files.add(1)
    path = files.root / "pipelines" / "whole.yaml"
    path.parent.mkdir()
    text = PIPELINE.format(name="whole", source="sqlite", target="sqlite", cursor=BY_ID, mode=APPEND)
    path.write_text(text.replace(f", cursor: {BY_ID}", ""))
    assert codes(state(files, "show", file="pipelines/whole.yaml", code=2)) == ["STA044"]


def test_moving_forward_is_warned_of(files):
    files.add(1, 2, 3)
    files.run()
    assert "STA043" in warned(state(files, "rewind", "--to", "10", "--dry-run"))


def test_a_change_that_is_killed_did_not_happen(files):
    files.add(1, 2, 3)
    files.run()
    before = files.dump()
    assert codes(state(files, "reset", code=1, env={"OSIRIS_FAULT": "worker/state.change:1:kill"})) == ["RUN001"]
    assert files.dump() == before
    state(files, "reset")
    files.run()
    assert files.copied() == [1, 1, 2, 2, 3, 3]


def test_a_change_on_postgres(shop):
    shop.sql("INSERT INTO orders SELECT n, n, now() - n * interval '1 min' FROM generate_series(1, 100) n")
    first = shop.run(STAMPED, APPEND)
    shop.sql("INSERT INTO orders VALUES (101, 5)")
    shop.run(STAMPED, APPEND)
    listed = only(call(shop, "state", "list"))
    assert listed["held_back"]
    assert listed["version"] == 2
    value = shop.rows("SELECT min(updated_at) + interval '1 min' FROM orders", shop.source)[0][0].isoformat()
    tried = state(shop, "rewind", "--to", value, "--dry-run")
    assert only(tried)["appended_again"] == 100
    assert only(state(shop, "rewind", "--to", value))["appended_again"] == 100
    shop.run(STAMPED, APPEND)
    assert len(shop.copied()) == 101 + 100
    assert only(state(shop, "rewind", "--to", first["data"]["session"], "--dry-run"))["position"] == {}
    assert codes(state(shop, "rewind", "--to", "2025-01-01", code=2)) == ["STA040"]


def test_row_xids_has_no_values_but_runs(shop):
    cursor = "{column: id, late: row_xids}"
    shop.sql("INSERT INTO orders SELECT n, n FROM generate_series(1, 10) n")
    shop.run(cursor, UPSERT)
    shop.sql("INSERT INTO orders VALUES (11, 5)")
    second = shop.run(cursor, UPSERT)
    assert codes(state(shop, "rewind", "--to", "5", code=2)) == ["STA040"]
    state(shop, "rewind", "--to", second["data"]["session"])
    assert written(shop.run(cursor, UPSERT)) == 1
    state(shop, "reset")
    assert written(shop.run(cursor, UPSERT)) == 11


def test_a_run_that_read_an_earlier_version_is_rolled_back(shop, tmp_path):
    shop.sql("INSERT INTO orders SELECT n, n, now() - n * interval '1 min' FROM generate_series(1, 10) n")
    shop.run(STAMPED, UPSERT)
    shop.sql("UPDATE orders SET amount = 7, updated_at = now() WHERE id = 1")
    other = Host(shop, tmp_path / "other")
    with shop.server.connect(shop.target) as client:
        client.autocommit = False
        client.execute("SELECT version FROM _osiris_state FOR UPDATE")  # the run below waits here after it has read
        with ThreadPoolExecutor() as pool:
            run = pool.submit(call, other, "run", "pipelines/orders.yaml", code=1)
            wait_until(lambda: shop.rows("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))
            client.execute("UPDATE _osiris_state SET version = version + 1")
            client.commit()
            assert codes(run.result()) == ["STA001"]
    assert shop.rows("SELECT amount FROM orders_copy WHERE id = 1") == [(1,)]


class Host:
    """Another checkout of a project."""

    def __init__(self, project, root):
        self.root, self.osiris, self.env = root, project.osiris, project.env
        root.mkdir()
        for name in ("osiris.yaml", "osiris_connections.yaml", "pipelines"):
            source = project.root / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, root / name)


def test_two_hosts_that_change_a_state_at_once_change_it_twice_or_once(shop, tmp_path):
    shop.sql("INSERT INTO orders SELECT n, n, now() - n * interval '1 min' FROM generate_series(1, 10) n")
    shop.run(STAMPED, UPSERT)
    hosts = [shop, Host(shop, tmp_path / "other")]
    with ThreadPoolExecutor() as pool:
        words = ("state", "reset", "pipelines/orders.yaml", "--json")
        done = list(pool.map(lambda host: host.osiris(*words, cwd=host.root, env=host.env), hosts))
    changed = [each.returncode for each in done].count(0)
    assert changed >= 1
    assert all(codes(json.loads(each.stdout)) == ["STA001"] for each in done if each.returncode)
    assert shop.rows("SELECT version FROM _osiris_state") == [(1 + changed,)]
    assert shop.rows("SELECT count(*) FROM _osiris_ledger WHERE run_key LIKE 'state/%'") == [(changed,)]


def test_a_cursor_is_shown_as_it_is_written(files):
    files.add(1)
    files.run("{column: id, late: {lag: 5}}")
    assert "column: id, late: {lag: 5}\n" in files.osiris("state", "show", FILE, cwd=files.root).stdout
