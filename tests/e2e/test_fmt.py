"""`osiris fmt`, `osiris schema`, and the editor's files of a new project, as users type the commands."""

import json

import pytest
from jsonschema import Draft202012Validator

from osiris.api import wire_editor
from osiris.document import read_document

LOOSE = "name:  loose # here\noml_version: '0.1.0'\nsteps: []\n"
TIDY = 'oml_version: "0.1.0"\nname: loose  # here\nsteps: []\n'


@pytest.fixture
def project(tmp_path):
    (tmp_path / "osiris.yaml").write_text("")
    (tmp_path / "pipelines" / "deeper").mkdir(parents=True)
    (tmp_path / "pipelines" / "tidy.yaml").write_text(TIDY)
    (tmp_path / "pipelines" / "deeper" / "loose.yml").write_text(LOOSE)
    return tmp_path


def codes(done):
    return [(item["code"], item["file"]) for item in json.loads(done.stdout)["diagnostics"]]


def test_check_names_what_is_not_canonical_and_writes_nothing(osiris, project):
    done = osiris("fmt", "--check", "--json", cwd=project)
    assert done.returncode == 1
    assert codes(done) == [("OML033", "pipelines/deeper/loose.yml")]
    assert (project / "pipelines" / "deeper" / "loose.yml").read_text() == LOOSE


def test_files_are_written_once(osiris, project):
    loose, tidy = project / "pipelines" / "deeper" / "loose.yml", project / "pipelines" / "tidy.yaml"
    loose.chmod(0o640)
    before = tidy.stat().st_ino, tidy.stat().st_mtime_ns
    done = osiris("fmt", cwd=project)
    assert done.stdout == "pipelines/deeper/loose.yml: formatted\n1 file in canonical form\n"
    assert loose.read_text() == TIDY
    assert loose.stat().st_mode & 0o777 == 0o640
    assert (tidy.stat().st_ino, tidy.stat().st_mtime_ns) == before
    assert osiris("fmt", "--check", cwd=project).returncode == 0
    assert sorted(path.name for path in loose.parent.iterdir()) == ["loose.yml"]


def test_a_link_stays_a_link(osiris, project):
    (project / "elsewhere.yaml").write_text(LOOSE)
    (project / "pipelines" / "link.yaml").symlink_to(project / "elsewhere.yaml")
    assert osiris("fmt", "pipelines/link.yaml", cwd=project).returncode == 0
    assert (project / "pipelines" / "link.yaml").is_symlink()
    assert (project / "elsewhere.yaml").read_text() == TIDY


def test_what_is_refused_stays_and_the_others_are_written(osiris, project):
    bad = project / "pipelines" / "bad.yaml"
    bad.write_text("name: *x\n")
    done = osiris("fmt", "--json", cwd=project)
    assert done.returncode == 2
    assert codes(done) == [("OML008", "pipelines/bad.yaml")]
    assert bad.read_text() == "name: *x\n"
    assert (project / "pipelines" / "deeper" / "loose.yml").read_text() == TIDY


def test_a_read_only_file_stays(osiris, project):
    loose = project / "pipelines" / "deeper" / "loose.yml"
    loose.chmod(0o444)
    done = osiris("fmt", "--json", cwd=project)
    assert done.returncode == 1
    assert [code for code, _ in codes(done)] == ["DRV003"]
    assert loose.read_text() == LOOSE
    assert [path.name for path in loose.parent.iterdir()] == ["loose.yml"]


@pytest.mark.long
def test_what_would_become_too_large_stays(osiris, project):
    wide = project / "pipelines" / "wide.yaml"
    text = f"x-a: {'[' * 28}{','.join(['1'] * 300_000)}{']' * 28}\n"
    wide.write_text(text)
    done = osiris("fmt", "pipelines/wide.yaml", "--json", cwd=project)
    assert (done.returncode, codes(done)) == (2, [("OML009", "pipelines/wide.yaml")])
    assert wide.read_text() == text


def test_a_diff_is_shown_and_nothing_is_written(osiris, project):
    done = osiris("fmt", "--diff", cwd=project)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "--- pipelines/deeper/loose.yml",
        "+++ pipelines/deeper/loose.yml",
        "@@ -1,3 +1,3 @@",
        "-name:  loose # here",
        "-oml_version: '0.1.0'",
        '+oml_version: "0.1.0"',
        "+name: loose  # here",
        " steps: []",
    ]
    assert (project / "pipelines" / "deeper" / "loose.yml").read_text() == LOOSE


def test_a_diff_shows_no_secret(osiris, project):
    (project / "pipelines" / "secret.yaml").write_text("name:  s\nx-database:  {password:  hunter2c4nary}\n")
    done = osiris("fmt", "--diff", "pipelines/secret.yaml", cwd=project)
    assert done.stdout == "pipelines/secret.yaml contains what looks like a secret and is not shown\n"


def test_stdin_to_stdout_needs_no_project(osiris, tmp_path):
    text = LOOSE + 'metadata:\n  sql: "a\\n\\tb\\u200b"\n'
    done = osiris("fmt", "-", cwd=tmp_path, stdin=text)
    assert done.returncode == 0
    assert "  sql: |-\n    a\n    \tb\u200b\n" in done.stdout
    assert read_document(done.stdout, "f").data == read_document(text, "f").data
    again = osiris("fmt", "--check", "-", cwd=tmp_path, stdin=done.stdout)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert osiris("fmt", "-", "--check", cwd=tmp_path, stdin=text).returncode == 1
    assert osiris("fmt", "-", "--diff", cwd=tmp_path, stdin=TIDY).stdout == ""


def test_stdout_is_utf_8_whatever_the_locale(osiris, tmp_path):
    text = "name: \u017elu\u0165\n"
    env = {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    done = osiris("fmt", "-", cwd=tmp_path, stdin=text, env=env)
    assert (done.returncode, done.stdout) == (0, text)


def test_stdin_that_is_refused(osiris, tmp_path):
    assert codes(osiris("fmt", "-", "--json", cwd=tmp_path, stdin="a: 1\na: 2\n")) == [("OML007", "standard input")]
    assert codes(osiris("fmt", "-", "x.yaml", "--json", cwd=tmp_path, stdin="")) == [("PRJ008", None)]


def test_a_new_project_helps_editors(osiris, tmp_path):
    done = osiris("init", "--json", cwd=tmp_path)
    answer = json.loads(done.stdout)
    assert answer["diagnostics"] == []
    assert {file for file in answer["data"]["files"] if ".vscode" in file} == {
        ".vscode/osiris.schema.json",
        ".vscode/settings.json",
        ".vscode/extensions.json",
    }
    settings = json.loads((tmp_path / ".vscode" / "settings.json").read_text())
    ((name, patterns),) = settings["yaml.schemas"].items()
    assert "pipelines/**/*.yaml" in patterns
    schema = json.loads((tmp_path / name).read_text())
    example = read_document((tmp_path / "pipelines" / "example.yaml").read_text(), "f").data
    assert list(Draft202012Validator(schema).iter_errors(example)) == []
    printed = osiris("schema", cwd=tmp_path)
    assert printed.stdout == (tmp_path / name).read_text()
    (tmp_path / name).unlink()
    assert osiris("schema", "--out", name, cwd=tmp_path).returncode == 0
    assert printed.stdout == (tmp_path / name).read_text()


def test_settings_that_are_there_stay_and_it_is_said_what_to_add(tmp_path):
    (tmp_path / ".vscode").mkdir()
    (tmp_path / ".vscode" / "settings.json").write_text('{"editor.rulers": [100]}')
    files, notes = wire_editor(tmp_path)
    assert files == [".vscode/osiris.schema.json", ".vscode/extensions.json"]
    assert [(note.code, note.severity) for note in notes] == [("PRJ015", "note")]
    assert '"yaml.schemas": {"./.vscode/osiris.schema.json"' in notes[0].message
    assert (tmp_path / ".vscode" / "settings.json").read_text() == '{"editor.rulers": [100]}'


def test_a_schema_that_cannot_be_written(osiris, tmp_path):
    done = osiris("schema", "--out", "no/such/x.json", "--json", cwd=tmp_path)
    assert done.returncode != 0
    assert len(codes(done)) == 1
