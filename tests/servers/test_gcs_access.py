"""A local Google Cloud Storage enforces accounts and their rights."""

import time

import httpx
import pytest
from obstore.exceptions import GenericError, PermissionDeniedError, UnauthenticatedError
from obstore.store import GCSStore
from tests.servers.gcs import start_gcs
from tests.servers.gcs.asking import asked, code, names, signed, with_google_auth

READ_ONLY = "https://www.googleapis.com/auth/devstorage.read_only"
TOKENS = "https://oauth2.googleapis.com/token"


@pytest.fixture
def gcs():
    with start_gcs(buckets=["lake"]) as service:
        yield service


DOINGS = {
    "get": lambda store: store.get("there"),
    "missing": lambda store: store.get("missing"),
    "list": names,
    "new": lambda store: store.put("new", b""),
    "again": lambda store: store.put("there", b""),
    "parts": lambda store: store.put("new", b"x", use_multipart=True),
    "copy": lambda store: store.copy("there", "new"),
    "delete": lambda store: store.delete("there"),
}
ALLOWED = {
    "owner": DOINGS.keys(),
    "reader": {"get", "missing", "list"},
    "creator": {"new", "parts"},
    "nobody": set(),
}


@pytest.mark.parametrize("doing", DOINGS)
@pytest.mark.parametrize("who", ALLOWED)
def test_rights(gcs, who, doing):
    gcs.put("lake", "there", b"1")
    store = gcs.store("lake", getattr(gcs, who), retries=0)
    if doing in ALLOWED[who]:
        expected = FileNotFoundError if doing == "missing" else None
    else:
        expected = GenericError if doing == "list" else PermissionDeniedError
    if expected is None:
        DOINGS[doing](store)
        assert {seen.status for seen in gcs.requests} <= {200, 204}
        return
    with pytest.raises(expected, match="NoSuchKey" if doing == "missing" and who in ("owner", "reader") else "403"):
        DOINGS[doing](store)
    assert gcs.get("lake", "there") == b"1"
    assert gcs.keys("lake") == ["there"]


def test_who_may_not_list_does_not_learn_what_is_missing(gcs):
    gcs.put("lake", "there", b"1")
    store = gcs.store("lake", gcs.key("get"), retries=0)
    assert bytes(store.get("there").bytes()) == b"1"
    with pytest.raises(PermissionDeniedError, match=r"storage\.objects\.list"):
        store.get("missing")


def test_who_says_nothing_of_himself_is_anonymous(gcs):
    gcs.put("lake", "x", b"1")
    answer = httpx.get(f"{gcs.endpoint}/lake/x")
    assert code(answer) == (403, "AccessDenied")
    assert "Anonymous caller does not have storage.objects.get access" in answer.text


def test_a_forged_key_is_refused(gcs):
    for doing in (lambda store: store.get("x"), lambda store: store.put("x", b"")):
        with pytest.raises(UnauthenticatedError, match="AuthenticationRequired"):
            doing(gcs.store("lake", gcs.forged))
    with pytest.raises(GenericError, match="401"):
        names(gcs.store("lake", gcs.forged))


def test_a_signed_token_is_checked_in_all_it_says(gcs):
    gcs.put("lake", "x", b"1")
    owner, now = gcs.owner, int(time.time())
    audience = "https://storage.googleapis.com/"
    for good in ({}, {"aud": audience}, {"aud": audience, "scope": None}, {"scope": READ_ONLY}):
        assert asked(gcs, "GET", "lake/x", signed(owner, **good)).content == b"1"
    assert code(asked(gcs, "DELETE", "lake/x", signed(owner, scope=READ_ONLY)))[0] == 403
    wrong = [
        signed(owner, iss="stranger@osiris-tests.iam.gserviceaccount.com"),
        signed(owner, sub="other"),
        signed(owner, aud="https://example.com/"),
        signed(owner, scope="email"),
        signed(owner, scope=None),
        signed(owner, iat=now - 7200, exp=now - 3600),
        signed(owner, iat=now + 600, exp=now + 3600),
        signed(owner, exp=now + 7200),
        signed(owner, exp=None),
        signed(owner, headers={"kid": "0" * 40}),
        signed(owner, gcs.reader),
        signed(owner)[:-8] + "AAAAAAAA",
        "nonsense",
        "ya29.unknown",
    ]
    for token in wrong:
        answer = asked(gcs, "GET", "lake/x", token)
        assert code(answer) == (401, "AuthenticationRequired")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def granted(gcs, assertion, kind="urn:ietf:params:oauth:grant-type:jwt-bearer"):
    return httpx.post(f"{gcs.endpoint}/token", data={"grant_type": kind, "assertion": assertion})


def test_the_token_endpoint_gives_tokens_for_assertions(gcs):
    gcs.put("lake", "x", b"1")
    answer = granted(gcs, signed(gcs.owner, sub=None, aud=f"{gcs.endpoint}/token", scope=READ_ONLY)).json()
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 3600)
    assert asked(gcs, "GET", "lake/x", answer["access_token"]).content == b"1"
    assert code(asked(gcs, "DELETE", "lake/x", answer["access_token"]))[0] == 403
    now = int(time.time())
    refused = {
        "invalid_grant: Invalid JWT Signature.": {"secret": gcs.reader},
        "invalid_grant: Invalid grant: account not found": {"iss": "stranger@example.com"},
        "invalid_grant: Invalid JWT: Token must be a short-lived": {"exp": now - 5, "iat": now - 60},
        "invalid_grant: Invalid JWT: Failed audience check.": {"aud": "https://example.com/token"},
        "invalid_scope: Invalid OAuth scope": {"scope": "email"},
    }
    for told, claims in refused.items():
        answer = granted(gcs, signed(gcs.owner, **{"aud": TOKENS, **claims}))
        error = answer.json()
        assert answer.status_code == 400
        assert f"{error['error']}: {error['error_description']}".startswith(told)
    assert granted(gcs, "a.b").json()["error"] == "invalid_grant"
    assert granted(gcs, signed(gcs.owner, aud=TOKENS), "password").json()["error"] == "unsupported_grant_type"


def test_google_auth_asks_the_token_endpoint(gcs):
    with_google_auth(gcs, gcs.key("get", "list", "create", base_url=False)).put("x", b"1")
    assert [(seen.method, seen.target) for seen in gcs.requests] == [("POST", "/token"), ("PUT", "/lake/x")]
    with pytest.raises(UnauthenticatedError, match="Invalid JWT Signature"):
        with_google_auth(gcs, gcs.forged).get("x")


def test_a_key_without_a_url_comes_here_by_the_store_s_own(gcs):
    options = {"allow_http": True}
    key = gcs.key("create", base_url=False)
    GCSStore("lake", service_account_key=key, base_url=gcs.endpoint, client_options=options).put("x", b"1")
    assert gcs.keys("lake") == ["x"]
    assert gcs.requests[0].caller == "create@osiris-tests.iam.gserviceaccount.com"
