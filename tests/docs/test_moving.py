"""The page for users of osiris-pipeline is true: every old spelling in its tables is tried.

A row says what happens to the old spelling: it works, or it gets a note, a warning or an error whose message or hint
contains every new spelling (in backticks) of the row.
"""

import json
import re
import shlex
import sqlite3
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from osiris.cli import legacy
from osiris.cli.main import main
from osiris.config import EARLIER_BELOW, EARLIER_KEYS, PROVIDERS
from osiris.errors import InvalidInput
from osiris.mcp.definitions import EARLIER_RESOURCES, EARLIER_TOOLS, current_uri, translated
from osiris.registry import load_registry

PAGE = Path(__file__).parents[2] / "docs/guide/from-osiris-pipeline.md"
SPAN = re.compile(r"`([^`]+)`")
GRAVITY = {"works": None, "note": "note", "warning": "warning", "rejected": "error"}
CONFIG = "Config of `"
CONNECTIONS = {
    "mysql": {"shop": {"host": "db", "user": "reader", "database": "shop", "password": "${MYSQL_PASSWORD}"}},
    "supabase": {"main": {"url": "https://abc.supabase.co", "key": "${SUPABASE_KEY}"}},
    "duckdb": {"main": {"path": "data/shop.duckdb"}},
    "filesystem": {"local": {"base_dir": "data"}},
    "s3": {"default": {"bucket": "orders"}},
    "azure": {"default": {"bucket": "orders", "account": "shop"}},
    "gcs": {"default": {"bucket": "orders"}},
}
STEPS = {
    "mysql.extractor": ("read", {"connection": "@mysql.shop", "table": "orders"}),
    "mysql.writer": ("write", {"connection": "@mysql.shop", "table": "orders"}),
    "supabase.extractor": ("read", {"connection": "@supabase.main", "table": "orders"}),
    "supabase.writer": ("write", {"connection": "@supabase.main", "table": "orders"}),
    "duckdb.processor": ("transform", {"query": "SELECT * FROM df"}),
    "duckdb.extractor": ("read", {"connection": "@duckdb.main", "table": "orders"}),
    "duckdb.writer": ("write", {"connection": "@duckdb.main", "table": "orders"}),
    "filesystem.csv_extractor": ("read", {"path": "data/orders.csv"}),
    "filesystem.csv_writer": ("write", {"path": "output/orders.csv"}),
}
"""By component: a valid step."""


def read_tables():
    """Return the rows of each table by the heading above it, each as a tuple of cells."""
    tables, heading = defaultdict(list), ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("| "):
            tables[heading].append(tuple(cell.strip() for cell in line.strip("|").split(" | ")))
    return {heading: rows[1:] for heading, rows in tables.items()}


TABLES = read_tables()


def old_spellings(heading):
    return [SPAN.findall(old)[0] for old, *_ in TABLES[heading]]


def rows(*headings):
    return pytest.mark.parametrize(
        ("heading", "old", "new", "result"),
        [(each, *row) for each in headings for row in TABLES[each]],
        ids=[f"{each}-{row[0]}" for each in headings for row in TABLES[each]],
    )


def check(found, new, result, usual=()):
    """Compare diagnostics with a row; `usual` are those without the old spelling."""
    gravity = GRAVITY[result]
    if gravity is None:
        usual = {(each["code"], each["message"]) for each in usual}
        assert [each for each in found if (each["code"], each["message"]) not in usual] == []
        return
    said = [each for each in found if each["severity"] == gravity]
    assert said
    assert gravity == "error" or not [each for each in found if each["severity"] == "error"]
    text = " ".join(f"{each['message']} {each['hint']}" for each in said)
    assert [span for span in SPAN.findall(new) if span not in text] == [], text


def write_yaml(path, data):
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), encoding="utf-8")


def pipeline(step, mode):
    """Return a valid pipeline around a step."""
    source = {"id": "first", "component": "filesystem.csv_extractor", "mode": "read", "config": {"path": "data/in.csv"}}
    target = {"id": "last", "component": "filesystem.csv_writer", "mode": "write", "config": {"path": "output/out.csv"}}
    steps = [*([] if mode == "read" else [source]), step, *([] if mode == "write" else [target])]
    return {"oml_version": "0.1.0", "name": "p", "steps": steps}


def step(component, **config):
    mode, own = STEPS[component]
    return {"id": "it", "component": component, "mode": mode, "config": {**own, **config}}


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "osiris.yaml").write_text("")
    write_yaml(tmp_path / "osiris_connections.yaml", {"connections": CONNECTIONS})
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def validate(project, capsys):
    """Return the diagnostics of a pipeline."""

    def call(document):
        write_yaml(project / "pipelines/p.yaml", document)
        main(["validate", "pipelines/p.yaml", "--json"])
        return json.loads(capsys.readouterr().out)["diagnostics"]

    return call


USUAL = {}
"""What is said of pipelines without an old spelling; they are validated once."""


@pytest.fixture
def usually(validate):
    def call(document):
        text = json.dumps(document)
        if text not in USUAL:
            USUAL[text] = validate(document)
        return USUAL[text]

    return call


@rows("Keys of the file")
def test_keys_of_the_file(heading, old, new, result, validate, usually):
    good = pipeline(step("filesystem.csv_writer"), "write")
    usual = usually(good)
    check(validate({**good, **yaml.safe_load(SPAN.findall(old)[0])}), new, result, usual)


@rows("Keys of a step")
def test_keys_of_a_step(heading, old, new, result, validate, usually):
    good = step("mysql.extractor")
    usual = usually(pipeline(good, "read"))
    check(validate(pipeline({**good, **yaml.safe_load(SPAN.findall(old)[0])}, "read")), new, result, usual)


@rows("Components")
def test_components(heading, old, new, result, validate, usually):
    (component,) = SPAN.findall(old)
    today = next((span for span in SPAN.findall(new) if span in STEPS), component)
    mode, config = STEPS.get(component) or STEPS.get(today) or ("read", {})
    like = {"id": "it", "component": today, "mode": mode, "config": config}
    usual = usually(pipeline(like, mode)) if today in STEPS else ()
    config = {"path": "a.csv"} if component.endswith("csv_writer") else config
    found = validate(pipeline({**like, "component": component, "config": config}, mode))
    families = [span for span in SPAN.findall(new) if span in CONNECTIONS]
    for family in families:
        new = new.replace(f"`{family}`", family)
    check(found, new, result, usual)


HEADINGS = [heading for heading in TABLES if heading.startswith(CONFIG)]


def component_of(heading):
    return SPAN.findall(heading)[0] if "`" in heading else "mysql.extractor"


@rows("Config of every component", *HEADINGS)
def test_config(heading, old, new, result, validate, usually):
    component = component_of(heading)
    spec = load_registry().get(component)
    good = step(component)
    usual = usually(pipeline(good, good["mode"]))
    fragment = yaml.safe_load(SPAN.findall(old)[0])
    replaced = {spec.hints.get("synonyms", {}).get(key) for key in fragment}
    config = {key: value for key, value in good["config"].items() if key not in replaced}
    found = validate(pipeline({**good, "config": {**config, **fragment}}, good["mode"]))
    check(found, new, result, usual)


@pytest.mark.parametrize("heading", HEADINGS)
def test_every_earlier_spelling_of_a_config_is_on_the_page(heading):
    hints = load_registry().get(component_of(heading)).hints
    tried = [yaml.safe_load(span) for span in old_spellings(heading)]
    keys = {key for each in tried for key in each}
    assert {*hints.get("synonyms", ())} <= keys
    values = {f"{key}: {value}" for each in tried for key, value in each.items()}
    named = [f"{key}: {old}" for key, each in hints.get("values", {}).items() for old in each]
    synonyms = {new: old for old, new in hints.get("synonyms", {}).items()}
    also = {each.replace(key, old) for each in named for key, old in synonyms.items() if each.startswith(f"{key}: ")}
    assert [each for each in named if each not in values and not also & values] == []
    assert [each for each in hints.get("earlier", ()) if each not in {*values, *keys}] == []


@rows("Connections")
def test_connections(heading, old, new, result, validate, usually, project, monkeypatch, capsys):
    ((family, fields),) = yaml.safe_load(SPAN.findall(old)[0]).items()
    component = next(name for name in STEPS if name.startswith(f"{family}.") and "connection" in STEPS[name][1])
    good = step(component)
    usual = usually(pipeline(good, good["mode"]))
    ((alias, own),) = CONNECTIONS[family].items()
    write_yaml(project / "osiris_connections.yaml", {"connections": {family: {alias: {**own, **fields}}}})
    found = validate(pipeline(good, good["mode"]))
    if result == "rejected" and not [each for each in found if each["severity"] == "error"]:
        for variable in re.findall(r"\$\{(\w+)\}", str({**own, **fields})):
            monkeypatch.setenv(variable, "x" * 40)
        main(["connections", "doctor", f"@{family}.{alias}", "--json"])
        found = json.loads(capsys.readouterr().out)["diagnostics"]
    check(found, new, result, usual)


@rows("Settings in `osiris.yaml`")
def test_settings(heading, old, new, result, validate, usually, project):
    good = pipeline(step("filesystem.csv_writer"), "write")
    usual = usually(good)
    write_yaml(project / "osiris.yaml", yaml.safe_load(SPAN.findall(old)[0]))
    found = validate(good)
    check(found, new.replace("`osiris.yaml`", "osiris.yaml"), result, usual)


def test_every_earlier_setting_is_on_the_page():
    tried = " ".join(old_spellings("Settings in `osiris.yaml`"))
    named = [part for key in (*EARLIER_KEYS, *EARLIER_BELOW) for part in key.split(".")]
    assert [part for part in named if f"{part}:" not in tried] == []


@rows("Environment variables")
def test_variables(heading, old, new, result):
    (pattern,) = SPAN.findall(old)
    commands, row = legacy.ENVIRONMENT[pattern]
    assert bool(commands) == (result != "works")
    assert (row == legacy.KEPT) == (result == "works")
    keys = {"E2B_API_KEY", *(variable for each in PROVIDERS.values() for variable in each)}
    assert pattern in keys or not pattern.endswith("_API_KEY")
    for command in commands:
        found = legacy.environment_answers(command, lambda: {pattern.replace("*", "X"): "1"})
        check([each.to_json() for each in found], new, result)


def test_every_variable_is_on_the_page():
    assert sorted(old_spellings("Environment variables")) == sorted(legacy.ENVIRONMENT)


def test_variables_in_the_file_are_known_too(project, capsys):
    (project / ".env").write_text("OPENAI_MODEL=x\n")
    assert main(["chat", "hello", "--json"]) == 2
    found = json.loads(capsys.readouterr().out)["diagnostics"]
    assert [each["hint"] for each in found if each["code"] == "PRJ003"] == ["set OSIRIS_CHAT__MODEL"]


@pytest.mark.parametrize("profiles", [{}, {"prod": {}}])
def test_a_profile_of_the_environment_that_is_declared_nowhere_is_refused(profiles, validate, monkeypatch):
    monkeypatch.setenv("OSIRIS_PROFILE", "staging")
    good = pipeline(step("filesystem.csv_writer"), "write")
    (found,) = [each for each in validate({**good, "profiles": profiles}) if each["severity"] == "error"]
    assert (found["code"], "OSIRIS_PROFILE" in found["hint"]) == ("OML023", True)


@rows("Commands", "Options")
def test_commands(heading, old, new, result, project, capsys):
    assert result == "rejected"
    assert main([*shlex.split(SPAN.findall(old)[0])[1:], "--json"]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert {*answer} == {"ok", "data", "diagnostics", "next"}
    check(answer["diagnostics"], new, result)


def test_every_command_is_on_the_page():
    words = {f"osiris {words}" for words, row in legacy.COMMANDS.items() if row != legacy.KEPT}
    assert words - {*old_spellings("Commands")} <= {"osiris eval"}  # never was one of osiris-pipeline
    options = {
        f"osiris {c} {name}" for c, each in legacy.OPTIONS.items() for name, row in each.items() if row != legacy.KEPT
    }
    assert options - {*old_spellings("Options")} == set()


@pytest.fixture(scope="module")
def lived(tmp_path_factory, osiris):
    """A project with a run that succeeded and one that failed."""
    folder = tmp_path_factory.mktemp("lived")
    for name in ("data", "pipelines"):
        (folder / name).mkdir()
    (folder / "osiris.yaml").write_text("aiop: {policy: annex}\n")
    (folder / "data/orders.csv").write_text("id,name\n1,Ada\n2,Bob\n")
    write_yaml(folder / "osiris_connections.yaml", {"connections": {"sqlite": {"shop": {"path": "data/shop.db"}}}})
    with sqlite3.connect(folder / "data/shop.db") as database:
        database.execute("CREATE TABLE orders (id INTEGER)")
        database.execute("INSERT INTO orders VALUES (1)")
    database.close()
    reader = {"id": "read", "component": "sqlite.extractor", "mode": "read"}
    source = {"connection": "@sqlite.shop", "table": "orders"}
    change = {
        "id": "change",
        "component": "duckdb.processor",
        "mode": "transform",
        "config": {"query": "SELECT id FROM df"},
    }
    writer = {"id": "write", "component": "filesystem.csv_writer", "mode": "write", "config": {"path": "output/o.csv"}}
    for name, own in (("bad", {"checks": [{"row_count": {"min": 9}}]}), ("good", {})):
        document = {
            "oml_version": "0.2.0",
            "name": name,
            "description": "Copy orders.",
            "steps": [{**reader, "config": {**source, **own}}, change, writer],
        }
        (folder / f"pipelines/{name}.oml").write_text(yaml.safe_dump(document, sort_keys=False))
        assert osiris("run", f"pipelines/{name}.oml", cwd=folder).returncode == (0 if name == "good" else 6)
    return folder


def records(folder, pattern):
    return [json.loads(line) for path in folder.glob(pattern) for line in path.read_text().splitlines()]


def test_files_whose_names_end_in_oml_are_validated_with_the_others(lived, osiris):
    done = osiris("validate", "--json", cwd=lived)
    files = [each["file"] for each in json.loads(done.stdout)["data"]["files"]]
    assert files == ["pipelines/bad.oml", "pipelines/good.oml"]


@pytest.mark.parametrize(("old", "new", "command"), TABLES["Folders and files"])
def test_folders_and_files(old, new, command, lived, osiris):
    done = osiris(*shlex.split(SPAN.findall(command)[0])[1:], cwd=lived)
    assert done.returncode == 0, done.stderr
    for path in SPAN.findall(new):
        pattern = path.replace("SESSION", "*").replace("PIPELINE", "good").replace("FINGERPRINT", "*")
        assert path == ".env" or [*lived.glob(pattern.rstrip("/"))], path


def events_of(lived):
    events = defaultdict(set)
    for event in records(lived, "logs/*/events.jsonl"):
        events[event["event"]] |= {*event}
    return events


@pytest.mark.parametrize(("old", "new"), TABLES["Events"] + TABLES["Fields of events"])
def test_events(old, new, lived):
    events = events_of(lived)
    for span in SPAN.findall(new):
        name, _, field = span.partition(".")
        assert span == "manifest.json" or (name in events and (not field or field in events[name])), span
    fields = {field for each in events.values() for field in each}
    assert [span for span in SPAN.findall(old) if span in {*events, *fields} and span not in new] == []


@pytest.mark.parametrize(("old", "new"), TABLES["Metrics"])
def test_metrics(old, new, lived):
    metrics = {each["metric"] for each in records(lived, "logs/*/metrics.jsonl")}
    assert {*SPAN.findall(new)} <= metrics
    assert [span for span in SPAN.findall(old) if span in metrics and span not in new] == []


def values_at(value, path):
    """Yield the values at a path: `[]` is each item of a list, `*` each value of a mapping."""
    part, _, rest = path.partition(".")
    name = part.removesuffix("[]")
    inner = value.values() if name == "*" else [value[name]] if name in value else []
    inner = [each for item in inner for each in item] if part != name else inner
    for each in inner:
        yield from values_at(each, rest) if rest and isinstance(each, dict) else [] if rest else [each]


@pytest.mark.parametrize(("old", "new"), TABLES["AIOP"])
def test_packages(old, new, lived):
    packages = [json.loads(path.read_text()) for path in lived.glob("logs/*/aiop/*_aiop.json")]
    assert len(packages) == 2
    assert [value for each in packages for value in values_at(each, SPAN.findall(new)[0])]
    assert old == new or not [value for each in packages for value in values_at(each, SPAN.findall(old)[0])]


@rows("Tools")
def test_tools(heading, old, new, result):
    (name,) = SPAN.findall(old)
    if result == "rejected":
        with pytest.raises(InvalidInput) as error:
            translated(name, {})
        check([each.to_json() for each in error.value.diagnostics], new, result)
    else:
        assert translated(name, {})[0] == (SPAN.findall(new) or [name])[0]


def test_every_tool_and_argument_is_on_the_page():
    assert sorted(old_spellings("Tools")) == sorted(EARLIER_TOOLS)
    tried = {tuple(span.partition(":")[0] for span in SPAN.findall(old)) for old, *_ in TABLES["Arguments"]}
    renamed = {argument for row in EARLIER_TOOLS.values() for argument in row.renamed}
    assert renamed - {"profile"} <= {argument for _, argument in tried}


@rows("Arguments")
def test_arguments(heading, old, new, result):
    tool, argument = SPAN.findall(old)
    given = yaml.safe_load(argument)
    if result == "rejected":
        with pytest.raises(InvalidInput) as error:
            translated(tool, given)
        check([each.to_json() for each in error.value.diagnostics], new, result)
        return
    _, arguments = translated(tool, given)
    (wanted,) = SPAN.findall(new) or [None]
    assert {*arguments} - {"file"} == ({wanted.partition(":")[0]} - {"file"} if wanted else set())
    assert not wanted or ":" not in wanted or arguments == yaml.safe_load(wanted)


@rows("Resources")
def test_resources(heading, old, new, result):
    (uri,) = SPAN.findall(old)
    if result == "works":
        assert current_uri(uri) == SPAN.findall(new)[0]
        return
    with pytest.raises(InvalidInput) as error:
        current_uri(uri)
    check([each.to_json() for each in error.value.diagnostics], new, result)


def test_every_resource_is_on_the_page():
    tried = old_spellings("Resources")
    assert [start for start in EARLIER_RESOURCES if not any(uri.startswith(start) for uri in tried)] == []
