"""Whatever characters names have, the exported file starts exactly the command line that was exported.

Each file is read as its scheduler reads it, and what that would start is executed: a program that prints its arguments.
"""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import check_jsonschema
import jsonschema
import kubernetes_validate
import pytest
import ruamel.yaml
import yaml
from jinja2 import Environment
from tests.corpora.hostile_names import FILE_NAMES, NOT_FILE_NAMES, each

from osiris.errors import OsirisError
from osiris.export import FORMATS, written
from osiris.export.crontab import crontab
from osiris.export.exported import Exported
from osiris.oml.schedule import Schedule

VALUES = [one.name for one in NOT_FILE_NAMES if not {"\0", "\ud800"} & {*one.name} and len(one.name) < 100_000]
NAMES = [one.name for one in FILE_NAMES]
PRINTER = '#!/bin/sh\nexec python3 -I -c "import json, sys; print(json.dumps(sys.argv[1:]))" "$@"\n'
BROKEN = ["a: b", "'; touch PWNED; '", "$HOME", "%n", "ends with \\", "{{ 7*7 }}", "${{ secrets.X }}", '"', "příliš"]


@pytest.fixture(scope="module", params=[BROKEN])
def printer(tmp_path_factory, request):
    """A program below folders with hostile names, which prints its arguments as JSON."""
    folder = tmp_path_factory.mktemp("bin").joinpath(*request.param)
    folder.mkdir(parents=True)
    program = folder / "osiris"
    program.write_text(PRINTER)
    program.chmod(0o755)
    return str(program)


def exported(scheduler, printer, *names, folder="/srv/shop"):
    words = tuple(word for number, name in enumerate(names) for word in ("--param", f"p{number}={name}"))
    due = Schedule("0 2 * * *")
    variables = ("SHOP_PASSWORD",)
    return Exported(scheduler, "orders", "pipelines/a.yaml", folder, printer, words, due, variables, "shop:1")


def started(command, cwd, shell=(), **variables):
    """Return the arguments that a command is started with."""
    cwd.mkdir(exist_ok=True)
    environment = {"PATH": os.environ["PATH"], "HOME": "/nowhere", **variables}
    done = subprocess.run([*shell, *command], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not any(cwd.iterdir())
    return json.loads(done.stdout)


def cron_command(line, *, doubled):
    """Return the command of a line as cron passes it to a shell; `doubled`: it takes two backslashes for one."""
    *_, text = line.split(" ", 5)
    command, escaped = "", False
    for character in text:
        if escaped and (character == "%" or (doubled and character == "\\")):
            command = command[:-1] + character
            escaped = False
            continue
        if character == "%" and not escaped:
            break
        escaped = character == "\\" and not escaped
        command += character
    return command


@pytest.mark.parametrize("name", [*each(FILE_NAMES), *(pytest.param(text, id=repr(text[:20])) for text in VALUES)])
def test_a_crontab(name, tmp_path):
    given = exported("cron", "/opt/osiris", name, folder=f"/srv/{name}")
    if "\n" in name:
        with pytest.raises(OsirisError, match="EXP003"):
            crontab(given)
        return
    (text,) = crontab(given).values()
    (line,) = (line for line in text.split("\n") if line and not line.startswith("#"))
    assert line.isprintable() or not name.isprintable()
    for doubled in (False, True):
        command = cron_command(line, doubled=doubled).replace("/opt/osiris", "printf '%s\\0'", 1)
        done = subprocess.run(["sh", "-c", command], capture_output=True, cwd=tmp_path, check=True)
        *arguments, run_id, _ = done.stdout.decode().split("\0")
        assert arguments == given.words[1:]
        assert re.fullmatch(r"orders-\d{8}T\d{4}Z", run_id)
    assert not any(tmp_path.iterdir())


def both(text):
    """Return a YAML file as YAML 1.1 and YAML 1.2 read it."""
    return [yaml.safe_load(text), ruamel.yaml.YAML(typ="safe", pure=True).load(text)]


@pytest.fixture
def hostile(request, printer):
    names = [*NAMES, *VALUES]
    folder = "/srv/" + "/".join(name for name in NAMES if ":" not in name)
    return exported(request.param, printer, *names, folder=folder)


@pytest.mark.parametrize("hostile", ["github"], indirect=True)
def test_a_workflow(hostile, tmp_path):
    (text,) = written(hostile).values()
    assert text.isascii()
    schema = Path(check_jsonschema.__file__).parent / "builtin_schemas/vendor/github-workflows.json"
    for workflow in both(text):
        jsonschema.validate(workflow, json.loads(schema.read_text()))
        (step,) = (step for step in workflow["jobs"]["run"]["steps"] if step.get("env"))
        assert step["env"] == {"SHOP_PASSWORD": "${{ secrets.SHOP_PASSWORD }}"}
        assert "${{" not in step["run"]
        script = tmp_path / "script.sh"
        script.write_text(step["run"])
        arguments = started(["bash", "-e", str(script)], tmp_path / "run", GITHUB_RUN_ID="123")
        assert arguments == [*hostile.words[1:], "github-123"]


@pytest.mark.parametrize("hostile", ["kubernetes"], indirect=True)
def test_a_cron_job(hostile, tmp_path):
    (text,) = written(hostile).values()
    assert text.isascii()
    for job in both(text):
        kubernetes_validate.validate(job, "1.31", strict=True)
        pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert container["volumeMounts"][0]["mountPath"] == hostile.folder
        (variable, secret) = container["env"]
        assert secret["valueFrom"]["secretKeyRef"]["key"] == "SHOP_PASSWORD"
        values = {variable["name"]: "orders-1"}
        command = [expanded(word, values) for word in (*container["command"], *container["args"])]
        assert started(command, tmp_path / "run") == [*hostile.words[1:], "orders-1"]


def expanded(text, values):
    """Return a text as Kubernetes expands it: `$$` is a dollar sign, `$(NAME)` a variable if there is one."""
    return re.sub(r"\$(?:(\$)|\(([^)]*)\))", lambda found: found[1] or values.get(found[2], found[0]), text)


@pytest.mark.parametrize("printer", [[name for name in BROKEN if not set(name) & set("\"'\\")]], indirect=True)
@pytest.mark.parametrize("hostile", ["systemd"], indirect=True)
def test_units(hostile, tmp_path):
    files = written(hostile)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    runtime = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    for scope in ("--user", "--system"):
        checked = subprocess.run(
            ["systemd-analyze", "verify", scope, *files], cwd=tmp_path, env=runtime, capture_output=True, text=True
        )
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    settings = [line.split("=", 1) for line in files["osiris-orders.service"].split("\n") if "=" in line[:10]]
    (line,) = (value for key, value in settings if key == "ExecStart")
    program, *words = [unit_word(word) for word in re.findall(r'"(?:[^"\\]|\\.)*"|\S+', line)]
    words = [re.sub(r"\$\{(\w+)\}|\$(\$)", lambda f: f[2] or {"INVOCATION_ID": "0f"}[f[1]], word) for word in words]
    assert started([program, *words], tmp_path / "run") == [*hostile.words[1:], "orders-0f"]


def unit_word(word):
    """Return a word of a unit as systemd reads it: without quotes, escapes and specifiers."""
    simple = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " "}
    escape = r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(.))"
    inside = word[1:-1] if word.startswith('"') else word
    text = re.sub(
        escape,
        lambda found: simple.get(found[4], found[4]) if found[4] else chr(int(found[1] or found[2] or found[3], 16)),
        inside,
    )
    assert not re.search("(?<!%)(%%)*%(?!%)", text)
    return text.replace("%%", "%")


@pytest.mark.parametrize("hostile", ["airflow"], indirect=True)
def test_a_dag(hostile, tmp_path):
    (text,) = written(hostile).values()
    (operator,) = calls(text, "BashOperator")
    (dag,) = calls(text, "DAG")
    macros = {"command": shlex.join(constant(text, "COMMAND")), "quote": shlex.quote}
    assert ast.unparse(dag["user_defined_macros"]) == "{'command': shlex.join(COMMAND), 'quote': shlex.quote}"
    template = Environment(autoescape=False).from_string(ast.literal_eval(operator["bash_command"]))
    run_id = "scheduled__2026-11-30T00:00:00+00:00"
    arguments = started([template.render(macros, run_id=run_id)], tmp_path / "run", ["bash", "-c"])
    assert arguments == [*hostile.words[1:], run_id]
    assert ast.literal_eval(operator["retries"]) == 0


def calls(text, name):
    """Return the keyword arguments of each call of a function."""
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    return [
        {keyword.arg: keyword.value for keyword in node.keywords}
        for node in nodes
        if ast.unparse(node.func).rpartition(".")[2] == name
    ]


def constant(text, name):
    """Return the value of a constant."""
    values = [
        node.value
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign)
        if ast.unparse(node.targets[0]) == name
    ]
    return ast.literal_eval(values[0])


@pytest.mark.parametrize("hostile", ["dagster", "prefect"], indirect=True)
def test_a_function_that_starts_it(hostile, tmp_path):
    (text,) = written(hostile).values()
    kept = [node for node in ast.parse(text).body if getattr(node, "name", "") == "run_osiris"]
    module = {"subprocess": subprocess, "COMMAND": constant(text, "COMMAND")}
    exec(compile(ast.Module(kept, []), "flow", "exec"), module)
    lines = []
    module["run_osiris"]("a-run", lines.append)
    assert json.loads(lines[0]) == [*hostile.words[1:], "a-run"]


@pytest.mark.parametrize("scheduler", FORMATS)
def test_a_file_name_in_a_comment_stays_there(scheduler):
    for name in NAMES:
        given = replace(exported(scheduler, "/opt/osiris"), file=f"pipelines/{name}.yaml")
        if scheduler == "cron" and "\n" in name:
            continue
        for text in written(given).values():
            heads = [line for line in text.split("\n")[:6] if line.startswith("#")]
            assert json.dumps(f"pipelines/{name}.yaml") in heads[0]
            assert heads[0].isascii()


@pytest.mark.parametrize("scheduler", ["airflow", "dagster", "prefect"])
def test_a_scheduler_that_is_missing_or_of_another_version_is_named(scheduler, tmp_path):
    """As their older versions, an empty package has not the names that the file imports."""
    (text,) = written(exported(scheduler, "/opt/osiris")).values()
    (tmp_path / "exported.py").write_text(text)
    if scheduler != "dagster":
        (tmp_path / f"{scheduler}.py").write_text("")
    done = subprocess.run([sys.executable, "exported.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1].startswith(f"ImportError: this file needs {scheduler.capitalize()} ")


def test_a_command_too_long_for_a_crontab_is_refused():
    with pytest.raises(OsirisError, match=r"EXP003 cron cannot hold .*: a command of a crontab has at most 998 bytes"):
        crontab(exported("cron", "/opt/osiris", "x" * 1000))
