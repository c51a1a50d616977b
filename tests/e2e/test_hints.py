"""Following a hint or applying a fix helps: the user gets further."""

import json

import pytest
import yaml
from tests.e2e.sessions import new_project

from osiris.errors import Diagnostic
from osiris.oml.fix import apply_fix

HEAD = 'oml_version: "0.1.0"\nname: x\nsteps:\n'
READ = "- {id: a, component: filesystem.csv_extractor, mode: read, config: {path: data/orders.csv}}\n"
WRITE = "- {id: b, component: filesystem.csv_writer, mode: write, needs: [a], config: {path: output/b.csv}}\n"


@pytest.fixture
def shop(osiris, tmp_path):
    """A new project, and a function that runs a command in it and returns its JSON."""
    new_project(tmp_path / "shop")

    def call(*args, code=2):
        done = osiris(*args, "--json", cwd=tmp_path / "shop")
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def check(text, code=2):
        (call.folder / "pipelines" / "example.yaml").write_text(text, "utf-8")
        return call("validate", "pipelines/example.yaml", code=code)["diagnostics"]

    call.folder, call.check = tmp_path / "shop", check
    return call


def test_a_bad_option_is_named_as_it_was_typed(shop):
    for option in ("--wait", "--e2b-timeout", "--e2b-mem"):
        (found,) = shop("run", "pipelines/example.yaml", option, "banana")["diagnostics"]
        assert (found["code"], found["message"].split(" must be ")[0]) == ("PRJ004", f"'{option}'")


def test_too_few_digits_of_a_fingerprint(shop):
    for digits in ("0", "05df", "abcdef", "05df05df05d"):
        (found,) = shop("run", digits)["diagnostics"]
        assert (found["code"], "first 12 digits" in found["hint"]) == ("CMP049", True)
    assert [each["code"] for each in shop("run", "feed")["diagnostics"]] == ["PRJ009"]


def test_what_explain_takes_and_that_there_is_no_run_yet(shop):
    (found,) = shop("explain", "pipelines/example.yaml")["diagnostics"]
    assert (found["code"], "osiris compile pipelines/example.yaml" in found["hint"]) == ("RUN050", True)
    (found,) = shop("explain", "orders")["diagnostics"]
    assert (found["code"], "a code" in found["hint"]) == ("RUN050", True)
    for words in (("logs", "show"), ("logs", "show", "nope"), ("explain", "last"), ("explain", "previous")):
        (found,) = shop(*words)["diagnostics"]
        assert (found["code"], found["hint"]) == ("RUN010", "there is no run here yet")
    shop("run", "pipelines/example.yaml", code=0)
    (found,) = shop("logs", "show", "previous")["diagnostics"]
    assert found["hint"] == "there is only one run of 'example' yet"


@pytest.mark.parametrize("path", ["~/x.csv", "~anna/x.csv"])
def test_a_path_never_begins_with_a_tilde(shop, path):
    for text in (READ.replace("data/orders.csv", path) + WRITE, READ + WRITE.replace("output/b.csv", path)):
        found = [(each["code"], "~" in each["message"]) for each in shop.check(HEAD + text)]
        assert found == [("DRV007", True)]
    assert not (shop.folder / "~").exists()


@pytest.mark.parametrize(
    ("connections", "read"),
    [
        ("filesystem: {home: {base_dir: ~/data}}", "filesystem.csv_extractor, mode: read, config: {path: orders.csv, "),
        ("duckdb: {home: {path: ~/x.duckdb}}", "duckdb.extractor, mode: read, config: {table: t, "),
        ("sqlite: {home: {path: ~/x.sqlite}}", "sqlite.extractor, mode: read, config: {table: t, "),
    ],
)
def test_nor_does_one_of_a_connection(shop, connections, read):
    (shop.folder / "osiris_connections.yaml").write_text(f"connections:\n  {connections}\n", "utf-8")
    family = connections.partition(":")[0]
    text = f'- {{id: a, component: {read}connection: "@{family}.home"}}}}\n'
    found = [
        (each["code"], "~" in each["message"])
        for each in shop.check(HEAD + text + WRITE)
        if each["severity"] == "error"
    ]
    assert found == [("DRV007", True)]


def test_one_line_of_osiris_yaml_is_right_for_all_files_outside(shop):
    inside = shop.folder.parent
    (inside / "in").mkdir()
    (inside / "in" / "x.csv").write_text("a\n1\n", "utf-8")
    text = HEAD + READ.replace("data/orders.csv", "../in/x.csv") + WRITE.replace("output/b.csv", "../out/b.csv")
    found = [each for each in shop.check(text) if each["code"] == "DRV059"]
    assert len(found) == 2
    (line,) = {each["hint"].partition("osiris.yaml:  ")[2] for each in found}
    with (shop.folder / "osiris.yaml").open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    assert [each for each in shop.check(text, code=0) if each["severity"] == "error"] == []


MISTAKES = {
    "keys beside a config that is not there": (
        "steps:\n- id: a\n  component: filesystem.csv_extractor\n  mode: read\n  path: data/orders.csv\n"
        "  delimiter: ','\n  encoding: utf-8\n"
    ),
    "keys beside a config": (
        "steps:\n- id: a\n  component: filesystem.csv_extractor\n  mode: read\n  path: data/orders.csv\n"
        "  delimiter: ','\n  config: {encoding: utf-8}\n"
    ),
    "an earlier key": (
        "steps:\n- {id: a, uses: filesystem.csv_extractor, mode: extract, with: {path: data/orders.csv}}\n"
    ),
}


@pytest.mark.parametrize("steps", MISTAKES.values(), ids=MISTAKES)
def test_every_fix_of_an_answer_can_be_applied_after_those_before_it(shop, steps):
    text = 'oml_version: "0.1.0"\nname: x\n' + steps
    fixes = [Diagnostic.from_json(each) for each in shop.check(text) if each.get("fix")]
    assert fixes
    for each in fixes:
        text = apply_fix(text, each)
    assert yaml.safe_load(text)["steps"][0]["config"]["path"] == "data/orders.csv"
    assert [each["code"] for each in shop.check(text, code=0) if each["severity"] == "error"] == []


def test_a_header_that_was_not_divided_is_told(shop):
    (shop.folder / "data" / "x.csv").write_text("order_id,customer,total\n1,Anna,2.5\n", "utf-8")
    read = READ.replace("data/orders.csv", "data/x.csv, delimiter: ';'")
    query = (
        "- {id: q, component: duckdb.processor, mode: transform, needs: [a], config: {query: SELECT total FROM a}}\n"
    )
    shop.check(HEAD + read + query + WRITE.replace("needs: [a]", "needs: [q]"), code=0)
    (found,) = [
        each for each in shop("compile", "pipelines/example.yaml")["diagnostics"] if each["severity"] == "error"
    ]
    assert found["code"] == "SQL009"
    assert "'order_id,customer,total': add delimiter" in found["hint"]
    shop.check(HEAD + read.replace("';'", "';', columns: [total]") + WRITE, code=0)
    (found,) = [
        each for each in shop("compile", "pipelines/example.yaml")["diagnostics"] if each["severity"] == "error"
    ]
    assert (found["code"], "add delimiter" in found["hint"]) == ("DAT005", True)


def test_how_a_connection_is_named(shop):
    (found,) = shop.check(HEAD + READ.replace("config: {", "config: {connection: {host: h}, ") + WRITE)
    assert (found["code"], "osiris_connections.yaml" in found["hint"]) == ("OML006", True)
    found = shop.check(HEAD + READ + WRITE.replace("path:", "quux: 1, path:"))
    assert [each["code"] for each in found] == ["OML002"]


def test_a_file_whose_columns_were_not_separated_is_warned_of(shop):
    (shop.folder / "data" / "semi.csv").write_text("id;name\n1;a\n", "utf-8")

    def compiled(config):
        text = HEAD + READ.replace("{path: data/orders.csv}", config) + WRITE
        (shop.folder / "pipelines" / "example.yaml").write_text(text, "utf-8")
        found = shop("compile", "pipelines/example.yaml", "--refresh", code=0)["diagnostics"]
        return [(each["code"], each["hint"]) for each in found if each["severity"] == "warning"]

    assert compiled("{path: data/semi.csv}") == [("CMP029", "add delimiter: \";\" to the config of 'a'")]
    assert compiled("{path: data/semi.csv, delimiter: ;}") == []


def test_a_server_that_is_not_reached_is_placed_where_its_connection_is_declared(shop):
    place = {"host": "127.0.0.1", "port": 1, "database": "x", "user": "u", "password": "${PW}", "default": True}
    (shop.folder / "osiris_connections.yaml").write_text(yaml.safe_dump({"connections": {"postgres": {"crm": place}}}))
    (shop.folder / ".env").write_text("PW=none\n")
    read = "- {id: a, component: postgres.extractor, mode: read, config: {table: t}}\n"
    (shop.folder / "pipelines" / "example.yaml").write_text(HEAD + read + WRITE)
    answer = shop("run", "pipelines/example.yaml", code=3)
    (found,) = answer["diagnostics"]
    assert (found["code"], found["file"], found["line"] > 1) == ("CON011", "osiris_connections.yaml", True)
    assert answer["data"]["steps"]["a"]["status"] == "failed"
