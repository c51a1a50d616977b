"""What `make dist` builds: the same bytes from every folder and at any time, and an SBOM that matches the lock."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import distributions
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
EXTRAS = {*tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]} - {"dev"}
FAKE = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
LEFT = ("bench", "dist", "demo-project", "tests")
"""Folders of the checkout, as are those that begin with a dot, which what is released does not come from."""
BLOCK = re.compile(r"(?m)^([a-z0-9-]+)==(\S+)(?: ; (.+?))? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\\n|\n))+)")


def built(folder, *, umask=0o022, **environ):
    """Build in a copy of the checkout, and return the folder with the result."""
    folder.mkdir(parents=True)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copyfile(path, folder / path.name)  # new times, modes by the umask
        elif path.name not in LEFT and not path.name.startswith("."):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(path, folder / path.name, ignore=ignored, copy_function=shutil.copyfile)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "TZ": "UTC", **environ}
    command = [sys.executable, "tools/dist.py"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, umask=umask)
    assert done.returncode == 0, done.stderr
    return folder / "dist"


def requirements_of(folder):
    """Return the requirements in the wheel's metadata."""
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        (file,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
        return re.findall(r"(?m)^Requires-Dist: (.*)$", wheel.read(file).decode())


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    return built(tmp_path_factory.mktemp("first") / "checkout")


@pytest.fixture(scope="module")
def locked():
    """The lock, read without our tools: name, version, marker and hashes of each block."""
    text = (ROOT / "requirements.lock").read_text()
    blocks = [(*match.groups()[:3], {*re.findall("[0-9a-f]{64}", match[4])}) for match in BLOCK.finditer(text)]
    assert len(blocks) == text.count("==", 0) - sum(marker.count("==") for _, _, marker, _ in blocks if marker)
    return blocks


@pytest.fixture(scope="module")
def bom(dist):
    (file,) = dist.glob("*.cdx.json")
    return json.loads(file.read_text())


def test_the_same_bytes_from_another_folder_at_another_time(dist, tmp_path):
    assert FAKE, "sh tools/servers.sh installs faketime"
    other = tmp_path / "a folder with spaces é" / "deeper"
    clock = {"LD_PRELOAD": str(FAKE), "FAKETIME": "@2031-05-06 07:08:09", "TZ": "Asia/Tokyo"}
    again = built(other, umask=0o077, LC_ALL="C.UTF-8", PYTHONHASHSEED="7", **clock)
    assert digests(again) == digests(dist)
    assert len(digests(dist)) == 4


def test_the_source_distribution_builds_the_same(dist, tmp_path):
    (source,) = dist.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    (folder / "notes.txt").write_text("of no release")
    (folder / "dist").mkdir()
    (folder / "dist" / "osiris_data-0.0.1-py3-none-any.whl").write_text("of an earlier release")
    command = [sys.executable, folder / "tools" / "dist.py"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, env={"PATH": os.environ["PATH"]})
    assert digests(folder / "dist") == digests(dist)


def test_a_date_of_the_caller_is_the_date_of_the_files(tmp_path):
    result = built(tmp_path / "checkout", SOURCE_DATE_EPOCH="1700000000")
    with zipfile.ZipFile(next(result.glob("*.whl"))) as wheel:
        assert {info.date_time for info in wheel.infolist()} == {(2023, 11, 14, 22, 13, 20)}
    with tarfile.open(next(result.glob("*.tar.gz"))) as source:
        assert {info.mtime for info in source} == {1700000000}
        assert {(info.uid, info.uname, info.mode & 0o077) for info in source} == {(0, "", 0o044)}
    assert "timestamp" not in json.loads(next(result.glob("*.cdx.json")).read_text())["metadata"]


def test_the_archives_have_nothing_of_the_machine(dist):
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as wheel:
        contents = {info.filename: wheel.read(info) for info in wheel.infolist()}
    with tarfile.open(next(dist.glob("*.tar.gz"))) as source:
        contents |= {info.name: source.extractfile(info).read() for info in source if info.isfile()}
    places = [str(dist.parent).encode(), str(Path.home()).encode() + b"/", str(ROOT).encode()]
    assert [name for name, data in contents.items() if any(place in data for place in places)] == []
    template = "osiris/templates/component/tests/"
    odd = [name for name in contents if re.search(r"\.pyc$|\.so$|/\.git/|/tests/|\.venv", name)]
    assert [name for name in odd if template not in name] == []


def test_the_sbom_is_valid_and_its_parts_are_those_of_the_lock(dist, bom, locked):
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bom)) is None
    parts = {(part["name"], part["version"]): part for part in bom["components"]}
    assert len(parts) == len(bom["components"])
    of_lock = {(name, version): (marker, hashes) for name, version, marker, hashes in locked}
    assert {*parts} <= {*of_lock}
    for (name, version), part in parts.items():
        marker, hashes = of_lock[name, version]
        assert {each["content"] for each in part["hashes"]} == hashes
        assert {each["alg"] for each in part["hashes"]} == {"SHA-256"}
        assert part["purl"] == part["bom-ref"] == f"pkg:pypi/{name}@{version}"
        assert part.get("description") == (f"if {marker}" if marker else None)
    component = bom["metadata"]["component"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (component["name"], component["version"]) == (project["name"], project["version"])


OTHERS = (
    {"sys_platform": "win32", "platform_system": "Windows"},
    {"sys_platform": "emscripten", "python_version": "3.13"},
)


def needed(requirements, extras, machine=None, packages=None):
    """Return the names of everything that requirements need, found with `packaging` in the metadata of `packages`, a
    folder.
    """
    found = distributions(**({"path": [str(packages)]} if packages else {}))
    metadata = {canonicalize_name(each.metadata["Name"]): each for each in found}
    names, todo = {}, [(Requirement(line), extras) for line in requirements]
    while todo:
        requirement, of = todo.pop()
        marker = requirement.marker
        if marker and not any(marker.evaluate({**(machine or {}), "extra": extra}) for extra in (of or {""})):
            continue
        name = canonicalize_name(requirement.name)
        if requirement.extras <= names.get(name, set()) and name in names:
            continue
        names.setdefault(name, set()).update(requirement.extras)
        if name in metadata:  # else of another machine
            todo += [(Requirement(line), requirement.extras) for line in metadata[name].requires or ()]
    return {*names}


def test_the_sbom_has_what_the_wheel_needs_with_its_extras(dist, bom):
    lines, extras = requirements_of(dist), EXTRAS
    by_name = {part["name"] for part in bom["components"]}
    here = needed(lines, extras)
    assert here <= by_name
    elsewhere = {name for machine in OTHERS for name in needed(lines, extras, machine)}
    assert by_name - here <= elsewhere
    assert {"pytest", "mypy", "polars"}.isdisjoint(by_name)
    edges = {edge["ref"]: edge["dependsOn"] for edge in bom["dependencies"]}
    assert {*edges} == {part["bom-ref"] for part in bom["components"]} | {bom["metadata"]["component"]["bom-ref"]}
    reached, todo = set(), [bom["metadata"]["component"]["bom-ref"]]
    while todo:
        if (ref := todo.pop()) not in reached:
            reached.add(ref)
            todo += edges[ref]
    assert reached == {*edges}


def test_the_sbom_has_no_address_path_or_time(dist, bom):
    def texts(value):
        if isinstance(value, dict):
            return [text for each in (*value, *value.values()) for text in texts(each)]
        return [text for each in value for text in texts(each)] if isinstance(value, list) else [str(value)]

    schema = bom.pop("$schema")
    assert schema.startswith("http://cyclonedx.org/schema/")
    odd = [text for text in texts(bom) if re.search(r"://|^/|\\|\d{4}-\d\d-\d\d[T ]|index|simple", text)]
    bom["$schema"] = schema
    assert odd == []
    assert "serialNumber" not in bom


def test_the_locked_requirements_are_enough_for_the_wheel(dist, locked):
    text = (dist / "requirements.txt").read_text()
    blocks = {(match[1], match[2]): match[0] for match in BLOCK.finditer(text)}
    assert "".join(blocks.values()) == text
    assert all(block in (ROOT / "requirements.lock").read_text() for block in blocks.values())
    for line in map(Requirement, requirements_of(dist)):
        if line.marker is None:
            versions = [version for name, version in blocks if name == canonicalize_name(line.name)]
            assert versions
            assert all(line.specifier.contains(version) for version in versions), line
    for _, _, marker, _ in locked:
        assert marker is None or Marker(marker)
