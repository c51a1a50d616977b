"""Which path a text means, and that a file appears completely or not at all."""

import ctypes
import errno
import glob
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from osiris import files
from osiris.errors import OsirisError


def code_of(call, *args, **named):
    with pytest.raises(OsirisError) as caught:
        call(*args, **named)
    (found,) = caught.value.diagnostics
    return found.code


@pytest.mark.parametrize(
    ("text", "base", "expected"),
    [
        ("a.csv", None, "/root/a.csv"),
        ("./data//a.csv", None, "/root/data/a.csv"),
        ("a.csv", "in", "/root/in/a.csv"),
        ("a.csv", "/elsewhere", "/elsewhere/a.csv"),
        ("../a.csv", None, "/a.csv"),
        ("/abs/a.csv", "in", "/abs/a.csv"),
        ("data.v1/a b.csv", None, "/root/data.v1/a b.csv"),
        ("žluťoučký.csv", None, "/root/žluťoučký.csv"),
        ("x" * 200, None, "/root/" + "x" * 200),
    ],
)
def test_a_text_means_a_path(text, base, expected):
    assert files.resolve_path(Path("/root"), text, base=base, writing=True) == Path(expected)


BAD = [
    "",
    "a\x00b",
    "a\nb",
    "\x1b]0;title\x07.csv",
    "a\x7f",
    "a\x9b2J",
    "invoice\u202efdp.csv",
    "a.csv ",
    "a.csv.",
    "dir./a.csv",
    "dir /a.csv",
    "...",
    "x" * 201,
    "ž" * 101,
    "s3://bucket/a.csv",
    "file:///etc/passwd",
    "\ud800.csv",
]


@pytest.mark.parametrize("text", BAD, ids=ascii)
@pytest.mark.parametrize("writing", [True, False])
def test_paths_that_mean_different_things_are_refused(text, writing):
    assert code_of(files.resolve_path, Path("/root"), text, writing=writing) == "DRV007"


def test_a_refused_path_is_shown_without_its_control_characters():
    with pytest.raises(OsirisError) as caught:
        files.resolve_path(Path("/root"), "\x1b[2J\u202e.csv")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["out/", "CON", "nul.csv", "sub/com1.txt", "AUX/a.csv"])
def test_names_that_cannot_be_files_everywhere_are_not_written(text):
    assert code_of(files.resolve_path, Path("/root"), text, writing=True) == "DRV007"
    assert files.resolve_path(Path("/root"), text) == Path("/root", text)


def test_a_bad_base_is_refused_too():
    assert code_of(files.resolve_path, Path("/root"), "a.csv", base="bad\n") == "DRV007"


def test_outside_follows_links(tmp_path):
    root, other = tmp_path / "root", tmp_path / "other"
    root.mkdir()
    other.mkdir()
    (root / "link").symlink_to(other)
    assert files.is_outside(root, root / "link" / "a.csv")
    assert files.is_outside(root, root / ".." / "a.csv")
    assert not files.is_outside(root, root / "sub" / "a.csv")
    assert files.relative(root, root / "sub" / "a.csv") == "sub/a.csv"
    assert files.relative(root, other / "a.csv") == f"{other}/a.csv"


def test_a_pattern_names_files_in_order(tmp_path):
    tmp_path = tmp_path / "[root]*"
    tmp_path.mkdir()
    for name in ("b.csv", "a.csv", "A.csv", ".hidden.csv", "c.txt", "sub/d.csv", "z[1].csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.csv").mkdir()

    def names(pattern):
        return [path.relative_to(tmp_path).as_posix() for path in files.expand(tmp_path, pattern)]

    assert names("*.csv") == ["A.csv", "a.csv", "b.csv", "z[1].csv"]
    assert names("**/*.csv") == ["A.csv", "a.csv", "b.csv", "sub/d.csv", "z[1].csv"]
    assert names("[ab].csv") == ["a.csv", "b.csv"]
    assert names("z[1].csv") == ["z[1].csv"]
    assert names("missing.csv") == ["missing.csv"]
    assert code_of(files.expand, tmp_path, "*.json") == "DRV001"
    assert [p.name for p in files.expand(tmp_path, "*.csv", base="sub")] == ["d.csv"]
    assert files.expand(tmp_path, "../*/sub/*.csv") == [tmp_path / "sub" / "d.csv"]
    absolute = glob.escape(str(tmp_path)) + "/a.*"
    assert files.expand(Path("/"), absolute) == [tmp_path / "a.csv"]


def test_only_regular_files_are_opened(tmp_path):
    (tmp_path / "a").write_text("content")
    with files.open_source(tmp_path / "a") as file:
        assert file.read() == b"content"
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    assert code_of(files.open_source, tmp_path / "pipe") == "DRV005"
    assert code_of(files.open_source, tmp_path / "link") == "DRV063"
    assert code_of(files.open_source, tmp_path) == "DRV005"
    assert code_of(files.open_source, Path("/dev/null")) == "DRV005"
    assert code_of(files.open_source, tmp_path / "missing") == "DRV001"
    assert code_of(files.open_source, tmp_path / "a" / "below") == "DRV001"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        assert code_of(files.open_source, tmp_path / "socket") == "DRV006"


def test_errors_are_told_apart_by_their_number():
    numbers = {errno.EACCES: "DRV003", errno.EROFS: "DRV003", errno.EDQUOT: "DRV004", errno.EIO: "DRV006"}
    assert {n: code_of(files.fail_os, OSError(n, "x"), "a") for n in numbers} == numbers
    assert code_of(files.fail_os, OSError("without a number"), "a") == "DRV006"


def test_a_published_file_is_whole_and_readable_by_others(tmp_path):
    target = tmp_path / "out.bin"
    old = os.umask(0o022)
    try:
        with files.publish(target) as output:
            assert not target.exists()
            (temporary,) = tmp_path.iterdir()
            assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
            output.write(b"abc")
            output.write(memoryview(b"defg"))
            assert output.tell() == output.written == 7
    finally:
        os.umask(old)
    assert target.read_bytes() == b"abcdefg"
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [target]


def test_a_replaced_file_keeps_its_permissions(tmp_path):
    target = tmp_path / "out.bin"
    target.write_bytes(b"old")
    target.chmod(0o640)
    with files.publish(target) as output:
        output.write(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    with files.publish(tmp_path / "link") as output:
        output.write(b"new")
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert not (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    target = tmp_path / "out.bin"
    target.write_bytes(b"old")

    def publish():
        with files.publish(target) as output:
            output.write(b"half")
            raise error

    with pytest.raises(error):
        publish()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_where_nothing_can_be_published(tmp_path):
    def publish(target):
        with files.publish(target):
            pytest.fail("nothing is given to write")

    assert code_of(publish, tmp_path) == "DRV005"
    assert code_of(publish, tmp_path / "missing" / "a") == "DRV001"
    (tmp_path / "file").touch()
    assert code_of(publish, tmp_path / "file" / "a") == "DRV070"


def run_child(folder, body):
    """Run Python with `folder` as its directory; returns the finished process."""
    code = "from pathlib import Path\nfrom osiris import files\n" + textwrap.dedent(body)
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("limit", [0, 1, 4096, 1 << 20])
def test_a_limit_of_file_size_names_the_path_and_leaves_nothing(tmp_path, limit):
    (tmp_path / "out.bin").write_bytes(b"")
    done = run_child(
        tmp_path,
        f"""
        import resource
        from osiris.errors import OsirisError
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
        try:
            with files.publish(Path("out.bin")) as output:
                for _ in range(300):
                    output.write(b"x" * 8192)
        except OsirisError as error:
            print(error)
        """,
    )
    assert done.stdout.strip() == "DRV006 out.bin: File too large"
    assert [path.name for path in tmp_path.iterdir()] == ["out.bin"]


KILLED = """
import os, signal
with files.publish(Path("out.bin")) as output:
    output.write(b"half")
    print("ready", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_writer_leaves_the_old_file_and_its_temporary_is_swept(tmp_path):
    target = tmp_path / "out.bin"
    target.write_bytes(b"old")
    assert run_child(tmp_path, KILLED).returncode == -signal.SIGKILL
    assert target.read_bytes() == b"old"
    (left,) = set(tmp_path.iterdir()) - {target}
    (tmp_path / ".other.tmp").touch()
    with files.publish(target) as output:
        output.write(b"new")
        alive = set(tmp_path.iterdir()) - {target, left, tmp_path / ".other.tmp"}
        assert files.sweep(tmp_path) == [left]
        assert alive <= set(tmp_path.iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.tmp", "out.bin"]
    assert target.read_bytes() == b"new"


def test_sweeping_a_missing_folder_finds_nothing(tmp_path):
    assert files.sweep(tmp_path / "missing") == []


CACHESTAT = 451


def dirty_pages(descriptor):
    """Return the pages of a file that are not yet being written to disk, as Linux 6.5 reports them."""
    whole, found = (ctypes.c_uint64 * 2)(), (ctypes.c_uint64 * 5)()
    if ctypes.CDLL(None).syscall(CACHESTAT, descriptor, whole, found, 0):
        pytest.skip("this system does not tell")
    return found[1]


def test_much_is_on_its_way_to_the_disk_before_the_end(tmp_path):
    with files.publish(tmp_path / "out.bin") as output:
        for _ in range(5):
            output.write(bytes(8 << 20))
        assert dirty_pages(output.fileno()) * resource.getpagesize() <= 8 << 20
    assert (tmp_path / "out.bin").read_bytes() == bytes(40 << 20)


def test_a_failing_sync_is_final(tmp_path, monkeypatch):
    """The disk reports that it lost the data: the old file stays, and there is no retry."""
    target = tmp_path / "out.bin"
    target.write_bytes(b"old")
    asked = []

    def broken(descriptor):
        asked.append(descriptor)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)

    def publish():
        with files.publish(target) as output:
            output.write(b"new")

    assert code_of(publish) == "DRV006"
    assert len(asked) == 1
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_process_that_must_end_at_once_takes_its_temporaries_along(tmp_path):
    done = run_child(
        tmp_path,
        """
        import os
        with files.publish(Path("out.bin")) as output:
            output.write(b"half")
            files.abandon()
            os._exit(75)
        """,
    )
    assert done.returncode == 75
    assert list(tmp_path.iterdir()) == []
