"""The installed command in a new folder, as a user types it: init, validate, compile, run, compare, explain."""

import csv
import json

import pytest
from tests.e2e.sessions import new_project


@pytest.fixture
def shop(osiris, tmp_path):
    """A new project, and a function that runs a command in it with --json and returns exit code and output."""
    new_project(tmp_path / "shop")

    def call(*args, **options):
        done = osiris(*args, "--json", cwd=tmp_path / "shop", **options)
        assert done.stdout.count("\n") == 1
        assert "Traceback" not in done.stderr
        return done.returncode, json.loads(done.stdout)

    call.folder = tmp_path / "shop"
    return call


def codes(envelope):
    """The codes that concern the file itself; without the note on column order, which every writer of text gets."""
    return [d["code"] for d in envelope["diagnostics"] if d["code"] != "OML032"]


def test_init_compile_run(osiris, tmp_path):
    assert osiris("init", "x", cwd=tmp_path).returncode == 0
    folder = tmp_path / "x"
    compiled = osiris("compile", "pipelines/example.yaml", cwd=folder)
    assert compiled.returncode == 0, compiled.stderr
    assert compiled.stdout.startswith("compiled example ")
    done = osiris("run", "--last-compile", cwd=folder)
    assert done.returncode == 0, done.stderr
    with (folder / "output" / "revenue.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["customer", "orders", "revenue"],
        ["Chloé Martin", "2", "291.65"],
        ["Ada Krüger", "3", "271.85"],
        ["Boris Novák", "2", "91.60"],
        ["Dinh Anh", "1", "15.00"],
    ]


def test_init_overwrites_nothing(osiris, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "orders.csv").write_text("mine\n")
    done = osiris("init", "--json", cwd=tmp_path)
    assert (done.returncode, codes(json.loads(done.stdout))) == (2, ["PRJ014"])
    assert [p.name for p in tmp_path.iterdir()] == ["data"]
    assert osiris("init", "a", cwd=tmp_path).returncode == 0
    again = osiris("init", "a", "--json", cwd=tmp_path)
    assert (again.returncode, codes(json.loads(again.stdout))) == (2, ["PRJ005"])


def test_init_where_nothing_can_be_written(osiris, tmp_path):
    (tmp_path / "file").write_text("")
    done = osiris("init", "file/below", "--json", cwd=tmp_path)
    assert (done.returncode, codes(json.loads(done.stdout))) == (2, ["PRJ006"])


def test_run_compiles_a_pipeline_first(shop):
    code, envelope = shop("run", "pipelines/example.yaml", "--param", "since=2025-02-01")
    assert (code, envelope["data"]["status"]) == (0, "complete")
    assert envelope["data"]["steps"]["report"]["rows_out"] == 4


def test_a_plan_is_named_in_many_ways(shop):
    _, compiled = shop("compile", "pipelines/example.yaml")
    data = compiled["data"]
    for target in (data["manifest"], data["fingerprint"], data["short"], data["manifest"].rpartition("/")[0]):
        code, envelope = shop("run", target, "--new-run", "--dry-run")
        assert (code, envelope["data"]["fingerprint"]) == (0, data["fingerprint"])
    assert list((shop.folder / "logs").glob("*")) == []


def test_working_below_the_root_and_from_outside(osiris, shop, tmp_path):
    below = osiris("compile", "example.yaml", "--json", cwd=shop.folder / "pipelines")
    outside = osiris("-C", "shop", "compile", "pipelines/example.yaml", "--json", cwd=tmp_path)
    after = osiris("compile", "pipelines/example.yaml", "-C", "shop", "--json", cwd=tmp_path)
    home = osiris("compile", "pipelines/example.yaml", "--json", cwd=tmp_path, env={"OSIRIS_HOME": str(shop.folder)})
    prints = {json.loads(d.stdout)["data"]["fingerprint"] for d in (below, outside, after, home)}
    assert len(prints) == 1


def test_no_project_here(osiris, tmp_path):
    done = osiris("logs", "list", "--json", cwd=tmp_path)
    assert (done.returncode, codes(json.loads(done.stdout))) == (2, ["PRJ001"])


def test_validate_gathers_all_problems_of_all_files(shop):
    text = (shop.folder / "pipelines" / "example.yaml").read_text()
    (shop.folder / "pipelines" / "bad.yaml").write_text(
        text.replace("name: example", "name: bad")
        .replace("mode: read", "mode: reed")
        .replace("path: output", "pth: output")
    )
    code, envelope = shop("validate")
    assert code == 2
    assert [(f["file"], f["ok"]) for f in envelope["data"]["files"]] == [
        ("pipelines/bad.yaml", False),
        ("pipelines/example.yaml", True),
    ]
    errors = [d for d in envelope["diagnostics"] if d["severity"] == "error"]
    assert len(errors) >= 2
    assert all(d["file"] == "pipelines/bad.yaml" and d["line"] and d["column"] for d in errors)


def test_diagnostics_for_people_have_place_excerpt_and_hint(osiris, shop):
    file = shop.folder / "pipelines" / "example.yaml"
    file.write_text(file.read_text().replace("description:", "descriptoin:"))
    done = osiris("validate", "pipelines/example.yaml", cwd=shop.folder)
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0].startswith("pipelines/example.yaml:3:1: OML002 unknown key 'descriptoin'")
    assert lines[1] == "    3 | descriptoin: Revenue per customer since a date."
    assert "did you mean 'description'?" in done.stderr


def test_missing_and_odd_files(shop):
    code, envelope = shop("compile", "pipelines/exmaple.yaml")
    assert (code, codes(envelope)) == (2, ["PRJ009"])
    assert envelope["diagnostics"][0]["hint"] == "did you mean pipelines/example.yaml?"
    assert shop("compile", "pipelines")[0] == 2
    assert shop("compile", "a" * 5000)[0] == 2


def test_check_says_whether_the_plan_would_change(shop):
    check = ("compile", "pipelines/example.yaml", "--check")
    code, envelope = shop(*check, "--detailed-exitcode")
    assert (code, codes(envelope), envelope["data"]["changed"]) == (5, ["CMP026"], True)
    assert shop(*check)[0] == 0
    assert not (shop.folder / "build").exists()
    shop("compile", "pipelines/example.yaml")
    code, envelope = shop(*check, "--detailed-exitcode")
    assert (code, codes(envelope), envelope["data"]["changed"]) == (0, [], False)
    code, envelope = shop(*check, "--detailed-exitcode", "--param", "since=2020-01-01")
    assert code == 5
    assert "2020-01-01" in next(d["message"] for d in envelope["diagnostics"] if d["code"] == "CMP026")


def test_out_takes_the_plan_elsewhere(shop):
    code, envelope = shop("compile", "pipelines/example.yaml", "--out", "release")
    assert (code, envelope["data"]["manifest"]) == (0, "release/manifest.json")
    assert not (shop.folder / "build").exists()
    assert shop("run", "--last-compile")[0] == 0


def test_diff_names_the_leaf(shop):
    _, old = shop("compile", "pipelines/example.yaml")
    _, new = shop("compile", "pipelines/example.yaml", "--param", "since=2020-01-01")
    code, envelope = shop("diff", old["data"]["short"], new["data"]["short"])
    assert (code, envelope["data"]["same"]) == (1, False)
    assert "params/since" in [d["path"] for d in envelope["data"]["differences"]]
    code, envelope = shop("diff", old["data"]["manifest"], old["data"]["fingerprint"])
    assert (code, envelope["data"]) == (0, {"same": True, "differences": []})


def test_verify_finds_the_column(shop):
    _, first = shop("run", "pipelines/example.yaml")
    _, second = shop("run", "pipelines/example.yaml", "--new-run")
    code, envelope = shop("verify", first["data"]["session"], "last")
    assert (code, envelope["data"]["same"], envelope["data"]["outputs"]) == (0, True, ["report"])
    assert envelope["data"]["runs"] == [first["data"]["session"], second["data"]["session"]]
    assert shop("verify", "previous", "last")[1]["data"] == envelope["data"]
    orders = shop.folder / "data" / "orders.csv"
    orders.write_text(orders.read_text(encoding="utf-8").replace("18.50", "18.51"), encoding="utf-8")
    _, third = shop("run", "--last-compile", "--new-run")
    code, envelope = shop("verify", first["data"]["session"], third["data"]["session"])
    assert (code, codes(envelope)) == (1, ["DAT010"])
    assert "'revenue'" in envelope["diagnostics"][0]["message"]


def test_verify_finds_the_line_if_both_files_are_there(shop):
    shop("run", "pipelines/example.yaml")
    orders = shop.folder / "data" / "orders.csv"
    text = orders.read_text(encoding="utf-8")
    orders.write_text(text.replace("18.50", "18.51"), encoding="utf-8")
    shop("run", "pipelines/example.yaml", "--new-run")
    _, envelope = shop("verify", "previous", "last")
    assert "both runs wrote output/revenue.csv; add ${run.id} to its path" in envelope["diagnostics"][0]["hint"]
    file = shop.folder / "pipelines" / "example.yaml"
    file.write_text(file.read_text().replace("output/revenue.csv", "output/${run.id}.csv"))
    written = [shop("run", "pipelines/example.yaml", "--new-run")[1]["data"]["session"]]
    orders.write_text(text, encoding="utf-8")
    written.append(shop("run", "pipelines/example.yaml", "--new-run")[1]["data"]["session"])
    code, envelope = shop("verify", *written)
    lines = [(shop.folder / "output" / f"{run_id}.csv").read_text().splitlines() for run_id in written]
    number = next(n for n, (a, b) in enumerate(zip(*lines, strict=True), 1) if a != b)
    hint = f"output/{written[0]}.csv and output/{written[1]}.csv first differ in line {number}"
    assert (code, [d["hint"] for d in envelope["diagnostics"]]) == (1, [hint])


def test_verify_says_first_that_a_run_is_not_complete(shop):
    shop("run", "pipelines/example.yaml")
    (shop.folder / "data" / "orders.csv").write_text(
        "order_id,customer,region,ordered_on,amount,comment\n1,x,y,not a date,1.00,\n"
    )
    _, failed = shop("run", "--last-compile")
    code, envelope = shop("verify", "previous", "last")
    assert (code, codes(envelope)) == (2, ["DAT009", "DAT010"])
    name = failed["data"]["session"]
    expected = f"run {name} is failed, not complete: its output may be partial"
    assert envelope["diagnostics"][0]["message"] == expected


def test_a_run_is_not_continued_with_another_environment(shop):
    (shop.folder / "osiris_connections.yaml").write_text(
        "connections: {filesystem: {local: {base_dir: '${DATA_FOLDER}', default: true}}}\n"
    )
    file = shop.folder / "pipelines" / "example.yaml"
    file.write_text(file.read_text().replace("path: output", 'connection: "@filesystem.local"\n      path: output'))
    orders = shop.folder / "data" / "orders.csv"
    good = orders.read_text(encoding="utf-8")
    here, there = {"DATA_FOLDER": "here"}, {"DATA_FOLDER": "there"}
    shop("compile", "pipelines/example.yaml", env=here)
    orders.write_text("order_id,customer,region,ordered_on,amount,comment\n1,x,y,not a date,1.00,\n")
    _, failed = shop("run", "--last-compile", "--run-id", "night-1", env=here)
    assert failed["data"]["status"] == "failed"
    orders.write_text(good, encoding="utf-8")
    for asked in ("--resume", "--run-id=night-1"):
        code, envelope = shop("run", "--last-compile", asked, env=there)
        assert (code, codes(envelope)) == (2, ["RUN006"])
        assert "@filesystem.local" in envelope["diagnostics"][0]["message"]
    code, envelope = shop("run", "--last-compile", env=there)
    assert (code, codes(envelope)) == (0, ["RUN012"])
    assert "@filesystem.local" in envelope["diagnostics"][0]["message"]
    code, envelope = shop("run", "--last-compile", "--run-id", "night-1", env=here)
    assert (code, codes(envelope)) == (0, ["RUN011"])


def test_a_run_id_that_another_plan_has_finished_is_refused(shop):
    assert shop("run", "pipelines/example.yaml", "--run-id", "night-1")[0] == 0
    code, envelope = shop("run", "pipelines/example.yaml", "--run-id", "night-1", "--param", "since=2020-01-01")
    assert (code, codes(envelope)) == (2, ["RUN016"])
    assert shop("run", "pipelines/example.yaml", "--run-id", "night-1")[0] == 0


def test_a_run_records_its_limits(shop):
    shop("run", "pipelines/example.yaml", env={"OSIRIS_RUN__MEMORY": "1GB", "OSIRIS_RUN__THREADS": "1"})
    limits = json.loads(next((shop.folder / "logs").glob("*/run.json")).read_text())["limits"]
    assert limits == {"threads": 1, "memory_bytes": 10**9}


def test_a_changed_plan_is_refused_whichever_byte_it_is(shop):
    _, compiled = shop("compile", "pipelines/example.yaml")
    path = shop.folder / compiled["data"]["manifest"]
    good = path.read_bytes()
    for offset in range(0, len(good), len(good) // 12):
        path.write_bytes(good[:offset] + bytes([good[offset] ^ 1]) + good[offset + 1 :])
        code, envelope = shop("run", compiled["data"]["manifest"])
        assert (code, codes(envelope)[0][:3], envelope["ok"]) == (4, "CMP", False)
    assert not (shop.folder / "logs").exists() or list((shop.folder / "logs").iterdir()) == []


def test_profiles_of_the_pipeline_and_of_the_project(shop):
    file = shop.folder / "pipelines" / "example.yaml"
    file.write_text(file.read_text() + 'profiles:\n  prod: {params: {since: "2025-02-01"}}\n')
    config = shop.folder / "osiris.yaml"
    config.write_text(config.read_text() + "profiles:\n  big: {run: {memory: 3GB}}\n")

    def since(*args, **options):
        _, envelope = shop("compile", "pipelines/example.yaml", *args, **options)
        _, plan = shop("explain", envelope["data"]["fingerprint"])
        return plan["data"]["plan"]["params"]["since"]

    assert since() == since("--profile", "big") == "2025-01-01"
    assert since("--profile", "prod") == since(env={"OSIRIS_PROFILE": "prod"}) == "2025-02-01"
    assert since("-p", "prod", "--param", "since=2025-03-01") == "2025-03-01"
    assert codes(shop("compile", "pipelines/example.yaml", "-p", "nope")[1]) == ["OML023"]
    assert shop("run", "--last-compile", "--dry-run", "-p", "big")[0] == 0
    assert shop("run", "--last-compile", "--dry-run", env={"OSIRIS_PROFILE": "prod"})[0] == 0
    assert codes(shop("run", "--last-compile", "--dry-run", "-p", "prod")[1]) == ["PRJ008"]


def test_dry_run_writes_nothing_and_misses_what_a_run_would_miss(shop):
    code, envelope = shop("run", "pipelines/example.yaml", "--dry-run")
    assert (code, envelope["data"]["dry_run"]) == (0, True)
    assert not any((shop.folder / name).exists() for name in ("build", "logs", "output"))
    (shop.folder / "osiris_connections.yaml").write_text(
        "connections: {filesystem: {local: {base_dir: '${DATA_FOLDER}', default: true}}}\n"
    )
    file = shop.folder / "pipelines" / "example.yaml"
    file.write_text(file.read_text().replace("path: output", 'connection: "@filesystem.local"\n      path: output'))
    code, envelope = shop("run", "pipelines/example.yaml", "--dry-run")
    assert (code, codes(envelope)) == (3, ["CON005"])
    code, envelope = shop("run", "pipelines/example.yaml", "--dry-run", env={"DATA_FOLDER": "data"})
    assert (code, codes(envelope)) == (0, [])


def test_params_do_not_go_with_a_plan(shop):
    shop("compile", "pipelines/example.yaml")
    code, envelope = shop("run", "--last-compile", "--param", "since=2020-01-01")
    assert (code, codes(envelope)) == (2, ["PRJ008"])


def test_unknown_fingerprints_sessions_and_codes(shop):
    assert codes(shop("run", "abcdef123456")[1]) == ["CMP027"]
    assert codes(shop("logs", "show", "nope")[1]) == ["RUN010"]
    assert codes(shop("verify", "previous", "last")[1]) == ["RUN010"]
    assert codes(shop("explain", "OML999")[1]) == ["PRJ008"]
    assert codes(shop("run", "--last-compile")[1]) == ["RUN005"]


def test_explain_codes_plans_and_sessions(shop):
    code, envelope = shop("explain", "oml002")
    assert (code, envelope["data"]["title"]) == (0, "Unknown key")
    _, run = shop("run", "pipelines/example.yaml")
    assert shop("explain", "last")[1]["data"]["session"]["session"] == run["data"]["session"]
    plan = json.loads((shop.folder / ".osiris" / "last_compile.json").read_text())["fingerprint"]
    assert shop("explain", plan)[1]["data"]["plan"]["fingerprint"] == plan


def test_logs(shop):
    assert shop("logs", "list")[1]["data"] == {"sessions": [], "total": 0, "findings": {}}
    _, run = shop("run", "pipelines/example.yaml")
    _, listed = shop("logs", "list", "--limit", "5")
    assert [s["session"] for s in listed["data"]["sessions"]] == [run["data"]["session"]]
    _, seen = shop("logs", "show", "--events", "--metrics")
    events = [e["event"] for e in seen["data"]["events"]]
    assert (events[0], events[-1]) == ("run_start", "run_complete")
    assert {m["metric"] for m in seen["data"]["metrics"]} >= {"rows_read", "rows_written", "step_duration_ms"}


def test_verbose_prints_every_event_in_one_line(osiris, shop):
    done = osiris("run", "pipelines/example.yaml", "--verbose", "--json", cwd=shop.folder)
    events = (shop.folder / "logs" / json.loads(done.stdout)["data"]["session"] / "events.jsonl").read_text()
    names = [json.loads(line)["event"] for line in events.splitlines()]
    printed = [line.split()[1] for line in done.stderr.splitlines() if line[:2] == "20"]
    assert [name for name in printed if name in names] == names


def test_an_earlier_file_of_settings_gets_one_line(osiris, shop):
    config = shop.folder / "osiris.yaml"
    config.write_text(config.read_text() + "sessions: {}\nllm: {}\nvalidation: {}\n")
    _, envelope = shop("validate")
    assert codes(envelope).count("PRJ018") == 1
    assert "PRJ003" not in codes(envelope)
    printed = osiris("validate", cwd=shop.folder).stderr.splitlines()
    assert [line.split()[1:3] for line in printed if "sessions" in line or "osiris.yaml" in line] == [
        ["warning:", "PRJ018"]
    ]
    assert printed[1][0].isalpha()
    _, envelope = shop("config", "explain")
    assert codes(envelope) == ["PRJ003", "PRJ003", "PRJ003"]


def test_a_file_in_place_of_a_folder_is_told_with_a_remedy(osiris, shop):
    (shop.folder / "output").write_text("")
    code, envelope = shop("run", "pipelines/example.yaml")
    (problem,) = [item for item in envelope["diagnostics"] if item["severity"] == "error"]
    assert (code, problem["code"], bool(problem["hint"])) == (2, "DRV070", True)
    assert f"{shop.folder}/output is a file" in problem["message"]


def test_a_folder_in_place_of_a_file_is_named_once(osiris, shop):
    lock = shop.folder / "osiris.lock"
    lock.unlink(missing_ok=True)
    lock.mkdir()
    _, envelope = shop("compile", "pipelines/example.yaml")
    assert [item["message"] for item in envelope["diagnostics"]] == ["osiris.lock: Is a directory"]


def test_files_of_every_ending_are_found(shop):
    shop.folder.joinpath("pipelines", "other.oml").write_text('oml_version: "0.1.0"\nname: other\nsteps: []\n')
    _, envelope = shop("validate")
    assert "pipelines/other.oml" in {item["file"] for item in envelope["diagnostics"]}


def test_strict_stops_at_a_warning(shop):
    config = shop.folder / "osiris.yaml"
    config.write_text(config.read_text() + "sessions: {}\n")
    code, envelope = shop("compile", "pipelines/example.yaml")
    assert (code, codes(envelope)) == (0, ["PRJ003"])
    code, envelope = shop("compile", "pipelines/example.yaml", "--strict")
    assert (code, sorted(codes(envelope))) == (2, ["PRJ003", "PRJ013"])


def test_strict_looks_at_a_plan_too(shop):
    file = shop.folder / "pipelines" / "example.yaml"
    file.write_text(file.read_text().replace("count(*) AS orders", "count(*) + random() AS orders"))
    assert shop("compile", "pipelines/example.yaml")[0] == 0
    code, envelope = shop("run", "--last-compile", "--strict")
    assert (code, sorted(codes(envelope))) == (2, ["PRJ013", "SQL021"])
    (warning,) = (d for d in envelope["diagnostics"] if d["code"] == "SQL021")
    assert warning["file"] == "step revenue"
    assert shop("run", "--last-compile")[0] == 0


def test_a_profile_that_nobody_declares_is_refused(shop):
    code, envelope = shop("compile", "pipelines/example.yaml", "--profile", "tset")
    assert (code, codes(envelope)) == (2, ["OML023"])


def test_a_failing_run_ends_with_one_and_says_where(shop):
    shop("compile", "pipelines/example.yaml")
    (shop.folder / "data" / "orders.csv").write_text(
        "order_id,customer,region,ordered_on,amount,comment\n1,x,y,not a date,1.00,\n"
    )
    code, envelope = shop("run", "--last-compile")
    assert (code, envelope["ok"], envelope["data"]["status"]) == (1, False, "failed")
    assert codes(envelope) == ["DAT001"]
    assert not (shop.folder / "output").exists() or list((shop.folder / "output").iterdir()) == []


def test_config_explain(shop):
    _, envelope = shop("config", "explain", "run.memory", env={"OSIRIS_RUN__MEMORY": "1GB"})
    assert [(s["written"], s["origin"].split()[0]) for s in envelope["data"]["settings"]["run.memory"]] == [
        ("1GB", "environment"),
        ("2GB", "osiris.yaml:4"),
        ("2GB", "default"),
    ]
    assert codes(shop("config", "explain", "run.memroy")[1]) == ["PRJ002"]


def test_config_explain_shows_what_is_wrong_and_the_other_settings(shop, osiris):
    (shop.folder / "osiris.yaml").write_text(
        "run: {memory: plenty, threads: 3}\nnotify:\n  webhook: https://x/9f8a7b\n"
    )
    for key in ((), ("run.memory",), ("notify.webhook",), ("run.threads",)):
        code, envelope = shop("config", "explain", *key)
        assert (code, codes(envelope)) == (2, ["PRJ004", "PRJ004"])
        assert set(key) <= envelope["data"]["settings"].keys()
        assert "9f8a7b" not in json.dumps(envelope)
    done = osiris("config", "explain", "run.memory", cwd=shop.folder)
    assert done.stdout.startswith("run.memory: memory limit of the worker (a size like 2GB or 512MiB)\n")
    assert "9f8a7b" not in done.stderr
    (shop.folder / "osiris.yaml").write_text("- no mapping\n")
    assert codes(shop("config", "explain")[1]) == ["PRJ011"]


def test_connections_list_shows_names_and_never_values(shop):
    (shop.folder / "osiris_connections.yaml").write_text(
        "connections: {filesystem: {local: {base_dir: '${DATA_FOLDER:-data}/${SECRET_PART}', default: true}}}\n"
    )
    _, envelope = shop("connections", "list", env={"SECRET_PART": "canary-value"})
    assert envelope["data"]["connections"] == [
        {
            "reference": "@filesystem.local",
            "default": True,
            "fields": {"base_dir": "${DATA_FOLDER:-data}/${SECRET_PART}"},
            "variables": {"DATA_FOLDER": False, "SECRET_PART": True},
            "stores": [],
        }
    ]
    assert "canary" not in json.dumps(envelope)


def test_components(shop):
    _, listed = shop("components", "list", "--mode", "write")
    names = [c["name"] for c in listed["data"]["components"]]
    assert names == [
        *("duckdb.writer", "filesystem.csv_writer", "filesystem.json_writer", "filesystem.parquet_writer"),
        *("mysql.writer", "postgres.writer", "sqlite.writer", "supabase.writer"),
    ]
    _, shown = shop("components", "show", names[1])
    assert shown["data"]["delivery"] == "atomic_replace"
    assert "path" in shown["data"]["config"]["properties"]
    code, envelope = shop("components", "show", "filesystem.csv_wirter")
    assert (code, codes(envelope)) == (2, ["CMP001"])
    assert shop("components", "validate")[0] == 0


def test_two_pipelines_of_one_name_are_refused(shop):
    text = (shop.folder / "pipelines" / "example.yaml").read_text()
    (shop.folder / "pipelines" / "copy.yaml").write_text(text)
    code, envelope = shop("compile", "pipelines/copy.yaml")
    assert (code, codes(envelope)) == (2, ["CMP007"])


def test_broken_pipes_and_full_disks_are_quiet(shop, osiris):
    import subprocess
    import sys
    from pathlib import Path

    command = f"{Path(sys.executable).parent}/osiris"
    script = f"{command} components show filesystem.csv_extractor | head -c 1; {command} --help > /dev/full; echo $?"
    done = subprocess.run(["bash", "-c", script], cwd=shop.folder, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert done.stdout.endswith("2\n")
