"""Forbidden and allowed ways for a pipeline to read and write, each tried with the installed command.

The cases were written from the rules, by somebody who had not seen their implementation.
"""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.chance import say_tried

CASES = [json.loads(line) for line in (Path(__file__).parent / "forbidden_paths.jsonl").read_text().splitlines()]
OWN = ("logs", "build", ".osiris", "osiris.lock")
"""What a run itself may make in a project."""

SWAPPING = """
import os, sys
path, link = sys.argv[1:]
os.symlink(link, path + ".link")
print(flush=True)
while True:
    os.rename(path, path + ".kept"); os.rename(path + ".link", path)
    os.rename(path, path + ".link"); os.rename(path + ".kept", path)
"""


def of_kind(*kinds):
    found = [case for case in CASES if ("swap" if "swap" in case else case["expect"]) in kinds]
    return pytest.mark.parametrize("case", found, ids=[case["id"] for case in found])


class Layout:
    """The project of one case, with a neighbouring folder."""

    def __init__(self, folder, case):
        self.root, self.outside = folder / "project", folder / "outside"
        self.case = json.loads(
            json.dumps(case).replace("$PROJECT", str(self.root)).replace("$OUTSIDE", str(self.outside))
        )
        for each in (self.root / "pipelines", self.outside):
            each.mkdir(parents=True)
        (self.root / "osiris.yaml").write_text(yaml.safe_dump(self.case["osiris_yaml"]))
        told = {"connections": self.case["connections"]}
        (self.root / "osiris_connections.yaml").write_text(yaml.safe_dump(told))
        (self.root / "pipelines" / "probe.yaml").write_text(yaml.safe_dump(self.case["pipeline"], sort_keys=False))
        for what in self.case["setup"]:
            self.make(what)

    def make(self, what):
        ((kind, name), *_) = what.items()
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "dir":
            path.mkdir(exist_ok=True)
        elif kind == "file":
            path.write_text(what["text"])
        elif kind == "link":
            path.symlink_to(what["to"])
        elif kind == "hardlink":
            path.hardlink_to(self.root / what["to"])
        else:
            with sqlite3.connect(path) as database:
                database.executescript(what["sql"])

    def seen(self, name):
        """Return what is at a path: the target of a link, the file's inode and bytes, or that nothing exists."""
        path = self.root / name
        if path.is_symlink():
            return os.readlink(path)
        return (path.stat().st_ino, path.read_bytes()) if path.is_file() else path.exists()

    def files(self):
        """Return all names except those of the files that a run writes for itself."""
        found = (Path(top, name) for top, _, names in os.walk(self.root.parent) for name in names)
        own = [self.root / name for name in OWN]
        return {path for path in found if not any(path.is_relative_to(each) for each in own)}


@of_kind("refused")
def test_what_is_forbidden_is_refused_and_changes_nothing(osiris, tmp_path, case):
    say_tried("forbidden ways to write and read files", 1)
    layout = Layout(tmp_path, case)
    before = {name: layout.seen(name) for name in layout.case["unchanged"] if "\0" not in name}
    there = layout.files()
    done = osiris("run", "pipelines/probe.yaml", *layout.case["run"], "--json", cwd=layout.root)
    answer = json.loads(done.stdout)
    errors = [item for item in answer["diagnostics"] if item["severity"] == "error"]
    assert done.returncode != 0
    assert errors
    assert all(item["code"] != "INT000" for item in errors)
    assert {name: layout.seen(name) for name in before} == before
    assert layout.files() == there
    if any(item["code"] == "DRV059" for item in errors):
        assert "paths: {" in done.stdout


@of_kind("allowed")
def test_what_is_not_forbidden_is_done(osiris, tmp_path, case):
    say_tried("allowed ways to write and read files", 1)
    layout = Layout(tmp_path, case)
    done = osiris("run", "pipelines/probe.yaml", *layout.case["run"], cwd=layout.root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all((layout.root / name.removeprefix("file://")).exists() for name in layout.case["appears"])


@pytest.mark.long
@of_kind("swap")
def test_who_changes_a_path_meanwhile_wins_nothing(osiris, tmp_path, case):
    layout = Layout(tmp_path, case)
    swap = layout.case["swap"]
    path = layout.root / swap["path"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("1\n") if path.suffix else path.mkdir(parents=True)
    words = [sys.executable, "-c", SWAPPING, str(path), swap["link_to"]]
    swapping = subprocess.Popen(words, stdout=subprocess.PIPE)
    try:
        swapping.stdout.readline()
        for _ in range(50):
            osiris("run", "pipelines/probe.yaml", "--new-run", cwd=layout.root)
            assert not any((layout.root / name).exists() for name in layout.case["unchanged"])
            for written in (layout.root / "output").glob("*") if "never_contains" in case else ():
                assert case["never_contains"].encode() not in written.read_bytes()
    finally:
        swapping.kill()
        swapping.communicate()
