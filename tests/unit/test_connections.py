import pytest

from osiris.connections import (
    Connections,
    as_written,
    environment_names,
    load_connections,
    load_env,
    parse_ref,
    resolve,
    resolve_ref,
)
from osiris.errors import InvalidInput, OsirisError
from osiris.family_spec import FamilySpec
from osiris.model import ConnectionRef
from osiris.secret import Secret
from osiris.secret.references import StoreError, without_value

FILE = """\
version: 1
connections:
  mysql:
    main: {host: db, port: 3306, user: app, password: "${MYSQL_PASSWORD}", default: true}
    copy: {host: "${HOST:-localhost}", port: "${PORT}", password: "${MYSQL_PASSWORD}"}
  supabase:
    default: {url: "https://x.supabase.co", key: "${SUPABASE_KEY}"}
    other: {url: "https://y.supabase.co"}
  s3:
    a: {bucket: x}
    b: {bucket: z}
  empty:
"""
MYSQL = FamilySpec(
    "mysql",
    "MySQL",
    {
        "type": "object",
        "required": ["host"],
        "additionalProperties": False,
        "properties": {
            "host": {"type": "string"},
            "port": {"type": "integer"},
            "user": {"type": "string"},
            "password": {"type": "string", "x-secret": True},
            "ssl": {"type": "boolean"},
            "wait": {"type": "number"},
            "mode": {"type": "string", "enum": ["a", "b"]},
            "dsn": {"type": "string", "x-secret": True},
            "options": {"type": "object"},
        },
    },
)


@pytest.fixture
def connections(tmp_path):
    return load(tmp_path, FILE)


def load(folder, text):
    path = folder / "osiris_connections.yaml"
    path.write_text(text)
    return load_connections(path)


def problems(call, *args):
    with pytest.raises(OsirisError) as caught:
        call(*args)
    return caught.value.diagnostics


def made(fields):
    return Connections({"mysql": {"main": fields}})


def test_what_is_declared_is_as_written(connections):
    assert connections.declared["mysql"]["main"]["password"] == "${MYSQL_PASSWORD}"
    assert as_written(connections, ConnectionRef("mysql")) == {
        "host": "db",
        "port": 3306,
        "user": "app",
        "password": "${MYSQL_PASSWORD}",
    }
    assert connections.positions["/connections/mysql/main/port"].line == 4


def test_no_file_declares_nothing(tmp_path):
    assert load_connections(tmp_path / "osiris_connections.yaml").declared == {}
    assert load(tmp_path, "").declared == {}
    assert load(tmp_path, "connections:\n").declared == {}


def test_references():
    assert parse_ref("@mysql.main") == ConnectionRef("mysql", "main")
    assert parse_ref("@mysql") == ConnectionRef("mysql")
    for text in ("mysql.main", "@", "@mysql.", "@.main", "@a.b.c", "@a b.c", "", "@mysql.main\n"):
        assert [d.code for d in problems(parse_ref, text)] == ["CON006"]


def test_a_reference_finds_its_alias(connections):
    assert resolve_ref(connections, ConnectionRef("mysql", "copy")).alias == "copy"
    assert resolve_ref(connections, ConnectionRef("mysql")).alias == "main"
    assert resolve_ref(connections, ConnectionRef("supabase")).alias == "default"


@pytest.mark.parametrize(
    ("ref", "code", "hint"),
    [
        (ConnectionRef("mysq"), "CON002", "did you mean '@mysql'?"),
        (ConnectionRef("mysq", "copy"), "CON002", "did you mean '@mysql.copy'?"),
        (ConnectionRef("mysq", "mian"), "CON002", "did you mean '@mysql.main'?"),
        (ConnectionRef("empty"), "CON002", None),
        (ConnectionRef("mysql", "mian"), "CON003", "did you mean '@mysql.main'?"),
        (ConnectionRef("s3", "x"), "CON003", "declare it in osiris_connections.yaml; declared: @s3.a, @s3.b"),
        (ConnectionRef("s3"), "CON004", "name one of: @s3.a, @s3.b"),
    ],
)
def test_a_reference_that_finds_nothing(connections, ref, code, hint):
    (found,) = problems(resolve_ref, connections, ref)
    assert (found.code, found.exit_code) == (code, 3)
    assert hint is None or found.hint == hint


def test_resolving_takes_values_from_the_environment(connections):
    env = {"MYSQL_PASSWORD": "hunter2", "PORT": "3307"}
    fields = resolve(connections, ConnectionRef("mysql", "copy"), env, MYSQL, without_value)
    assert (fields["host"], fields["port"]) == ("localhost", 3307)
    assert isinstance(fields["password"], Secret)
    assert fields["password"].reveal() == "hunter2"
    assert (
        resolve(connections, ConnectionRef("mysql", "copy"), env | {"HOST": "h"}, MYSQL, without_value)["host"] == "h"
    )
    assert "default" not in resolve(connections, ConnectionRef("mysql"), env, MYSQL, without_value)


def test_without_a_family_the_name_of_a_field_tells_a_secret(connections):
    fields = resolve(
        connections, ConnectionRef("mysql", "copy"), {"MYSQL_PASSWORD": "x", "PORT": "1"}, None, without_value
    )
    assert fields["port"] == "1"
    assert isinstance(fields["password"], Secret)


def test_everything_that_is_missing_is_said_at_once_and_no_value_is_shown():
    fields = {
        "port": "${PORT}",
        "user": "${USER_NAME}-${EMPTY}",
        "hots": "x",
        "ssl": "${SSL}",
        "wait": "${WAIT}",
        "mode": "${SSL}",
        "dsn": 5,
    }
    env = {"PORT": "s3cret", "EMPTY": "", "SSL": "s3cret", "WAIT": "s3cret"}
    found = problems(resolve, made(fields), ConnectionRef("mysql", "main"), env, MYSQL, without_value)
    assert sorted((d.code, d.message.split("'")[1]) for d in found if d.code != "CON005") == [
        ("CON008", "hots"),
        ("CON009", "dsn"),
        ("CON009", "host"),
        ("CON009", "mode"),
        ("CON009", "port"),
        ("CON009", "ssl"),
        ("CON009", "wait"),
    ]
    assert [d.message.partition(" (")[0] for d in found if d.code == "CON005"] == [
        "environment variable EMPTY is empty",
        "environment variable USER_NAME is not set",
    ]
    assert not any("s3cret" in f"{d} {d.hint}" for d in found)


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [("port", "3306", 3306), ("ssl", "true", True), ("ssl", "false", False), ("wait", "1.5", 1.5), ("mode", "a", "a")],
)
def test_text_of_the_environment_takes_the_type_of_its_field(field, text, value):
    fields = resolve(
        made({"host": "h", field: "${X}"}), ConnectionRef("mysql", "main"), {"X": text}, MYSQL, without_value
    )
    assert fields[field] == value


def test_variables_at_any_depth():
    fields = {"a": "${A}/${B:-no}", "b": ["${C}", {"d": "${D:-x}"}], "e": 5, "f": "$E and ${F"}
    assert environment_names(fields) == ["A", "B", "C", "D"]
    found = resolve(
        made({"host": "h", "options": {"x": ["${C}"]}}),
        ConnectionRef("mysql", "main"),
        {"C": "1"},
        MYSQL,
        without_value,
    )
    assert found["options"] == {"x": ["1"]}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("- a", 1, "must be a mapping"),
        ("conections: {}", 1, "unknown key 'conections'"),
        ("connections: 5", 1, "must be a mapping of families"),
        ("connections:\n  mysql: 5", 2, "must be a mapping of aliases"),
        ("connections:\n  mysql:\n    main: 5", 3, "must be a mapping of fields"),
        ("connections:\n  my.sql: {}", 2, "made of letters"),
        ("connections:\n  mysql:\n    a b: {}", 3, "made of letters"),
        ('connections:\n  mysql:\n    a: {default: "true"}', 3, "must be true or false"),
        ("connections:\n  m:\n    a: {default: true}\n    b: {default: true}", 4, "two default"),
        ("connections:\n  m:\n    a: {host: '${params.x}'}", 3, "no environment variable"),
        ("connections:\n  m:\n    a: {host: x, host: z}", 3, "appears twice"),
        ("connections: &a {}", 1, "an anchor"),
        ("connections: [", 1, "not YAML"),
    ],
)
def test_a_bad_file_is_refused_with_the_place(tmp_path, text, line, words):
    found = problems(load, tmp_path, text)
    assert [(d.code, d.location.line) for d in found] == [("CON001", line)]
    assert words in found[0].message


def test_literal_secrets_are_refused_with_their_place_and_without_their_value(tmp_path):
    text = """\
connections:
  mysql:
    main:
      host: db
      password: hunter2
      url: mysql://app:hunter2@db/x
    other-one: {password: "${PW:-hunter2}", headers: {Authorization: Bearer hunter2hunter2}}
"""
    found = problems(load, tmp_path, text)
    assert [(d.code, d.location.line) for d in found] == [("CON007", 5), ("CON007", 6), ("CON007", 7), ("CON007", 7)]
    assert not any("hunter2" in f"{d} {d.hint}" for d in found)
    assert found[0].hint == "write ${MYSQL_MAIN_PASSWORD} and set that variable"
    assert found[2].hint == "write ${MYSQL_OTHER_ONE_PASSWORD} and set that variable"


def test_a_value_that_is_read_two_ways_is_not_shown_where_it_may_be_a_secret(tmp_path):
    (found,) = problems(load, tmp_path, "connections: {mysql: {main: {password: 0123456}}}")
    assert "0123456" not in f"{found} {found.hint}"


def test_the_file_env_adds_and_never_replaces(tmp_path):
    path = tmp_path / ".env"
    path.write_text(
        "\ufeff# comment\n\n"
        'A=1\nexport B = two words # not this\nC=\'single # quoted ${A}\'\nD="a\\nb \\"c\\" \\x" # x\n'
        "E=\nF=x#y\r\nTAKEN=file\n"
    )
    assert load_env(path, {"TAKEN": "shell"}) == {
        "A": "1",
        "B": "two words",
        "C": "single # quoted ${A}",
        "D": 'a\nb "c" \\x',
        "E": "",
        "F": "x#y",
        "TAKEN": "shell",
    }
    assert load_env(tmp_path / "nothing", {"A": "1"}) == {"A": "1"}


def test_a_bad_line_in_env_is_named_and_not_shown(tmp_path):
    path = tmp_path / ".env"
    path.write_text("A=1\nhunter2\nB='hunter2\n")
    found = problems(load_env, path, {})
    assert [(d.code, d.location.line) for d in found] == [("CON010", 2), ("CON010", 3)]
    assert not any("hunter2" in f"{d} {d.hint}" for d in found)
    path.write_bytes(b"A=\xff\n")
    with pytest.raises(InvalidInput, match="UTF-8"):
        load_env(path, {})


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("missing", "CON074"),
        ("denied", "CON075"),
        ("unreachable", "CON076"),
        ("unusable", "CON077"),
        ("absent", "CON078"),
    ],
)
def test_a_secret_that_its_store_does_not_give(kind, code):
    def fetch(reference, _environ):
        assert (reference.scheme, reference.path, reference.field) == ("vault", "a/b", "c")
        raise StoreError(kind, "it is so", "do that")

    fields = {"host": "h", "password": "${vault:a/b#c}"}
    (found,) = problems(resolve, made(fields), ConnectionRef("mysql", "main"), {}, MYSQL, fetch)
    assert (found.code, found.location.pointer) == (code, "/connections/mysql/main/password")
    assert "it is so" in found.message
    assert found.hint == "do that"
