"""Every spelling of the earlier implementation works, or is rejected with the alternative."""

import click
import pytest

from osiris.cli import legacy
from osiris.cli.main import COMMANDS, main, root

ABSENT_ROWS = [(words, row) for words, row in legacy.COMMANDS.items() if row != legacy.KEPT]
OPTION_ROWS = [(command, name, row) for command, rows in legacy.OPTIONS.items() for name, row in rows.items()]


def find(words):
    ctx = click.Context(root, info_name="osiris")
    command = root
    for word in words.split():
        command = command.get_command(ctx, word)
    return command


@pytest.mark.parametrize("words", [words for words, row in legacy.COMMANDS.items() if row == legacy.KEPT])
def test_kept_commands_exist(words):
    assert isinstance(find(words), click.Command)


@pytest.mark.parametrize(("words", "row"), ABSENT_ROWS)
def test_other_commands_are_refused_and_do_not_exist(words, row, capsys):
    assert main(words.split()) == 2
    code = "PRJ007" if row.new else "PRJ010"
    said = capsys.readouterr().err
    assert said.startswith(f"{code} 'osiris {words}'")
    assert (row.new or row.instead) in said


@pytest.mark.parametrize(("command", "option", "row"), OPTION_ROWS)
def test_options_work_or_are_refused(command, option, row, capsys):
    found = find(command)
    own = {name for p in found.get_params(click.Context(found)) for name in (*p.opts, *p.secondary_opts)}
    assert (option in own) == (row == legacy.KEPT)
    if row != legacy.KEPT:
        assert main([*command.split(), option]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"{'PRJ007' if row.new else 'PRJ010'} '{option}'")
        assert (row.new or row.instead) in said


@pytest.mark.parametrize(("pattern", "commands", "row"), [(p, c, r) for p, (c, r) in legacy.ENVIRONMENT.items()])
def test_variables_work_are_refused_or_named(pattern, commands, row):
    name = pattern.replace("*", "X")
    found = [item for command in commands for item in legacy.environment_answers(command, lambda: {name: "1"})]
    expected = "PRJ007" if row.new else "PRJ010" if row.instead else "PRJ003" if row.unused else None
    assert [item.code for item in found] == [expected] * len(commands)
    assert all(name in item.message for item in found)
    assert bool(commands) == (row != legacy.KEPT)


def test_a_refused_variable_stops_the_command_that_read_it(monkeypatch, capsys):
    monkeypatch.setenv("OSIRIS_EXECUTION_TARGET", "e2b")
    assert main(["run", "x.yaml"]) == 2
    assert "OSIRIS_EXECUTION_TARGET" in capsys.readouterr().err


def test_an_empty_variable_is_not_set(monkeypatch):
    assert legacy.environment_answers("run", lambda: {"OSIRIS_EXECUTION_TARGET": ""}) == []


def test_no_command_is_both_offered_and_refused():
    offered = {words for words in legacy.COMMANDS if words in COMMANDS}
    assert all(legacy.COMMANDS[words] == legacy.KEPT for words in offered)
