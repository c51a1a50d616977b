"""A project whose folders cannot be written: each command ends with a coded error, and none with a traceback."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from tests.conftest import OSIRIS, kept

PIPELINE = """\
oml_version: "0.1.0"
name: orders
steps:
  - {id: rows, component: filesystem.csv_extractor, mode: read, config: {path: data/a.csv}}
  - id: written
    component: filesystem.csv_writer
    mode: write
    inputs: {df: "${rows.df}"}
    config: {path: output/b.csv}
"""
COMMANDS = (("run", "orders.yaml"), ("compile", "orders.yaml"), ("logs", "list"))
MORE = (
    ("validate", "orders.yaml"),
    ("preview", "orders.yaml"),
    ("logs", "html"),
    ("logs", "aiop"),
    ("logs", "gc", "--keep", "1"),
    ("logs", "bundle"),
    ("explain", "last"),
    ("replay", "last"),
    ("discover", "data/a.csv"),
    ("connections", "doctor"),
    ("schema", "--out", "schema.json"),
    ("run", "orders.yaml", "--dry-run"),
)
NOBODY = 65534


@pytest.fixture(scope="module")
def ran(osiris, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ran")
    (folder / "data").mkdir()
    (folder / "osiris.yaml").write_text("{}\n")
    (folder / "data" / "a.csv").write_text("id,name\n1,a\n")
    (folder / "orders.yaml").write_text(PIPELINE)
    assert osiris("run", "orders.yaml", cwd=folder).returncode == 0
    return folder


@pytest.fixture
def folder(ran):
    """A copy that another user can access, unlike the folders of tests."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        yield shutil.copytree(ran, Path(place) / "project")


def in_place_of(folder, name):
    path = folder / name
    shutil.rmtree(path, ignore_errors=True)
    path.write_text("a file\n")


def full(folder):
    """`.osiris` on a full file system."""
    script = 'mount -t tmpfs -o size=16k tmpfs "$0" && { cat /dev/zero >"$0/full" 2>/dev/null; exec "$@"; }'
    return ["unshare", "-m", "sh", "-c", script, str(folder / ".osiris")]


def read_only(folder, name):
    script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && cd "$0" && cd "$OLDPWD" && exec "$@"'
    return ["unshare", "-m", "sh", "-c", script, str(folder / name)]


def another_user(folder):
    folder.chmod(0o755)
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


WAYS = {
    ".osiris is a file": lambda folder: in_place_of(folder, ".osiris"),
    "build is a file": lambda folder: in_place_of(folder, "build"),
    "logs is a file": lambda folder: in_place_of(folder, "logs"),
    ".osiris is full": full,
    ".osiris is read-only": lambda folder: read_only(folder, ".osiris"),
    "the project is read-only": lambda folder: read_only(folder, "."),
    "another user's project": another_user,
}


def tried(folder, way, words):
    before = WAYS[way](folder) or []
    done = subprocess.run(
        [*before, OSIRIS, *words, "--json"],
        cwd=folder,
        env=kept() | {"TMPDIR": "/tmp", "HOME": "/tmp"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    told = done.stdout + done.stderr
    assert "Traceback" not in told, told
    assert "INT000" not in told, told
    answer = json.loads(done.stdout)
    errors = [item for item in answer["diagnostics"] if item["severity"] == "error"]
    assert (done.returncode == 0) == (errors == []), told
    for item in errors:
        assert item["hint"], item
    return done.returncode, errors


@pytest.mark.parametrize("words", [*COMMANDS, *(pytest.param(w, marks=pytest.mark.long) for w in MORE)], ids=" ".join)
@pytest.mark.parametrize("way", WAYS)
def test_what_cannot_be_written_is_told(folder, way, words):
    assert os.geteuid() == 0, "these mounts need root"
    code, errors = tried(folder, way, words)
    if words == ("run", "orders.yaml"):
        assert code != 0
        # The link of a virtual environment to Python may lead where another user has no access.
        expected = {"PRJ006", "DRV003", "DRV004"} | ({"RUN068"} if way == "another user's project" else set())
        assert errors[0]["code"] in expected, errors
