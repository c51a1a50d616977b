"""URLs of files: their meaning for a step, and which are rejected."""

import pytest

from osiris.errors import OsirisError
from osiris.urls import StoreUrl, family_of, local_path, store_url, stored_as

LAKE = {"bucket": "lake", "prefix": "/raw/in/"}


def problem(call, *words):
    with pytest.raises(OsirisError) as caught:
        call(*words)
    (found,) = caught.value.diagnostics
    assert found.code == "DRV007"
    return found.message


@pytest.mark.parametrize(
    ("text", "family", "fields", "url"),
    [
        ("s3://lake/a/b.csv", "", {}, "s3://lake/a/b.csv"),
        ("S3://lake/a/b.csv", "s3", LAKE, "s3://lake/a/b.csv"),
        ("az://lake/ü %20?.csv", "azure", {}, "az://lake/ü %20?.csv"),
        ("a/b.csv", "s3", LAKE, "s3://lake/raw/in/a/b.csv"),
        ("a/b.csv", "azure", {"bucket": "lake"}, "az://lake/a/b.csv"),
        ("gs://lake/a+b/ü %20?.csv", "gcs", {}, "gs://lake/a+b/ü %20?.csv"),
        ("a/b.csv", "gcs", LAKE, "gs://lake/raw/in/a/b.csv"),
        ("a/b.csv", "s3", {"bucket": "${BUCKET}"}, "s3://${BUCKET}/a/b.csv"),
        ("a/b.csv", "filesystem", LAKE, None),
        ("file:///a/b.csv", "", {}, None),
    ],
)
def test_what_a_text_means(text, family, fields, url):
    found = store_url(text, family, fields)
    assert (str(found) if found else None) == url


@pytest.mark.parametrize(
    ("text", "family", "words"),
    [
        ("gopher://lake/x", "", "supported are file, s3, az, gs"),
        ("s3://lake/x", "azure", "family s3"),
        ("s3://lake/x", "filesystem", "family s3"),
        ("file:///x", "s3", "family 's3'"),
        ("s3:///x", "", "no bucket"),
        ("x", "s3", "no bucket"),
        ("s3://La ke/x", "", "no name of a bucket"),
        ("s3://lake/a//b", "", "empty"),
        ("s3://lake/../b", "", "dot"),
        ("s3://lake/a\nb", "", "control"),
        ("s3://lake/" + "x" * 1001, "", "longer"),
    ],
)
def test_what_is_refused(text, family, words):
    assert words in problem(store_url, text, family, {})


def test_file_urls_are_paths():
    assert local_path("file:///a/b%20c.csv") == "/a/b c.csv"
    assert local_path("file://localhost/a") == "/a"
    assert local_path("a%20b") == "a%20b"
    for text in ("file://server/a", "file://"):
        assert "file:///" in problem(local_path, text)


def test_names_and_families():
    assert family_of("s3://x/y") == "s3"
    assert family_of("az://x/y") == "azure"
    assert family_of("GS://x/y") == "gcs"
    assert [family_of(other) for other in ("x", "file:///x", None, 3)] == [None] * 4
    url = StoreUrl("s3", "lake", "a/b.csv.gz")
    assert (url.name, url.family) == ("b.csv.gz", "s3")


def test_what_stands_in_a_plan_is_told_without_failing():
    assert str(stored_as("x.csv", "@s3.lake", LAKE)) == "s3://lake/raw/in/x.csv"
    assert stored_as("s3://lake/x.csv", None, {}) == StoreUrl("s3", "lake", "x.csv")
    assert stored_as("x.csv", "@filesystem.local", {}) is None
    assert stored_as("s3://lake/x.csv", "@azure.lake", {}) is None
