"""Secrets in files of the project: the host reads them, they are treated like all secrets, and they are stored nowhere
else.
"""

import pytest

from osiris.errors import OsirisError
from osiris.registry import load_registry
from osiris.runner.credentials import resolve_secrets, scrubber_of

KEY = (
    '{"type": "service_account", "client_email": "app@shop-4711.example",'
    ' "private_key": "-----BEGIN-----\\nc4nary/line/one\\n"}\n'
)


def resolved(root, environ=None, **fields):
    return resolve_secrets(root, {"@gcs.lake": fields}, (), load_registry(), environ or {})


def test_the_text_of_the_file_is_the_secret(tmp_path):
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/.lake.json").write_text(KEY)
    secrets = resolved(tmp_path, {"NAME": ".lake"}, bucket="lake", service_account_file="keys/${NAME}.json")
    assert secrets.secret == {"@gcs.lake": {"service_account_key": KEY}}
    assert secrets.plain == {"@gcs.lake": {"bucket": "lake", "service_account_file": "keys/.lake.json"}}
    said = scrubber_of(secrets).text("app@shop-4711.example: c4nary/line/one")
    assert said == "app@shop-4711.example: ***"


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("none.json", "none.json"),
        ("../outside.json", "leads outside the project"),
        ("link.json", "leads outside the project"),
        ("folder", "directory"),
        ("large.json", "64 KiB"),
        ("latin.json", "UTF-8"),
        ("s3://lake/key.json", "local path"),
    ],
)
def test_what_is_no_file_of_the_project_is_refused(tmp_path, path, problem):
    root = tmp_path / "project"
    (root / "folder").mkdir(parents=True)
    (tmp_path / "outside.json").write_text(KEY)
    (root / "link.json").symlink_to(tmp_path / "outside.json")
    (root / "large.json").write_text("x" * 70_000)
    (root / "latin.json").write_bytes(b"\xe9")
    with pytest.raises(OsirisError) as caught:
        resolved(root, service_account_file=path)
    (found,) = caught.value.diagnostics
    assert (found.code, found.location.pointer) == ("CON044", "/connections/gcs/lake/service_account_file")
    assert problem in found.message
    assert "c4nary" not in found.message


def test_a_key_is_given_once(tmp_path):
    (tmp_path / "key.json").write_text(KEY)
    with pytest.raises(OsirisError, match="are both set") as caught:
        resolved(tmp_path, {"KEY": KEY}, service_account_file="key.json", service_account_key="${KEY}")
    assert [item.code for item in caught.value.diagnostics] == ["CON044"]
