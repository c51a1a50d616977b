"""At each fault point that a lab reaches, each time, with each kind of fault: the same command then loses nothing.

The truth is counted in the targets. A run that reports completion has delivered once; any other is repeated without the
fault, and has then delivered once.
"""

import random
import shutil

import pytest
from tests.chance import draw_seed, say_tried
from tests.faults.labs import LABS
from tests.quality.test_fault_points import points

from osiris.fault import KINDS

FEW = 1
"""The number of faults that are tried in each lab every day."""
NOT_HERE = {"outbox.sync": "only in a sandbox, which takes no variable; test_remote_kills.py kills its worker anywhere"}
"""Points that no command on this machine reaches, each with what is tried instead."""
TRIED = "faults at fault points (kill, error, hang, no space, torn write), then the same command"


def reached(lab, folder):
    """Each point that the commands of a lab reach if nothing fails, and the most times one of them reaches it."""
    log = folder / "reached.log"
    code, told = lab.go(log=log)
    assert code == 0, told
    assert lab.found() == lab.expected
    found = {}
    for line in log.read_text().splitlines():
        name, number = line.split()
        found[name] = max(found.get(name, 0), int(number))
    return found


def try_one(make_lab, folder, name, number, kind):
    lab = make_lab(folder)
    fault = f"{name}:{number}:{kind}"
    code, told = lab.go(fault, folder.parent / f"{folder.name}.log")
    again, then = (0, "") if code == 0 else lab.go()
    assert again == 0, (fault, told, then)
    assert lab.found() == lab.expected, (fault, code, told, then)
    left = [path.name for path in (folder / ".osiris" / "open").glob("*")]
    assert left == [] or code == 0, (fault, left)
    shutil.rmtree(folder)
    return code


@pytest.fixture(scope="module")
def whole():
    """The points that a complete run of each lab reaches."""
    return {}


@pytest.fixture(params=LABS)
def make_lab(request):
    return lambda folder: LABS[request.param](folder, request.getfixturevalue)


def loop(make_lab, tmp_path, number=None):
    """Try all points of a lab with all kinds of fault, or a random number of them; returns the points."""
    seed = draw_seed()
    found = reached(make_lab(tmp_path / "whole"), tmp_path)
    every = [(name, n, kind) for name, count in sorted(found.items()) for n in range(1, count + 1) for kind in KINDS]
    chosen = every if number is None else random.Random(seed).sample(every, number)
    codes = [try_one(make_lab, tmp_path / str(turn), *each) for turn, each in enumerate(chosen)]
    say_tried(TRIED, len(chosen))
    print(f"{len(chosen)} of {len(every)} faults at {len(found)} points; {codes.count(0)} were survived at once")
    return found


def test_some_faults(make_lab, tmp_path, whole, request):
    whole[request.node.callspec.id] = loop(make_lab, tmp_path, FEW)


@pytest.mark.long
def test_the_labs_reach_every_point(whole):
    """A new point needs a lab that reaches it."""
    if len(whole) < len(LABS):
        pytest.fail("run this file as a whole: the labs say what they reach")
    found = {name.partition("/")[2] for lab in whole.values() for name in lab}
    assert found | NOT_HERE.keys() == {name for _, _, name in points()}
    assert not found & NOT_HERE.keys()


@pytest.mark.long
def test_all_faults(make_lab, tmp_path):
    loop(make_lab, tmp_path)


@pytest.mark.parametrize("point", ["host/file.rename", "host/journal.append", "worker/sqlite.committed"])
def test_a_kill_at_its_last_time(tmp_path, point):
    """The last time for each: run.json says complete, or is about to; the rows are written, but nobody knows."""

    def make(folder):
        return LABS["new databases"](folder, None)

    found = reached(make(tmp_path / "whole"), tmp_path)
    assert try_one(make, tmp_path / "one", point, found[point], "kill") in (-9, 0, 1)


def test_a_run_that_failed_after_its_commit_is_not_delivered_again_by_a_conversation(tmp_path, request):
    def make(folder):
        return LABS["chat"](folder, request.getfixturevalue)

    assert try_one(make, tmp_path / "one", "worker/duckdb.committed", 1, "raise") == 1
