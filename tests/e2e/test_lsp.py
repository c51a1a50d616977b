"""`osiris lsp` as an editor uses it: a real client over stdio, with the installed command."""

import json
import re
import subprocess
import sys

import pytest
from lsprotocol import types
from tests.components.test_stranger import PACKAGE
from tests.conftest import OSIRIS
from tests.e2e.editor import edit
from tests.patience import SOON, started
from tests.strangers import install

ORDERS = """\
oml_version: "0.1.0"
name: orders
steps:
  - id: orders
    component: filesystem.csv_extractor
    mode: read
    config: {path: data/orders.csv}
  - id: by-region
    component: duckdb.processor
    mode: transform
    needs: [orders]
    config:
      query: SELECT region, sum(amount) AS total FROM orders GROUP BY region ORDER BY region
  - id: out
    component: duckdb.writer
    mode: write
    needs: [by-region]
    config: {connection: "@duckdb.mart", table: totals}
"""
CONNECTIONS = """\
connections:
  duckdb:
    mart: {path: data/mart.duckdb}
    other: {path: data/other.duckdb}
  sqlite:
    app: {path: data/app.db}
"""


@pytest.fixture
def shop(tmp_path):
    for name, text in {
        "osiris.yaml": "",
        "osiris_connections.yaml": CONNECTIONS,
        "data/orders.csv": "id,region,amount,😀\n1,north,2.50,x\n",
        "pipelines/orders.yaml": ORDERS,
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def file(shop):
    return shop / "pipelines" / "orders.yaml"


def tree(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


BROKEN = {
    "a mistyped key": ORDERS.replace("needs: [orders]", "need: [orders]"),
    "a step that is missing": ORDERS.replace("[by-region]", "[by_regoin]"),
    "no YAML": ORDERS + "  - [",
    "a type error": ORDERS.replace("needs: [orders]", "needs: 7"),
    "an error in SQL": ORDERS.replace("sum(amount)", "sum(amount"),
    "an emoji before the place": ORDERS.replace("{path: data/orders.csv}", '{path: "data/😀.csv", colums: [id]}'),
    "lines that end with CR LF": ORDERS.replace("needs: [orders]", "need: [orders]").replace("\n", "\r\n"),
    "an unknown connection": ORDERS.replace("@duckdb.mart", "@duckdb.marts"),
    "an empty file": "",
    "a warning": ORDERS.replace("ORDER BY region", "ORDER BY region LIMIT 1"),
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_the_diagnostics_are_those_of_validate(osiris, shop, file, text):
    async def work(editor):
        clean = await editor.open()
        return clean, await editor.change(text)

    before = tree(shop)
    clean, found = edit(file, work)
    assert [each.severity.name for each in clean if each.severity.name == "Error"] == []
    assert tree(shop) == before
    file.write_bytes(text.encode())
    said = json.loads(osiris("validate", file, "--json", cwd=shop).stdout)["diagnostics"]
    lines = text.split("\n")
    places = {(each["code"], each["line"] or 1, each["column"] or 1, each["severity"]) for each in said}
    severities = {"Error": "error", "Warning": "warning", "Information": "note"}

    def place(problem):
        start = problem.range.start
        units = lines[start.line].encode("utf-16-le")[: 2 * start.character]
        return problem.code, start.line + 1, len(units.decode("utf-16-le")) + 1, severities[problem.severity.name]

    assert {place(each) for each in found} == places
    assert {each.message.split("\n")[0] for each in found} == {each["message"].split("\n")[0] for each in said}


def test_a_fix_is_offered_and_leads_to_a_valid_text(file):
    async def work(editor):
        found = await editor.open(ORDERS.replace("needs: [orders]", "need: [orders]"))
        (fix,) = await editor.fixes(found)
        assert await editor.fixes([]) == []
        return fix, [each.severity.name for each in await editor.change(fix[1])]

    (title, text), severities = edit(file, work)
    assert title.startswith("OML")
    assert text == ORDERS
    assert "Error" not in severities


def test_a_fix_for_a_text_that_has_changed_since_is_not_offered(file):
    async def work(editor):
        found = await editor.open(ORDERS.replace("needs: [orders]", "need: [orders]"))
        await editor.change("name: other\n")
        return await editor.fixes(found)

    assert edit(file, work) == []


def test_a_fix_is_not_applied_to_another_step(file):
    """Between a change and the diagnostics of the new text, an editor has those of the old one."""
    wrong = ORDERS.replace("needs: [orders]", "need: [orders]")
    above = (
        "  - {id: more, component: filesystem.csv_extractor, mode: read, need: [], config: {path: data/orders.csv}}\n"
    )

    async def work(editor):
        found = await editor.open(wrong)
        editor.type(wrong.replace("steps:\n", f"steps:\n{above}"))
        return await editor.fixes(found), await editor.fixes(await editor.diagnostics())

    before, after = edit(file, work)
    assert before == []
    assert len(after) == 2


def test_steps_that_are_no_list_are_no_error(file):
    async def work(editor):
        await editor.open("steps:\n  a:\n    b:\n      c: orders\n")
        return await editor.hover("c: ord|ers"), await editor.definition("c: ord|ers")

    assert edit(file, work)[1] is None


def test_a_file_behind_a_linked_folder_is_a_pipeline(shop, file, tmp_path_factory):
    link = tmp_path_factory.mktemp("links") / "shop"
    link.symlink_to(shop)

    async def work(editor):
        return await editor.open(BROKEN["a mistyped key"])

    assert any(each.severity.name == "Error" for each in edit(link / "pipelines" / "orders.yaml", work))


def test_types_are_those_of_the_lock_and_the_last_plan_and_are_marked_when_outdated(osiris, shop, file):
    async def before(editor):
        await editor.open()
        return await editor.hover("id: by-reg|ion")

    assert edit(file, before).startswith("SQL transform\n")
    assert osiris("compile", file, cwd=shop).returncode == 0

    async def after(editor):
        await editor.open()
        hovers = [await editor.hover(words) for words in ("id: by-reg|ion", "id: ord|ers", "needs: [or|ders]")]
        await editor.change(ORDERS.replace("sum(amount)", "max(amount)"))
        return [*hovers, await editor.hover("id: by-reg|ion")]

    transform, source, need, outdated = edit(file, after)
    assert "columns (plan " in transform
    assert "total" in transform
    assert "outdated" not in transform
    assert "columns (osiris.lock, 20" in source
    assert "😀" in source
    assert need == source[source.index("columns (") :]
    assert "; outdated: it was edited after its plan" in outdated


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("config: {pa|th", "relative to the connection's base_dir"),
        ("conn|ection: ", "connection"),
        ("oml_ver|sion", "version of the language"),
        ("mo|de: read", "What the step does."),
        ("component: filesystem.csv_ex|tractor", "CSV"),
    ],
)
def test_what_stands_at_a_place_is_described(file, words, part):
    async def work(editor):
        await editor.open()
        return await editor.hover(words)

    assert part.lower() in edit(file, work).lower()


@pytest.mark.parametrize(
    ("words", "target"),
    [
        ("needs: [or|ders]", ("orders.yaml", "orders")),
        ("needs: [by-|region]", ("orders.yaml", "by-region")),
        ("AS total FROM or|ders", ("orders.yaml", "orders")),
        ('"@duckdb.ma|rt"', ("osiris_connections.yaml", "{path: data/mart.duckdb}")),
        ("SELECT reg|ion", None),
        ("name: ord|ers", None),
    ],
)
def test_a_name_leads_to_its_declaration(file, words, target):
    async def work(editor):
        await editor.open()
        return await editor.definition(words)

    assert edit(file, work) == target


TYPED = ORDERS + "  - id: more\n    "


@pytest.mark.parametrize(
    ("rest", "some", "none"),
    [
        ("component: ", {"duckdb.writer", "filesystem.csv_extractor"}, {"orders"}),
        ("component: duck", {"duckdb.writer"}, set()),
        ('config: {connection: "@', {"@duckdb.mart", "@duckdb.other"}, set()),
        ("config:\n      connection: @duckdb.", {"@duckdb.mart"}, set()),
        ("component: duckdb.writer\n    config: {connection: ", {"@duckdb.mart"}, {"@sqlite.app"}),
        ("component: sqlite.writer\n    config: {connection: ", {"@sqlite.app"}, {"@duckdb.mart"}),
        ("needs: [", {"orders", "by-region", "out"}, {"more"}),
        ("needs: [orders, ", {"by-region"}, set()),
        ("needs:\n      - ", {"orders", "by-region"}, {"more"}),
        ("needs: [by-region]\n    config: {columns: [", {"region", "total"}, {"amount"}),
        ("needs: [by-region]\n    config: {cast: {", {"total"}, {"amount"}),
        ("needs: [by-region]\n    config:\n      primary_key:\n        - re", {"region"}, set()),
        ("description: ", set(), {"orders"}),
    ],
)
def test_names_of_the_project_complete_what_is_typed(osiris, shop, file, rest, some, none):
    assert osiris("compile", file, cwd=shop).returncode == 0

    async def work(editor):
        await editor.open(TYPED + rest)
        return await editor.completions(TYPED + rest + "|")

    found = edit(file, work).keys()
    assert found >= some
    assert not found & none


@pytest.mark.parametrize(
    ("typed", "choice", "whole"),
    [
        ("connection: |", "@duckdb.mart", 'connection: "@duckdb.mart"'),
        ("connection: @d|", "@duckdb.mart", 'connection: "@duckdb.mart"'),
        ('connection: "@d|"', "@duckdb.mart", 'connection: "@duckdb.mart"'),
        ("connection: '@duckdb.ot|her'", "@duckdb.mart", "connection: '@duckdb.mart'"),
        ("component: duckdb.ex|tractor", "duckdb.writer", "component: duckdb.writer"),
        ("needs: [or|", "orders", "needs: [orders"),
    ],
)
def test_a_completion_replaces_the_whole_word_and_is_quoted_where_it_must_be(file, typed, choice, whole):
    text = TYPED + typed.replace("|", "") + "\n"

    async def work(editor):
        await editor.open(text)
        return await editor.complete(TYPED + typed, choice)

    assert edit(file, work) == TYPED + whole + "\n"


def test_tables_are_those_of_the_lock_that_the_connection_has(osiris, shop, file):
    read = 'oml_version: "0.1.0"\nname: read\nsteps:\n  - id: totals\n    component: duckdb.extractor\n'
    read += '    mode: read\n    config: {connection: "@duckdb.mart", table: totals}\n'
    read += (
        "  - {id: out, component: filesystem.csv_writer, mode: write, needs: [totals], config: {path: output/t.csv}}\n"
    )
    assert osiris("run", file, cwd=shop).returncode == 0
    other = file.with_name("read.yaml")
    other.write_text(read)
    assert osiris("compile", other, cwd=shop).returncode == 0

    async def work(editor):
        typed = read.replace("table: totals}", "table: to")
        await editor.open(typed)
        return await editor.complete("table: to|", "totals"), await editor.completions("table: to|")

    text, found = edit(other, work)
    assert found == {"totals": "table of @duckdb.mart"}
    assert "table: totals\n" in text


def test_only_the_last_of_quick_changes_is_validated(file):
    async def work(editor):
        await editor.open()
        for number in range(50):
            editor.type(ORDERS.replace("name: orders", f"name: orders{number}"))
        found = await editor.change(BROKEN["a mistyped key"])
        return [each.severity.name for each in found], editor.published.qsize()

    severities, more = edit(file, work)
    assert "Error" in severities
    assert more == 0


@pytest.mark.parametrize("name", ["notes.yaml", "pipelines/notes.txt", "osiris_connections.yaml"])
def test_other_files_have_no_diagnostics(shop, name):
    (shop / name).write_text("anything: [\n")

    async def work(editor):
        return await editor.open(), await editor.hover("any|thing"), await editor.completions("any|thing")

    assert edit(shop / name, work) == ([], None, {})


def test_a_file_outside_of_any_project_has_no_diagnostics(tmp_path):
    (tmp_path / "compose.yaml").write_text("services: {}\n")

    async def work(editor):
        return await editor.open()

    assert edit(tmp_path / "compose.yaml", work) == []


def test_a_broken_project_says_where(shop, file):
    (shop / "osiris.yaml").write_text("run: [\n")

    async def work(editor):
        return await editor.open(), await editor.hover("id: ord|ers"), await editor.fixes(await editor.open())

    (problem, *_), hover, fixes = edit(file, work)
    assert problem.message.startswith("osiris.yaml:")
    assert problem.range.start.line == 0
    assert (hover, fixes) == (None, [])


def test_a_damaged_lock_or_plan_does_not_hide_the_diagnostics(osiris, shop, file):
    assert osiris("compile", file, cwd=shop).returncode == 0
    for path in [shop / "osiris.lock", *(shop / "build").rglob("manifest.json")]:
        path.write_text("{")

    async def work(editor):
        found = await editor.open(BROKEN["a mistyped key"])
        return found, await editor.completions("component: |duckdb.writer")

    found, completions = edit(file, work)
    assert {"OML002", "LCK001"} <= {each.code for each in found}
    assert "duckdb.writer" in completions


@pytest.mark.parametrize("damage", ["{", "<<<<<<< HEAD\n", "sources\n"])
def test_a_damaged_lock_is_reported_and_hides_only_its_columns(osiris, shop, file, damage):
    assert osiris("compile", file, cwd=shop).returncode == 0
    (shop / "osiris.lock").write_text(damage)

    async def work(editor):
        found = await editor.open()
        columns = await editor.hover("id: ord|ers"), await editor.hover("id: by|-region")
        return found, columns, await editor.definition("@duckdb.m|art")

    found, (source, computed), target = edit(file, work)
    (problem,) = [each for each in found if each.severity.name == "Error"]
    assert (problem.code[:3], problem.message[:11]) == ("LCK", "osiris.lock")
    assert "amount" in source
    assert "total" in computed
    assert target[0] == "osiris_connections.yaml"


def test_columns_of_the_lock_stay_while_the_text_has_errors(osiris, shop, file):
    """The file has no plan; its source is pinned, as another pipeline reads it too."""
    assert osiris("compile", file, cwd=shop).returncode == 0
    fresh = file.with_name("fresh.yaml")
    fresh.write_text(ORDERS.replace("name: orders", "name: fresh"))
    broken = fresh.read_text().replace("mode: read", "mode: read\n    colour: red", 1)

    async def work(editor):
        await editor.open(fresh.read_text())
        assert any(each.severity.name == "Error" for each in await editor.change(broken))
        return await editor.hover("id: ord|ers")

    assert "amount" in edit(fresh, work)


def test_a_writer_has_no_columns_and_nothing_is_completed_before_a_quote(osiris, shop, file):
    assert osiris("compile", file, cwd=shop).returncode == 0

    async def work(editor):
        await editor.open()
        return await editor.hover("id: o|ut"), await editor.completions('{connection: |"@duckdb.mart"')

    hover, completions = edit(file, work)
    assert "columns" not in hover
    assert completions == {}


def test_what_is_wrong_is_checked_again_when_another_file_is_saved(shop, file):
    async def work(editor):
        (shop / "osiris_connections.yaml").write_text("{}\n")
        before = await editor.open()
        (shop / "osiris_connections.yaml").write_text(CONNECTIONS)
        document = types.TextDocumentIdentifier((shop / "osiris_connections.yaml").as_uri())
        editor.client.text_document_did_save(types.DidSaveTextDocumentParams(document))
        return before, await editor.diagnostics()

    before, after = edit(file, work)
    assert [each.severity.name for each in before].count("Error") > 0
    assert [each for each in after if each.severity.name == "Error"] == []


def test_the_title_of_a_fix_says_what_it_does(file):
    async def work(editor):
        found = await editor.open(BROKEN["a mistyped key"])
        return await editor.fixes(found)

    ((title, _),) = edit(file, work)
    assert re.fullmatch(r"OML002: rename '\w+' to '\w+'", title)


def test_no_server_is_asked_and_no_secret_is_resolved(shop, file):
    secret = '  postgres:\n    db: {host: 127.0.0.1, port: 1, database: "${vault:a/b#c}"}\n'
    (shop / "osiris_connections.yaml").write_text(CONNECTIONS + secret)
    text = ORDERS.replace("filesystem.csv_extractor", "postgres.extractor")
    text = text.replace("{path: data/orders.csv}", '{connection: "@postgres.db", table: orders}')

    async def work(editor):
        return await editor.open(text), await editor.hover("id: ord|ers"), await editor.hover("conn|ection")

    found, step, key = edit(file, work)
    assert [each for each in found if each.severity.name == "Error"] == []
    assert "vault" not in f"{step}{key}"


def test_the_code_of_other_packages_is_not_imported(tmp_path, shop, file):
    package = tmp_path / "package"
    subprocess.run(["cp", "-r", PACKAGE, package], check=True)
    for module in package.rglob("*.py"):
        module.write_text(f"raise SystemExit(open({str(tmp_path / 'imported')!r}, 'w'))\n")
    python = install(tmp_path / "venv", package)
    text = ORDERS.replace("filesystem.csv_extractor", "hello.extractor").replace("{path: data/orders.csv}", "{}")

    async def work(editor):
        await editor.open(text)
        return await editor.hover("component: hel|lo.extractor"), await editor.completions("component: |hello")

    hover, completions = edit(file, work, (python, "-P", "-m", "osiris.cli.main", "lsp"))
    assert hover
    assert "hello.extractor" in completions
    assert not (tmp_path / "imported").exists()


def test_it_ends_with_its_client(shop):
    with started([OSIRIS, "lsp"], cwd=shop, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        server.stdin.close()
        assert server.wait(SOON) == 0


def test_without_the_library_it_says_how_to_install_it(tmp_path):
    text = "import sys; sys.modules['pygls'] = None; from osiris.cli.main import main; sys.exit(main(['lsp']))"
    without = subprocess.run([sys.executable, "-c", text], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert without.returncode == 2
    assert "LSP001" in without.stderr
    assert "pip install 'pygls" in without.stderr
