"""`osiris connections doctor` with the installed command: real servers, many problems at once, no secret shown."""

import json
import socket
import sqlite3
import subprocess
import sys
import sysconfig
import time

import pytest
from tests.patience import SOON

CONNECTIONS = "osiris_connections.yaml"
NEW_PASSWORD = "new päss 'w@rd' \\ %s"
WRONG = "wr0ng-secret-canary"
PIPELINE = """
oml_version: "0.1.0"
name: {name}
steps:
  - {{id: rows, component: {family}.extractor, mode: read, config: {{connection: "@{family}.reader", table: orders}}}}
  - id: copy
    component: {family}.writer
    mode: write
    config: {{connection: "@{family}.writer", table: copies, write_mode: {mode}, primary_key: [id]}}
"""


@pytest.fixture
def doctor(tmp_path, osiris):
    """`doctor(connections, *names, env=…)` returns the exit code, the report by connection, and the complete output."""
    (tmp_path / "osiris.yaml").write_text("")
    (tmp_path / "pipelines").mkdir()

    def call(connections, *names, env=None):
        (tmp_path / CONNECTIONS).write_text(json.dumps({"connections": connections}))
        done = osiris("connections", "doctor", *names, "--json", cwd=tmp_path, env=env)
        envelope = json.loads(done.stdout)
        said = {each["reference"]: each for each in (envelope["data"] or {"connections": []})["connections"]}
        return done.returncode, said, envelope

    call.root = tmp_path
    return call


def declared(server, database, *, reader, variable):
    """Return the fields of a connection, and its password's variable."""
    fields = server.fields(database, reader=reader)
    return {**fields, "password": f"${{{variable}}}"}, {variable: fields["password"]}


def test_everything_that_can_be_wrong_with_connections(doctor, postgres, mariadb):
    """All are tried at once, each with its limit; every failure has a code, a place and a remedy."""
    asleep = socket.create_server(("127.0.0.1", 0))
    there = {"host": "127.0.0.1", "user": "reader", "database": "osiris", "password": "${WRONG}"}
    (doctor.root / "plain.txt").write_text("no database at all")
    locked = sqlite3.connect(doctor.root / "locked.db", isolation_level=None)
    locked.execute("CREATE TABLE t (a)")
    locked.execute("BEGIN EXCLUSIVE")
    expected = {
        "postgres": {
            "password": ({**there, "port": postgres.port}, "CON012"),
            "refused": ({**there, "port": 1}, "CON011"),
            "nowhere": ({**there, "host": "no-such-host.invalid"}, "CON073"),
            "asleep": ({**there, "port": asleep.getsockname()[1], "connect_timeout": 60}, "CON015"),
            "unset": ({**there, "password": "${NOT_SET}"}, "CON005"),
            "incomplete": ({"host": "127.0.0.1", "user": "reader"}, "CON067"),
            "unknown": ({**there, "hots": "x"}, "CON008"),
            "open": ({**there, "port": postgres.port, "sslmode": "require"}, "CON017"),
            "url": ({"dsn": "${DSN}"}, "CON012"),
        },
        "mysql": {
            "password": ({**there, "port": mariadb.port}, "CON012"),
            "asleep": ({**there, "port": asleep.getsockname()[1]}, "CON015"),
        },
        "sqlite": {
            "gone": ({"path": "gone.db"}, "DRV001"),
            "text": ({"path": "plain.txt"}, "DRV010"),
            "locked": ({"path": "locked.db"}, "DRV011"),
        },
        "duckdb": {"text": ({"path": "plain.txt"}, "DRV010"), "folder": ({"path": "pipelines"}, "DRV005")},
        "filesystem": {"file": ({"base_dir": "plain.txt"}, "DRV005")},
    }
    connections = {family: {a: fields for a, (fields, _) in rows.items()} for family, rows in expected.items()}
    dsn = f"postgresql://reader:{WRONG}@127.0.0.1:{postgres.port}/osiris"
    began = time.monotonic()
    code, said, envelope = doctor(connections, env={"WRONG": WRONG, "DSN": dsn})
    took = time.monotonic() - began
    locked.close()
    asleep.close()
    assert {name: each["codes"] for name, each in said.items()} == {
        f"@{family}.{alias}": [problem] for family, rows in expected.items() for alias, (_, problem) in rows.items()
    }
    assert (code, envelope["ok"]) == (3, False)
    assert not any(each["works"] for each in said.values())
    assert all(item["hint"] and item["file"] == CONNECTIONS and item["line"] for item in envelope["diagnostics"])
    assert 9 < took < SOON
    assert WRONG not in json.dumps(envelope)


def test_what_a_connection_is_used_for_is_weighed(doctor, postgres):
    database = postgres.new_database()
    postgres.run("CREATE TABLE orders (id int)", database=database)
    reader, env = declared(postgres, database, reader=True, variable="READER")
    writer = {**reader, "user": "half", "password": "${HALF}"}
    postgres.run("CREATE ROLE half LOGIN PASSWORD 'half'", "GRANT SELECT, INSERT ON orders TO half", database=database)
    boss, more = declared(postgres, database, reader=False, variable="BOSS")
    (doctor.root / "pipelines" / "broken.yaml").write_text("steps: [")
    steps = [
        ("read", "postgres.extractor", "@postgres.half"),
        ("write", "postgres.writer", "@postgres.reader"),
        ("extract", "postgres.extractor", None),
        ("write", "filesystem.csv_writer", "@filesystem.new"),
        ("read", "filesystem.csv_extractor", None),
    ]
    step = "  - {{id: s{0}, component: {2}, mode: {1}, config: {3}}}"
    configs = [json.dumps({"connection": ref} if ref else {}) for _, _, ref in steps]
    lines = [
        step.format(n, mode, component, config)
        for n, ((mode, component, _), config) in enumerate(zip(steps, configs, strict=True))
    ]
    (doctor.root / "pipelines" / "a.yaml").write_text("steps:\n" + "\n".join(lines) + "\n")
    connections = {
        "postgres": {"reader": reader, "half": writer, "boss": {**boss, "default": True}},
        "filesystem": {"new": {"base_dir": "later"}},
        "graphql": {"shop": {"endpoint": "https://example.invalid"}},
    }
    code, said, envelope = doctor(connections, env={**env, **more, "HALF": "half"})
    postgres.run("DROP OWNED BY half", "DROP ROLE half", database=database)
    assert code == 0, envelope
    assert {name: (each["works"], each["grade"], each["uses"], each["codes"]) for name, each in said.items()} == {
        "@filesystem.new": (True, "writer", ["write"], []),
        "@graphql.shop": (None, None, [], ["CON023"]),
        "@postgres.boss": (True, "too powerful", ["read"], ["CON018"]),
        "@postgres.half": (True, "writer", ["read"], ["CON019"]),
        "@postgres.reader": (True, "reader", ["write"], ["CON020"]),
    }
    printed = json.dumps(envelope, ensure_ascii=False)
    assert not any(json.dumps(value, ensure_ascii=False)[1:-1] in printed for value in (*env.values(), *more.values()))


def test_the_report_for_people(doctor, osiris, postgres):
    """The requested script is printed: the one that is needed, or both."""
    fields, env = declared(postgres, None, reader=False, variable="BOSS")
    doctor({"postgres": {"boss": fields}}, env=env)

    def report(*words):
        return osiris("connections", "doctor", *words, cwd=doctor.root, env=env)

    short, long = report(), report("@postgres", "--grants")
    assert "there is no connection" in report("@postgres.bos").stderr
    assert report("@postgres.bos").returncode == 3
    assert report("postgres.boss").returncode == 2
    assert "no default" in long.stderr
    long = report("@postgres.boss", "--grants")
    assert (short.returncode, long.returncode) == (0, 0)
    first, *lines = short.stdout.splitlines()
    assert first == "@postgres.boss  works, too powerful"
    assert "  encrypted: no" in lines
    assert "  it is a superuser" in lines
    assert "    CREATE ROLE osiris_reader LOGIN;" in lines
    assert "osiris_writer" not in short.stdout
    assert "    CREATE ROLE osiris_writer LOGIN;" in long.stdout.splitlines()
    assert "CON018 'über user' of @postgres.boss has privileges that no step needs: it is a superuser" in short.stderr


def postgres_statements(script, password):
    quoted = password.replace("'", "''")
    for line in script:
        if line.startswith("\\password "):
            yield f"ALTER ROLE {line.split()[1]} PASSWORD '{quoted}'"
        elif not line.startswith("--"):
            yield line


def mysql_statements(script, password):
    quoted = password.replace("\\", "\\\\").replace("'", "\\'")
    return [line.replace("<a new password>", quoted) for line in script if not line.startswith("--")]


FAMILIES = {
    "postgres": (postgres_statements, "DROP OWNED BY {0}", "DROP ROLE {0}"),
    "mysql": (mysql_statements, "DROP USER {0}"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_printed_scripts_make_what_steps_need_and_no_more(doctor, osiris, request, family):
    server = request.getfixturevalue("mariadb" if family == "mysql" else family)
    statements, *removal = FAMILIES[family]
    database = server.new_database()
    server.run("CREATE TABLE orders (id int PRIMARY KEY, note text)", database=database)
    server.run("INSERT INTO orders VALUES (1, 'a'), (2, 'b')", database=database)
    boss, env = declared(server, database, reader=False, variable="BOSS")
    _, said, _ = doctor({family: {"boss": boss}}, env=env)
    connections = {family: {}}
    try:
        for role, script in said[f"@{family}.boss"]["scripts"].items():
            server.run(*statements(script, NEW_PASSWORD), database=database)
            connections[family][role] = {**boss, "user": f"osiris_{role}", "password": "${NEW}"}
        env = {"NEW": NEW_PASSWORD}
        for mode in ("append", "replace", "upsert"):
            path = doctor.root / "pipelines" / f"{mode}.yaml"
            path.write_text(PIPELINE.format(name=mode, mode=mode, family=family))
        code, said, envelope = doctor(connections, env=env)
        assert {name: (each["grade"], each["codes"]) for name, each in said.items()} == {
            f"@{family}.reader": ("reader", []),
            f"@{family}.writer": ("writer", []),
        }, envelope
        assert code == 0
        for mode in ("append", "replace", "upsert"):
            done = osiris("run", f"pipelines/{mode}.yaml", "--json", cwd=doctor.root, env=env)
            assert done.returncode == 0, done.stdout
        with server.connect(database) as client, client.cursor() as cursor:
            cursor.execute("SELECT id, note FROM copies ORDER BY id")
            assert list(cursor.fetchall()) == [(1, "a"), (2, "b")]
            cursor.execute("SELECT count(*) FROM _osiris_ledger")
            assert cursor.fetchall()[0][0] == 3
    finally:
        for user in connections[family]:
            server.run(*(text.format(f"osiris_{user}") for text in removal), database=database)


FAMILY = """
name: {name}
title: A family of somebody else's
fields: {{type: object, additionalProperties: false, properties: {{}}}}
"""
DOCTORS = {
    "sleepy": "import time\ndef examine(ctx, uses, seconds):\n    time.sleep(600)\n",
    "broken": "def examine(ctx, uses, seconds):\n    raise KeyError('oops')\n",
    "deadly": "import os\ndef examine(ctx, uses, seconds):\n    os._exit(9)\n",
    "plain": None,
}
CALL = "import sys; from osiris.cli.main import main; sys.exit(main())"


@pytest.fixture
def strangers(tmp_path):
    """An interpreter that also has other authors' families."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    packages = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    (packages / "all.pth").write_text(f"import site; site.addsitedir({sysconfig.get_paths()['purelib']!r})\n")
    (packages / "strange").mkdir()
    for name, code in DOCTORS.items():
        (packages / "strange" / f"{name}.yaml").write_text(FAMILY.format(name=name))
        if code:
            (packages / "strange" / f"{name}_doctor.py").write_text(code)
    info = packages / "strange-1.0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strange\nVersion: 1.0.0\n")
    families = "".join(f"{name} = strange.{name}\n" for name in DOCTORS)
    (info / "entry_points.txt").write_text(f"[osiris.families]\n{families}")
    return str(tmp_path / "venv" / "bin" / "python")


@pytest.mark.long
def test_doctors_of_strangers_keep_nobody_from_an_answer(doctor, strangers):
    """One that hangs is abandoned, one that fails is reported, and one that ends the worker is reported, too."""

    def said(*families):
        connections = {**{name: {"default": {}} for name in families}, "filesystem": {"here": {}}}
        (doctor.root / CONNECTIONS).write_text(json.dumps({"connections": connections}))
        command = [strangers, "-c", CALL, "connections", "doctor", "--json"]
        done = subprocess.run(command, cwd=doctor.root, capture_output=True, text=True, timeout=60, check=False)
        envelope = json.loads(done.stdout)
        codes = {each["reference"]: each["codes"] for each in envelope["data"]["connections"]}
        return done.returncode, codes, envelope["diagnostics"]

    code, codes, diagnostics = said("sleepy", "broken", "plain")
    assert (code, codes) == (
        3,
        {
            "@broken.default": ["DRV000"],
            "@filesystem.here": [],
            "@plain.default": ["CON023"],
            "@sleepy.default": ["CON015"],
        },
    )
    assert "within 10 s" in next(item["message"] for item in diagnostics if item["code"] == "CON015")
    assert "family" in next(item["hint"] for item in diagnostics if item["code"] == "DRV000")
    code, codes, _ = said("deadly")
    assert (code, codes["@deadly.default"]) == (3, ["RUN001"])
    assert list((doctor.root / ".osiris").rglob("describe-*")) == []


LITERAL = [
    {"postgres": {"a": {"dsn": "postgresql://u:canary-Pass9@h/db"}}},
    {"postgres": {"a": {"url": "${DSN:-postgresql://u:canary-Pass9@h/db}"}}},
    {"graphql": {"a": {"endpoint": "https://u:canary-Pass9@h/db"}}},
    {"graphql": {"a": {"headers": {"Authorization": "Bearer canary-Pass9-0123456789"}}}},
    {"mysql": {"a": {"password": "canary-Pass9"}}},
]


@pytest.mark.parametrize("connections", LITERAL)
@pytest.mark.parametrize("word", ["list", "doctor"])
def test_a_literal_secret_is_refused_and_never_repeated(tmp_path, osiris, connections, word):
    (tmp_path / "osiris.yaml").write_text("")
    (tmp_path / CONNECTIONS).write_text(json.dumps({"connections": connections}))
    for words in ((word,), (word, "--json")):
        done = osiris("connections", *words, cwd=tmp_path)
        assert (done.returncode, "canary" in done.stdout + done.stderr) == (2, False)
        assert "CON007" in done.stdout + done.stderr


def test_the_list_masks_what_is_secret_in_urls_too(tmp_path, osiris):
    """Text around a reference in a secret field reveals too much; elsewhere references are shown as written."""
    shown = {
        "dsn": "${DSN}",
        "password": "${PART}",
        "host": "db.${ZONE:-eu}.example.org",
        "sslmode": "require",
    }
    masked = {"url": "postgresql://canary:${PART}@canary/db"}
    (tmp_path / "osiris.yaml").write_text("")
    connections = {"postgres": {"a": {**shown, **masked}}, "other": {"b": {"endpoint": "https://u:${PART}@h/"}}}
    (tmp_path / CONNECTIONS).write_text(json.dumps({"connections": connections}))
    values = {"DSN": "postgresql://u:canary@h/d", "PART": "canary", "ZONE": "us"}
    done = osiris("connections", "list", "--json", cwd=tmp_path, env=values)
    other, postgres = json.loads(done.stdout)["data"]["connections"]
    assert postgres["fields"] == {**shown, "url": "***"}
    assert other["fields"] == {"endpoint": "https://u:${PART}@h/"}
    assert "canary" not in done.stdout + osiris("connections", "list", cwd=tmp_path, env=values).stdout
