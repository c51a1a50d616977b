"""The output of commands: what was written and why, sessions by every name, and commands that can be typed as shown."""

import json
import re
import shutil

import pexpect
import pytest
from tests.conftest import OSIRIS
from tests.e2e.sessions import new_project
from tests.terminal import read_until_closed

GOOD, BAD = "code\nA1\n", "code\nAx\n"


@pytest.fixture
def shop(osiris, tmp_path):
    """A new project, and a function that runs a command in it and returns exit code, stdout and stderr."""
    new_project(tmp_path / "shop")

    def call(*args, code=0, **options):
        done = osiris(*args, cwd=tmp_path / "shop", **options)
        assert done.returncode == code, done.stderr
        return done

    call.folder = tmp_path / "shop"
    call.orders = call.folder / "data" / "orders.csv"
    call.ids = lambda: sorted(path.name for path in (call.folder / "logs").iterdir())
    call.json = lambda *args, **options: json.loads(call(*args, "--json", **options).stdout)
    return call


def test_run_and_logs_show_what_was_written(shop):
    ran = shop("run", "pipelines/example.yaml", "--run-id", "day-1").stdout
    (name,) = shop.ids()
    summary = json.loads((shop.folder / "logs" / name / "run.json").read_text())
    digest = summary["outputs"]["report"]["digest"]["value"]
    written = f"report      output/revenue.csv     4  {digest[:12]}"
    shown = shop("logs", "show").stdout
    for text in (ran, shown, shop("explain", name).stdout):
        assert written in text.splitlines()
    assert "run id day-1" in shown
    again = shop.json("run", "pipelines/example.yaml", "--run-id", "day-1")
    assert again["data"]["outputs"]["report"]["digest"]["value"] == digest


def test_a_run_without_an_id_shows_none(shop):
    shop("run", "pipelines/example.yaml")
    (name,) = shop.ids()
    assert "run id" not in shop("logs", "show").stdout
    assert shop("logs", "list").stdout.splitlines()[1].split()[:2] == [name, "complete"]


def two_writers(shop):
    """Add a writer after the existing one, and after a step that fails on BAD."""
    file = shop.folder / "pipelines" / "example.yaml"
    late = shop.folder / "data" / "late.csv"
    late.write_text(BAD, encoding="utf-8")
    file.write_text(
        file.read_text()
        + """
  - {id: late, component: filesystem.csv_extractor, mode: read, needs: [report], config: {path: data/late.csv}}
  - id: numbers
    component: duckdb.processor
    mode: transform
    needs: [late]
    config: {query: "SELECT CAST(substr(code, 2) AS INTEGER) AS number FROM late"}
  - {id: copy, component: filesystem.parquet_writer, mode: write, needs: [numbers], config: {path: output/late.parquet}}
"""
    )
    return late


def test_explain_says_why_a_run_is_as_it_is(shop):
    late = two_writers(shop)
    shop("run", "pipelines/example.yaml", code=1)
    (first,) = shop.ids()
    failed = shop("explain", "last")
    lines = failed.stdout.splitlines()
    assert lines[1] == "It was a new run."
    assert lines[2].startswith("Step numbers failed with SQL011: ")
    assert lines[3] == "2 steps did not finish as a consequence: late, copy."
    assert lines[4] == "No earlier success of this pipeline is on record."
    assert lines[5] == (
        "Fix the cause first: 'osiris run --resume' continues with this plan and does not run report again; "
        "a changed pipeline starts a new run."
    )
    assert failed.stderr.splitlines()[:2] == ["next: osiris explain SQL011", f"next: osiris run --resume {first}"]
    again = shop("run", "--resume", first, code=1)
    assert "query of step 'numbers':" in again.stderr
    shutil.rmtree(shop.folder / "logs" / shop.ids()[-1])
    late.write_text(GOOD, encoding="utf-8")
    shop("run", "--resume", first)
    _, second = shop.ids()
    lines = shop("explain", second).stdout.splitlines()
    assert lines[1] == f"The run resumed {first}, which ended as failed."
    assert f"report (delivered by {first})" in lines[2]
    assert "orders, revenue (all that read it are delivered)" in lines[2]
    assert lines[3].startswith("It completed 3 steps in ")
    before = shop("explain", first)
    assert before.stdout.splitlines()[5] == f"Run {second} resumed it and is complete."
    assert before.stderr.splitlines() == [f"next: osiris explain {second}"]
    assert shop("logs", "show", second).stdout != shop("explain", second).stdout
    assert shop("logs", "show", first).stdout.splitlines()[-1] == before.stdout.splitlines()[5]


def test_explain_says_whose_source_changed(shop):
    shop("run", "pipelines/example.yaml")
    shop.orders.write_text(shop.orders.read_text() + "1009,Eva,north,2025-03-02,1.00,x\n")
    shop("run", "pipelines/example.yaml")
    why = shop.json("explain", "last")["data"]["why"]
    assert why == {
        "orders": "its source changed",
        "revenue": "an input changed: step 'orders'",
        "report": "an input changed: step 'revenue'",
    }


def test_explain_of_a_finished_run_id(shop):
    shop("run", "pipelines/example.yaml", "--run-id", "day-1")
    lines = shop("explain", "day-1").stdout.splitlines()
    assert lines[1] == "It was a new run under run id 'day-1'."
    assert lines[3] == "Run id 'day-1' is finished; running it again does nothing."


def test_logs_list_has_run_id_figures_and_error(shop):
    shop("run", "pipelines/example.yaml", "--run-id", "day-1")
    shop.orders.write_text(BAD)
    shop("run", "--last-compile", code=6)
    header, failed, complete = shop("logs", "list").stdout.splitlines()
    assert header.split("  ")[0] == "session"
    assert (failed.split()[1], failed.split()[-2:]) == ("failed", ["0", "DAT011"])
    assert (complete.split()[1:3], complete.split()[-1]) == (["day-1", "complete"], "4")


def test_logs_list_says_when_what_and_where_and_that_it_is_cut(shop):
    for _ in range(3):
        shop("run", "pipelines/example.yaml", "--new-run")
    listed = shop("logs", "list", "--limit", "2").stdout.splitlines()
    (newest, *_) = shop.json("logs", "list")["data"]["sessions"]
    assert listed[1].split()[1:6] == [
        "complete",
        newest["started_at"][:10],
        newest["started_at"][11:16],
        "example",
        "local",
    ]
    assert listed[3:] == ["the newest 2 of 3 sessions; --limit N lists more"]
    assert "newest" not in shop("logs", "list", "--limit", "3").stdout


def on_terminal(shop, width, *command, **more):
    """Return the output of a command on a terminal."""
    env = {"PATH": "/usr/bin:/bin", "HOME": str(shop.folder), "TERM": "xterm", "LC_ALL": "C.UTF-8", **more}
    options = {"env": env, "cwd": str(shop.folder), "encoding": "utf-8", "dimensions": (24, width)}
    return read_until_closed(pexpect.spawn(OSIRIS, [*command], **options))


def test_tables_fit_a_terminal_without_breaking_words_and_a_status_has_a_colour(shop):
    shop("run", "pipelines/example.yaml", "--run-id", "a-night-with-a-long-name")
    wide = shop("logs", "list").stdout
    shown = on_terminal(shop, 80, "logs", "list")
    plain = re.sub(r"\x1b\[[\d;]*m", "", shown)
    assert len(wide.splitlines()[0]) > 80
    assert all(len(line) <= 80 for line in plain.splitlines())
    assert plain.split() == wide.split()
    assert re.search(r"\x1b\[32m *complete", shown)
    assert "\x1b" not in on_terminal(shop, 80, "logs", "list", NO_COLOR="1")
    for command in (["components", "show", "filesystem.csv_extractor"], ["config", "explain"], ["logs", "show"]):
        tables = [line for line in on_terminal(shop, 80, *command, NO_COLOR="1").splitlines() if "  " in line.strip()]
        assert max(map(len, tables)) <= 80


def test_sessions_by_run_id_and_beginning(shop):
    shop("run", "pipelines/example.yaml", "--run-id", "20260131")
    shop("run", "pipelines/example.yaml", "--new-run")
    first, second = shop.ids()
    for name in (first, "20260131", first[:-1], "previous"):
        assert shop.json("logs", "show", name)["data"]["session"]["session"] == first
        assert shop.json("explain", name)["data"]["session"]["session"] == first
        assert shop.json("verify", name, second[:-2])["data"]["runs"] == [first, second]
        assert shop.json("diff", name, "last")["data"]["same"]
    for name, hint in (
        (first[:2], "2 sessions begin so: see 'osiris logs list'"),
        (f"{first}x", f"did you mean '{first}'?"),
        ("nope", "see 'osiris logs list'"),
        ("", "2 sessions begin so: see 'osiris logs list'"),
    ):
        (found,) = shop.json("logs", "show", name, code=2)["diagnostics"]
        assert (found["code"], found["hint"]) == ("RUN010", hint)


def test_notes(shop):
    file = "pipelines/example.yaml"
    assert shop("validate", file).stderr.count("OML032") == 2
    compiled = shop("compile", file)
    assert compiled.stdout.splitlines()[-1] == "  2 notes (--verbose shows them)"
    assert "OML032" not in compiled.stderr + shop("run", file).stderr
    assert shop("run", file, "--dry-run").stderr.count("OML032") == 2
    verbose = shop("compile", file, "--verbose")
    assert (verbose.stderr.count("OML032"), "shows them" in verbose.stdout) == (2, False)
    for command in ("validate", "compile", "run"):
        assert len(shop.json(command, file)["diagnostics"]) == 2


def test_explain_plan_lists_each_step(shop):
    shop("compile", "pipelines/example.yaml")
    (manifest,) = (shop.folder / "build").glob("*/*/manifest.json")
    lines = shop("explain", manifest.parent.name).stdout.splitlines()
    assert lines == shop("explain", str(manifest)).stdout.splitlines()
    orders, revenue, report = (lines.index(line) for line in lines if line.endswith((", read", "transform", "write")))
    assert lines[orders : orders + 2] == ["orders  filesystem.csv_extractor 1.2.0, read", "  path: data/orders.csv"]
    part = lines[revenue:report]
    assert part[1:5] == [
        "  needs: orders",
        "  columns: customer utf8, orders int64, revenue decimal(38,2)",
        "  order: fixed",
        "  sql:",
    ]
    query = json.loads(manifest.read_text())["steps"][1]["config"]["query"]
    assert part[5:] == [f"    {line}" for line in query.splitlines()]
    assert lines[report + 2 :] == ["  path: output/revenue.csv", "  delivery: atomic_replace"]


def test_plans_that_are_gone(shop):
    plan = shop.json("compile", "pipelines/example.yaml")["data"]["manifest"]
    shop("run", "--last-compile")
    shutil.rmtree(shop.folder / "build")
    (found,) = shop.json("run", "--last-compile", code=2)["diagnostics"]
    assert (found["code"], "the plan compiled last no longer exists" in found["message"]) == ("CMP027", True)
    for command in ("run", "explain"):
        (found,) = shop.json(command, plan, code=2)["diagnostics"]
        assert (found["code"], plan in found["message"]) == ("CMP027", True)
    (name,) = shop.ids()
    plan = shop.folder / "logs" / name / "manifest.json"
    plan.write_text("{}")
    assert no_plan(shop, "diff", name, name) == f"no plan in session {name}: its manifest.json is damaged"
    plan.unlink()
    for command in (("diff", name, name), ("lineage", "--format", "openlineage", name)):
        assert no_plan(shop, *command) == f"no plan in session {name}: its manifest.json is missing"


def no_plan(shop, *command):
    (found,) = shop.json(*command, code=2)["diagnostics"]
    assert (found["code"], found["hint"]) == ("CMP027", "name another run")
    return found["message"]


def test_a_run_that_could_not_start_is_not_said_to_have_lost_its_plan(shop):
    shop("run", "pipelines/example.yaml")
    (good,) = shop.ids()
    file = shop.folder / "pipelines" / "example.yaml"
    file.write_text(file.read_text().replace("data/orders.csv", "data/gone.csv"))
    shop("run", "pipelines/example.yaml", code=1)
    (refused,) = set(shop.ids()) - {good}
    assert no_plan(shop, "diff", good, "last") == f"no plan in session {refused}: it could not start"
    for name in (good, refused):
        summary = json.loads((shop.folder / "logs" / name / "run.json").read_text())
        date, time, thousandths = name.split("-")[:3]
        assert summary["started_at"].startswith(f"{date[:4]}-{date[4:6]}-{date[6:]}T{time[:2]}:{time[2:4]}:{time[4:]}")
        assert summary["started_at"][20:23] == thousandths


def test_a_profile_where_none_is_declared(shop):
    (found,) = shop.json("validate", "pipelines/example.yaml", "--profile", "prod", code=2)["diagnostics"]
    assert (found["code"], "no profile is declared" in found["hint"]) == ("OML023", True)


def test_a_file_with_errors_is_to_be_validated_first(shop):
    shop("compile", "pipelines/example.yaml")
    (shop.folder / "pipelines" / "example.yaml").write_text("oml_version: '0.1.0'\nname: example\n")
    found = shop.json("impact", "data/orders.csv")["diagnostics"]
    assert "run 'osiris validate pipelines/example.yaml'" in [
        item["hint"] for item in found if item["code"] == "CMP040"
    ]


def test_usage_errors_are_one_line(shop):
    done = shop("completion", code=2)
    assert done.stderr.splitlines()[0].endswith("Choose from: bash, zsh, fish")


def test_next_keeps_what_matters(osiris, shop, tmp_path):
    file = "pipelines/example.yaml"
    typed = ("run", file, "--run-id=x-1", "--new-run")
    done = shop("run", file, "--run-id", "x-1", "--param", "since=2025-02-01", "--dry-run", "--digest", "all")
    follow_up = f"osiris run {file} --param since=2025-02-01 --run-id x-1 --digest all"
    assert done.stderr.splitlines()[-1:] == [f"next: {follow_up}"]
    assert shop(*typed, "--dry-run", code=2).stderr.startswith("PRJ008")
    assert shop.json("validate", file, "--param", "since=2025-02-01")["next"] == [
        f"osiris compile {file} --param since=2025-02-01"
    ]
    config = shop.folder / "osiris.yaml"
    config.write_text(config.read_text() + "profiles:\n  big: {run: {memory: 3GB}}\n")
    assert shop.json("compile", file, "-p", "big")["next"] == ["osiris run --last-compile --profile big"]
    outside = osiris("-C", "shop", "compile", file, "--json", cwd=tmp_path)
    assert json.loads(outside.stdout)["next"] == ["osiris -C shop run --last-compile"]
    made = osiris("-C", "shop", "init", "inner", "--json", cwd=tmp_path)
    assert json.loads(made.stdout)["next"][:2] == ["cd shop", "cd inner"]


def test_a_strangers_broken_spec_fails_the_list(shop, tmp_path):
    site = tmp_path / "site"
    (site / "ham" / "reader").mkdir(parents=True)
    (site / "ham" / "__init__.py").write_text("")
    (site / "ham" / "reader" / "__init__.py").write_text("")
    (site / "ham" / "reader" / "spec.yaml").write_text("name: ham.reader\n")
    info = site / "ham-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ham\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[osiris.components]\nham.reader = ham.reader\n")
    listed = shop.json("components", "list", code=2, env={"PYTHONPATH": str(site)})
    assert {d["code"] for d in listed["diagnostics"]} == {"REG001"}
    assert "filesystem.csv_writer" in [c["name"] for c in listed["data"]["components"]]


def test_explain_says_why_each_step_ran(shop):
    pipeline = shop.folder / "pipelines/example.yaml"
    text = pipeline.read_text(encoding="utf-8")

    def why():
        shop("run", "pipelines/example.yaml")
        return json.loads(shop("explain", "last", "--json").stdout)["data"]["why"]

    steps = ("orders", "revenue", "report")
    assert why() == dict.fromkeys(steps, "no earlier successful run to compare with")
    assert why() == dict.fromkeys(steps, "nothing changed; sources are read again")
    assert (
        "orders, revenue, report  complete  nothing changed; sources are read again" in shop("explain", "last").stdout
    )
    pipeline.write_text(text.replace("id: report", "id: again"), encoding="utf-8")
    assert why() == {**dict.fromkeys(steps[:2], "nothing changed; sources are read again"), "again": "new"}
    pipeline.write_text(text.replace("output/", "output/other-"), encoding="utf-8")
    told = why()
    assert told["report"] == "new"
    pipeline.write_text(text.replace("sum(", "max("), encoding="utf-8")
    told = why()
    assert told["orders"] == "nothing changed; sources are read again"
    assert told["revenue"].startswith(("config changed: config/query line ", "sql changed: "))
    assert told["report"].startswith("config changed: config/path: ")


def test_explain_says_of_a_step_below_a_change_that_its_input_changed(shop):
    pipeline = shop.folder / "pipelines/example.yaml"
    shop("run", "pipelines/example.yaml")
    pipeline.write_text(pipeline.read_text(encoding="utf-8").replace("sum(", "max("), encoding="utf-8")
    shop("run", "pipelines/example.yaml")
    why = json.loads(shop("explain", "last", "--json").stdout)["data"]["why"]
    assert why["report"] == "an input changed: step 'revenue'"
