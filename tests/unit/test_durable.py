"""How the host writes files: old or new, private whatever the umask, and each error with its cause and remedy."""

import os
import stat
import subprocess
import sys

import pytest

from osiris.durable import append_line, create_file, lead, make_folder, make_marker, refuse, write_file
from osiris.errors import OsirisError
from osiris.fault import KINDS, arm, fault


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_a_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "x.json"
    write_file(path, b"old", private=True)
    write_file(path, b"new", private=True)
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_what_is_private_is_private(tmp_path, umask):
    make_folder(tmp_path / "a" / "b", private=True)
    write_file(tmp_path / "a" / "file", b"", private=True)
    append_line(tmp_path / "a" / "lines", b"1\n")
    make_marker(tmp_path / "a" / "open" / "marker")
    folders, files = ["a", "a/b", "a/open"], ["a/file", "a/lines", "a/open/marker"]
    assert [mode(tmp_path / name) for name in folders] == [0o700] * 3
    assert [mode(tmp_path / name) for name in files] == [0o600] * 3


def test_what_people_keep_is_as_any_file(tmp_path, umask):
    make_folder(tmp_path / "a", private=False)
    write_file(tmp_path / "a" / "file", b"", private=False)
    create_file(tmp_path / "a" / "new", b"")
    assert mode(tmp_path / "a") == 0o777 & ~umask
    assert mode(tmp_path / "a" / "file") == mode(tmp_path / "a" / "new") == 0o666 & ~umask


@pytest.mark.parametrize(
    "action",
    [
        lambda path: write_file(path / "x", b"1", private=True),
        lambda path: write_file(path / "x", b"1", private=False),
        lambda path: make_folder(path / "x", private=True),
        lambda path: append_line(path / "x", b"1\n"),
        lambda path: make_marker(path / "x"),
        lambda path: create_file(path / "x", b"1"),
    ],
    ids=["write", "write-shared", "folder", "line", "marker", "create"],
)
def test_errors_tell_path_cause_and_remedy(tmp_path, action):
    (tmp_path / "file").write_text("")
    with pytest.raises(OsirisError) as error:
        action(tmp_path / "file")
    (found,) = error.value.diagnostics
    assert found.code == "PRJ006"
    assert str(tmp_path / "file") in found.message
    assert "a directory" in found.message
    assert "move it away" in found.hint


@pytest.mark.parametrize(
    ("number", "remedy"), [(28, "free some space"), (30, "read-only"), (27, "ulimit"), (13, "owns")]
)
def test_each_cause_has_its_remedy(number, remedy):
    with pytest.raises(OsirisError) as error:
        refuse(OSError(number, os.strerror(number)), "x")
    assert os.strerror(number) in str(error.value)
    assert remedy in error.value.diagnostics[0].hint


def test_what_a_killed_process_left_on_its_way_to_a_link_is_swept(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    target = tmp_path / "a.json"
    target.touch()
    for owner in (ended.pid, os.getpid(), os.getppid()):
        (tmp_path / f".newest.{owner}").symlink_to("gone.json")
    (tmp_path / ".newest.json").touch()
    lead(tmp_path / "newest", target)
    assert (tmp_path / "newest").resolve() == target.resolve()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"a.json", "newest", ".newest.json", f".newest.{os.getppid()}"}


ACT = """
import os, sys
from osiris.fault import arm, fault
arm(os.environ, "host")
for _ in range(3):
    try:
        fault("a.b", lambda: print("half", flush=True))
        print("done", flush=True)
    except OSError as error:
        print(error.errno, flush=True)
"""


def act(request, log=None):
    env = {"OSIRIS_FAULT": request, **({"OSIRIS_FAULT_LOG": str(log)} if log else {})}
    done = subprocess.run([sys.executable, "-c", ACT], env=env, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout.split()


@pytest.mark.parametrize(
    ("request_", "code", "told"),
    [
        ("", 0, ["done", "done", "done"]),
        ("other:1:kill", 0, ["done", "done", "done"]),
        ("worker/a.b:1:kill", 0, ["done", "done", "done"]),
        ("a.b:4:kill", 0, ["done", "done", "done"]),
        ("a.b:2:kill", -9, ["done"]),
        ("host/a.b:2:kill", -9, ["done"]),
        ("a.b:2:torn", -9, ["done", "half"]),
        ("a.b:2:raise", 0, ["done", "5", "done"]),
        ("a.b:2:no-space", 0, ["done", "28", "done"]),
    ],
)
def test_a_fault_comes_where_and_when_it_is_requested(tmp_path, request_, code, told):
    log = tmp_path / "log"
    assert act(request_, log) == (code, told)
    name, *kind = ["host/a.b", *request_.split(":")[2:]]
    fired = [line for line in log.read_text().splitlines() if len(line.split()) > 2]
    assert fired == ([f"{name} 2 {kind[0]}"] if len(told) < 3 or "done" not in told[1:2] else [])


def test_a_request_that_is_none_is_refused():
    for text in ("a", "a:b:kill", "a:1:explode"):
        with pytest.raises(ValueError, match=r"\w"):
            arm({"OSIRIS_FAULT": text}, "host")
    arm({}, "host")
    assert fault("a.b") is None
    assert len(KINDS) == 5
