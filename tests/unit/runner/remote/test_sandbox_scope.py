"""The hosts that a sandbox may reach: those of the stores and servers that its steps use, and no others."""

from datetime import timedelta
from urllib.parse import urlsplit

import obstore
import pytest

from osiris.families.stores.bucket import host_of, open_bucket
from osiris.runner.limits import limits_of
from osiris.runner.protocol import Job, Secrets
from osiris.runner.remote.sandbox_scope import scope_of
from osiris.secret import Secret
from osiris.urls import store_url

S3_KEY = {"access_key_id": Secret("id"), "secret_access_key": Secret("key")}
AZURE_KEY = {"account": "shop", "account_key": Secret("a2V5")}


def reached(root, fields, *steps):
    told = [
        {"id": str(n), "component": f"filesystem.csv_{kind}", "mode": mode, "connection": ref, "config": {"path": path}}
        for n, (kind, mode, ref, path) in enumerate(steps)
    ]
    secrets = Secrets()
    secrets.plain.update(fields)
    return scope_of(Job("run", str(root), "scratch", "artifacts", limits_of(1, 1), told), secrets)


@pytest.mark.parametrize(
    ("ref", "path", "fields", "host"),
    [
        ("@s3.lake", "s3://lake/x.csv", {}, "lake.s3.us-east-1.amazonaws.com"),
        ("@s3.lake", "x.csv", {"bucket": "raw", "region": "eu-west-1"}, "raw.s3.eu-west-1.amazonaws.com"),
        ("@s3.lake", "s3://lake/x.csv", {"addressing": "path"}, "s3.us-east-1.amazonaws.com"),
        ("@s3.lake", "s3://lake/x.csv", {"endpoint": "http://store.example:8333"}, "store.example"),
        ("@azure.lake", "az://lake/x.csv", {"account": "shop"}, "shop.blob.core.windows.net"),
        (
            "@azure.lake",
            "x.csv",
            {"account": "shop", "bucket": "raw", "endpoint": "https://a.example/shop"},
            "a.example",
        ),
        ("@gcs.lake", "gs://lake/x.csv", {}, "storage.googleapis.com"),
        ("@gcs.lake", "x.csv", {"bucket": "raw", "endpoint": "https://[::1]:4443/"}, "::1"),
    ],
)
def test_stores(tmp_path, ref, path, fields, host):
    (tmp_path / "x.csv").write_text("a local file of that name is another one\n")
    for step in (("extractor", "read", ref, path), ("writer", "write", ref, path)):
        reach = reached(tmp_path, {ref: fields}, step)
        assert (reach.hosts, reach.network) == ((host,), True)
        assert (reach.reads, reach.writes, reach.folders) == ((), (), ())


def test_local_files_need_no_network(tmp_path):
    (tmp_path / "x.csv").write_text("id\n")
    steps = (("extractor", "read", None, "x.csv"), ("writer", "write", "@filesystem.here", "y.csv"))
    reach = reached(tmp_path, {"@filesystem.here": {"base_dir": "out"}}, *steps)
    assert (reach.hosts, reach.network) == ((), False)
    assert (reach.reads, reach.writes) == ((tmp_path / "x.csv",), (tmp_path / "out/y.csv",))


@pytest.mark.parametrize(
    ("url", "fields"),
    [
        ("s3://lake/x", {**S3_KEY, "region": "eu-west-1"}),
        ("s3://lake/x", {**S3_KEY, "addressing": "path"}),
        ("s3://lake/x", {**S3_KEY, "endpoint": "https://store.example"}),
        ("s3://lake/x", {**S3_KEY, "endpoint": "https://store.example", "addressing": "host"}),
        ("az://lake/x", AZURE_KEY),
        ("az://lake/x", {**AZURE_KEY, "endpoint": "https://a.example/shop"}),
    ],
)
def test_the_client_goes_to_the_same_host(url, fields):
    meant = store_url(url)
    link = obstore.sign(open_bucket(meant.family, fields, meant.bucket).store, "GET", meant.key, timedelta(minutes=1))
    assert urlsplit(link).hostname == host_of(meant, fields)
