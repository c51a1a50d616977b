"""Completion: in real shells through a pseudo-terminal, and what it suggests, never does, and survives."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pexpect
import pytest
from tests.conftest import OSIRIS
from tests.e2e.sessions import new_project
from tests.patience import SOON
from tests.terminal import read_until_closed

SHELLS = {
    "bash": (["--norc", "--noprofile", "-i"], "source <(osiris completion bash); bind 'set bell-style none'"),
    "zsh": (["-f", "-i"], "autoload -U compinit; compinit -u -D; unsetopt beep; source <(osiris completion zsh)"),
    "fish": (["--no-config", "-i"], "osiris completion fish | source"),
}
SHOW = {"fish": "function show; printf '<%s>\\n' $argv end; end"}
HOSTILE = {
    "a b.csv": "data/a",
    "it's.csv": "data/it",
    'say "hi".csv': "data/sa",
    "$(touch pwned).csv": r"data/\$",
    "`touch pwned`.csv": r"data/\`",
    "back\\slash.csv": "data/ba",
    "colon:x.csv": "data/colon:",
    "semi;amp&.csv": "data/semi",
    "[x]*?.csv": r"data/\[",
    "é€.csv": "data/é",
    "~tilde.csv": "data/~",
    "-rf.csv": "data/-",
}
"""File names, and what is typed of each."""


@pytest.fixture
def shop(tmp_path):
    """A project with files whose names shells would act upon, and an empty home."""
    folder = new_project(tmp_path / "shop") or tmp_path / "shop"
    for name in HOSTILE:
        (folder / "data" / name).write_text("x\n1\n")
    (tmp_path / "home").mkdir()
    return folder


def environment(folder, **more):
    path = f"{Path(OSIRIS).parent}:{os.environ['PATH']}"
    home = str(folder.parent / "home")
    return {"PATH": path, "HOME": home, "TERM": "xterm", "LC_ALL": "C.UTF-8", **more}


class Shell:
    """An interactive shell in a folder."""

    def __init__(self, name, folder):
        program = shutil.which(name)
        if program is None:
            raise RuntimeError(f"'{name}' is not installed: run `sh tools/servers.sh` as root")
        options, setup = SHELLS[name]
        show = SHOW.get(name, "show() { printf '<%s>\\n' \"$@\" end; }")
        self._child = pexpect.spawn(
            program, options, env=environment(folder), cwd=folder, dimensions=(50, 200), encoding="utf-8", timeout=SOON
        )
        self._child.send(f"{setup}; {show}; show up\r")
        self._child.expect_exact("<up>\r\n<end>")

    def completed(self, typed):
        """Return the words of a line that was typed and completed."""
        self._child.send(f"{typed}\t\x01show \r")
        self._child.expect(r"<osiris>\r\n(.*?)<end>\r\n")
        return re.findall(r"<(.*)>\r\n", self._child.match[1])

    def close(self):
        self._child.kill(signal.SIGKILL)
        read_until_closed(self._child)


@pytest.mark.parametrize("name", SHELLS)
def test_a_shell_completes_every_name_as_one_word(name, shop):
    shell = Shell(name, shop)
    try:
        for file, typed in HOSTILE.items():
            assert shell.completed(f"osiris discover {typed}") == ["discover", f"data/{file}"]
        assert shell.completed("osiris discover 'data/say") == ["discover", 'data/say "hi".csv']
        assert shell.completed("osiris discover @fil") == ["discover", "@filesystem.local"]
        assert shell.completed("osiris val") == ["validate"]
        run = ["run", "pipelines/example.yaml"]
        assert shell.completed("osiris run pipelines/ex") == run
        assert shell.completed(f"osiris {' '.join(run)} --select=re") == [*run, "--select=re"]  # report, revenue
        assert shell.completed(f"osiris {' '.join(run)} --select=rep") == [*run, "--select=report"]
        assert shell.completed(f"osiris {' '.join(run)} --param si") == [*run, "--param", "since="]
    finally:
        shell.close()
    assert not (shop / "pwned").exists()


@pytest.fixture
def suggested(shop):
    """A function that returns the whole words that fish would offer for a line, and checks that all is silent."""

    def complete(line, folder=shop, **more):
        settings = environment(shop, _OSIRIS_COMPLETE="fish", COMP_LINE=line, **more)
        done = subprocess.run([OSIRIS], env=settings, cwd=folder, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        return [each.partition("\t")[0] for each in done.stdout.splitlines()]

    complete.shop = shop
    return complete


def test_names_of_a_project(suggested, osiris):
    run = ["run", "pipelines/example.yaml", "--run-id", "night-1"]
    assert osiris(*run, cwd=suggested.shop).returncode == 0
    (session,) = os.listdir(suggested.shop / "logs")
    (plan,) = os.listdir(suggested.shop / "build" / "example")
    assert suggested("osiris logs show ") == ["last", "previous", session, "night-1"]
    assert suggested("osiris run pipelines/example.yaml --run-id ") == ["night-1"]
    assert suggested("osiris preview pipelines/example.yaml r") == ["revenue", "report"]
    assert suggested(f"osiris run {plan} --select orders,+rep") == ["orders,+report"]
    assert suggested(f"osiris run {plan[:4]}") == [plan]
    assert suggested("osiris run x --target ") == ["local", "bwrap", "e2b"]
    assert suggested("osiris compile x --format ") == ["text", "mermaid"]
    assert suggested("osiris copy a b --mode ") == ["append", "replace", "upsert"]
    assert suggested("osiris components show mysql") == ["mysql.extractor", "mysql.writer"]
    assert "run.e2b.cpu" in suggested("osiris config explain run.e2b.")
    assert "CMP001" in suggested("osiris explain CMP0")
    assert "pipelines/" in suggested(f"osiris -C {suggested.shop} run ", folder=Path("/"))


def test_tables_come_from_the_last_discovery(suggested, osiris):
    import sqlite3

    with sqlite3.connect(suggested.shop / "shop.sqlite") as file:
        file.executescript("CREATE TABLE orders (x INTEGER); CREATE TABLE items (x INTEGER)")
    declared = "connections:\n  sqlite:\n    shop: {path: shop.sqlite}\n"
    (suggested.shop / "osiris_connections.yaml").write_text(declared)
    assert suggested("osiris discover @sqlite.shop -t ") == []
    assert osiris("discover", "@sqlite.shop", cwd=suggested.shop).returncode == 0
    assert sorted(suggested("osiris discover @sqlite.shop -t ")) == ["items", "orders"]
    assert suggested("osiris copy @sqlite.shop.o") == ["@sqlite.shop.orders"]


def test_hidden_files_and_links_out_of_the_project_are_not_suggested(suggested, tmp_path):
    data = suggested.shop / "data"
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "keys.csv").write_text("x\n")
    (data / ".hidden.csv").write_text("x\n")
    (data / "leaving").symlink_to(tmp_path / "outside")
    (data / "leaving.csv").symlink_to(tmp_path / "outside" / "keys.csv")
    (data / "secret.csv").symlink_to(suggested.shop / "osiris_connections.yaml")
    (data / "linked.csv").symlink_to("orders.csv")
    (data / "new\nline.csv").write_text("x\n")
    names = suggested("osiris discover data/")
    assert sorted(names) == sorted(["data/orders.csv", "data/linked.csv", *(f"data/{name}" for name in HOSTILE)])
    assert suggested("osiris discover data/leaving/") == []
    assert suggested("osiris discover .") == []
    assert suggested("osiris discover .osiris/") == []
    assert "osiris.yaml" not in suggested("osiris run os")


def test_it_neither_writes_nor_fails_in_a_broken_project(suggested):
    broken = suggested.shop
    (broken / "osiris_connections.yaml").write_text("connections: [}")
    (broken / "pipelines" / "example.yaml").write_text("steps: {")
    (broken / ".osiris" / "cache").mkdir(parents=True, exist_ok=True)
    (broken / ".osiris" / "cache" / "discovery.sqlite").write_bytes(b"no database")
    (broken / "logs" / "x").mkdir(parents=True)
    (broken / "logs" / "x" / "run.json").write_text("[")
    before = {path: path.stat().st_mtime_ns for path in broken.rglob("*")}
    for line in (
        *("osiris discover @", "osiris discover @sqlite.shop -t ", "osiris run pipelines/example.yaml --select "),
        *(
            "osiris run pipelines/example.yaml --param ",
            "osiris nonsense ",
            "osiris run --nonsense x --",
            "osiris '",
            "",
        ),
        *("osiris copy @sqlite.shop.", "osiris -C /nowhere run ", "osiris run $(touch pwned", "osiris x \\", "rm x"),
    ):
        suggested(line)
    assert suggested("osiris logs show ") == ["last", "previous", "x"]
    assert {path: path.stat().st_mtime_ns for path in broken.rglob("*")} == before


def test_it_needs_no_secret_and_no_code_of_a_package(suggested):
    declared = "connections:\n  postgres:\n    wh: {host: '${UNSET}', password: '${ALSO_UNSET}', database: x}\n"
    (suggested.shop / "osiris_connections.yaml").write_text(declared)
    assert suggested("osiris connections doctor ") == ["@postgres.wh"]
    script = (
        "import sys; from osiris.cli.main import main; main(); "
        "print(*(name for name in sys.modules if name.endswith('.driver')), file=sys.stderr)"
    )
    settings = environment(suggested.shop, _OSIRIS_COMPLETE="fish", COMP_LINE="osiris components show my")
    command = [str(Path(OSIRIS).with_name("python")), "-c", script]
    done = subprocess.run(command, env=settings, cwd=suggested.shop, capture_output=True, text=True, check=True)
    assert "mysql.extractor" in done.stdout
    assert done.stderr.strip() == "osiris.driver" or not done.stderr.strip()
