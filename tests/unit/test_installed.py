"""Installed distributions are read as `importlib.metadata` reads them, whatever the folders of `sys.path` contain."""

import sys
import zipfile
from importlib import metadata

import pytest

from osiris.distribution import installed_entries, installed_version

GROUPS = ("osiris.components", "osiris.families", "console_scripts")


def lay(folder, name, files):
    for file, text in files.items():
        path = folder / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def read_by_library(group):
    return [(group, each.name, each.value, each.dist.name) for each in metadata.entry_points(group=group)]


def version_by_library(name):
    try:
        return metadata.version(name)
    except (metadata.PackageNotFoundError, ValueError):
        return None


def same():
    for group in GROUPS:
        assert sorted(installed_entries([group])) == sorted(read_by_library(group))
    together = [each for group in GROUPS for each in read_by_library(group)]
    assert sorted(installed_entries(GROUPS)) == sorted(together)


def about(name, version="1.0", more=""):
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}\nVersion: of the text\nName: of the text\n"


LISTS = {
    "plain": "[osiris.components]\nham.reader = ham\n",
    "strange spelling": "# [osiris.components]\n\n  [osiris.components]  \n a=b\n#c = d\n e = f = g\n[other]\nx = y\n",
    "twice": "[osiris.families]\nham = ham\n[osiris.components]\nham.reader = ham\n[osiris.families]\neggs = eggs\n",
    "with an extra": "[osiris.components]\nham.reader = ham:READER [more]\n",
    "of others": "[gui_scripts]\nham = osiris.components\n",
    "empty": "",
}


@pytest.mark.parametrize("text", LISTS.values(), ids=LISTS)
def test_lists_of_entry_points(tmp_path, monkeypatch, text):
    lay(tmp_path, "ham-1.0.dist-info", {"METADATA": about("ham"), "entry_points.txt": text})
    monkeypatch.syspath_prepend(str(tmp_path))
    same()


def test_the_first_of_a_name_counts_however_it_is_spelled(tmp_path, monkeypatch):
    for place, name, version in (("a", "Ham.Package", "1"), ("b", "ham_package", "2"), ("b", "other", "3")):
        listed = f"[osiris.components]\n{name}.reader = ham\n"
        lay(
            tmp_path / place,
            f"{name}-{version}.dist-info",
            {"METADATA": about(name, version), "entry_points.txt": listed},
        )
        monkeypatch.syspath_prepend(str(tmp_path / place))
    same()
    for name in ("ham-package", "HAM.package", "ham__package", "other", "absent-from-all", ""):
        assert installed_version.__wrapped__(name) == version_by_library(name)


@pytest.mark.parametrize(
    "files",
    [
        {"PKG-INFO": about("ham"), "entry_points.txt": LISTS["plain"]},
        {"METADATA": about("ham", more="Summary: a\n  Name: no\nVersion: 9\n"), "entry_points.txt": LISTS["plain"]},
        {"METADATA": about("ham").replace("Name: ham", "name: ham"), "entry_points.txt": LISTS["plain"]},
    ],
    ids=["an egg", "folded lines", "other letters"],
)
@pytest.mark.parametrize("ending", ["dist-info", "egg-info"])
def test_metadata_that_is_not_as_usual(tmp_path, monkeypatch, files, ending):
    lay(tmp_path, f"ham-1.0.{ending}", files)
    monkeypatch.syspath_prepend(str(tmp_path))
    same()
    assert installed_version.__wrapped__("ham") == version_by_library("ham")


def test_archives_and_hooks_are_left_to_the_library(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as packed:
        packed.writestr("ham-1.0.dist-info/METADATA", about("ham"))
        packed.writestr("ham-1.0.dist-info/entry_points.txt", LISTS["plain"])
    monkeypatch.syspath_prepend(str(tmp_path / "packed.zip"))
    same()
    assert installed_version.__wrapped__("ham") == "1.0"


def test_a_finder_of_distributions_is_asked(tmp_path, monkeypatch):
    lay(tmp_path, "ham-1.0.dist-info", {"METADATA": about("ham"), "entry_points.txt": LISTS["plain"]})

    class Finder(metadata.DistributionFinder):
        def find_spec(self, *_):
            return None

        def find_distributions(self, _context=None):
            return [metadata.Distribution.at(tmp_path / "ham-1.0.dist-info")]

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])
    same()
    assert ("osiris.components", "ham.reader", "ham", "ham") in list(installed_entries(GROUPS))
