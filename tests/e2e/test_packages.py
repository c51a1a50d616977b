"""Packages of real runs through the installed command: completed, failed, cancelled, killed, and with bad rows."""

import html
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.e2e.sessions import new_project
from tests.packages import check_package
from tests.patience import SOON

OSIRIS = str(Path(sys.executable).parent / "osiris")

HEAD = 'oml_version: "0.1.0"\nname: shop\ndescription: Prices of what was sold.\nsteps:\n'
READ = "  - {id: sold, component: filesystem.csv_extractor, mode: read, config: {path: data/sold.csv%s}}\n"
PRICES = (
    "  - {id: prices, component: filesystem.csv_extractor, mode: read, needs: [], config: {path: data/prices.csv}}\n"
)
SQL = "  - {id: priced, component: duckdb.processor, mode: transform, needs: [%s], config: {query: '%s'}}\n"
WRITE = "  - {id: out, component: filesystem.csv_writer, mode: write, needs: [%s], config: {path: output/out.csv}}\n"


class Shop:
    """A project with one pipeline, `shop`."""

    def __init__(self, call, folder):
        self.call, self.folder = call, folder

    def data(self, name, text):
        (self.folder / "data" / name).write_text(text)

    def pipeline(self, *steps, name="shop"):
        (self.folder / "pipelines" / f"{name}.yaml").write_text(HEAD + "".join(steps))

    def osiris(self, *args, code=0, **options):
        done = self.call(*args, cwd=self.folder, **options)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def start(self, *args):
        return subprocess.Popen(
            [OSIRIS, *args], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def session(self):
        return max(path.name for path in (self.folder / "logs").iterdir())

    def file(self, session=None):
        session = session or self.session()
        return self.folder / "logs" / session / "aiop" / f"{session}_aiop.json"

    def package(self, session=None):
        return check_package(self.folder, self.file(session).read_bytes())

    def answer(self, session=None):
        return self.package(session)["answer"]


@pytest.fixture
def shop(osiris, tmp_path):
    found = Shop(osiris, new_project(tmp_path / "shop"))
    found.data("sold.csv", "item,n\n1,10\n2,20\n3,30\n")
    found.data("prices.csv", "item,price\n1,5\n2,6\n3,7\n")
    return found


def test_a_good_run_and_the_next_one(shop):
    shop.pipeline(READ % "", WRITE % "sold")
    shop.osiris("run", "pipelines/shop.yaml")
    first = shop.answer()
    assert (first["verdict"]["status"], first["verdict"]["kind"]) == ("complete", "ok")
    assert first["failure"] is None
    assert first["changes"]["base"] is None
    name = shop.session()
    shop.pipeline(READ % "", SQL % ("sold", "SELECT * FROM sold WHERE n > 10"), WRITE % "priced")
    shop.data("sold.csv", "item,n\n1,10\n2,20\n3,30\n4,40\n")
    shop.osiris("run", "pipelines/shop.yaml")
    package = shop.package()
    changes = package["answer"]["changes"]
    assert changes["base"] == name
    assert changes["rows_in"] == {"before": 3, "now": 4}
    assert changes["areas"].keys() == {"pipeline", "source_data"}
    assert "steps/priced" in {change["path"] for change in changes["top"]}
    assert package["delta"]["same_plan"] is False
    assert package["answer"]["rows"]["lost"] == [{"step": "priced", "how": "filtered", "rows": 1}]
    assert package["delta"]["outputs"] == [{"step": "out", "same": False}]


def test_a_package_is_made_again_with_the_same_bytes(shop):
    shop.pipeline(READ % "", WRITE % "sold")
    shop.osiris("run", "pipelines/shop.yaml")
    made = shop.file().read_bytes()
    shop.osiris("run", "pipelines/shop.yaml")
    first = shop.file().parent.parent.name
    name = min(path.name for path in (shop.folder / "logs").iterdir())
    assert name != first
    for _ in range(2):
        assert shop.osiris("logs", "aiop", name).stdout.encode() == made
    other = {"TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "7"}
    elsewhere = shop.call("-C", shop.folder, "logs", "aiop", name, cwd="/", env=other)
    assert elsewhere.stdout.encode() == made
    card = shop.file(name).with_name(f"{name}_runcard.md").read_text()
    assert shop.osiris("logs", "aiop", name, "--format", "md").stdout == card
    folder = shop.file(name).parent
    for path in (folder, *folder.rglob("*")):
        assert path.exists()
    assert (folder / "latest.json").read_bytes() == shop.file(first).read_bytes()
    record = json.loads((folder / "index" / "run.json").read_text())
    assert (record["session"], record["previous"], record["base"]) == (name, None, None)


def test_a_bad_value_fails_a_step_and_holds_up_what_follows(shop):
    shop.pipeline(READ % ", dtype: {n: int64}", SQL % ("sold", "SELECT * FROM sold"), WRITE % "priced")
    shop.osiris("run", "pipelines/shop.yaml")
    good = shop.session()
    shop.data("sold.csv", "item,n\n1,10\n2,many\n")
    shop.osiris("run", "--last-compile", code=1)
    package = shop.package()
    answer, failure = package["answer"], package["answer"]["failure"]
    assert (failure["step"], failure["code"], failure["class"]) == ("sold", "DAT001", "data")
    assert failure["subject"]["column"] == "n"
    assert failure["place"] == "data/sold.csv:3"
    links = {link["step"]: (link["state"], link["because"]) for link in answer["chain"]["links"]}
    assert links["sold"] == ("failed", "DAT001")
    assert all(because in ("sold", "priced") for _, because in (links["priced"], links["out"]))
    (writer,) = answer["written"]["writers"]
    assert (writer["state"], writer["partial"], writer["rows"]) == ("nothing", False, 0)
    assert (answer["retry"]["safe"], answer["retry"]["useful"]) == (True, False)
    assert answer["changes"]["base"] == good
    assert answer["changes"]["areas"] == {"source_data": 1}


def test_every_command_runs(shop):
    shop.pipeline(READ % ", dtype: {n: int64}", WRITE % "sold")
    shop.osiris("run", "pipelines/shop.yaml")
    shop.osiris("run", "pipelines/shop.yaml")
    commands = [each["command"] for each in shop.answer()["next"]]
    shop.data("sold.csv", "item,n\n1,10\n2,many\n")
    shop.osiris("run", "--last-compile", code=1)
    answer = shop.answer()
    commands += [each["command"] for each in answer["next"]]
    assert answer["retry"]["command"] in commands
    shop.data("sold.csv", "item,m\n1,10\n")
    shop.osiris("run", "--last-compile", "--new-run", code=6)
    commands += [each["command"] for each in shop.answer()["next"]]
    for command in commands:
        done = shop.call(*shlex.split(command)[1:], cwd=shop.folder)
        assert "Traceback" not in done.stderr
        assert not any(code in done.stderr for code in ("PRJ007", "PRJ008", "RUN010")), (command, done.stderr)
        assert done.returncode in (0, 1, 2, 6)


def test_commands_have_the_values_and_the_selection_that_the_run_had(shop):
    """Without them, they would be rejected, or run something else."""
    other = "  - {id: other, component: filesystem.csv_writer, mode: write, needs: [prices], config: {path: o.csv}}\n"
    least = "SELECT * FROM sold WHERE item <> ${params.least} AND CAST(n AS INTEGER) > 0"
    shop.pipeline(READ % "", SQL % ("sold", least), WRITE % "priced", PRICES, other)
    path = shop.folder / "pipelines" / "shop.yaml"
    path.write_text(path.read_text().replace("steps:", "params:\n  least: {type: string}\nsteps:", 1))
    shop.data("sold.csv", "item,n\na,10\nb,many\n")
    shop.osiris("run", "pipelines/shop.yaml", "--param", "least=it's $HOME", "--select", "out", code=1)
    answer = shop.answer()
    expected = ["osiris", "run", "pipelines/shop.yaml", "--param", "least=it's $HOME", "--select", "sold,priced,out"]
    assert shlex.split(answer["retry"]["command"]) == expected
    again = shop.call(*expected[1:], cwd=shop.folder)
    assert (again.returncode, "RUN011" in again.stderr) == (1, True), again.stderr
    page = (shop.folder / json.loads(shop.osiris("logs", "html", "--json").stdout)["data"]["report"]).read_text()
    assert answer["retry"]["command"] in html.unescape(page)
    resume = next(c for c in json.loads(shop.osiris("explain", "last", "--json").stdout)["next"] if "--resume" in c)
    again = shop.call(*shlex.split(resume)[1:], cwd=shop.folder)
    assert (again.returncode, "RUN011" in again.stderr) == (1, True), again.stderr


def test_a_renamed_column_is_a_change_of_the_source(shop):
    shop.pipeline(READ % "", WRITE % "sold")
    shop.osiris("run", "pipelines/shop.yaml")
    shop.data("sold.csv", "item,amount\n1,10\n")
    shop.osiris("run", "--last-compile", code=6)
    answer = shop.answer()
    assert (answer["failure"]["code"], answer["failure"]["class"]) == ("DAT011", "schema")
    assert answer["failure"]["subject"]["column"] == "n"
    assert answer["changes"]["top"][0]["area"] == "source_schema"
    assert "'n'" in answer["changes"]["top"][0]["text"]
    assert answer["next"][0]["command"].startswith("osiris ")


@pytest.mark.parametrize(
    ("sold", "sql", "kind"),
    [
        ("item,n\n", "SELECT sold.* FROM sold JOIN prices USING (item)", "nothing_read"),
        ("item,n\n1,1\n2,2\n", "SELECT sold.* FROM sold JOIN prices USING (item) WHERE n > 5", "all_filtered"),
        ("item,n\n1,1\n1,2\n1,3\n", "SELECT sold.* FROM sold JOIN prices USING (item)", "fan_out"),
        ("item,n\n1,1\n2,2\n", "SELECT sold.* FROM sold JOIN prices USING (item)", "ok"),
        ("item,n\n1,1\n", "SELECT item, count(*) AS c FROM sold JOIN prices USING (item) GROUP BY item", "ok"),
    ],
)
def test_what_looks_wrong_though_it_did_not_fail(shop, sold, sql, kind):
    shop.data("sold.csv", sold)
    prices = "item,price\n" + ("" if kind == "nothing_read" else "1,5\n1,6\n" if kind == "fan_out" else "1,5\n2,6\n")
    shop.data("prices.csv", prices)
    read = READ % ", dtype: {item: int64, n: int64}"
    prices_step = PRICES.replace("prices.csv}", "prices.csv, dtype: {item: int64}}")
    shop.pipeline(read, prices_step, SQL % ("sold, prices", sql), WRITE % "priced")
    shop.osiris("run", "pipelines/shop.yaml")
    answer = shop.answer()
    assert answer["verdict"]["status"] == "complete"
    assert answer["verdict"]["kind"] == kind, answer["rows"]
    assert [f["kind"] for f in answer["findings"]][:1] == ([] if kind == "ok" else [kind])


def test_four_thousand_bad_rows_become_a_few_groups(shop):
    rows = [f"{n},{'many' if n % 4 else 'x' + str(n)}" for n in range(4_000)]
    shop.data("sold.csv", "\n".join(["item,n", "0,1", *rows, "7", ""]))
    shop.pipeline(READ % ", dtype: {n: int64}, on_reject: quarantine", WRITE % "sold")
    shop.osiris("run", "pipelines/shop.yaml")
    package = shop.package()
    answer = package["answer"]
    assert (answer["verdict"]["kind"], answer["rows"]["rejected"]) == ("rows_rejected", 4_001)
    assert (answer["row_errors"]["total"], answer["row_errors"]["groups"]) == (4_001, 3)
    groups = [(g["code"], g["column"], g["shape"], g["count"]) for g in package["evidence"]["row_errors"]]
    assert groups == [("DAT001", "n", "a", 3000), ("DAT001", "n", "a9", 1000), ("DAT002", None, None, 1)]
    example = package["evidence"]["row_errors"][0]["examples"][0]
    assert example == {"file": "data/sold.csv", "line": 4, "row": 0, "value": "a"}
    assert package["metadata"]["size"]["bytes"] < 20_000


ENDLESS = "SELECT count(*) AS n FROM sold a, sold b, sold c, sold d, sold e WHERE a.n + b.n > c.n * d.n + e.n"


@pytest.fixture
def endless(shop):
    """A run during its SQL, which never ends; stopped with the test."""
    shop.data("sold.csv", "item,n\n" + "".join(f"{n},{n}\n" for n in range(3_000)))
    shop.pipeline(READ % "", SQL % ("sold", ENDLESS), WRITE % "priced")
    host = shop.start("run", "pipelines/shop.yaml")
    deadline = time.monotonic() + SOON
    while not any('"priced"' in path.read_text() for path in (shop.folder / "logs").glob("*/events.jsonl")):
        assert time.monotonic() < deadline
        assert host.poll() is None, host.stderr.read()
        time.sleep(0.05)
    yield host
    host.kill()
    host.communicate()


def test_a_run_that_is_still_going_is_told_as_far_as_it_is(shop, endless):
    done = shop.osiris("logs", "aiop")
    answer = check_package(shop.folder, done.stdout)["answer"]
    assert (answer["verdict"]["status"], answer["retry"]["command"]) == ("running", None)
    assert "AIO005" in done.stderr
    assert not shop.file().exists()


def test_a_cancelled_run(shop, endless):
    endless.send_signal(signal.SIGINT)
    endless.communicate(timeout=300)
    assert endless.returncode == 130
    answer = shop.answer()
    assert (answer["verdict"]["status"], answer["verdict"]["kind"]) == ("cancelled", "cancelled")
    assert (answer["failure"]["code"], answer["failure"]["class"]) == ("RUN003", "cancelled")
    assert {link["state"] for link in answer["chain"]["links"]} <= {"cancelled", "not_run"}
    assert (answer["retry"]["safe"], answer["retry"]["useful"]) == (True, True)
    assert answer["retry"]["command"] == f"osiris run --resume {shop.session()}"


def test_a_killed_worker(shop, endless):
    children = Path(f"/proc/{endless.pid}/task/{endless.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    endless.communicate(timeout=300)
    answer = shop.answer()
    assert (answer["verdict"]["status"], answer["verdict"]["kind"]) == ("failed", "killed")
    assert (answer["failure"]["code"], answer["failure"]["class"]) == ("RUN001", "killed")
    assert "priced" in answer["failure"]["steps"]
    (writer,) = answer["written"]["writers"]
    assert writer["state"] in ("unknown", "nothing")
    assert writer["partial"] is False
    assert answer["retry"]["safe"] is True


def test_a_lost_run_is_packaged_by_the_next_command(shop, endless):
    session = shop.session()
    endless.kill()
    endless.communicate()
    deadline = time.monotonic() + SOON
    while not shop.file(session).exists() and time.monotonic() < deadline:
        shop.osiris("logs", "list")
        time.sleep(0.2)
    package = shop.package(session)
    answer = package["answer"]
    assert (answer["verdict"]["status"], answer["verdict"]["kind"]) == ("lost", "killed")
    assert answer["failure"]["code"] == "RUN008"
    assert answer["retry"]["command"] == f"osiris run --resume {session}"
    assert shop.osiris("logs", "aiop", session).stdout.encode() == shop.file(session).read_bytes()


def many(shop, count, sql="SELECT * FROM %s"):
    steps = [READ % ""]
    for number in range(count - 2):
        before = "sold" if number == 0 else f"s{number - 1}"
        query = sql % before
        steps.append(
            f"  - {{id: s{number}, component: duckdb.processor, mode: transform, needs: [{before}],"
            f" config: {{query: '{query}'}}}}\n"
        )
    shop.pipeline(*steps, WRITE % f"s{count - 3}")


@pytest.mark.long
def test_three_hundred_steps(shop):
    many(shop, 300, "SELECT item, n + 1 AS n FROM %s")
    shop.osiris("run", "pipelines/shop.yaml")
    package = shop.package()
    assert len(package["evidence"]["steps"]) == 300
    assert package["answer"]["run"]["steps"] == {"total": 300, "complete": 300}
    first = shop.session()
    shop.data("sold.csv", "item,n\n1,10\n2,many\n")
    shop.osiris("run", "--last-compile", code=1)
    failed = shop.answer()
    assert failed["chain"]["total"] == 300
    assert failed["failure"]["step"] == "sold"
    for limit in (8_000, 32_000, 300_000):
        done = shop.osiris("logs", "aiop", first, "--max-core-bytes", str(limit))
        small = check_package(shop.folder, done.stdout)
        assert small["answer"] == package["answer"]
        assert ("AIO002" in done.stderr) == small["metadata"]["size"]["truncated"]
        assert len(done.stdout.encode()) <= limit


def test_a_run_reports_what_is_cut_only_if_it_is_no_detail(shop):
    shop.pipeline(READ % "", WRITE % "sold")

    def ran(limit, *words):
        (shop.folder / "osiris.yaml").write_text(f"aiop: {{max_core_bytes: {limit}}}\n")
        return "AIO002" in shop.osiris("run", "pipelines/shop.yaml", "--new-run", *words).stderr

    assert not ran(300_000)
    assert not ran(300_000)
    assert not ran(shop.package()["metadata"]["size"]["bytes"] - 500)
    cuts = {each["section"] for each in shop.package()["metadata"]["size"]["cuts"]}
    assert "evidence.metrics" in cuts
    assert not cuts & {"narrative.sentences", "delta.changes", "evidence.errors"}
    assert "AIO002" in shop.osiris("logs", "aiop").stderr
    assert ran(5_000)
    assert "narrative.sentences" in {each["section"] for each in shop.package()["metadata"]["size"]["cuts"]}


def test_what_is_cut_is_told_and_refused_if_strict(shop):
    shop.pipeline(READ % "", WRITE % "sold")
    shop.osiris("run", "pipelines/shop.yaml")
    cut = shop.osiris("logs", "aiop", "--max-core-bytes", "5kB")
    assert "AIO002" in cut.stderr
    document = check_package(shop.folder, cut.stdout)
    cuts = {each["section"]: each for each in document["metadata"]["size"]["cuts"]}
    assert cuts["evidence.metrics"]["left_out"] > 0
    assert "AIO003" in shop.osiris("logs", "aiop", "--max-core-bytes", "5kB", "--strict", code=1).stderr
    assert "AIO004" in shop.osiris("logs", "aiop", "--max-core-bytes", "1000").stderr
    assert shop.osiris("logs", "aiop", "--strict").stderr == ""


def test_output_annex_and_list(shop, tmp_path):
    shop.pipeline(READ % "", WRITE % "sold")
    shop.osiris("run", "pipelines/shop.yaml")
    shop.osiris("logs", "aiop", "--last", "--output", tmp_path / "p.json")
    assert (tmp_path / "p.json").read_bytes() == shop.file().read_bytes()
    done = shop.osiris("logs", "aiop", "--policy", "annex")
    annex = {each["path"]: each for each in check_package(shop.folder, done.stdout)["metadata"]["annex"]}
    events = (shop.folder / "logs" / shop.session() / "events.jsonl").read_text().splitlines()
    (timeline,) = (path for path in annex if path.endswith("timeline.ndjson"))
    assert annex[timeline]["count"] == len(events)
    assert [json.loads(line) for line in (shop.folder / timeline).read_text().splitlines()] == list(
        map(json.loads, events)
    )
    (shop.folder / ".osiris" / "runs.jsonl").unlink()
    listed = json.loads(shop.osiris("logs", "aiop", "--list", "--json").stdout)["data"]["packages"]
    assert [record["session"] for record in listed] == [shop.session()]
    assert (shop.folder / ".osiris" / "runs.jsonl").exists()
    assert "osiris logs aiop --list" in shop.osiris("logs", "aiop", "list", code=2).stderr


def test_settings_and_earlier_variables_shape_it(shop):
    shop.pipeline(READ % "", WRITE % "sold")
    with (shop.folder / "osiris.yaml").open("a") as file:
        file.write("\naiop:\n  timeline_density: low\n  run_card: false\n  use_session_dir: true\n")
    done = shop.osiris("run", "pipelines/shop.yaml", env={"OSIRIS_AIOP_METRICS_TOPK": "1"})
    assert "aiop.use_session_dir" in done.stderr
    package = shop.package()
    assert len(package["evidence"]["metrics"]) == 1
    assert package["metadata"]["config"]["aiop.metrics_topk"] == {
        "value": 1,
        "origin": "environment OSIRIS_AIOP_METRICS_TOPK",
    }
    assert not list(shop.file().parent.glob("*.md"))
    with (shop.folder / "osiris.yaml").open("a") as file:
        file.write("  enabled: false\n")
    shop.osiris("run", "pipelines/shop.yaml")
    assert not shop.file().parent.exists()
    check_package(shop.folder, shop.osiris("logs", "aiop").stdout)


def test_a_package_that_cannot_be_written_is_a_warning(shop):
    shop.pipeline(READ % "", WRITE % "sold")
    shop.osiris("run", "pipelines/shop.yaml")
    folder = shop.file().parent
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()
    folder.touch()
    done = shop.osiris("run", "pipelines/shop.yaml")
    assert "AIO001" in done.stderr
    assert shop.file().exists()


SERVED = """\
oml_version: "0.1.0"
name: shop
steps:
  - id: source
    component: postgres.extractor
    mode: read
    config: {connection: "@postgres.main", table: source}
  - id: target
    component: postgres.writer
    mode: write
    needs: [source]
    config: {connection: "@postgres.main", table: target, write_mode: append, create_if_missing: false}
"""

CANARY = "Canary-" + "4f9a" * 6


class Served:
    """The shop, with a source and a target in a database."""

    def __init__(self, shop, postgres):
        self.shop, self.server, self.database = shop, postgres, postgres.new_database()
        fields = postgres.fields(self.database)
        self.env = {"PG_PASSWORD": str(fields.pop("password")), "CANARY": CANARY}
        written = {**fields, "password": "${PG_PASSWORD}"}
        (shop.folder / "osiris_connections.yaml").write_text(
            json.dumps({"connections": {"postgres": {"main": written}}})
        )
        (shop.folder / "pipelines" / "shop.yaml").write_text(SERVED)

    def sql(self, *statements):
        self.server.run(*statements, database=self.database)

    def run(self, *args, code=0, **env):
        return self.shop.osiris("run", *args, code=code, env=self.env | env)


@pytest.fixture
def served(shop, postgres):
    found = Served(shop, postgres)
    found.sql(
        "CREATE TABLE source (id int, name text)",
        "INSERT INTO source VALUES (1, 'a'), (2, 'b')",
        "CREATE TABLE target (id int PRIMARY KEY, name text NOT NULL)",
    )
    return found


def prepared(served):
    """Run once, and empty the target, so that there is a last success."""
    served.run("pipelines/shop.yaml")
    served.sql("DELETE FROM target")
    return served.shop.session()


@pytest.mark.parametrize(
    ("change", "step", "kind", "subject"),
    [
        ("DROP TABLE source", "source", "schema", {"table": "source"}),
        ("ALTER TABLE source RENAME COLUMN name TO label", "source", "schema", {"column": "name"}),
        ("INSERT INTO source VALUES (3, NULL)", "target", "data", {"column": "name", "table": "target"}),
        ("INSERT INTO source VALUES (1, 'again')", "target", "data", {"table": "target"}),
        (
            "ALTER TABLE target ADD COLUMN needed int NOT NULL",
            "target",
            "schema",
            {"column": "needed", "table": "target"},
        ),
        ("ALTER TABLE target DROP COLUMN name", "target", "schema", {"column": "name", "table": "target"}),
        ("DROP TABLE target", "target", "schema", {"table": "target"}),
    ],
)
def test_what_a_server_refuses(served, change, step, kind, subject):
    good = prepared(served)
    served.sql(change)
    done = served.shop.call("run", "--last-compile", cwd=served.shop.folder, env=served.env)
    assert done.returncode in (1, 6)
    answer = served.shop.answer()
    failure = answer["failure"]
    assert (failure["step"], failure["class"]) == (step, kind), failure
    found = {key: value.rpartition(".")[2] for key, value in failure["subject"].items()}
    assert subject.items() <= found.items(), failure
    (writer,) = answer["written"]["writers"]
    assert (writer["state"], writer["partial"], writer["rows"]) == ("nothing", False, 0)
    assert answer["changes"]["base"] == good


def test_a_wrong_password(served):
    prepared(served)
    served.run("--last-compile", code=3, PG_PASSWORD=CANARY)
    answer = served.shop.answer()
    assert (answer["failure"]["code"], answer["failure"]["class"]) == ("CON012", "auth")
    assert answer["failure"]["step"] == "source"
    assert answer["next"][0]["command"] == "osiris connections doctor @postgres.main"
    everything = b"".join(path.read_bytes() for path in served.shop.folder.rglob("*") if path.is_file())
    assert CANARY.encode() not in everything


def test_no_secret_is_in_a_package(served):
    shop = served.shop
    text = (shop.folder / "pipelines" / "shop.yaml").read_text()
    params = "params:\n  token: {type: string, sensitive: true}\nsteps:"
    sql = "SELECT id, CAST(${params.token} AS VARCHAR) AS name FROM source WHERE CAST(${params.token} AS INTEGER) > id"
    step = (
        f"  - {{id: odd, component: duckdb.processor, mode: transform, needs: [source], config: {{query: '{sql}'}}}}\n"
    )
    text = (
        text.replace("steps:", params)
        .replace("  - id: target", step + "  - id: target")
        .replace("[source]\n", "[odd]\n")
    )
    (shop.folder / "pipelines" / "shop.yaml").write_text(text)
    served.run("pipelines/shop.yaml", code=1, OSIRIS_PARAM_TOKEN=CANARY)
    answer = shop.answer()
    assert answer["failure"]["step"] == "odd"
    shown = shop.osiris("logs", "aiop", "--policy", "annex", env=served.env | {"OSIRIS_PARAM_TOKEN": CANARY})
    secrets = [CANARY, served.env["PG_PASSWORD"]]
    written = [path for path in (*shop.folder.glob("logs/**/*"), *shop.folder.glob(".osiris/**/*")) if path.is_file()]
    for content in (shown.stdout, shown.stderr, *(path.read_text(errors="replace") for path in written)):
        assert not any(secret in content or json.dumps(secret)[1:-1] in content for secret in secrets)


def test_an_appended_delivery_is_not_to_be_repeated(served):
    served.run("pipelines/shop.yaml")
    answer = served.shop.answer()
    assert answer["retry"]["safe"] is False
    (writer,) = answer["written"]["writers"]
    assert (writer["state"], writer["delivery"], writer["recorded"]) == ("written", "exactly_once", True)


def test_a_limit_of_file_size_and_a_place_without_the_machine(shop):
    shop.data("sold.csv", "item,n\n" + "".join(f"{n},{n}\n" for n in range(3_000)))
    shop.pipeline(READ % "", SQL % ("sold", "SELECT a.n, b.item FROM sold a, sold b WHERE a.n < 300"), WRITE % "priced")
    limited = f"ulimit -f 1000; exec {shlex.quote(OSIRIS)} run pipelines/shop.yaml"
    done = subprocess.run(["bash", "-c", limited], cwd=shop.folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    answer = shop.answer()
    assert (answer["verdict"]["kind"], answer["failure"]["step"]) == ("resource", "out")
    assert answer["failure"]["subject"]["path"] == "output/out.csv"
    assert (answer["retry"]["safe"], answer["retry"]["useful"]) == (True, True)
    assert str(shop.folder).encode() not in shop.file().read_bytes()
