"""`osiris export`: a file with which a scheduler runs a pipeline, made without running, connecting or resolving."""

import ast
import csv
import json
import re
import shlex
import sqlite3
import subprocess
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from tests.conftest import OSIRIS
from tests.corpora.hostile_names import FILE_NAMES

SECRET = "hunter2-very-secret"
PIPELINE = """\
oml_version: "0.2.0"
name: orders
schedule: {cron: "30 2 * * MON-FRI", zone: Europe/Prague}
params:
  since: {type: date}
  token: {type: string, sensitive: true}
steps:
  - id: orders
    component: postgres.extractor
    mode: read
    config: {connection: "@postgres.shop", query: "SELECT id FROM orders WHERE day >= ${params.since}"}
  - id: written
    component: filesystem.csv_writer
    mode: write
    needs: [orders]
    config: {path: output/orders.csv}
  - id: by_run
    component: filesystem.csv_writer
    mode: write
    needs: [orders]
    config: {path: "output/${run.id}.csv"}
  - id: loaded
    component: mysql.writer
    mode: write
    needs: [orders]
    config: {connection: "@mysql.away", table: orders, write_mode: replace}
"""
CONNECTIONS = """\
connections:
  postgres:
    shop: {host: db.test, database: shop, user: "${SHOP_USER:-reader}", password: "${SHOP_PASSWORD}"}
    unused: {host: db.test, database: x, user: x, password: "${UNUSED}"}
  mysql:
    away: {host: "${MYSQL_HOST}", database: shop, user: "${MYSQL_USER}", password: "${vault:secret/shop#password}"}
"""
VARIABLES = [
    *("MYSQL_HOST", "MYSQL_USER", "SHOP_PASSWORD", "SHOP_USER"),
    *("VAULT_ADDR", "VAULT_NAMESPACE", "VAULT_CACERT", "VAULT_ROLE_ID", "VAULT_TOKEN", "VAULT_SECRET_ID"),
    "OSIRIS_PARAM_TOKEN",
]
COPY = """\
oml_version: "0.1.0"
name: copy
steps:
  - {id: rows, component: filesystem.csv_extractor, mode: read, config: {path: data/rows.csv}}
  - {id: out, component: filesystem.csv_writer, mode: write, needs: [rows], config: {path: "output/${run.id}.csv"}}
"""
SCHEDULERS = ("airflow", "cron", "dagster", "github", "kubernetes", "prefect", "systemd")
OWN = {"kubernetes": ["--image", "registry.test/osiris:1"], "cron": ["--zone", "UTC"]}
PACKAGE = ("--package", "osiris-data==0.1.0")


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "osiris.yaml").write_text("")
    (tmp_path / "osiris_connections.yaml").write_text(CONNECTIONS)
    (tmp_path / ".env").write_text(f"SHOP_PASSWORD={SECRET}\n")
    (tmp_path / "pipelines/orders.yaml").write_text(PIPELINE)
    return tmp_path


def export(osiris, folder, scheduler, *words, file="pipelines/orders.yaml", **more):
    """Return the answer of an export as JSON."""
    package = PACKAGE if scheduler == "github" and "--package" not in words else ()
    done = osiris("--json", "export", scheduler, file, *words, *package, cwd=folder, **more)
    return json.loads(done.stdout)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_an_export_reads_the_project_only(scheduler, osiris, shop):
    before = {path: path.read_bytes() for path in shop.rglob("*") if path.is_file()}
    secrets = {"OSIRIS_PARAM_TOKEN": SECRET, "VAULT_TOKEN": SECRET, "OSIRIS_PARAM_SINCE": "1999-12-31"}
    made = export(osiris, shop, scheduler, "--param", "since=2026-01-01", *OWN.get(scheduler, ()), env=secrets)
    assert made["ok"], made
    assert {path: path.read_bytes() for path in shop.rglob("*") if path.is_file()} == before
    text = "\n".join(made["data"]["files"].values())
    assert made["data"]["variables"] == VARIABLES
    assert all(name in text for name in VARIABLES)
    assert SECRET not in text
    assert "UNUSED" not in text
    assert "1999-12-31" not in text
    assert "since=2026-01-01" in text


LOGINS = {
    "vault:secret/shop#x": {
        *("VAULT_ADDR", "VAULT_NAMESPACE", "VAULT_CACERT"),
        *("VAULT_TOKEN", "VAULT_ROLE_ID", "VAULT_SECRET_ID"),
    },
    "aws-sm:shop#x": {"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"},
    "gcp-sm:projects/a/secrets/b#x": {"GOOGLE_APPLICATION_CREDENTIALS"},
    "keyring:shop#x": set(),
    "cmd:pass show x": set(),
}
EXTRAS = {"aws-sm": "aws", "gcp-sm": "gcp", "keyring": "keyring"}
READ = """\
oml_version: "0.1.0"
name: read
steps:
  - {id: rows, component: postgres.extractor, mode: read, config: {connection: "@postgres.shop", table: t}}
  - {id: out, component: filesystem.csv_writer, mode: write, needs: [rows], config: {path: output/a.csv}}
"""


def installed(workflow):
    """Return the requirement that a workflow installs."""
    scripts = [step.get("run", "") for step in yaml.safe_load(workflow)["jobs"]["run"]["steps"]]
    (line,) = (line for script in scripts for line in script.splitlines() if " install " in line)
    return Requirement(shlex.split(line)[-1])


@pytest.mark.parametrize("reference", LOGINS)
def test_a_workflow_has_the_logins_and_the_libraries_of_the_stores_of_its_pipeline(reference, osiris, shop):
    connection = {"host": "db.test", "database": "d", "user": "u", "password": f"${{{reference}}}"}
    (shop / "osiris_connections.yaml").write_text(json.dumps({"connections": {"postgres": {"shop": connection}}}))
    (shop / "pipelines/read.yaml").write_text(READ)
    made = export(osiris, shop, "github", file="pipelines/read.yaml")["data"]
    assert set(made["variables"]) == LOGINS[reference]
    (text,) = made["files"].values()
    assert installed(text).extras == {EXTRAS[scheme] for scheme in EXTRAS if reference.startswith(f"{scheme}:")}
    assert "extra" not in text


@pytest.mark.parametrize(
    ("settings", "extras"),
    [
        ("", set()),
        ('notify: {slack: "${SLACK}"}', set()),
        ('notify: {slack: "${aws-sm:alerts#slack}", webhook: "${gcp-sm:projects/a/secrets/b#x}"}', {"aws", "gcp"}),
        ('notify: {apprise: "${APPRISE}"}', {"notify"}),
        ("otel: {enabled: true}", {"otel"}),
        ("otel: {enabled: false}", set()),
        ("run: {target: e2b}", {"e2b"}),
        ("run: {target: bwrap}", set()),
    ],
)
def test_a_workflow_installs_the_libraries_that_settings_need(settings, extras, osiris, shop):
    (shop / "osiris.yaml").write_text(settings)
    (shop / "pipelines/copy.yaml").write_text(COPY)
    (text,) = export(osiris, shop, "github", file="pipelines/copy.yaml")["data"]["files"].values()
    requirement = installed(text)
    assert requirement.extras == extras
    assert (requirement.name, str(requirement.specifier)) == ("osiris-data", f"=={version('osiris-data')}")


def test_the_form_of_the_command_is_shown(osiris, shop):
    for words in ((), ("pipelines/orders.yaml", "--to", "airflow"), ("airflo", "pipelines/orders.yaml")):
        done = osiris("export", *words, cwd=shop)
        assert done.returncode == 2
        assert "hint: write 'osiris export FORMAT FILE'; " in done.stderr
    assert osiris("export", "--help", cwd=shop).stdout.startswith("Usage: osiris export [OPTIONS] FORMAT FILE\n")


NIGHT = 'notify: {webhook: "${X_URL}", email: "${vault:secret/mail#url}"}\notel: {enabled: true}\n'


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_gets_the_variables_with_which_a_run_is_reported(scheduler, osiris, shop):
    (shop / "osiris.yaml").write_text(NIGHT)
    made = export(osiris, shop, scheduler, "--param", "since=2026-01-01", *OWN.get(scheduler, ()))
    assert set(VARIABLES) | {"X_URL", "OTEL_EXPORTER_OTLP_HEADERS"} < set(made["data"]["variables"])
    for text in made["data"]["files"].values():
        assert all(name in text for name in made["data"]["variables"])


@pytest.mark.parametrize(
    ("settings", "variables"),
    [
        *((f'notify: {{{name}: "${{X_URL}}"}}', {"X_URL"}) for name in ("webhook", "slack", "email", "apprise")),
        ('notify: {slack: ["${A_URL}", "${B_URL}"]}', {"A_URL", "B_URL"}),
        ('notify: {slack: "${vault:secret/alerts#slack}"}', LOGINS["vault:secret/shop#x"]),
        ('notify: {slack: "${aws-sm:alerts#slack}"}', LOGINS["aws-sm:shop#x"]),
        (
            "otel: {enabled: true}",
            {*(f"OTEL_EXPORTER_OTLP_{name}" for name in ("ENDPOINT", "HEADERS", "CERTIFICATE")), "OTEL_SERVICE_NAME"},
        ),
        ('openlineage: {url: "http://h:5000", api_key: "${LINEAGE_KEY}"}', {"LINEAGE_KEY"}),
        ("openlineage: {enabled: true}", {"OPENLINEAGE_URL", "OPENLINEAGE_API_KEY", "OPENLINEAGE_NAMESPACE"}),
        ("otel: {enabled: false}", set()),
        ('profiles: {night: {notify: {webhook: "${NIGHT_URL}"}}}', set()),
    ],
)
def test_variables_with_which_a_run_is_reported_are_passed_on(settings, variables, osiris, shop):
    (shop / "osiris.yaml").write_text(settings)
    (shop / ".env").write_text(f"OTEL_SERVICE_NAME={SECRET}\n")
    (shop / "pipelines/copy.yaml").write_text(COPY)
    made = export(osiris, shop, "github", file="pipelines/copy.yaml", env={"OTEL_OF_THE_CALLER": "x"})
    assert set(made["data"]["variables"]) == variables
    for text in made["data"]["files"].values():
        assert all(name in text for name in variables)
        assert SECRET not in text


def test_variables_of_a_profile_are_passed_on(osiris, shop):
    (shop / "osiris.yaml").write_text('profiles: {night: {notify: {webhook: "${NIGHT_URL}"}}}')
    (shop / "pipelines/copy.yaml").write_text(COPY)
    made = export(osiris, shop, "github", "--profile", "night", file="pipelines/copy.yaml")
    assert made["data"]["variables"] == ["NIGHT_URL"]


def test_parameters_without_a_value_are_not_taken_from_the_caller(osiris, shop):
    made = export(osiris, shop, "airflow", env={"OSIRIS_PARAM_SINCE": "2026-01-01"})
    assert [each["code"] for each in made["diagnostics"]] == ["OML022"]


@pytest.mark.parametrize("given", [["--profile", "prod"], []])
def test_a_profile_is_a_part_of_the_command_wherever_it_comes_from(given, osiris, shop):
    file = shop / "pipelines/orders.yaml"
    file.write_text(PIPELINE + "profiles: {prod: {params: {since: 2026-01-01}}}\n")
    environment = {} if given else {"OSIRIS_PROFILE": "prod"}
    (text,) = export(osiris, shop, "github", *given, env=environment)["data"]["files"].values()
    assert "run pipelines/orders.yaml --profile=prod --run-id" in text
    assert "since" not in text


def test_datasets_have_the_names_of_lineage_unless_a_variable_decides(osiris, shop):
    (text,) = export(osiris, shop, "airflow", "--param", "since=2026-01-01")["data"]["files"].values()
    assert "'postgres://db.test:5432/shop/public/orders'" in text
    assert f"'file://{shop}/output/orders.csv'" in text
    assert "'osiris://mysql.away/orders'" in text
    assert "run.id" not in text


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        ("airflow", "schedule=CronTriggerTimetable('30 2 * * MON-FRI', timezone='Europe/Prague')"),
        ("dagster", "cron_schedule='30 2 * * MON-FRI', execution_timezone='Europe/Prague'"),
        ("prefect", "schedule=Cron('30 2 * * MON-FRI', timezone='Europe/Prague')"),
        ("github", '- cron: "30 2 * * MON-FRI"\n    timezone: "Europe/Prague"'),
        ("kubernetes", 'schedule: "30 2 * * MON-FRI"\n  timeZone: "Europe/Prague"'),
        ("systemd", "OnCalendar=Mon,Tue,Wed,Thu,Fri *-*-* 02:30:00 Europe/Prague\n"),
    ],
)
def test_the_schedule_of_the_file_is_used(scheduler, expected, osiris, shop):
    made = export(osiris, shop, scheduler, "--param", "since=2026-01-01", *OWN.get(scheduler, ()))
    assert expected in "\n".join(made["data"]["files"].values())


@pytest.mark.parametrize(
    ("scheduler", "words", "code"),
    [
        ("cron", ["--zone", "Asia/Tokyo"], "EXP002"),
        ("airflow", ["--cron", "0 0 */2 * MON"], "EXP005"),
        ("kubernetes", ["--cron", "0 0 */2 * MON", "--image", "x"], "EXP005"),
        ("airflow", ["--cron", "0 0 */2 *"], "PRJ008"),
        ("airflow", ["--zone", "Europe/Pragu"], "PRJ008"),
        ("airflow", ["--folder", "shop"], "PRJ008"),
        ("airflow", ["--folder", "/srv/\udcff"], "EXP003"),
        ("kubernetes", ["--folder", "/a:b", "--image", "x"], "EXP003"),
        ("kubernetes", [], "PRJ008"),
    ],
)
def test_what_cannot_be_exported_is_refused(scheduler, words, code, osiris, shop):
    made = export(osiris, shop, scheduler, "--param", "since=2026-01-01", *words)
    assert [each["code"] for each in made["diagnostics"]] == [code]
    assert made["diagnostics"][0]["hint"]


@pytest.mark.parametrize(
    ("scheduler", "words", "expected"),
    [
        ("kubernetes", ["--cron", "0 2 1 * FRI-7", "--image", "x"], 'schedule: "0 2 1 * 0,5,6"'),
        ("github", ["--cron", "0 2 * * 7"], '- cron: "0 2 * * 0"'),
        ("airflow", ["--cron", "0 2 * * mon-fri"], "'0 2 * * MON-FRI'"),
        ("systemd", ["--cron", "*/20 6-7 1 1,7 *"], "OnCalendar=*-01,07-01 06,07:00,20,40:00 Europe/Prague"),
        (
            "systemd",
            ["--cron", "0 0 13 * FRI", "--zone", "UTC"],
            "OnCalendar=*-*-13 00:00:00 UTC\nOnCalendar=Fri *-*-* 00:00:00 UTC\n",
        ),
        ("systemd", ["--cron", "0 0 */9 * 7"], "OnCalendar=Sun *-*-01,10,19,28 00:00:00 Europe/Prague"),
    ],
)
def test_an_expression_is_converted_where_the_scheduler_has_another_form(scheduler, words, expected, osiris, shop):
    made = export(osiris, shop, scheduler, "--param", "since=2026-01-01", *words)
    assert expected in "\n".join(made["data"]["files"].values())


def test_a_workflow_installs_only_what_is_named(osiris, shop):
    """No index is known to have our package: its name there may be somebody else's."""
    done = osiris("--json", "export", "github", "pipelines/orders.yaml", "--param", "since=2026-01-01", cwd=shop)
    assert [each["code"] for each in json.loads(done.stdout)["diagnostics"]] == ["PRJ008"]
    wheel = export(osiris, shop, "github", "--param", "since=2026-01-01", "--package", "./our wheel.whl")
    assert "install './our wheel.whl" in "".join(wheel["data"]["files"].values())


def test_a_schedule_or_a_place_in_the_project_may_be_missing(osiris, shop):
    (shop / "pipelines/copy.yaml").write_text(COPY)
    codes = [export(osiris, shop, name, file="pipelines/copy.yaml")["diagnostics"] for name in ("cron", "systemd")]
    assert [[each["code"] for each in one] for one in codes] == [["EXP001"], ["EXP001"]]
    outside = shop.parent / "outside.yaml"
    outside.write_text(COPY)
    assert export(osiris, shop, "airflow", file=str(outside))["diagnostics"][0]["code"] == "EXP004"


@pytest.mark.parametrize("scheduler", ["airflow", "dagster", "prefect", "github"])
def test_an_export_without_a_schedule_says_so(scheduler, osiris, shop):
    (shop / "pipelines/copy.yaml").write_text(COPY)
    made = export(osiris, shop, scheduler, file="pipelines/copy.yaml")
    assert [(each["code"], each["file"]) for each in made["diagnostics"]] == [("EXP006", "pipelines/copy.yaml")]
    assert made["ok"]
    (text,) = made["data"]["files"].values()
    said = "# It has no schedule: it runs only when it is started by hand.\n"
    assert said in text
    made = export(osiris, shop, scheduler, "--cron", "0 2 * * *", file="pipelines/copy.yaml")
    assert made["diagnostics"] == []
    assert said not in "".join(made["data"]["files"].values())


def test_files_are_written_and_only_exports_replaced(osiris, shop):
    (shop / "pipelines/copy.yaml").write_text(COPY)
    words = ("export", "systemd", "pipelines/copy.yaml", "--cron", "0 2 * * *", "--output", "units")
    for _ in range(2):
        done = osiris(*words, cwd=shop)
        assert done.stdout == "units/osiris-copy.service\nunits/osiris-copy.timer\n", done.stderr
    assert "loginctl enable-linger" in (shop / "units/osiris-copy.timer").read_text()
    (shop / "units/osiris-copy.timer").write_text("mine")
    assert "PRJ014" in osiris(*words, cwd=shop).stderr
    printed = osiris("export", "cron", "pipelines/copy.yaml", "--cron", "0 2 * * *", cwd=shop).stdout
    assert osiris(*words[:1], "cron", *words[2:5], "--output", "a.cron", cwd=shop).returncode == 0
    assert (shop / "a.cron").read_text() == printed


SAME = """\
oml_version: "0.2.0"
name: {name}
steps:
  - {{id: rows, component: sqlite.extractor, mode: read, config: {{connection: "@sqlite.app", table: t}}}}
  - id: out
    component: sqlite.writer
    mode: write
    needs: [rows]
    config: {{connection: "@sqlite.app", table: t, write_mode: upsert, primary_key: [id]}}
  - id: other
    component: sqlite.writer
    mode: write
    needs: [rows]
    config: {{connection: "@sqlite.app", table: t2, write_mode: replace}}
"""


@pytest.fixture
def same(shop):
    """A project with pipelines whose names some formats spell alike, which read a dataset that they write."""
    with closing(sqlite3.connect(shop / "app.sqlite")) as database:
        database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    (shop / "osiris_connections.yaml").write_text("connections: {sqlite: {app: {path: app.sqlite}}}\n")
    for name in ("a-b", "a_b", "A-b", "a--b"):
        (shop / f"pipelines/{name}.yaml").write_text(SAME.format(name=name))
    return shop


def datasets(text, name):
    """Return the list in the value of a constant of a Python file."""
    nodes = (node for node in ast.parse(text).body if isinstance(node, ast.Assign))
    (value,) = (node.value for node in nodes if ast.unparse(node.targets[0]) == name)
    return ast.literal_eval(next(each for each in ast.walk(value) if isinstance(each, ast.List)))


def test_an_asset_of_dagster_does_not_depend_on_itself(osiris, same):
    (text,) = export(osiris, same, "dagster", file="pipelines/a_b.yaml")["data"]["files"].values()
    reads, writes = datasets(text, "READS"), datasets(text, "WRITES")
    assert sorted(key[-1] for key in writes) == ["main.t", "main.t2"]
    assert reads == []


@pytest.mark.parametrize("scheduler", ["airflow", "prefect"])
def test_other_schedulers_have_each_dataset_once_as_read_and_as_written(scheduler, osiris, same):
    (text,) = export(osiris, same, scheduler, file="pipelines/a_b.yaml")["data"]["files"].values()
    reads, writes = datasets(text, "READS"), datasets(text, "WRITES")
    assert len(reads) == 1
    assert len(writes) == 2
    assert reads[0] in writes


def test_pipelines_with_similar_names_share_no_name_in_dagster(osiris, same):
    made = [export(osiris, same, "dagster", file=f"pipelines/{name}.yaml") for name in ("a-b", "a_b", "A-b", "a--b")]
    texts = {name: text for each in made for name, text in each["data"]["files"].items()}
    jobs = {job for text in texts.values() for job in re.findall(r"define_asset_job\(\s*'(\w+)'", text)}
    operations = {name for text in texts.values() for name in re.findall(r"multi_asset\(\s*name='(\w+)'", text)}
    assert [len(texts), len(jobs), len(operations)] == [4, 4, 4]
    assert all(name.removesuffix(".py").isidentifier() for name in texts)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("is_folder", [True, False])
def test_a_file_of_another_pipeline_project_or_scheduler_is_kept(is_folder, scheduler, osiris, same):
    if scheduler == "systemd" and not is_folder:
        return
    words = [*("--output", "out" if is_folder else "file", "--cron", "0 2 * * *"), *OWN.get(scheduler, ())]
    if is_folder:
        (same / "out").mkdir()
    for _ in range(2):
        first = export(osiris, same, scheduler, *words, file="pipelines/a-b.yaml")
        assert first["ok"], first
    written = {Path(name): (same / name).read_bytes() for name in first["data"]["written"]}
    others = [export(osiris, same, scheduler, *words, "--folder", "/srv/other", file="pipelines/a-b.yaml")]
    if not is_folder:
        others.append(export(osiris, same, scheduler, *words, file="pipelines/a_b.yaml"))
        other = "airflow" if scheduler == "github" else "github"
        others.append(export(osiris, same, other, *words[:4], file="pipelines/a-b.yaml"))
    (same / "pipelines/a-b.yaml").rename(same / "pipelines/moved.yaml")
    others.append(export(osiris, same, scheduler, *words, file="pipelines/moved.yaml"))
    assert [each["diagnostics"][0]["code"] for each in others] == ["PRJ014"] * len(others)
    assert {path: (same / path).read_bytes() for path in written} == written


def test_a_line_of_a_crontab_runs_the_pipeline_and_a_repeated_run_id_is_skipped(osiris, tmp_path):
    names = [one.name for one in FILE_NAMES if one.reader in ("shell", "crontab", "systemd") and len(one.name) < 20]
    shop = tmp_path.joinpath(*names[:12])
    file = "/".join(names[12:30]) + ".yaml"
    (shop / "pipelines" / file).parent.mkdir(parents=True)
    (shop / "osiris.yaml").write_text("")
    (shop / "data").mkdir()
    (shop / "data/rows.csv").write_text("a,b\n1,2\n")
    (shop / "pipelines" / file).write_text(COPY)
    done = osiris("export", "cron", f"pipelines/{file}", "--cron", "0 2 * * *", "--osiris", OSIRIS, cwd=shop)
    line = done.stdout.splitlines()[-1].split(" ", 5)[5]
    command = re.sub(r"\\(%)", r"\1", line).replace("$(date -u +%Y%m%dT%H%MZ)", "20261130T0100Z")
    runs = [subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True) for _ in range(2)]
    assert "RUN009" in runs[1].stderr
    (written,) = (shop / "output").iterdir()
    assert written.name == "copy-20261130T0100Z.csv"


def test_the_run_ids_of_airflow_are_run_ids(osiris, shop):
    (shop / "data").mkdir()
    (shop / "data/rows.csv").write_text("a,b\n1,2\n")
    (shop / "pipelines/copy.yaml").write_text(COPY)
    for run_id in ("scheduled__2026-11-30T00:00:00+00:00", "manual__2026-11-30T08:15:42.123456+00:00"):
        first, second = (osiris("run", "pipelines/copy.yaml", "--run-id", run_id, cwd=shop) for _ in range(2))
        assert first.returncode == 0, first.stderr
        assert "RUN009" in second.stderr
        with (shop / f"output/{run_id}.csv").open() as file:
            assert [*csv.reader(file)] == [["a", "b"], ["1", "2"]]
