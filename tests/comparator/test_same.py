"""Every command gives the same answers as before on two projects with a history.

The plans of `kept` are from this version. Those of `earlier` are from before the digests of specs changed, so they are
rejected. `make.py` created both, once. Their plans contain the engine versions of the lock: when those change, `kept`
must be created again, because its plans are rejected then too.

`differences.txt` lists, line by line with reasons, what has changed since the records were made; nothing else may
differ.
"""

import json
import re
import shlex
import tarfile
from pathlib import Path

import pytest
from tests.comparator.record import COMMANDS, answered, files

HERE = Path(__file__).parent
ABSENT = "(absent)"


def unpacked(name, folder):
    with tarfile.open(HERE / f"projects/{name}.tar.gz") as archive:
        archive.extractall(folder, filter="tar")
    return folder / "project"


def named(words, root):
    """Return the arguments of a command, with the ids of sessions and the plan filled in."""
    sessions = sorted(each.name for each in (root / "logs").iterdir())
    (plan, *_) = sorted((root / "build/paid").glob("*/manifest.json"))
    fingerprint = json.loads(plan.read_text())["fingerprint"]
    found = [re.sub(r"^@(\d)$", lambda m: sessions[int(m[1]) - 1], word) for word in shlex.split(words)]
    return [fingerprint if word == "{fingerprint}" else word for word in found]


def recorded(osiris, root):
    """Return the answers of all commands, run one after the other, and the files that they leave."""
    before, answers = files(root), []
    for words in COMMANDS:
        wanted = () if words.startswith("new --resume") else ("--json",)  # a conversation takes no --json
        answers.append({"command": words, **answered(osiris(*wanted, *named(words, root), cwd=root), root)})
    after = files(root)
    changed = {name: content for name, content in after.items() if before.get(name) != content}
    return {"answers": answers, "files": changed, "gone": sorted({*before} - {*after})}


@pytest.mark.parametrize("name", ["kept", "earlier"])
def test_every_command_answers_as_it_did(name, osiris, tmp_path, update_golden):
    found = json.loads(json.dumps(recorded(osiris, unpacked(name, tmp_path))))
    place = HERE / f"projects/{name}.json"
    if update_golden:
        place.write_text(json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    before = json.loads(place.read_text(encoding="utf-8"))
    reviewed = (HERE / "differences.txt").read_text(encoding="utf-8").splitlines()
    assert [*differences(before, found, name)] == [line for line in reviewed if line.startswith(f"{name}/")]


def differences(before, now, at=""):
    """Yield each path at which two records differ, with both values."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted({*before, *now}):
            yield from differences(before.get(key, ABSENT), now.get(key, ABSENT), f"{at}/{key}")
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for number, (one, other) in enumerate(zip(before, now, strict=True)):
            yield from differences(one, other, f"{at}/{number}")
    elif before != now or type(before) is not type(now):
        yield f"{at}: {str(before)[:200]} -> {str(now)[:200]}"


def rows(root):
    return len(files(root)["data/shop.db"]["kept"])


def test_an_unfinished_run_of_another_version_stops_the_same_command_until_a_new_run(osiris, tmp_path):
    root = unpacked("earlier", tmp_path)
    assert rows(root) == 8
    for _ in range(3):
        done = osiris("run", "pipelines/copied.yaml", cwd=root)
        assert (done.returncode, "RUN035" in done.stderr, rows(root)) == (4, True, 8)
    assert osiris("run", "pipelines/copied.yaml", "--new-run", cwd=root).returncode == 0
    assert osiris("run", "pipelines/copied.yaml", cwd=root).returncode == 0
    assert rows(root) == 16


def test_plans_of_another_version_are_refused(osiris, tmp_path):
    root = unpacked("earlier", tmp_path)
    for words in ("run --last-compile", "run {fingerprint}", "run --resume @7"):
        done = osiris(*named(words, root), cwd=root)
        assert (done.returncode, "CMP023" in done.stderr) == (4, True), done.stderr
