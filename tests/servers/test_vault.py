"""The double of Vault answers as its documentation says."""

import socket
import ssl
import time

import httpx
import pytest
from tests.patience import SOON, wait_until
from tests.servers.vault import RATE_LIMITED, start_vault


def ask(vault, path, token=None, method="GET", namespace=None, **more):
    headers = {"X-Vault-Token": vault.root if token is None else token}
    headers |= {"X-Vault-Namespace": namespace} if namespace else {}
    return httpx.request(method, f"{vault.address}/v1/{path}", headers={k: v for k, v in headers.items() if v}, **more)


def told(answer):
    return answer.status_code, answer.json().get("errors")


def test_versions(vault):
    assert vault.put("secret/app/db", {"password": "one"}) == 1
    assert vault.put("secret/app/db", {"password": "zwei ü", "port": 5432}) == 2
    newest = ask(vault, "secret/data/app/db")
    assert newest.headers["content-type"] == "application/json"
    assert newest.json()["data"]["data"] == {"password": "zwei ü", "port": 5432}
    assert newest.json()["data"]["metadata"]["version"] == 2
    assert ask(vault, "secret/data/app/db?version=1").json()["data"]["data"] == {"password": "one"}
    assert told(ask(vault, "secret/data/app/db?version=3")) == (404, [])
    assert ask(vault, "secret/data/app/db?version=x").status_code == 400
    assert told(ask(vault, "secret/data/app")) == (404, [])


@pytest.mark.parametrize("way", ["delete", "destroy"])
def test_a_version_that_no_longer_exists_is_404_with_metadata(vault, way):
    vault.put("secret/app", {"a": 1})
    getattr(vault, way)("secret/app")
    answer = ask(vault, "secret/data/app")
    assert answer.status_code == 404
    assert "errors" not in answer.json()
    data = answer.json()["data"]
    assert data["data"] is None
    assert data["metadata"]["destroyed"] is (way == "destroy")
    assert bool(data["metadata"]["deletion_time"]) is (way == "delete")


def test_the_first_version(vault):
    vault.put("kv/app", {"a": "1"})
    assert ask(vault, "kv/app").json()["data"] == {"a": "1"}
    assert told(ask(vault, "kv/data/app")) == (404, [])
    vault.delete("kv/app")
    assert told(ask(vault, "kv/app")) == (404, [])


def test_a_path_of_the_first_version_in_the_second_is_a_warning(vault):
    vault.put("secret/app", {"a": "1"})
    answer = ask(vault, "secret/app")
    assert (answer.status_code, answer.json()["data"]) == (404, None)
    assert "versioned K/V" in answer.json()["warnings"][0]


def test_mounts_are_detected(vault):
    vault.mount("secret/deep", 1)
    assert ask(vault, "sys/internal/ui/mounts/secret/app").json()["data"]["options"] == {"version": "2"}
    deep = ask(vault, "sys/internal/ui/mounts/secret/deep/app").json()["data"]
    assert (deep["options"], deep["path"], deep["type"]) == (None, "secret/deep/", "kv")
    for token in (None, vault.token("kv/*")):
        status, errors = told(
            ask(vault, "sys/internal/ui/mounts/" + ("none/x" if token is None else "secret/x"), token)
        )
        assert status == 403
        assert errors[0].startswith("preflight capability check returned 403")
    assert told(ask(vault, "none/x")) == (404, ['no handler for route "none/x". route entry not found.'])


def test_rights(vault):
    vault.put("secret/app/db", {"a": 1})
    vault.put("secret/other", {"a": 1})
    token = vault.token("secret/data/app/*", "secret/data/+/x")
    assert ask(vault, "secret/data/app/db", token).status_code == 200
    assert ask(vault, "secret/data/y/x", token).status_code == 404
    status, errors = told(ask(vault, "secret/data/other", token))
    assert (status, "permission denied" in errors[0]) == (403, True)
    assert ask(vault, "sys/internal/ui/mounts/secret/app/db", token).status_code == 200


def test_refused_tokens(vault):
    vault.put("secret/a", {"a": 1})
    assert told(ask(vault, "secret/data/a", "")) == (403, ["permission denied"])
    once = vault.token(uses=1)
    assert ask(vault, "secret/data/a", once).status_code == 200
    for token in (once, "wrong", vault.token(ttl=0)):
        status, errors = told(ask(vault, "secret/data/a", token))
        assert (status, "permission denied" in errors[0]) == (403, True)
    bearer = {"Authorization": f"Bearer {vault.root}"}
    assert httpx.get(f"{vault.address}/v1/secret/data/a", headers=bearer).status_code == 200


def test_approle(vault):
    vault.put("secret/a", {"a": 1})
    role, secret = vault.approle("secret/data/a", ttl=60)
    for given, error in (
        ({"role_id": role, "secret_id": "x"}, "invalid role or secret ID"),
        ({"role_id": role}, "missing secret_id"),
        ({}, "missing role_id"),
    ):
        assert told(ask(vault, "auth/approle/login", "", "POST", json=given)) == (400, [error])
    assert ask(vault, "auth/approle/login", "", "POST", content=b"{").status_code == 400
    assert ask(vault, "auth/approle/login", "").status_code == 405
    auth = ask(vault, "auth/approle/login", "", "POST", json={"role_id": role, "secret_id": secret}).json()["auth"]
    assert auth["lease_duration"] == 60
    assert ask(vault, "secret/data/a", auth["client_token"]).status_code == 200
    assert ask(vault, "secret/data/b", auth["client_token"]).status_code == 403
    role, secret = vault.approle(mount="ci")
    auth = ask(vault, "auth/ci/login", "", "PUT", json={"role_id": role, "secret_id": secret}).json()["auth"]
    assert ask(vault, "secret/data/b", auth["client_token"]).status_code == 404


def test_namespaces(vault):
    vault.mount("team/kv", 2, namespace="eng")
    vault.put("team/kv/a", {"a": 1}, namespace="eng")
    assert ask(vault, "team/kv/data/a", namespace="eng").status_code == 200
    assert ask(vault, "team/kv/data/a", namespace="/eng/").status_code == 200
    assert ask(vault, "eng/team/kv/data/a").status_code == 200
    assert ask(vault, "team/kv/data/a").status_code == 404
    assert ask(vault, "team/kv/data/a", namespace="other").status_code == 404
    inner = vault.token(namespace="eng")
    assert ask(vault, "team/kv/data/a", inner, namespace="eng").status_code == 200
    assert ask(vault, "secret/data/a", inner).status_code == 403


@pytest.mark.parametrize(
    ("state", "health", "read"),
    [
        ("active", 200, 200),
        ("sealed", 503, 503),
        ("standby", 429, 500),
        ("performance-standby", 473, 200),
        ("uninitialized", 501, 503),
    ],
)
def test_states(vault, state, health, read):
    vault.put("secret/a", {"a": 1})
    vault.state = state
    assert ask(vault, "sys/health", "").status_code == health
    answer = ask(vault, "secret/data/a")
    assert answer.status_code == read
    assert state != "sealed" or told(answer) == (503, ["Vault is sealed"])


def test_a_standby_redirects_to_the_active_node(vault):
    vault.put("secret/a", {"a": 1})
    with start_vault() as other:
        other.state, other.active = "standby", vault.address
        answer = ask(other, "secret/data/a?version=1")
        assert (answer.status_code, answer.headers["location"]) == (307, f"{vault.address}/v1/secret/data/a?version=1")


def test_paths_that_are_no_paths(vault):
    with socket.create_connection(("127.0.0.1", vault.server.server_port)) as raw:
        raw.sendall(b"GET /v1/secret/data/../x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = raw.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 301")
    assert b"Location: /v1/secret/x" in answer
    assert ask(vault, "secret/data/a%0Ab").status_code == 400
    assert ask(vault, "secret/data//a").status_code == 301
    assert httpx.get(vault.address + "/secret/data/a").status_code == 404
    assert ask(vault, "secret/data/a", method="DELETE").status_code == 405


def test_faults(vault):
    vault.put("secret/a", {"a": "x" * 1000})
    vault.server.script.append(RATE_LIMITED)
    assert ask(vault, "secret/data/a").headers["retry-after"] == "1"
    vault.server.faults.content_type = "text/html"
    assert ask(vault, "secret/data/a").headers["content-type"] == "text/html"
    vault.server.faults.rate = 4000
    started = time.monotonic()
    assert ask(vault, "secret/data/a").status_code == 200
    assert time.monotonic() - started > 0.2
    vault.server.faults.cut = 10
    with pytest.raises(httpx.RemoteProtocolError):
        ask(vault, "secret/data/a")
    vault.server.faults.drop = True
    with pytest.raises(httpx.RemoteProtocolError):
        ask(vault, "secret/data/a")
    vault.server.faults.drop, vault.server.faults.hang = False, True
    with pytest.raises(httpx.ReadTimeout):
        ask(vault, "secret/data/a", timeout=httpx.Timeout(SOON, read=0.2))
    vault.server.faults.path = "/v1/auth"
    assert ask(vault, "secret/data/b").status_code == 404
    wait_until(lambda: len(vault.requests) == 7)
    vault.server.stop()
    with pytest.raises(httpx.ConnectError):
        ask(vault, "secret/data/a")


def test_tls(vault_tls):
    vault_tls.put("secret/a", {"a": 1})
    with pytest.raises(httpx.ConnectError, match=r"self-signed|unable to get"):
        ask(vault_tls, "secret/data/a")
    context = ssl.create_default_context(cafile=vault_tls.environment["VAULT_CACERT"])
    assert ask(vault_tls, "secret/data/a", verify=context).status_code == 200
    with start_vault(tls=True, expired=True) as old:
        context = ssl.create_default_context(cafile=old.ca)
        with pytest.raises(httpx.ConnectError, match="expired"):
            ask(old, "secret/data/a", verify=context)
