"""How a test sends requests to a local Google Cloud Storage without obstore."""

import functools
import json
import time
from xml.etree import ElementTree as ET

import httpx
import jwt
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from google.oauth2.service_account import Credentials
from obstore.auth.google import GoogleCredentialProvider
from obstore.store import GCSStore

ALL = "https://www.googleapis.com/auth/cloud-platform"


def signed(key, secret=None, headers=None, **claims):
    """Return a token as a client makes it: `key` says who, and `secret` signs, by default the same."""
    key, now = json.loads(key), int(time.time())
    email = key["client_email"]
    whole = {"iss": email, "sub": email, "scope": ALL, "iat": now, "exp": now + 3600, **claims}
    kept = {name: value for name, value in whole.items() if value is not None}
    told = headers or {"kid": key["private_key_id"]}
    return jwt.encode(kept, loaded((json.loads(secret) if secret else key)["private_key"]), "RS256", headers=told)


@functools.cache
def loaded(pem):
    return load_pem_private_key(pem.encode(), None)


def asked(gcs, method, path, token=None, **more):
    """Send a plain request, with the owner's token unless another is given."""
    headers = {"Authorization": f"Bearer {token or signed(gcs.owner)}", **more.pop("headers", {})}
    return httpx.request(method, f"{gcs.endpoint}/{path}", headers=headers, **more)


def code(answer):
    return answer.status_code, ET.fromstring(answer.content).findtext("Code")


def names(store, **more):
    return [meta["path"] for chunk in store.list(**more) for meta in chunk]


def with_google_auth(gcs, key):
    credentials = Credentials.from_service_account_info(json.loads(key), scopes=[ALL])
    options = {"allow_http": True}
    provider = GoogleCredentialProvider(credentials)
    return GCSStore("lake", base_url=gcs.endpoint, credential_provider=provider, client_options=options)
