"""One command line, one answer, one exit code."""

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from osiris.cli.main import COMMANDS, _internal, main, root
from osiris.cli.render import Console
from osiris.secret import Scrubber, Secret


def every_command():
    for name in COMMANDS:
        command = root.get_command(click.Context(root), name)
        yield (name,)
        if isinstance(command, click.Group):
            yield from ((name, word) for word in command.commands)


EVERY = list(every_command())


def answer(capsys, *arguments):
    code = main(list(arguments))
    seen = capsys.readouterr()
    return code, json.loads(seen.out), seen.err


@pytest.mark.parametrize("words", EVERY)
def test_help_is_an_answer_of_every_command(words, capsys):
    assert main([*words, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: osiris {' '.join(words)} ")
    code, envelope, _ = answer(capsys, *words, "-h", "--json")
    assert (code, envelope["ok"], envelope["data"]["command"]) == (0, True, f"osiris {' '.join(words)}")
    assert envelope["data"]["description"]
    assert all(option["help"] or not option["names"][0].startswith("-") for option in envelope["data"]["options"])


@pytest.mark.parametrize("words", EVERY)
@pytest.mark.parametrize("place", [0, None])
def test_usage_errors_are_json_before_and_after(words, place, capsys):
    arguments = [*words, "--nonsense"]
    arguments.insert(len(arguments) if place is None else place, "--json")
    code, envelope, _ = answer(capsys, *arguments)
    assert (code, envelope["ok"]) == (2, False)
    assert [d["code"] for d in envelope["diagnostics"]] == ["PRJ008"]
    assert "--nonsense" in envelope["diagnostics"][0]["message"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["rnu"], "did you mean 'run'?"),
        (["logs", "lits"], "did you mean 'list'?"),
        (["state", "rset"], "did you mean 'reset'?"),
        (["state", "set"], "one of: list, show, rewind, reset"),
        (["logs", "get"], "one of: list, show, bundle, gc, html, aiop"),
        (["logs", "gc", "--max-size", "²"], "see 'osiris logs gc --help'"),
        (["logs"], "one of: list, show, bundle, gc, html, aiop"),
        (["compile"], "see 'osiris compile --help'"),
        (["-C", "/nowhere", "logs", "list"], "give the path of a folder"),
        (["compile", "x", "--param", "novalue"], "see 'osiris compile --help'"),
        (["compile", "x", "--detailed-exitcode"], "see 'osiris compile --help'"),
        (["run", "x", "--last-compile"], "see 'osiris run --help'"),
        (["run", "x", "--new-run", "--run-id", "a"], "see 'osiris run --help'"),
        (["run"], "see 'osiris run --help'"),
        (["sql", "check"], "see 'osiris sql check --help'"),
    ],
)
def test_usage_errors_say_what_to_do(arguments, expected, capsys):
    code, envelope, _ = answer(capsys, *arguments, "--json")
    assert code == 2
    assert [(d["code"], d["hint"]) for d in envelope["diagnostics"]] == [("PRJ008", expected)]


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "osiris 0.1.0\n"
    assert answer(capsys, "--json", "--version")[1]["data"] == {"version": "0.1.0"}


def test_bare_command_shows_the_overview(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("words", [(), *EVERY])
def test_help_fits_the_terminal_and_cuts_nothing(words, width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    assert main([*words, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    assert all(not line.endswith((" ...", "-")) for line in lines[1:])
    assert width < 120 or words != ("discover",) or max(map(len, lines)) > 80


@pytest.mark.parametrize("words", [(), *((name,) for name, *more in EVERY if more)])
def test_each_summary_is_one_line_of_80_columns(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    main([*words, "--help"])
    lines = capsys.readouterr().out.splitlines()
    group = root.get_command(click.Context(root), words[0]).commands if words else None
    summaries = {name: c.help.partition("\n")[0] for name, c in group.items()} if group else {}
    summaries |= {} if words else {name: summary for name, (_, summary) in COMMANDS.items()}
    for name, summary in summaries.items():
        (line,) = (line for line in lines if line.split()[:1] == [name])
        assert line.endswith(f"  {summary}")


def test_summaries_of_the_overview_are_those_of_the_commands():
    context = click.Context(root)
    assert {n: root.get_command(context, n).help.partition("\n")[0] for n in COMMANDS} == {
        name: summary for name, (_, summary) in COMMANDS.items()
    }


def test_a_mistake_of_ours_names_a_file_and_shows_no_traceback(capsys, tmp_path, monkeypatch):
    """No argument of a process can hold a NUL, so nothing expects one."""
    monkeypatch.chdir(tmp_path)
    code, envelope, err = answer(capsys, "-C", "a\0b", "logs", "list", "--json")
    assert (code, err) == (70, "")
    (found,) = envelope["diagnostics"]
    assert (found["code"], found["message"]) == ("INT000", "unexpected ValueError: embedded null byte")
    report = Path(found["hint"].rpartition(" ")[2])
    assert "Traceback" in report.read_text(encoding="utf-8")
    report.unlink()


PASSWORD = "-".join(["hunter2"] * 3)


def secrets_of_a_broken_project():
    raise OSError(PASSWORD)


@pytest.mark.parametrize("scrubber", [lambda: Scrubber([Secret(PASSWORD)]), secrets_of_a_broken_project])
def test_the_report_of_a_mistake_of_ours_has_no_secret(scrubber, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=PASSWORD) as caught:
        int(PASSWORD)
    answer = _internal(caught.value, Console(scrubber=scrubber))
    report = Path(answer.diagnostics[0].hint.rpartition(" ")[2])
    text = report.read_text(encoding="utf-8")
    report.unlink()
    assert "test_the_report_of_a_mistake_of_ours_has_no_secret" in text
    assert PASSWORD not in text + answer.diagnostics[0].message


def test_start_up_imports_nothing_heavy():
    heavy = {"pyarrow", "duckdb", "sqlglot", "jsonschema", "yaml", "rich", "osiris.api", "asyncio"}
    script = "import sys; from osiris.cli.main import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path("/"))
    assert not heavy & set(done.stderr.split())


def test_a_run_needs_no_arrow_in_the_host(tmp_path):
    assert main(["init", str(tmp_path / "x")]) == 0
    words = ["-C", str(tmp_path / "x"), "run", "pipelines/example.yaml"]
    script = f"import sys; from osiris.cli.main import main; main({words}); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "complete" in done.stdout
    assert not {"pyarrow", "duckdb", "numpy"} & set(done.stderr.split())


def test_completion_offers_commands_and_options(tmp_path):
    def complete(line):
        environment = {"_OSIRIS_COMPLETE": "fish", "COMP_LINE": line}
        command = [str(Path(sys.executable).parent / "osiris")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
        assert done.stderr == ""
        return {line.partition("\t")[0] for line in done.stdout.splitlines()}

    assert complete("osiris co") == {"compile", "components", "connections", "config", "completion", "copy"}
    assert complete("osiris logs ") == {"aiop", "bundle", "gc", "html", "list", "show"}
    assert complete("osiris compile --s") == {"--strict"}
