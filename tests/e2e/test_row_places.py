"""A rejected row is located by the line of the file on which it begins, whatever precedes it."""

import csv
import json

import pytest

CSV = {
    "header": ("n,t\n1,a\nBAD,b\n", {}),
    "no header": ("1,a\nBAD,b\n", {"header": False}),
    "lines before the header": ("junk\n\nn,t\n1,a\nBAD,b\n", {"skip_rows": 2}),
    "header further down": ("x,y\nn,t\n1,a\nBAD,b\n", {"header": 1}),
    "comments": ("# c\nn,t\n# c\n1,a\n# c\nBAD,b\n", {"comment": "#"}),
    "line breaks in quotes": ('n,t\n1,"a\nb\r\nc"\nBAD,"d\ne"\n', {}),
    "quoted line breaks, comments": ('n,t\n# c\n1,"a\n# b\nc"\nBAD,b\n', {"comment": "#"}),
    "empty lines": ("n,t\n\n1,a\n\n\nBAD,b\n", {}),
    "carriage returns": ("n,t\r\n1,a\r\nBAD,b\r\n", {}),
    "another file before it": ("n,t\n1,a\nBAD,b\n", {"path": "data/*.csv"}),
}
JSON = {
    "lines": ('{"n": 1}\n{"n": "BAD"}\n', {}),
    "empty lines": ('{"n": 1}\n\n\n{"n": "BAD"}\n', {}),
    "array": ('[\n{"n":\n 1},\n\n{"n": "BAD"}]\n', {}),
}
MIXED = {name: CSV[name] for name in ("quoted line breaks, comments", "empty lines")}
KINDS = [
    *(pytest.param("csv", *case, "x", id=f"csv, {name}") for name, case in CSV.items()),
    *(pytest.param("csv", *case, "2,z,3,4", id=f"csv with more fields, {name}") for name, case in MIXED.items()),
    *(pytest.param("json", *case, "x", id=f"json, {name}") for name, case in JSON.items()),
]


@pytest.fixture
def run(osiris, tmp_path):
    """Run a pipeline that copies the file; returns the answer, and the rejected rows."""
    (tmp_path / "osiris.yaml").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("n,t\n1,a\n1,a\n1,a\n1,a\n")

    def call(kind, text, config, on_reject):
        path = tmp_path / "data" / f"in.{'csv' if kind == 'csv' else 'json'}"
        path.write_bytes(text.encode())
        number = "0" if config.get("header") is False else "n"
        read = {"path": f"data/{path.name}", "dtype": {number: "int64"}, "on_reject": on_reject, **config}
        steps = [
            {"id": "read", "component": f"filesystem.{kind}_extractor", "mode": "read", "config": read},
            {"id": "out", "component": "filesystem.csv_writer", "mode": "write", "config": {"path": "output/out.csv"}},
        ]
        file = tmp_path / "copy.yaml"
        file.write_text(json.dumps({"oml_version": "0.2.0", "name": "copy", "steps": steps}))
        done = osiris("run", "copy.yaml", "--new-run", "--json", cwd=tmp_path)
        answer = json.loads(done.stdout)
        aside = sorted(tmp_path.glob("logs/*/artifacts/read/rejected.csv"))
        return answer, [list(csv.DictReader(each.read_text().splitlines())) for each in aside]

    return call


@pytest.mark.parametrize(("kind", "text", "config", "bad"), KINDS)
def test_the_line_is_that_of_the_file(run, kind, text, config, bad):
    line = text[: text.index("BAD")].count("\n") + 1
    text = text.replace("BAD", bad)
    failed, _ = run(kind, text, config, "fail")
    (error,) = [each for each in failed["diagnostics"] if each["severity"] == "error"]
    name = "data/in.csv" if kind == "csv" else "data/in.json"
    assert (error["file"], error["line"]) == (name, line), error
    done, aside = run(kind, text, config, "quarantine")
    assert done["ok"], done
    ((row,),) = aside
    assert (row["file"], row["line"]) == (name, str(line))
