"""Files that must be rejected, and similar ones that must not: the first lines of each state the expected result.

# expect: CODE [LINE]   an error, on any line if none is named; CODE may be alternatives (OML001|OML006)
# expect: ok            no error at all (in alternatives: that error may also be missing)
# says: TEXT            a message or hint must contain it
# params: a=1 / # profile: prod / # compile: yes / # connections: | (followed by the file as comments)
"""

from __future__ import annotations

import json
import os
import re
import time
from collections import defaultdict
from pathlib import Path

import pytest
from tests.patience import SOON

HERE = Path(__file__).parent
SECRET = re.compile("c4nary", re.IGNORECASE)
CONNECTIONS = """connections:
  filesystem:
    local: {base_dir: data, default: true}
"""
DATA = {
    "ok.csv": b"id,name,day\n1,a,2024-01-31\n2,b,2024-02-29\n",
    "twice.csv": b"id,id\n1,2\n",
    "latin.csv": b"id,name\n1,\xe9\n",
}


class Case:
    def __init__(self, path):
        self.name, self.path = path.name, path
        self.errors, self.says, self.params = [], [], []
        self.profile, self.compile, self.connections = None, False, None
        for line in path.read_text("utf-8").split("\n"):
            if not line.startswith("# "):
                break
            if self.connections is not None and line.startswith("#   "):
                self.connections += line[4:] + "\n"
                continue
            key, _, value = line[2:].partition(": ")
            if key == "expect":
                codes, _, number = value.partition(" ")
                self.errors.append((codes.split("|"), int(number) if number else None))
            elif key == "says":
                self.says.append(value)
            elif key == "params":
                self.params.append(value)
            elif key in ("profile", "compile"):
                setattr(self, key, value)
            elif key == "connections":
                self.connections = ""

    @property
    def command(self):
        options = [part for param in self.params for part in ("--param", param)]
        options += ["--profile", self.profile] if self.profile else []
        return ("compile" if self.compile else "validate", *options)

    def problems(self, found):
        """Return what is wrong with these diagnostics, in words."""
        left = [(d["code"], d["line"]) for d in found if d["severity"] != "note"]
        notes = [(d["code"], d["line"]) for d in found if d["severity"] == "note"]
        for codes, line in self.errors:
            fits = [x for x in left + notes if x[0] in codes and line in (None, x[1])]
            left = [x for x in left if x not in fits]
            if not fits and "ok" not in codes:
                yield f"{self.name}: expected {'|'.join(codes)} {line or ''}, found {left + notes}"
        yield from (f"{self.name}: unexpected {code} {line or ''}" for code, line in left)
        said = " ".join(f"{d['message']} {d['hint']}" for d in found)
        yield from (f"{self.name}: does not say {text!r}: {said}" for text in self.says if text not in said)


def project(folder, connections=CONNECTIONS):
    for part in ("cases", "data", "pipelines"):
        (folder / part).mkdir(parents=True)
    (folder / "osiris.yaml").write_text("")
    (folder / "osiris_connections.yaml").write_text(connections)
    for name, content in DATA.items():
        (folder / "data" / name).write_bytes(content)
    return folder


def groups():
    found = defaultdict(list)
    for path in sorted((HERE / "refused").glob("*.yaml")):
        case = Case(path)
        found[case.name if case.compile else (case.command, case.connections)].append(case)
    return list(found.values())


def ask(folder, cases, osiris):
    """Return the diagnostics of each of these cases, and all output."""
    project(folder, CONNECTIONS if cases[0].connections is None else cases[0].connections)
    place = "pipelines" if cases[0].compile else "cases"
    files = [f"{place}/{case.name}" for case in cases]
    for case, file in zip(cases, files, strict=True):
        (folder / file).write_bytes(case.path.read_bytes())
        if case.name == "compile-same-name.yaml":
            (folder / "pipelines" / "another.yaml").write_bytes(case.path.read_bytes())
    command, *options = cases[0].command
    answer = osiris(command, *options, *files, "--json", cwd=folder)
    printed = answer.stdout + answer.stderr
    if command == "validate" and any(SECRET.search(case.path.read_text("utf-8")) for case in cases):
        plain = osiris(command, *options, *files, cwd=folder)
        printed += plain.stdout + plain.stderr
    diagnostics = json.loads(answer.stdout)["diagnostics"]
    wrong = []
    for case, file in zip(cases, files, strict=True):
        found = [d for d in diagnostics if d["file"] == file or d["file"] not in files]
        wrong += case.problems(found)
    if SECRET.search(printed):
        lines = [line[:200] for line in printed.splitlines() if SECRET.search(line) and not line.startswith("{")]
        wrong += [f"a secret is printed: {line}" for line in lines] or ["a secret is printed in the JSON"]
    wrong += ["a traceback is printed"] if "Traceback" in printed else []
    return wrong


@pytest.fixture(scope="module", params=["some", pytest.param("all", marks=pytest.mark.long)])
def wrong(request, tmp_path_factory, osiris):
    root = tmp_path_factory.mktemp("refused")
    found = sorted(groups(), key=len, reverse=True)
    asked = found if request.param == "all" else found[:4] + found[4::8]
    return [problem for n, cases in enumerate(asked) for problem in ask(root / str(n), cases, osiris)]


def test_there_are_cases():
    assert len(list((HERE / "refused").glob("*.yaml"))) >= 600


def test_each_file_gets_what_it_expects(wrong):
    found = [problem for problem in wrong if "is printed" not in problem]
    assert not found, "\n".join(found)


def test_no_secret_is_printed(wrong):
    found = [problem for problem in wrong if "is printed" in problem]
    assert not found, "\n".join(found)


HEAD = b'oml_version: "0.1.0"\nname: big\n'
STEPS = b"steps:\n  - {id: src, component: filesystem.csv_extractor, mode: read, config: {path: a.csv}}\n"


def bomb(_):
    levels = [b"metadata:\n  a0: &a0 [x, x, x, x, x, x, x, x, x]\n"]
    levels += [b"  a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 12)]
    return HEAD + b"".join(levels) + STEPS


# name: (bytes, codes)
HOSTILE = {
    "alias bomb": (bomb, {"OML008", "OML009"}),
    "20,000 lists": (lambda _: HEAD + b"metadata: {a: " + b"[" * 20_000 + b"]" * 20_000 + b"}\n" + STEPS, {"OML009"}),
    "20,000 lists without end": (lambda _: HEAD + b"metadata: " + b"[" * 20_000, {"OML009", "OML001"}),
    "20,000 mappings": (lambda _: HEAD + b"metadata: " + b"{a: " * 20_000 + b"}" * 20_000 + b"\n", {"OML009"}),
    "20,000 dashes": (lambda _: HEAD + b"x-a:\n  " + b"- " * 20_000 + b"x\n" + STEPS, {"OML009"}),
    "20,000 question marks": (
        lambda _: HEAD + b"x-a:\n  " + b"? " * 20_000 + b"x\n" + STEPS,
        {"OML009", "OML001", "OML006", "OML008"},
    ),
    "3,000 indents": (
        lambda _: HEAD + b"".join(b" " * n + b"a:\n" for n in range(1, 3000)) + STEPS,
        {"OML009", "OML001"},
    ),
    "scalar of 15 MB": (lambda _: HEAD + b"description: " + b"a" * 15_000_000 + b"\n" + STEPS, {"OML009"}),
    "scalar of 20 MB": (lambda _: HEAD + b"description: " + b"a" * 20_000_000 + b"\n" + STEPS, {"OML009"}),
    "quoted scalar of 15 MB": (lambda _: HEAD + b'description: "' + b"a\\n" * 5_000_000 + b'"\n' + STEPS, {"OML009"}),
    "block scalar of 15 MB": (lambda _: HEAD + b"description: |\n" + b"  line\n" * 2_000_000 + STEPS, {"OML009"}),
    "key of 2 MB": (lambda _: HEAD + b"x-" + b"a" * 2_000_000 + b": 1\n" + STEPS, {"OML009", "OML001"}),
    "17 MiB of comments": (lambda _: HEAD + b"# a comment\n" * 1_500_000 + STEPS, {"OML009"}),
    "17 MiB of blanks": (lambda _: HEAD + b" " * 17_825_792 + b"\n" + STEPS, {"OML009"}),
    "16 MiB without a newline": (lambda _: b"{" * 16_000_000, {"OML009", "OML001"}),
    "1,000,001 nodes": (lambda _: HEAD + b"metadata: {a: [" + b"1," * 1_000_001 + b"]}\n" + STEPS, {"OML009"}),
    "600,000 keys": (
        lambda _: HEAD + b"metadata:\n" + b"".join(b"  k%d: 1\n" % n for n in range(600_000)) + STEPS,
        {"OML009"},
    ),
    "100,000 steps": (lambda _: HEAD + b"steps:\n" + b"- {}\n" * 100_000, {"OML003", "OML009"}),
    "binary": (lambda _: bytes(range(256)) * 4096, {"OML001", "OML026", "OML009"}),
    "one byte of 255": (lambda _: b"\xff", {"OML001", "OML026"}),
    "a picture": (lambda _: b"\x89PNG\r\n\x1a\n" + bytes(1000), {"OML001", "OML026"}),
    "NUL bytes": (lambda _: HEAD + b"description: a\0b\n" + STEPS, {"OML001", "OML026"}),
    "only NUL bytes": (lambda _: bytes(1_000_000), {"OML001", "OML026", "OML009"}),
    "UTF-16": (lambda _: (HEAD + STEPS).decode().encode("utf-16"), {"OML001", "OML026"}),
    "UTF-16 without mark": (lambda _: (HEAD + STEPS).decode().encode("utf-16-le"), {"OML001", "OML026"}),
    "UTF-32": (lambda _: (HEAD + STEPS).decode().encode("utf-32"), {"OML001", "OML026"}),
    "Latin-1": (lambda _: HEAD + b"description: caf\xe9\n" + STEPS, {"OML001", "OML026"}),
    "half a character": (lambda _: HEAD + b"description: \xe2\x82", {"OML001", "OML026"}),
    "a surrogate": (lambda _: HEAD + b"description: \xed\xa0\x80\n" + STEPS, {"OML001", "OML026"}),
    "an escaped surrogate": (lambda _: HEAD + b'description: "\\ud800"\n' + STEPS, {"OML001", "OML026", "OML028"}),
    "an overlong slash": (lambda _: HEAD + b"description: \xc0\xaf\n" + STEPS, {"OML001", "OML026"}),
    "control characters": (lambda _: HEAD + b"description: a\x1b[2Jb\n" + STEPS, {"OML001", "OML026"}),
    "regular expression": (
        lambda _: HEAD + b'params: {x: {type: string, pattern: "^(a+)+$", default: "' + b"a" * 5000 + b'!"}}\n' + STEPS,
        {"OML020", "OML021", "OML009"},
    ),
    "4,000 steps in a circle": (
        lambda _: (
            HEAD
            + b"steps:\n"
            + b"".join(
                b"- {id: s%d, needs: [s%d], component: duckdb.processor, mode: transform, config: {query: X}}\n"
                % (n, (n + 1) % 4000)
                for n in range(4000)
            )
        ),
        {"OML017"},
    ),
    "a number of 100,000 digits": (lambda _: HEAD + b"metadata: {a: " + b"9" * 100_000 + b"}\n" + STEPS, None),
    "an exponent": (lambda _: HEAD + b"metadata: {a: 1.0e+999999999}\n" + STEPS, None),
    "10,000 placeholders": (lambda _: HEAD + b'description: "' + b"${params.x" * 10_000 + b'"\n' + STEPS, None),
    "a long line of quotes": (lambda _: HEAD + b"description: '" + b"''" * 400_000 + b"'\n" + STEPS, None),
    "words like secrets": (lambda _: HEAD + b'description: "' + b"password=" * 100_000 + b'"\n' + STEPS, None),
    "an endless address": (lambda _: HEAD + b'description: "' + b"a://a:a" * 100_000 + b'"\n' + STEPS, None),
    "dots": (lambda _: HEAD + b'description: "' + b"eyJa.eyJ" * 100_000 + b'"\n' + STEPS, None),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return project(tmp_path_factory.mktemp("hostile") / "p")


def seconds_to_refuse(name, folder, osiris):
    """Validate a hostile file as a user does, check the answer, and return the duration of the process."""
    make, codes = HOSTILE[name]
    file = folder / "cases" / "hostile.yaml"
    file.write_bytes(make(None))
    before = time.monotonic()
    done = osiris("validate", "cases/hostile.yaml", "--json", cwd=folder, timeout=300)
    took = time.monotonic() - before
    assert "Traceback" not in done.stdout + done.stderr
    answer = json.loads(done.stdout)
    if codes is not None:
        assert done.returncode == 2
        errors = {d["code"] for d in answer["diagnostics"] if d["severity"] != "note"}
        assert errors, answer["diagnostics"][:3]
        assert errors <= codes
    assert "INT000" not in done.stdout
    assert len(done.stdout) < 1_000_000
    return took


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_and_none_hangs(name, folder, osiris):
    assert seconds_to_refuse(name, folder, osiris) < SOON


@pytest.mark.bench
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_within_a_second(name, folder, console_script):
    assert min(seconds_to_refuse(name, folder, console_script) for _ in range(3)) <= 1.0


@pytest.mark.parametrize(
    ("name", "code"),
    [("nothing.yaml", "PRJ009"), (".", None), ("loop.yaml", None), ("dangling.yaml", None), ("/dev/null", None)],
)
def test_what_is_no_file_is_refused(name, code, folder, osiris):
    if not (folder / "loop.yaml").is_symlink():
        (folder / "loop.yaml").symlink_to("loop.yaml")
        (folder / "dangling.yaml").symlink_to("gone.yaml")
    done = osiris("validate", name, "--json", cwd=folder, timeout=300)
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    found = {d["code"] for d in json.loads(done.stdout)["diagnostics"]}
    assert found
    assert "INT000" not in found
    assert code is None or found == {code}


def test_a_pipe_does_not_hang(folder, osiris):
    os.mkfifo(folder / "pipe.yaml")
    done = osiris("validate", "pipe.yaml", "--json", cwd=folder, timeout=300)
    assert done.returncode == 2
    assert "INT000" not in done.stdout
