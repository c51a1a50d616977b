import hashlib

import pytest

from osiris.delivery import inspect_file, is_still_there


def test_file_is_inspected(tmp_path):
    (tmp_path / "x").write_bytes(b"content" * 100_000)
    found = inspect_file(tmp_path, "x")
    assert (found.path, found.size) == ("x", 700_000)
    assert found.sha256 == hashlib.sha256(b"content" * 100_000).hexdigest()
    assert is_still_there(tmp_path, [found.to_json()])
    assert is_still_there(tmp_path, [])


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        inspect_file(tmp_path, "x")
    assert not is_still_there(tmp_path, [{"path": "x", "size": 0, "sha256": hashlib.sha256(b"").hexdigest()}])
