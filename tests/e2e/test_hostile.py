"""Names and values that try to control the terminal, in a real one."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.sessions import new_project

OSIRIS = str(Path(sys.executable).parent / "osiris")
EVIL = "\u202eevil\u200b\x9b31m"
OWN_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
PROGRESS = re.compile(r"\x1b\[(\?25[lh]|[0-9]*[AK]|2K|1A)")


@pytest.fixture
def hostile(osiris, tmp_path):
    """A project with hostile column names and values, and a pipeline that carries and writes them."""
    folder = new_project(tmp_path / "p")
    header = f"id,{EVIL},[link=file:///etc/passwd]x"
    (folder / "data" / "orders.csv").write_text(f"{header}\n1,{EVIL},\x1b]0;owned\x07\n", encoding="utf-8")
    (folder / "pipelines" / "example.yaml").write_text(
        """oml_version: "0.1.0"
name: evil
description: "\\e[2J \\u202e \\u200b \\x9b"
steps:
  - {id: a, component: filesystem.csv_extractor, mode: read, config: {path: data/orders.csv, dtype: {id: int64}}}
  - {id: b, component: filesystem.csv_writer, mode: write, config: {path: output/x.csv}}
"""
    )
    return folder


def in_a_terminal(folder, *arguments):
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [OSIRIS, *arguments], cwd=folder, stdin=follower, stdout=follower, stderr=follower, env={"TERM": "xterm"}
    )
    os.close(follower)
    seen = b""
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:
            break
        if not chunk:
            break
        seen += chunk
    process.wait()
    os.close(leader)
    return process.returncode, seen.decode("utf-8")


COMMANDS = [
    ("validate",),
    ("init", EVIL),
    ("demo", "demo-" + EVIL),
    ("validate", EVIL),
    ("compile", "pipelines/example.yaml"),
    ("compile", f"pipelines/{EVIL}.yaml"),
    ("run", "pipelines/example.yaml"),
    ("run", "--last-compile", "--new-run", "--verbose"),
    ("run", "--last-compile", "--run-id", EVIL),
    ("explain", "last"),
    ("explain", EVIL),
    ("logs", "list"),
    ("logs", "show", "--events", "--metrics"),
    ("logs", "show", EVIL),
    ("diff", EVIL, "last"),
    ("verify", "last", EVIL),
    ("components", "show", EVIL),
    ("components", "new", EVIL),
    ("connections", "list"),
    ("config", "explain", EVIL),
    ("sql", "check", "--dialect", EVIL, "data/orders.csv"),
    (EVIL,),
    ("logs", EVIL),
    ("compile", f"--{EVIL}"),
]


@pytest.mark.long
def test_nothing_hostile_reaches_the_terminal(hostile):
    for arguments in COMMANDS:
        code, seen = in_a_terminal(hostile, *arguments)
        text = PROGRESS.sub("", OWN_COLOURS.sub("", seen)).replace("\r\n", "").replace("\r", "")
        assert text.isprintable(), (arguments, ascii(text))
        assert code in (0, 1, 2), (arguments, ascii(text))


def test_a_bad_cell_is_shown_escaped(hostile):
    osiris = [OSIRIS, "compile", "pipelines/example.yaml", "--json"]
    assert subprocess.run(osiris, cwd=hostile, capture_output=True).returncode == 0
    (hostile / "data" / "orders.csv").write_text(
        f"id,{EVIL},[link=file:///etc/passwd]x\n\x1b[2J,a,b\n", encoding="utf-8"
    )
    code, seen = in_a_terminal(hostile, "run", "--last-compile")
    assert code == 1
    assert "DAT001" in seen
    assert "\x1b[2J" not in seen


def test_json_is_ascii(hostile):
    done = subprocess.run([OSIRIS, "compile", "pipelines/example.yaml", "--json"], cwd=hostile, capture_output=True)
    assert done.stdout.isascii()
    assert done.stdout.count(b"\n") == 1
    assert EVIL in [column["name"] for column in json.loads(done.stdout)["data"]["steps"][0]["schema"]]


def test_progress_moves_on_a_terminal_and_leaves_the_result(hostile):
    code, seen = in_a_terminal(hostile, "run", "pipelines/example.yaml")
    assert code == 0
    assert "\x1b[2K" in seen
    assert re.search(r"^a +complete +1 +1", OWN_COLOURS.sub("", seen), re.MULTILINE)
