"""The person who runs a pipeline sees values of data; agents, packages and pages do not.

Known secrets are in neither.
"""

import json
import sqlite3

import pytest
from tests.e2e.agent import ask
from tests.e2e.sessions import Shop

VALUE = "=john.o'brien@example.com"
PLAIN = VALUE.partition("'")[0]
"""What of the value no spelling changes."""

READ = "{id: people, component: filesystem.csv_extractor, mode: read, config: {path: data/people.csv%s}}"
WRITE = "{id: out, component: filesystem.csv_writer, mode: write, config: {path: output/people.csv}}"
QUERY = '{id: made, component: duckdb.processor, mode: transform, config: {query: "%s"}}'
UPSERT = """{id: out, component: sqlite.writer, mode: write,
     config: {connection: "@sqlite.shop", table: people, write_mode: %s%s}}"""
KEYED = UPSERT % ("upsert", ", primary_key: [email]")
TEXT = READ % ", dtype: {email: utf8}"
JSON = "{id: people, component: filesystem.json_extractor, mode: read, config: {path: data/people.jsonl, dtype: %s}}"

CASES = {
    "a cell of another type": ("DAT001", [READ % ", dtype: {email: int64}", WRITE]),
    "a cast": ("DAT014", [READ % ", cast: {email: int64}", WRITE]),
    "a key twice": ("DAT028", [TEXT, KEYED]),
    "an error of the engine": ("SQL011", [TEXT, QUERY % "SELECT CAST(email AS INTEGER) AS n FROM people", WRITE]),
    "a date of the engine": ("SQL011", [TEXT, QUERY % "SELECT CAST(email AS DATE) AS n FROM people", WRITE]),
    "a cell of JSON": ("DAT001", [JSON % "{email: int64}", WRITE]),
    "a document that is none": ("DAT014", [TEXT.replace("dtype: {email: utf8}", "cast: {email: json}"), WRITE]),
    "a formula": ("DAT015", [READ % "", WRITE.replace("csv}", "csv, formula_guard: refuse}")]),
    "rows set aside": (None, [READ % ", dtype: {email: int64}, on_reject: quarantine", WRITE]),
}


@pytest.fixture(scope="module")
def shop(osiris, tmp_path_factory):
    made = Shop(osiris, tmp_path_factory.mktemp("values") / "shop")
    (made.folder / "osiris_connections.yaml").write_text("connections: {sqlite: {shop: {path: data/shop.sqlite}}}\n")
    with sqlite3.connect(made.folder / "data" / "shop.sqlite") as connection:
        connection.execute("CREATE TABLE people (id INTEGER, email TEXT PRIMARY KEY)")
    return made


@pytest.fixture(scope="module")
def told(shop):
    """The console output of each case when it ran, and its session."""
    (shop.folder / "data" / "people.csv").write_text(f'id,email\n1,"{VALUE}"\n2,"{VALUE}"\n')
    rows = "".join(json.dumps({"id": n, "email": VALUE}) + "\n" for n in (1, 2))
    (shop.folder / "data" / "people.jsonl").write_text(rows)
    ran = {case: ran_once(shop, case.replace(" ", "-"), steps) for case, (_, steps) in CASES.items()}
    shop("logs", "html")
    return ran


def ran_once(shop, name, steps):
    text = f'oml_version: "0.1.0"\nname: {name}\nsteps:\n' + "".join(f"  - {step}\n" for step in steps)
    (shop.folder / "pipelines" / f"{name}.yaml").write_text(text)
    done = shop.call_any("run", f"pipelines/{name}.yaml")
    (session,) = shop.folder.glob(f"logs/*-{name}-*") or [done.stderr]
    return done.stdout + done.stderr, session


@pytest.mark.parametrize("case", CASES)
def test_a_value_is_told_at_once_and_by_nothing_that_is_written_later(told, case):
    code, _ = CASES[case]
    said, session = told[case]
    assert not code or (code in said and PLAIN in said), said
    files = [path for path in session.rglob("*") if path.suffix == ".html" or "aiop" in path.parts]
    files = [path for path in files if path.is_file()]
    assert {path.suffix for path in files} >= {".html", ".json", ".md"}
    texts = "".join(path.read_text() for path in files)
    assert PLAIN not in texts
    assert (code or "rejected") in texts


def test_people_see_values_again_when_they_ask_for_rows(shop, told):
    session = told["a cast"][1].name
    for words in (["logs", "show", session, "--events"], ["logs", "list", "--json"], ["explain", session]):
        assert PLAIN not in shop(*words).stdout
    assert PLAIN in shop("logs", "show", session, "--rows").stdout


def test_agents_see_columns_and_counts(shop, told):
    @ask(shop.folder, "--allow-run")
    async def answered(agent):
        texts = []
        for _, session in told.values():
            await agent("run_explain", session=session.name)
            texts.append(agent.text)
        plan = await agent("compile", file="pipelines/a-cast.yaml")
        await agent("run", ok=False, fingerprint=plan["data"]["fingerprint"], new_run=True)
        return [*texts, agent.text]

    codes = [code or "rows" for code, _ in CASES.values()]
    assert all(code in text for code, text in zip([*codes, "DAT014"], answered, strict=True))
    assert PLAIN not in "".join(answered)


SECRET = "hunter2-hunter2"


def test_secrets_of_the_project_are_in_no_data_on_a_terminal(shop):
    """A file and a table contain the password of a connection that no step uses."""
    folder = shop.folder
    (folder / ".env").write_text(f"SHOP_PW={SECRET}\n")
    lines = "connections:\n  sqlite: {shop: {path: data/shop.sqlite}}\n"
    lines += '  postgres: {crm: {host: h, database: d, user: u, password: "${SHOP_PW}"}}\n'
    (folder / "osiris_connections.yaml").write_text(lines)
    (folder / "data" / "leak.csv").write_text(f"id,note\n1,{SECRET}\n2,so {SECRET} it is\n")
    with sqlite3.connect(folder / "data" / "shop.sqlite") as connection:
        connection.execute("CREATE TABLE notes (id INTEGER, note TEXT)")
        connection.execute("INSERT INTO notes VALUES (1, ?)", [SECRET])
    read = "{id: leak, component: filesystem.csv_extractor, mode: read, config: {path: data/leak.csv%s}}"
    for name, step in (("leak", read % ""), ("broken", read % ", dtype: {note: int64}")):
        text = f'oml_version: "0.1.0"\nname: {name}\nsteps:\n  - {step}\n  - {WRITE}\n'
        (folder / "pipelines" / f"{name}.yaml").write_text(text)
    for words in (
        ["discover", "data/leak.csv", "--samples", "raw"],
        ["discover", "data/leak.csv", "--profile"],
        ["discover", "@sqlite.shop", "--table", "notes", "--samples", "raw"],
        ["preview", "pipelines/leak.yaml"],
        ["preview", "pipelines/broken.yaml"],
        ["run", "pipelines/broken.yaml"],
    ):
        for form in ([], ["--json"]):
            done = shop.call_any(*words, *form)
            said = done.stdout + done.stderr
            assert SECRET not in said, words
            assert "***" in said or words[-1] == "--profile", words
