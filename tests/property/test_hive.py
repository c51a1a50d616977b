"""Values as folder names: no value leads outside, no two are equal, and each is read back."""

import re
import unicodedata
from pathlib import PurePosixPath

import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from osiris.delivery import DeliveredFile, FolderManifest, parse_manifest
from osiris.errors import OsirisError
from osiris.families.files.partitions import KINDS, NULL, folder_names, spelled, values_of
from osiris.model import Field
from osiris.types import arrow_type

UNSHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
HOSTILE = ["", ".", "..", "../..", "/", "/etc/passwd", "a=b", "%", "%2F", "%2f", "..%2F", "~", "a\0b", "*?[]", "'\""]
HOSTILE += ["\u202eabc", "\u2028", "é", "e\u0301", "AA", "aa", "aA", "ß", "ss", "\ufeff", " x ", "x.", "C:\\x"]
HOSTILE += [NULL, NULL.lower()]
TEXTS = st.lists(st.one_of(st.text(max_size=12), st.sampled_from(HOSTILE), st.none()), max_size=40)
FILE = f"part-00000-{'0' * 32}.osiris.parquet"


def folded(name):
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


@given(TEXTS)
@example([*HOSTILE, None])
def test_names_are_single_names_that_are_read_back(texts):
    names = folder_names("c", texts)
    assert {*texts} <= names.keys()
    assert len({folded(name) for name in names.values()}) == len(names)
    for text, name in names.items():
        assert PurePosixPath(name).parts == (name,)
        assert name.startswith("c=")
        assert not UNSHOWN.search(name)
        assert not name.endswith((".", " "))
        assert values_of([name], {"c": "utf8"})["c"].as_py() == text


@given(TEXTS)
def test_names_depend_on_the_set_of_values_alone(texts):
    assert folder_names("c", reversed(texts)) == folder_names("c", [*texts, *texts])


@given(st.data(), st.sampled_from(KINDS))
def test_values_of_every_type_are_read_back(data, kind):
    plain = {"bool": st.booleans(), "date": st.dates(), "utf8": st.text(max_size=9)}
    values = plain[kind] if kind in plain else st.integers(*bounds(kind))
    array = pa.array(data.draw(st.lists(st.none() | values, max_size=9)), arrow_type(kind))
    texts = spelled(array, "c").to_pylist()
    names = folder_names("c", texts)
    assert [values_of([names[text]], {"c": kind})["c"] for text in texts] == list(array)


def bounds(kind):
    bits = int(kind.strip("uint"))
    return (0, 2**bits - 1) if kind.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


@given(st.text(max_size=30), st.text(max_size=60))
@example("year=2024", FILE)
@example("year=..", FILE)
@example("year=/../..", FILE)
@example("..", FILE)
@example("", f"/{FILE}")
@example("year=2024", f"../{FILE}")
def test_a_manifest_names_nothing_outside_of_its_folder(folder, name):
    schema = (Field("year", "utf8"), Field("id", "int64"))
    manifest = FolderManifest(1, schema, ("year",), (DeliveredFile(f"{folder}/{name}", 1, "0" * 64),))
    path = PurePosixPath(f"{folder}/{name}")
    if accepted(manifest):
        assert path.parts == (folder, FILE)
        assert folder.startswith("year=")
    else:
        assert name != FILE or "/" in folder or not folder.startswith("year=")


def accepted(manifest):
    """Return whether a manifest is accepted."""
    try:
        parse_manifest(manifest.to_bytes(), "m")
    except OsirisError as error:
        return [item.code for item in error.diagnostics] != ["DAT045"]
    return True
