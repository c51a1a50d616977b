import hashlib

import pytest

from osiris.delivery import (
    MANIFEST,
    DeliveredFile,
    FolderManifest,
    has_ledger,
    inspect_file,
    inspect_ledger,
    is_still_there,
    parse_manifest,
)
from osiris.model import Field


def test_file_is_inspected(tmp_path):
    (tmp_path / "x").write_bytes(b"content" * 100_000)
    found = inspect_file(tmp_path, "x")
    assert (found.path, found.size) == ("x", 700_000)
    assert found.sha256 == hashlib.sha256(b"content" * 100_000).hexdigest()
    assert is_still_there(tmp_path, [found.to_json()])
    assert is_still_there(tmp_path, [])


def test_a_known_hash_is_not_computed_again(tmp_path):
    (tmp_path / "x").write_bytes(b"content")
    assert inspect_file(tmp_path, "x", "known").to_json() == {"path": "x", "size": 7, "sha256": "known"}


def test_missing_file(tmp_path):
    for known in (None, "known"):
        with pytest.raises(FileNotFoundError):
            inspect_file(tmp_path, "x", known)
    assert not is_still_there(tmp_path, [{"path": "x", "size": 0, "sha256": hashlib.sha256(b"").hexdigest()}])


def test_a_ledger_is_there_as_long_as_its_file_is(tmp_path):
    database = tmp_path / "data.db"
    database.write_bytes(b"one")
    ledger = inspect_ledger(tmp_path, "data.db")
    database.write_bytes(b"other rows")
    assert has_ledger(tmp_path, ledger)
    copy = tmp_path / "copy.db"
    copy.write_bytes(b"one")
    copy.replace(database)
    assert not has_ledger(tmp_path, ledger)
    database.unlink()
    assert not has_ledger(tmp_path, ledger)
    assert has_ledger(tmp_path, None)


def test_an_object_of_a_store_is_never_taken_for_there(tmp_path):
    told = {"path": "s3://lake/x.csv", "size": 0, "sha256": hashlib.sha256(b"").hexdigest(), "etag": "1"}
    (tmp_path / "s3:" / "lake").mkdir(parents=True)
    (tmp_path / "s3:" / "lake" / "x.csv").touch()
    assert not is_still_there(tmp_path, [told])


def folder(root, content=b"rows"):
    """A published folder with one file."""
    sha256 = hashlib.sha256(content).hexdigest()
    path = f"year=2024/part-00000-{sha256[:32]}.osiris.parquet"
    manifest = FolderManifest(
        1, (Field("year", "int64"), Field("id", "int64")), ("year",), (DeliveredFile(path, len(content), sha256),)
    )
    (root / "lake/year=2024").mkdir(parents=True)
    (root / "lake" / path).write_bytes(content)
    (root / "lake" / MANIFEST).write_bytes(manifest.to_bytes())
    return root / "lake" / path


def test_a_published_folder_is_there_as_long_as_its_files_are_what_the_manifest_says(tmp_path):
    file = folder(tmp_path)
    found = inspect_file(tmp_path, "lake/").to_json()
    manifest = (tmp_path / "lake" / MANIFEST).read_bytes()
    assert found == {"path": "lake/", "size": 4 + len(manifest), "sha256": hashlib.sha256(manifest).hexdigest()}
    assert is_still_there(tmp_path, [found])
    (tmp_path / "lake" / "other").write_bytes(b"of somebody")
    assert is_still_there(tmp_path, [found])
    file.write_bytes(b"more")
    assert not is_still_there(tmp_path, [found])
    file.write_bytes(b"rows")
    assert is_still_there(tmp_path, [found])
    for content in (b"{}", manifest.replace(b'"rows":1', b'"rows":2')):
        (tmp_path / "lake" / MANIFEST).write_bytes(content)
        assert not is_still_there(tmp_path, [found])
    (tmp_path / "lake" / MANIFEST).unlink()
    assert not is_still_there(tmp_path, [found])


def test_a_manifest_is_read_as_it_was_written(tmp_path):
    folder(tmp_path)
    content = (tmp_path / "lake" / MANIFEST).read_bytes()
    found = parse_manifest(content, "m")
    assert found.to_bytes() == content
    assert (found.rows, found.size, found.partition_by) == (1, 4, ("year",))
