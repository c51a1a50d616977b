"""From a document to a pipeline: every code with its position, and the meaning of a good file."""

import pytest

from osiris.errors import InvalidInput
from osiris.model import ConnectionRef
from osiris.oml.parse import parse
from osiris.oml.validate import validate
from osiris.registry import load_registry

REGISTRY = load_registry()
HEAD = 'oml_version: "0.1.0"\nname: p\n'
READ = "  component: filesystem.csv_extractor\n  mode: read\n"
WRITE = "  component: filesystem.csv_writer\n  mode: write\n"
SQL = "  component: duckdb.processor\n  mode: transform\n"


def check(text, *, params=None, env=None, profile=None, defaults=None):
    return validate(
        parse(text, "f.yaml"), REGISTRY, params=params or {}, env=env or {}, profile=profile, defaults=defaults or {}
    )


def problems(text, **options):
    with pytest.raises(InvalidInput) as caught:
        check(text, **options)
    return caught.value.diagnostics


def codes(text, **options):
    return [(d.code, d.location.line) for d in problems(text, **options)]


def steps(*texts, head=HEAD):
    return head + "steps:\n" + "".join(texts)


def reader(name="a", config="path: x.csv", more=""):
    return f"- id: {name}\n{READ}  config: {{{config}}}\n{more}"


def writer(name="w", config="path: y.csv", more=""):
    return f"- id: {name}\n{WRITE}  config: {{{config}}}\n{more}"


def query(name="q", sql="SELECT 1 AS a", more=""):
    return f'- id: {name}\n{SQL}  config: {{query: "{sql}"}}\n{more}'


def test_a_good_file():
    text = steps(
        reader(more="  description: reads\n  x-owner: me\n"),
        writer(),
        head=HEAD + "description: d\nmetadata: {intent: i}\nx-team: t\n",
    )
    pipeline, notes = check(text)
    assert {d.code for d in notes} <= {"OML032"}
    assert (pipeline.name, pipeline.oml_version, pipeline.description, pipeline.file) == ("p", "0.1.0", "d", "f.yaml")
    assert (pipeline.metadata, pipeline.extensions) == ({"intent": "i"}, {"x-team": "t"})
    first, second = pipeline.steps
    assert (first.id, first.component, first.mode, first.pointer) == (
        "a",
        "filesystem.csv_extractor",
        "read",
        "/steps/0",
    )
    assert (first.config, first.description, first.extensions) == ({"path": "x.csv"}, "reads", {"x-owner": "me"})
    assert (second.needs, second.inputs) == (("a",), {"a": "a"})
    assert pipeline.where("/steps/1/config/path").line == 16


BAD = {
    "unknown key": (HEAD + "steps: []\nstep: 1\n", [("OML027", 3), ("OML002", 4)]),
    "missing keys": ("x-a: 1\n", [("OML003", 1), ("OML003", 1), ("OML003", 1)]),
    "forbidden": (
        steps(reader()) + "version: 1\ntasks: []\noutputs: []\nconnectors: {}\n",
        [("OML004", 8), ("OML004", 9), ("OML004", 10), ("OML004", 11)],
    ),
    "types": (HEAD.replace("name: p", "name: 5") + "steps: {}\n", [("OML006", 2), ("OML006", 3)]),
    "version": (steps(reader(), head='oml_version: "0.4.0"\nname: p\n'), [("OML012", 1)]),
    "version number": (steps(reader(), head="oml_version: 0.1\nname: p\n"), [("OML012", 1)]),
    "name": (steps(reader(), head='oml_version: "0.1.0"\nname: My Pipe\n'), [("OML014", 2)]),
    "no steps": (HEAD + "steps: []\n", [("OML027", 3)]),
    "step": (HEAD + "steps: [5]\n", [("OML006", 3)]),
    "step keys": (steps(reader(more="  outputs: x\n")), [("OML004", 8)]),
    "step id": (steps(reader(name="a b")), [("OML014", 4)]),
    "component": (steps(reader().replace("filesystem.csv_extractor", "csv")), [("OML014", 5)]),
    "mode": (steps(reader().replace("mode: read", "mode: extract")), [("OML005", 6)]),
    "duplicate": (steps(reader(), reader()), [("OML013", 8)]),
    "unknown need": (steps(reader("abc"), writer(more="  needs: [abd]\n")), [("OML015", 12)]),
    "self": (steps(reader(), writer(more="  needs: [a, w]\n")), [("OML016", 12)]),
    "cycle": (
        steps(query("a", more="  needs: [c]\n"), query("b", more="  needs: [a]\n"), query("c", more="  needs: [b]\n")),
        [("OML017", 8)],
    ),
    "input": (steps(reader(), writer(more="  inputs: {df: a}\n")), [("OML018", 12)]),
    "input output": (steps(reader(), writer(more='  inputs: {df: "${a.rows}"}\n')), [("OML018", 12)]),
    "input type": (steps(reader(), writer(more="  inputs: {df: 5}\n")), [("OML006", 12)]),
    "input name": (steps(reader(), writer(more='  inputs: {"1a": "@a"}\n')), [("OML014", 12)]),
    "input unknown": (steps(reader(), writer(more='  inputs: {df: "@b"}\n')), [("OML015", 12)]),
    "needs type": (steps(reader(more="  needs: a\n")), [("OML006", 8)]),
    "needs twice": (steps(reader(), writer(more="  needs: [a, a]\n")), [("OML038", 12)]),
    "config type": (steps(reader().replace("{path: x.csv}", "[]")), [("OML006", 7)]),
    "undeclared": (steps(reader(config='path: "${params.x}"')), [("OML019", 7)]),
    "undeclared in sql": (steps(query(sql="SELECT ${params.x} AS a")), [("OML019", 7)]),
    "placeholder": (steps(reader(config='path: "${HOME}/x"')), [("OML024", 7)]),
    "placeholder in sql": (steps(query(sql="SELECT ${x} AS a")), [("OML024", 7)]),
    "run value in quotes": (steps(query(sql="SELECT 'a ${run.id}' AS a")), [("OML041", 7)]),
    "list in a text": (steps(reader(config='path: "x${params.l}"'), head=HEAD + "params: {l: [a]}\n"), [("OML042", 8)]),
    "sensitive": (
        steps(reader(config='path: "${params.t}"'), head=HEAD + "params: {t: {sensitive: true}}\n"),
        [("OML025", 8)],
    ),
    "config key": (steps(reader(config="path: x, delimitr: x")), [("OML002", 7)]),
    "config missing": (steps(reader(config="")), [("OML003", 7)]),
    "config enum": (steps(reader(config="path: x, encoding: utf-7")), [("OML005", 7)]),
    "config kind": (steps(reader(config="path: [x], header: maybe")), [("OML006", 7), ("OML006", 7)]),
    "config range": (steps(reader(config="path: x, skip_rows: -1")), [("OML028", 7)]),
    "unsupported": (steps(reader(config="path: x, deterministic: true")), [("PRJ010", 7)]),
    "retry": (
        steps(reader(config="path: x, retry: {max: -1, backoff: soon, at: 3}")),
        [("OML028", 7)] * 2 + [("OML002", 7)],
    ),
    "retry kinds": (steps(reader(config='path: x, retry: {"on": [unavailabel, RUN002, DRV004]}')), [("OML005", 7)] * 2),
    "rejects": (steps(reader(), writer(config="path: x.csv, on_reject: quarantine")), [("CMP018", 11)]),
    "on_reject": (steps(reader(config="path: x, on_reject: ignore")), [("OML005", 7)]),
    "cast": (steps(reader(config="path: x, cast: {a: strng}")), [("DAT012", 7)]),
    "timeout": (steps(reader(config="path: x, timeout: soon")), [("OML028", 7)]),
    "connection": (steps(reader(config="path: x, connection: local")), [("CON006", 7)]),
    "connection type": (steps(reader(config="path: x, connection: 5")), [("OML006", 7)]),
    "legacy keys": (
        steps("- id: a\n  uses: filesystem.csv_extractor\n  mode: read\n  with: {path: x}\n  depends_on: []\n"),
        [("OML029", 5), ("OML029", 7), ("OML029", 8)],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_said_with_its_place(case):
    text, expected = BAD[case]
    assert codes(text) == expected


def test_everything_is_said_at_once():
    text = """\
oml_version: 0.1
name: My Pipeline
version: 3
params: {a: 1, limit: {typ: integer}}
steps:
- id: a
  uses: filesystem.csv_extractor
  mode: extract
  config: {path: 5, delimitr: ';', deterministic: true, file: "${params.nope}"}
- id: a
  component: duckdb.processor
  mode: transform
  needs: [b, a, a1]
  config: {query: "SELECT ${params.x}, ${foo}"}
"""
    assert codes(text, params={"q": "1"}) == [
        ("OML019", None),
        *(("OML012", 1), ("OML014", 2), ("OML004", 3), ("OML020", 4), ("OML020", 4), ("OML029", 7), ("OML005", 8)),
        *(("OML006", 9), ("OML002", 9), ("PRJ010", 9), ("OML002", 9), ("OML019", 9), ("OML013", 10)),
        *(("OML015", 13), ("OML016", 13), ("OML015", 13), ("OML019", 14), ("OML024", 14)),
    ]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (steps(reader(config="path: x, delimitr: x")), "did you mean 'delimiter'?"),
        (steps(reader(config="path: x, sep: x")), "did you mean 'delimiter'?"),
        (steps(reader(), writer(more="  nedes: []\n")), "did you mean 'needs'?"),
        (steps(reader("orders"), writer(more="  needs: [order]\n")), "did you mean 'orders'?"),
        (steps(reader().replace("mode: read", "mode: extract")), "write 'mode: read'"),
        (steps(reader(), head='oml_version: "0.1.0"\nname: My Pipe\n'), "write 'My-Pipe'"),
    ],
)
def test_hints_name_what_was_meant(text, hint):
    assert hint in [d.hint for d in problems(text)]


def test_no_message_shows_what_may_be_a_secret():
    text = steps(
        reader(config="path: x, password: [hunter2], encoding: 'password=hunter2', connection: hunter2hunter2"),
        head=HEAD + "params: {token: {enum: [a]}, pin: {type: integer, default: hunter2}}\n",
    )
    shown = "".join(f"{d} {d.hint}" for d in problems(text, params={"token": "hunter2"}))
    assert shown.count("hunter2") == 3
    assert "must be an integer between -2**53 and 2**53, found 'hunter2'" in shown
    assert "'hunter2hunter2' is not a connection reference" in shown


def test_a_connection_moves_out_of_the_config():
    pipeline, _ = check(steps(reader(config='path: x, connection: "@filesystem.local"')))
    assert pipeline.steps[0].connection == ConnectionRef("filesystem", "local")
    assert pipeline.steps[0].config == {"path": "x"}
    text = steps(
        reader(config='path: x, connection: "@filesystem.${params.where}"'), head=HEAD + "params: {where: a}\n"
    )
    assert check(text)[0].steps[0].connection == ConnectionRef("filesystem", "a")


def test_a_component_that_is_not_installed_is_left_to_the_compiler():
    text = steps(
        "- id: a\n  component: oracle.extractor\n  mode: read\n  config: {anything: 5, connection: '@oracle.x'}\n"
    )
    pipeline, notes = check(text)
    assert {d.code for d in notes} <= {"OML032"}
    assert pipeline.steps[0].config == {"anything": 5}
    assert pipeline.steps[0].connection == ConnectionRef("oracle", "x")


def test_project_defaults_are_put_where_a_step_says_nothing():
    text = steps(reader(), reader("b", "path: x, timeout: 5m", "  needs: []\n"))
    pipeline, _ = check(text, defaults={"timeout": "9m"})
    assert [step.config["timeout"] for step in pipeline.steps] == ["9m", "5m"]


def test_a_schedule_is_noted():
    _, notes = check(steps(reader(config="path: x.csv, na_values: []")) + 'schedule: "0 3 * * *"\n')
    assert [(d.code, d.severity, d.location.line) for d in notes] == [("OML032", "note", 8)]


def test_what_earlier_files_meant_otherwise_is_noted_once():
    _, notes = check(steps(reader("a"), reader("b"), writer("c", more="  needs: [a]\n")))
    assert [(d.message.split()[0], d.location.line) for d in notes if d.code == "OML032"] == [
        ("only", 7),
        ("columns", 15),
    ]


def test_parameters_are_put_in_and_keep_their_type():
    head = HEAD + "params: {n: 5, d: {type: date, default: 2025-01-31}, c: [a, b], s: it's, f: 1.5, t: true}\n"
    config = 'path: "x-${params.s}-${params.n}-${params.t}.csv", skip_rows: "${params.n}", columns: "${params.c}"'
    sql = "SELECT ${params.n}, ${params.d}, '${params.s}', ${params.s}, ${params.f} WHERE a IN ${params.c} /* ${x} */"
    pipeline, _ = check(steps(reader(config=config), query(sql=sql), head=head))
    assert pipeline.steps[0].config == {"path": "x-it's-5-true.csv", "skip_rows": 5, "columns": ["a", "b"]}
    assert (
        pipeline.steps[1].config["query"]
        == "SELECT 5, DATE '2025-01-31', 'it''s', 'it''s', 1.5 WHERE a IN ('a', 'b') /* ${x} */"
    )
    assert pipeline.params == {"n": 5, "d": "2025-01-31", "c": ["a", "b"], "s": "it's", "f": 1.5, "t": True}


def test_what_comes_with_the_run_stays_a_reference():
    head = HEAD + "params: {secret_word: {sensitive: true}}\n"
    sql = "SELECT ${run.id}, ${run.started_at}, ${params.secret_word}"
    text = steps(reader(config='path: "x-${run.id}.csv", encoding: "${run.id}"'), query(sql=sql), head=head)
    pipeline, _ = check(text, env={"OSIRIS_PARAM_SECRET_WORD": "hunter2"})
    assert pipeline.steps[0].config == {"path": "x-${run.id}.csv", "encoding": "${run.id}"}
    assert pipeline.steps[1].config["query"] == "SELECT $run_id, $run_started_at, $param_secret_word"
    assert (pipeline.sensitive, dict(pipeline.params)) == (("secret_word",), {})
    assert "hunter2" not in repr(pipeline)


def test_a_value_never_becomes_syntax():
    text = steps(query(sql="SELECT ${params.a} AS x, '${params.a}' AS z"), head=HEAD + "params: {a: {type: string}}\n")
    pipeline, _ = check(text, params={"a": "'; DROP TABLE t; --"})
    assert pipeline.steps[0].config["query"] == "SELECT '''; DROP TABLE t; --' AS x, '''; DROP TABLE t; --' AS z"
    assert [d.code for d in problems(text, params={"a": "${run.id}"})] == ["OML021"]


def test_prose_takes_parameters_and_is_no_instruction():
    head = (
        HEAD
        + 'description: since ${params.since} as ${HOME}\nmetadata: {intent: ["${params.since}"]}\nparams: {since: 5}\n'
    )
    pipeline, _ = check(steps(reader(more="  description: n ${params.since}\n"), head=head))
    assert pipeline.description == "since 5 as ${HOME}"
    assert pipeline.metadata == {"intent": [5]}
    assert pipeline.steps[0].description == "n 5"


def test_ten_thousand_steps_and_one_thousand_mistakes():
    good = [reader(f"s{i}", f"path: x{i}", "  needs: []\n") for i in range(10_000)]
    pipeline, notes = check(steps(*good))
    assert (len(pipeline.steps), len(notes)) == (10_000, 1)
    bad = [reader(f"s{i}", f"pth: x{i}", f"  needs: [t{i}]\n") for i in range(500)]
    assert len(problems(steps(*bad))) == 1000


@pytest.mark.parametrize(
    ("earlier", "config", "family", "alias"),
    [
        ("s3.csv_writer", "path: out/x.csv", "s3", None),
        ("azure_blob.csv_writer", "path: out/x.csv", "azure", None),
        ("gcs.csv_writer", "path: out/x.csv", "gcs", None),
        ("s3.csv_writer", 'connection: "@s3.lake", path: out/x.csv', "s3", "lake"),
    ],
)
def test_earlier_writers_of_stores_are_those_of_files(earlier, config, family, alias):
    text = steps(reader(), f"- id: b\n  component: {earlier}\n  mode: write\n  config: {{{config}}}\n")
    pipeline, notes = check(text)
    step = pipeline.step("b")
    assert (step.component, step.connection) == ("filesystem.csv_writer", ConnectionRef(family, alias))
    (note,) = [item for item in notes if item.code == "OML031"]
    assert (note.severity, note.location.line) == ("note", 9)
