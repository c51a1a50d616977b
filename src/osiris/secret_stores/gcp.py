"""Google Secret Manager.

`${gcp-sm:projects/P/secrets/S#password}`: the newest version, or one with `/versions/V`; a member of its JSON object,
or without a field its text. The login is the file in GOOGLE_APPLICATION_CREDENTIALS, or that of `gcloud auth
application-default login`. The metadata server of Google's machines is not asked.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.distribution import install_command
from osiris.secret_stores import StoreError, parse_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests
    from google.auth.credentials import Credentials

_NAME = re.compile(r"(projects/[\w:.-]+(?:/locations/([a-z0-9-]+))?/secrets/[\w-]+)(/versions/[\w-]+)?", re.ASCII)
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_FILE = "GOOGLE_APPLICATION_CREDENTIALS"
_ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER"
"""The variable by which gcloud has another address."""


def fetch(path: str, field: str | None, environ: Mapping[str, str], timeout: float) -> str | Mapping[str, object]:
    """Return a version of a secret: its text, or with a field the members of its JSON object."""
    try:
        import requests
        from google.auth import exceptions
        from google.auth.transport.requests import AuthorizedSession
    except ImportError:
        raise StoreError("absent", "google-auth, requests", f"install them: {install_command('gcp')}") from None
    name = _NAME.fullmatch(path)
    if name is None:
        raise StoreError("unusable", "the path must be projects/PROJECT/secrets/SECRET, or end with /versions/VERSION")
    address = environ.get(_ENDPOINT) or f"https://secretmanager.{f'{name[2]}.rep.' if name[2] else ''}googleapis.com"
    url = f"{address.rstrip('/')}/v1/{name[1]}{name[3] or '/versions/latest'}:access"
    try:
        with AuthorizedSession(_login(environ), refresh_timeout=timeout) as session:
            return parse_fields(_text(session.get(url, timeout=timeout, allow_redirects=False)), field)
    except exceptions.TransportError:
        raise StoreError("unreachable", "Google's login was not reached") from None
    except exceptions.GoogleAuthError as error:
        raise StoreError(
            "unreachable" if error.retryable else "denied", f"Google rejected the login in {_FILE}"
        ) from None
    except requests.RequestException as error:
        raise StoreError("unreachable", f"Google Secret Manager was not reached ({type(error).__name__})") from None


def _login(environ: Mapping[str, str]) -> Credentials:
    """Return the credentials in the file that the variables name."""
    from google.oauth2 import credentials, service_account

    folder = environ.get("CLOUDSDK_CONFIG") or str(Path(environ.get("HOME", ""), ".config", "gcloud"))
    file = environ.get(_FILE) or str(Path(folder, "application_default_credentials.json"))
    try:
        info = json.loads(Path(file).read_text(encoding="utf-8"))
        kind = info.get("type")
        if kind == "service_account":
            account: Credentials = service_account.Credentials.from_service_account_info(info, scopes=[_SCOPE])
            return account
        if kind == "authorized_user":
            user: Credentials = credentials.Credentials.from_authorized_user_info(info)
            return user
    except OSError:
        remedy = f"export {_FILE}, or run 'gcloud auth application-default login'"
        raise StoreError("unusable", "there is no file with a login to Google", remedy) from None
    except (ValueError, AttributeError):
        raise StoreError("unusable", f"the file in {_FILE} is not a login to Google") from None
    raise StoreError("unusable", f"the file in {_FILE} is neither of a service account nor of a user")


def _text(answer: requests.Response) -> str:
    """Return the text in an answer; raises StoreError for a refusal."""
    try:
        body = answer.json()
        if answer.status_code != 200:
            raise _refused(answer.status_code, str(body["error"]["status"]))
        data = base64.b64decode(body["payload"]["data"], validate=True)
        if int(body["payload"].get("dataCrc32c", _crc32c(data))) != _crc32c(data):
            raise StoreError("unreachable", "the value was damaged on its way: its checksum differs")
        return data.decode()
    except UnicodeDecodeError:
        raise StoreError("missing", "its value is binary, not a text") from None
    except (ValueError, KeyError, TypeError):
        reason = f"the answer is not that of Google Secret Manager (status {answer.status_code})"
        raise StoreError("unreachable", reason) from None


def _refused(status: int, name: str) -> StoreError:
    if status in (401, 403):
        return StoreError("denied", "Google denies this login access to the secret")
    if status == 404:
        return StoreError("missing", "Google has no secret or version of this name")
    if status == 429 or status >= 500:
        return StoreError("unreachable", f"Google Secret Manager could not answer (status {status})")
    if name == "FAILED_PRECONDITION":
        return StoreError("missing", "this version is disabled or destroyed")
    return StoreError("unusable", f"Google Secret Manager rejected the request with status {status}")


def _crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli) of at most 64 KiB."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
