"""A forked command has the same inputs and outputs as the console script."""

import json
import subprocess

import pytest
from tests.e2e.sessions import new_project, slow
from tests.forked import WORKER, forking


@pytest.fixture(scope="module")
def fork():
    with forking() as made:
        yield made


@pytest.fixture
def place(tmp_path):
    """The inputs of two calls that must behave alike: the same project, each in its own folder."""

    def made(name):
        home = tmp_path / name
        home.mkdir()
        env = {"PATH": "/usr/bin:/bin", "HOME": str(home), "OSIRIS_RUN__PARALLEL": "3"}
        return {"cwd": new_project(home / "shop"), "env": env}

    return made


@pytest.mark.parametrize(
    ("words", "stdin", "code"),
    [
        (["--version"], "", 0),
        ([], "", 0),
        (["validate", "--json"], "", 0),
        (["validate", "pipelines/none.yaml"], "", 2),
        (["compile", "pipelines/example.yaml"], "", 0),
        (["run", "pipelines/example.yaml", "--param", "since=x"], "", 2),
        (["sql", "check", "--dialect", "duckdb", "-"], "SELECT 'ž' AS a", 0),
        (["config", "explain", "--json"], "", 0),
        (["explain", "Ž \u202e\udc80"], "", 2),
        (["no-such-command"], "", 2),
    ],
)
def test_both_say_the_same(words, stdin, code, place, fork, console_script):
    mine = fork(words, **place("mine"), stdin=stdin, timeout=300)
    theirs = console_script(*words, **place("theirs"), stdin=stdin)
    assert (mine.returncode, mine.stdout, mine.stderr) == (theirs.returncode, theirs.stdout, theirs.stderr)
    assert mine.returncode == code


def test_nothing_is_left_of_the_call_before(place, fork):
    first, second = place("first"), place("second")
    first["env"] |= {"OSIRIS_RUN__MEMORY": "321MB"}
    told = [fork(["config", "explain"], **each, stdin="", timeout=300).stdout for each in (first, second, first)]
    assert ["321" in text for text in told] == [True, False, True]


def test_a_call_that_takes_too_long_is_ended(place, fork):
    given = place("slow")
    (given["cwd"] / "pipelines" / "slow.yaml").write_text(slow(14))
    with pytest.raises(subprocess.TimeoutExpired):
        fork(["run", "pipelines/slow.yaml"], **given, stdin="", timeout=3)
    listed = json.loads(fork(["logs", "list", "--json"], **given, stdin="", timeout=300).stdout)
    assert [each["pipeline"] for each in listed["data"]["sessions"]] in ([], ["slow"])


def test_a_worker_that_is_forked_is_told_and_tells_as_one_that_is_started(tmp_path):
    given = {"cwd": tmp_path, "env": {"PATH": "/usr/bin:/bin"}, "start_new_session": True}
    given |= dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)

    def go(popen):
        with popen(WORKER, **given) as asked:
            asked.stdin.write(b'{"job": "none", "protocol": 0}\n{}\n')
            asked.stdin.close()
            lines = [json.loads(line) for line in asked.stdout]
            told = [each["diagnostics"] for each in lines if "diagnostics" in each]
            said = asked.stderr.read()
        with popen(WORKER, **given) as killed:
            assert killed.poll() is None
            killed.kill()
            killed.wait(60)
        assert told
        return told, said, asked.returncode, killed.returncode, killed.poll()

    real = subprocess.Popen
    with forking():
        assert subprocess.Popen is not real
        mine = go(subprocess.Popen)
    assert mine == go(real)
