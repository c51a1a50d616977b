"""The double of Google Secret Manager answers as its reference says."""

import base64
import json

import google.auth.exceptions
import google.auth.transport.requests
import httpx
import pytest
import requests
from google.oauth2.service_account import Credentials
from tests.patience import SOON
from tests.servers.gcp_secrets import QUOTA, SERVICE_DISABLED, UNAVAILABLE

SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]


def ask(service, name="db", version="latest", token=None, project=None, **more):
    path = f"/v1/projects/{project or service.project}/secrets/{name}/versions/{version}:access"
    headers = {"Authorization": f"Bearer {token or service.token()}"}
    return httpx.get(service.endpoint + path, headers=headers, **more)


def refusal(answer):
    error = answer.json()["error"]
    assert error["code"] == answer.status_code
    return error["code"], error["status"], error["message"]


def granted(key):
    """A token as google-auth asks for it."""
    credentials = Credentials.from_service_account_info(json.loads(key), scopes=SCOPES)
    with requests.Session() as session:
        credentials.refresh(google.auth.transport.requests.Request(session))
    return credentials.token


def bitwise_crc32c(data):
    """The checksum by its definition (polynomial 1EDC6F41, reflected)."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def test_versions(gcp_secrets):
    assert bitwise_crc32c(b"123456789") == 0xE3069283
    assert gcp_secrets.put("db", "first") == 1
    assert gcp_secrets.put("db", b"\0\xff") == 2
    for version, number, data in (("latest", 2, b"\0\xff"), ("1", 1, b"first"), ("2", 2, b"\0\xff")):
        answer = ask(gcp_secrets, version=version)
        assert answer.headers["content-type"] == "application/json; charset=UTF-8"
        assert answer.json()["name"] == f"projects/{gcp_secrets.number}/secrets/db/versions/{number}"
        payload = answer.json()["payload"]
        assert base64.b64decode(payload["data"]) == data
        assert payload["dataCrc32c"] == str(bitwise_crc32c(data))
    assert ask(gcp_secrets, project=gcp_secrets.number).status_code == 200
    assert ask(gcp_secrets, project=f"{gcp_secrets.project}/locations/europe-west3").status_code == 200
    gcp_secrets.wrong_checksum = True
    assert ask(gcp_secrets).json()["payload"]["dataCrc32c"] != str(bitwise_crc32c(b"\0\xff"))


def test_what_is_missing(gcp_secrets):
    code, status, message = refusal(ask(gcp_secrets))
    assert (code, status) == (404, "NOT_FOUND")
    assert message.endswith("/secrets/db] not found or has no versions.")
    gcp_secrets.put("db", "x")
    assert refusal(ask(gcp_secrets, version="2"))[2].endswith("/versions/2] not found.")
    for bad in ({"version": "0"}, {"version": "new"}, {"name": "a.b"}):
        assert refusal(ask(gcp_secrets, **bad))[:2] == (400, "INVALID_ARGUMENT")
    assert httpx.get(gcp_secrets.endpoint + "/v1/other").headers["content-type"] == "text/html"


def test_states(gcp_secrets):
    gcp_secrets.put("db", "1")
    gcp_secrets.put("db", "2")
    gcp_secrets.disable("db")
    code, status, message = refusal(ask(gcp_secrets))
    assert (code, status) == (400, "FAILED_PRECONDITION")
    assert message.endswith("is in DISABLED state.")
    assert ask(gcp_secrets, version="1").status_code == 200
    gcp_secrets.enable("db")
    assert ask(gcp_secrets).status_code == 200
    gcp_secrets.destroy("db", 1)
    assert refusal(ask(gcp_secrets, version="1"))[2].endswith("is in DESTROYED state.")


def test_accounts(gcp_secrets):
    gcp_secrets.put("db", "x")
    token = granted(gcp_secrets.key)
    assert ask(gcp_secrets, token=token).status_code == 200
    assert refusal(ask(gcp_secrets, token=granted(gcp_secrets.outsider)))[:2] == (403, "PERMISSION_DENIED")
    assert refusal(ask(gcp_secrets, token=token, project="other"))[:2] == (403, "PERMISSION_DENIED")
    with pytest.raises(google.auth.exceptions.RefreshError, match="Invalid JWT Signature"):
        granted(gcp_secrets.forged)
    gcp_secrets.expire_tokens()
    answer = ask(gcp_secrets, token=token)
    assert refusal(answer)[:2] == (401, "UNAUTHENTICATED")
    assert answer.json()["error"]["details"][0]["reason"] == "ACCESS_TOKEN_EXPIRED"
    assert ask(gcp_secrets, token=granted(gcp_secrets.key)).status_code == 200
    assert refusal(ask(gcp_secrets, token="wrong"))[:2] == (401, "UNAUTHENTICATED")
    path = "/v1/projects/osiris-tests/secrets/db/versions/latest:access"
    assert httpx.get(gcp_secrets.endpoint + path).status_code == 401


def test_faults(gcp_secrets):
    gcp_secrets.put("db", "x")
    gcp_secrets.server.script.extend([QUOTA, UNAVAILABLE, SERVICE_DISABLED])
    assert [ask(gcp_secrets).status_code for _ in range(4)] == [429, 503, 403, 200]
    gcp_secrets.server.faults.hang = True
    with pytest.raises(httpx.ReadTimeout):
        ask(gcp_secrets, timeout=httpx.Timeout(SOON, read=0.2))
