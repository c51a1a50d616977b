"""Only the owner can access what Osiris writes below logs/ and .osiris/, whatever the umask."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.sessions import new_project

OSIRIS = str(Path(sys.executable).parent / "osiris")
READ = "  - {id: got, component: filesystem.csv_extractor, mode: read, config: {path: data/in.csv%s}}\n"
SQL = (
    "  - {id: %s, component: duckdb.processor, mode: transform, needs: [got],"
    " config: {query: 'SELECT %s AS a FROM got'}}\n"
)
WRITE = (
    "  - {id: out_%s, component: filesystem.csv_writer, mode: write, needs: [%s], config: {path: output/new/%s.csv}}\n"
)
HEAD = 'oml_version: "0.1.0"\nname: %s\nsteps:\n'
REJECTING = HEAD % "rejecting" + READ % ", dtype: {a: int64}, on_reject: quarantine" + WRITE % ("got", "got", "got")
FAILING = (
    HEAD % "failing"
    + READ % ""
    + "".join(SQL % (name, text) for name, text in (("one", "a"), ("two", "CAST(a AS INT)")))
    + "".join(WRITE % (name, name, name) for name in ("one", "two"))
)
COMMANDS = (
    ("run", "pipelines/rejecting.yaml"),
    ("run", "pipelines/failing.yaml"),
    ("run", "pipelines/rejecting.yaml", "--new-run", "--target", "bwrap"),
    ("preview", "pipelines/rejecting.yaml"),
    ("logs", "html", "last"),
    ("discover", "data", "--samples", "raw"),
)


@pytest.mark.parametrize(
    "umask", [0o000, *(pytest.param(each, marks=pytest.mark.long) for each in (0o022, 0o077))], ids=oct
)
def test_run_data_is_for_its_owner_only(tmp_path, umask):
    folder = new_project(tmp_path / "shop")
    (folder / "data" / "in.csv").write_text("a,b\n1,x\nzz,y\n")
    for name, text in (("rejecting", REJECTING), ("failing", FAILING)):
        (folder / "pipelines" / f"{name}.yaml").write_text(text)

    def call(*words, stdin="", **more):
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **more}
        command = [OSIRIS, *words]
        return subprocess.run(
            command, cwd=folder, env=environment, input=stdin, umask=umask, capture_output=True, text=True, timeout=300
        )

    done = {words: call(*words) for words in COMMANDS}
    call("chat", "--provider", "openai", stdin="quit\n", OPENAI_API_KEY="k")
    assert [done[words].returncode for words in COMMANDS] == [0, 1, 0, 0, 0, 0], done
    found = [path for top in ("logs", ".osiris") for path in (folder / top).rglob("*")]
    assert {"rejected.csv", "report.html", "run.json", "events.jsonl", "index.html"} <= {path.name for path in found}
    open_to_others = [f"{oct(path.lstat().st_mode)} {path.relative_to(folder)}" for path in found if _is_open(path)]
    assert open_to_others == []
    written = folder / "output" / "new" / "got.csv"
    assert stat.S_IMODE(written.stat().st_mode) == 0o666 & ~umask
    assert stat.S_IMODE(written.parent.stat().st_mode) == 0o777 & ~umask


def _is_open(path):
    return not path.is_symlink() and bool(path.lstat().st_mode & 0o077)
