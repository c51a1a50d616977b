import hashlib

import pytest

from osiris.delivery import has_ledger, inspect_file, inspect_ledger, is_still_there


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
