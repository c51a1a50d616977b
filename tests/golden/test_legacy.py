"""Files of users of the earlier implementation: each means the same, is rejected, or gets a note about the difference.

# expect: CODE   an error, or a required note; CODE may be alternatives, `ok` requires nothing
# says: TEXT     a message or hint must contain it
# writes: PATH   (the content follows as comments): the file after a run; without it the file is only validated
# params: a=1 / # profile: prod / # connections: |
"""

from __future__ import annotations

import gzip
import json
import re
from collections import defaultdict
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ORDERS = b"region,id,amount,paid\nnorth,1,10.50,true\nsouth,2,,false\nnorth,3,7.25,true\n"
DATA = {
    "orders.csv": ORDERS,
    "orders.csv.gz": gzip.compress(ORDERS, mtime=0),
    "regions.csv": b"region,title\nnorth,The North\nsouth,The South\n",
    "dates.csv": b"id,day\n1,2024-01-31\n2,2024-02-29\n",
    "dates_cz.csv": b"id,day\n1,31.01.2024\n2,29.02.2024\n",
    "commented.csv": b"# made by hand\na,b\n1,2\n# more\n3,4\n",
    "no_header.csv": b"1,2\n3,4\n",
    "semicolon.csv": "a;b\n1;é\n".encode("latin-1"),
    "tab.tsv": b"a\tb\n1\t2\n",
    "banner.csv": b"Report,x\nof 2024,y\na,b\n1,2\n",
    "ragged.csv": b"a,b\n1,2\n3,4,9\n5,6\n",
    "nulls.csv": b"a,b\nNA,1\nNULL,2\n,3\n",
    "zeros.csv": b"zip,n\n00123,1\n04567,2\n",
}
KEYS = ("expect", "says", "params", "profile", "compile", "run", "connections", "writes")
CASES = sorted(path.stem for path in (HERE / "legacy").glob("*.yaml"))


def header(path):
    """Return the expectations in the first lines, and the blocks that belong to some of them."""
    found, block = {key: [] for key in KEYS}, None
    for line in path.read_text("utf-8").split("\n"):
        if block is not None and line.startswith("#   "):
            block.append(line[4:])
            continue
        if not line.startswith("# "):
            return found
        key, _, value = line[2:].partition(": ")
        if key in ("connections", "writes"):
            block = []
            found[key].append((value, block))
        elif key in found:
            found[key].append(value)
    return found


def project(folder):
    for part in ("pipelines", "data"):
        (folder / part).mkdir(parents=True)
    (folder / "osiris.yaml").write_text("")
    for name, content in DATA.items():
        (folder / "data" / name).write_bytes(content)
    return folder


def options_of(asked):
    options = [part for param in asked["params"] for part in ("--param", param)]
    return options + [part for profile in asked["profile"] for part in ("--profile", profile)]


def kind_of(asked):
    if asked["writes"] or asked["run"]:
        return "run"
    return "compile" if asked["compile"] else "validate"


def fits(expected, found):
    """`OML032~word` is that code with that word in its message; `ok` is nothing."""
    code, _, word = expected.partition("~")
    return code == "ok" or any(d["code"] == code and re.search(word, d["message"]) for d in found)


def problems(name, folder, found, osiris):
    """Return what is wrong with one file, given its diagnostics."""
    asked = header(HERE / "legacy" / f"{name}.yaml")
    kind, printed = kind_of(asked), ""
    if kind != "validate":
        done = osiris(kind, f"pipelines/{name}.yaml", *options_of(asked), "--json", cwd=folder)
        found = found + json.loads(done.stdout)["diagnostics"]
        printed = done.stdout + done.stderr
    allowed = {expected.partition("~")[0] for line in asked["expect"] for expected in line.split("|")}
    codes = sorted({d["code"] for d in found})
    for line in asked["expect"]:
        if not any(fits(expected, found) for expected in line.split("|")):
            yield f"expected {line}, found {codes}"
    yield from (f"unexpected {d['code']}" for d in found if d["severity"] == "error" and d["code"] not in allowed)
    said = " ".join(f"{d['message']} {d['hint']}" for d in found)
    yield from (f"does not say {text!r}: {said}" for text in asked["says"] if text not in said)
    if "c4nary" in printed + json.dumps(found):
        yield "a secret is printed"
    for file, lines in asked["writes"]:
        wanted = "\n".join(lines).replace("<CR>", "\r")
        there = (folder / file).read_bytes().decode() if (folder / file).exists() else None
        if there != wanted:
            yield f"{file} is {there!r}, not {wanted!r}"


def group(root, names, osiris):
    """Files that one call can validate, in one project."""
    asked = header(HERE / "legacy" / f"{names[0]}.yaml")
    folder = project(root)
    for _, lines in asked["connections"]:
        (folder / "osiris_connections.yaml").write_text("\n".join(lines) + "\n")
    files = {name: f"pipelines/{name}.yaml" for name in names}
    for name, file in files.items():
        (folder / file).write_bytes((HERE / "legacy" / f"{name}.yaml").read_bytes())
    done = osiris("validate", *files.values(), *options_of(asked), "--json", cwd=folder)
    found = json.loads(done.stdout)["diagnostics"]
    return [
        f"{name}: {text}"
        for name, file in files.items()
        for text in problems(name, folder, [d for d in found if d["file"] in (file, None)], osiris)
    ]


@pytest.fixture(scope="module", params=[4, pytest.param(1, marks=pytest.mark.long)])
def wrong(request, tmp_path_factory, osiris):
    """Return what is wrong with every file, or with one of the given number."""
    root, groups = tmp_path_factory.mktemp("legacy"), defaultdict(list)
    for number, name in enumerate(CASES[:: request.param]):
        asked = header(HERE / "legacy" / f"{name}.yaml")
        plain = not (asked["connections"] or options_of(asked))
        groups[number % 4 if plain else name].append(name)
    return [text for key, names in groups.items() for text in group(root / str(key), names, osiris)]


def test_each_file_gets_what_it_expects(wrong):
    assert len(CASES) >= 100
    assert not wrong, "\n".join(wrong)


MANIFEST = """\
---
meta:
  generated_at: '2025-01-02T03:04:05.678901Z'
  oml_version: 0.1.0
  profile: default
  run_id: ${run_id}
  toolchain:
    compiler: osiris-compiler/0.1
    registry: osiris-registry/0.1
pipeline:
  fingerprints:
    compiler_fp: sha256:7f68eafb00000000000000000000000000000000000000000000000000000000
    manifest_fp: sha256:2c528c0400000000000000000000000000000000000000000000000000000000
    oml_fp: sha256:0000000000000000000000000000000000000000000000000000000000000000
    params_fp: sha256:0000000000000000000000000000000000000000000000000000000000000001
    profile: default
    registry_fp: sha256:2c528c0400000000000000000000000000000000000000000000000000000000
  id: orders_to_file
  version: 0.1.0
steps:
- cfg_path: cfg/extract-orders.json
  driver: filesystem.csv_extractor
  id: extract-orders
  needs: []
- cfg_path: cfg/write-csv.json
  driver: filesystem.csv_writer
  id: write-csv
  needs:
  - extract-orders
...
"""
PLACES = (
    ("run", "manifest.yaml"),
    ("run", "build/pipelines/orders/abc1234-0123456789/manifest.yaml"),
    ("run", "logs/compile_1700000000000/compiled/manifest.yaml"),
    ("run", "pipelines/kept.yaml"),
    ("compile", "logs/compile_1700000000000/compiled/manifest.yaml"),
)


@pytest.mark.parametrize(("command", "place"), PLACES)
def test_the_earlier_manifest_is_refused_with_its_remedy(command, place, tmp_path, osiris):
    folder = project(tmp_path / "p")
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / place).write_text(MANIFEST)
    done = osiris(command, place, "--json", cwd=folder)
    answer = json.loads(done.stdout)
    assert [d["code"] for d in answer["diagnostics"]] == ["CMP025"]
    assert "compile the pipeline again" in answer["diagnostics"][0]["hint"]
    assert done.returncode == 4


OTHER_CLOTHES = (MANIFEST.replace("---\n", "").replace("...\n", ""), MANIFEST.replace("\n", "\r\n"))


@pytest.mark.parametrize("manifest", OTHER_CLOTHES)
def test_the_earlier_manifest_is_known_in_other_clothes(manifest, tmp_path, osiris):
    folder = project(tmp_path / "p")
    (folder / "manifest.yaml").write_text(manifest)
    done = osiris("run", "manifest.yaml", "--json", cwd=folder)
    assert [d["code"] for d in json.loads(done.stdout)["diagnostics"]] == ["CMP025"]
    assert done.returncode == 4


def test_the_earlier_manifest_is_refused_as_json(tmp_path, osiris):
    """Its other files are not plans either."""
    folder = project(tmp_path / "p")
    (folder / "plan.json").write_text('{"steps": [{"id": "a", "driver": "filesystem.csv_writer"}]}')
    done = osiris("run", "plan.json", "--json", cwd=folder)
    assert [d["code"] for d in json.loads(done.stdout)["diagnostics"]] == ["CMP020"]
    assert done.returncode == 4


def test_the_earlier_pointer_is_not_followed(tmp_path, osiris):
    """--last-compile only accepts its own plans."""
    folder = project(tmp_path / "p")
    (folder / "manifest.yaml").write_text(MANIFEST)
    (folder / ".osiris" / "index").mkdir(parents=True)
    pointer = f"{folder}/manifest.yaml\n2c528c04\ndefault\n"
    (folder / ".osiris" / "index" / "last_compile.txt").write_text(pointer)
    done = osiris("run", "--last-compile", "--json", cwd=folder)
    assert [d["code"] for d in json.loads(done.stdout)["diagnostics"]] == ["RUN005"]
    assert done.returncode == 2
