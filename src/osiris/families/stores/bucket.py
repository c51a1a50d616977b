"""A bucket of an object store: how each service opens it, and how its errors are translated.

The client library has few types of errors, with the cause only in their text. So after an error, one more request is
sent to the server, whose response has a status and a code.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias
from urllib.parse import quote, urlsplit

from osiris.errors import fail
from osiris.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from obstore.store import ObjectStore

    from osiris.model import JsonValue
    from osiris.urls import StoreUrl

    Fields: TypeAlias = Mapping[str, JsonValue]
    """The fields of a connection."""

CONNECT, SILENCE = 10.0, 120.0
"""Default timeouts in seconds: for connecting, and for one request."""

Answer = tuple[int, str]
"""Status and error code of a response; the status is 0 if no request could be sent."""

_FORBIDDEN = (401, 403)

_KEY_FIELDS = ("access_key_id", "session_token", "account_key", "sas_token")
_PLAIN = re.compile(r"[\x21-\x7e]+")
_ENDPOINT = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?")
_CODE = re.compile(rb"<Code>([A-Za-z0-9]{1,80})</Code>")
_LINK_LASTS = timedelta(minutes=5)
_ENOUGH = 4096


def text_of(fields: Fields, name: str) -> str | None:
    """Return a field of a connection as text, a secret one revealed; None if it is not given or empty."""
    value = fields.get(name)
    return (value.reveal() if isinstance(value, Secret) else str(value) if value is not None else "") or None


def read_timeout(fields: Fields) -> float:
    """Return the timeout of a request in seconds."""
    return float(fields.get("read_timeout") or SILENCE)


def _plain(fields: Fields, name: str) -> str | None:
    """Return a field for a header or address; fails with CON070 or CON071 if it has invalid characters."""
    text = text_of(fields, name)
    if text and not _PLAIN.fullmatch(text):
        code = "CON071" if name in _KEY_FIELDS else "CON070"
        fail(code, field=f"'{name}'", problem="contains a space, a line break or a character that is not ASCII")
    return text


def _endpoint(fields: Fields) -> str | None:
    """Return the server's URL, None if none is given; fails with CON070 if it is not a URL."""
    endpoint = text_of(fields, "endpoint")
    if endpoint and not _ENDPOINT.fullmatch(endpoint):
        fail("CON070", field="'endpoint'", problem="must be a URL like https://host:port")
    return endpoint


def _client(fields: Fields, **options: Any) -> dict[str, Any]:  # noqa: ANN401  whatever a service takes
    """Return the arguments of a client: those options that are not None, timeouts and retries.

    Connections are encrypted unless the endpoint begins with http://.
    """
    silence = timedelta(seconds=read_timeout(fields))
    return {
        "config": {name: value for name, value in options.items() if value is not None},
        "client_options": {
            "allow_http": (text_of(fields, "endpoint") or "").startswith("http://"),
            "connect_timeout": timedelta(seconds=float(fields.get("connect_timeout") or CONNECT)),
            "timeout": silence,
        },
        "retry_config": {"max_retries": 3, "retry_timeout": silence},
    }


def answer_to(link: str, seconds: float) -> Answer | None:
    """Request the first byte of a URL; None if there is no response."""
    import httpx

    plain = {"Range": "bytes=0-0", "Accept-Encoding": "identity"}
    try:
        with httpx.stream("GET", link, headers=plain, timeout=seconds, trust_env=False) as answer:
            body = next(answer.iter_raw(_ENOUGH), b"")  # of one that heeds no range, the rest may be large
    except httpx.TransportError:
        return None
    match = _CODE.search(body)
    return answer.status_code, answer.headers.get("x-ms-error-code", match[1].decode() if match else "")


def _ask_by_link(store: ObjectStore, address: str, fields: Fields, key: str) -> Answer | None:
    """Request the first byte of an object by a signed URL, or without a key by a plain URL below `address`."""
    import obstore
    from obstore.exceptions import BaseError

    seconds = read_timeout(fields)
    try:
        link = obstore.sign(store, "GET", key or "-", _LINK_LASTS)  # type: ignore[call-overload]
    except BaseError:  # there is no key that could sign
        answer = answer_to(f"{address}/{quote(key or '-')}", seconds)
        return (answer[0], "AccessDenied") if answer and answer[0] in _FORBIDDEN else answer
    return answer_to(str(link), seconds)


@dataclass(frozen=True, slots=True)
class Service:
    """A storage service, or servers with the same API.

    `connect(fields, bucket)` returns a client without sending a request; it fails with CON016 or CON067 to CON071 for
    invalid fields. `where(fields)` is the server's name for messages, `address(fields, bucket)` the URL prefix of all
    objects. `ask(store, address, fields, key)` returns status and code of the response to a request for an object,
    None without one. `refused` are the codes for an invalid key, `missing` those for a missing bucket.
    """

    connect: Callable[[Fields, str], ObjectStore]
    where: Callable[[Fields], str]
    address: Callable[[Fields, str], str]
    refused: Sequence[str]
    missing: Sequence[str]
    ask: Callable[[ObjectStore, str, Fields, str], Answer | None] = _ask_by_link


# --- Amazon S3 --------------------------------------------------------------------------------------------------------

_REGION = "us-east-1"
_S3_KEYS = ("access_key_id", "secret_access_key")


def _connect_s3(fields: Fields, bucket: str) -> ObjectStore:
    from obstore.store import S3Store

    keys = [name for name in _S3_KEYS if text_of(fields, name)]
    if len(keys) == 1:
        [missing] = {*_S3_KEYS} - {*keys}
        fail("CON067", missing=f"'{missing}', which '{keys[0]}' needs")
    options = _client(
        fields,
        endpoint=_endpoint(fields),
        access_key_id=_plain(fields, "access_key_id"),
        session_token=_plain(fields, "session_token"),
        secret_access_key=text_of(fields, "secret_access_key"),
        region=_plain(fields, "region") or _REGION,
        virtual_hosted_style_request=_is_in_host(fields),
        skip_signature=not keys,
    )
    return S3Store(bucket, **options)


def _s3_address(fields: Fields, bucket: str) -> str:
    own = f"s3.{_plain(fields, 'region') or _REGION}.amazonaws.com"
    in_host = _is_in_host(fields)
    server = (_endpoint(fields) or f"https://{f'{bucket}.' * in_host}{own}").rstrip("/")
    return server if in_host else f"{server}/{bucket}"


def _is_in_host(fields: Fields) -> bool:
    """Return whether the bucket is in the host name; by default it is in the path if there is an endpoint."""
    return bool(fields.get("addressing", "path" if _endpoint(fields) else "host") == "host")


_S3 = Service(
    _connect_s3,
    lambda fields: text_of(fields, "endpoint") or f"S3 in {text_of(fields, 'region') or _REGION}",
    _s3_address,
    refused=("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired"),
    missing=("NoSuchBucket",),
)

# --- Azure Blob Storage, whose buckets are containers -----------------------------------------------------------------

_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")


def _connect_azure(fields: Fields, bucket: str) -> ObjectStore:
    from obstore.store import AzureStore

    account, key, token = (_plain(fields, name) for name in ("account", "account_key", "sas_token"))
    if not account:
        fail("CON067", missing="'account', the name of the storage account")
    if not _ACCOUNT.fullmatch(account):
        fail("CON070", field="'account'", problem="must be 3 to 24 lower-case letters and digits")
    options = _client(
        fields,
        account_name=account,
        account_key=key,
        sas_key=None if key else token,
        endpoint=_endpoint(fields),
        skip_signature=not (key or token),
    )
    return AzureStore(bucket, **options)


def _azure_address(fields: Fields, container: str) -> str:
    own = f"https://{text_of(fields, 'account')}.blob.core.windows.net"
    return f"{(_endpoint(fields) or own).rstrip('/')}/{container}"


_AZURE = Service(
    _connect_azure,
    lambda fields: text_of(fields, "endpoint") or f"Azure account {text_of(fields, 'account')}",
    _azure_address,
    refused=(
        "AuthenticationFailed",
        "AuthorizationFailure",
        "InvalidAuthenticationInfo",
        "NoAuthenticationInformation",
    ),
    missing=("ContainerNotFound", "ContainerBeingDeleted", "AccountNotFound"),
)

# --- Google Cloud Storage ---------------------------------------------------------------------------------------------

# A service account's key signs tokens locally, so all requests go to the store. Without a key the client would search
# environment variables, the home folder and the metadata service: so it is always given one.
_GOOGLE = "https://storage.googleapis.com"
_GCS_KEY = "service_account_key"
_GCS_KEY_PARTS = ("client_email", "private_key_id", "private_key")
_NOBODY: dict[str, JsonValue] = {**dict.fromkeys(_GCS_KEY_PARTS, ""), "disable_oauth": True}
"""An empty key: the client sends no token with its requests, and requests none."""

_NO_GCS_KEY = "AuthenticationRequired"
_NO_GCS_BUCKET = "NoSuchBucket"
_SAYS_WHO = (*_FORBIDDEN, 404)


def _connect_gcs(fields: Fields, bucket: str) -> ObjectStore:
    from obstore.store import GCSStore

    key = _service_account(fields)
    options = _client(
        fields, service_account_key=json.dumps(key or _NOBODY), base_url=_gcs_server(fields), skip_signature=not key
    )
    return GCSStore(bucket, **options)


def _gcs_server(fields: Fields) -> str:
    return (_endpoint(fields) or _GOOGLE).rstrip("/")


def _service_account(fields: Fields) -> dict[str, str] | None:
    """Return the signing parts of a key, as others could name other servers; None without one; fails with CON071."""
    text = text_of(fields, _GCS_KEY)
    if not text:
        return None
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        fail("CON071", field=f"'{_GCS_KEY}'", problem="is not a JSON object")
    missing = [name for name in _GCS_KEY_PARTS if not (isinstance(parsed.get(name), str) and parsed[name])]
    if missing:
        fail(
            "CON071",
            field=f"'{_GCS_KEY}'",
            problem=f"is not the key of a service account: it lacks {', '.join(missing)}",
        )
    return {name: parsed[name] for name in _GCS_KEY_PARTS}


def _ask_google(store: ObjectStore, address: str, fields: Fields, key: str) -> Answer | None:
    """Return status and code of the response to a request for an object.

    An unsigned request shows whether the server responds and has the bucket. Errors of the key come from the client's
    own requests: URLs that it signs work only for Google's host and simple object names.
    """
    answer = answer_to(f"{address}/{quote(key or '-', safe='')}", read_timeout(fields))
    if answer is None or answer[1] == _NO_GCS_BUCKET or answer[0] not in _SAYS_WHO:
        return answer
    if not text_of(fields, _GCS_KEY):
        return answer[0], "AccessDenied"
    return _ask_by_key(store, key or "-")


def _ask_by_key(store: ObjectStore, key: str) -> Answer:
    import obstore
    from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

    answer: Answer = 200, ""
    try:
        obstore.head(store, key)
    except UnauthenticatedError:
        return 401, _NO_GCS_KEY
    except PermissionDeniedError:
        return 403, "AccessDenied"
    except FileNotFoundError:
        answer = 404, "NoSuchKey"
    except BaseError:
        return 0, ""
    try:
        next(iter(obstore.list(store, chunk_size=1)), None)
    except BaseError:  # the error of a list has no cause; access denied is the only one left
        return 403, "AccessDenied"
    return answer


_GCS = Service(
    _connect_gcs,
    lambda fields: text_of(fields, "endpoint") or "Google Cloud Storage",
    lambda fields, bucket: f"{_gcs_server(fields)}/{bucket}",
    refused=(_NO_GCS_KEY,),
    missing=(_NO_GCS_BUCKET,),
    ask=_ask_google,
)

_SERVICES = {"s3": _S3, "azure": _AZURE, "gcs": _GCS}
"""The service of each family of connections."""

# --- Buckets ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bucket:
    """An open bucket: its client and name, the server's name for messages, its service and the connection's fields."""

    store: ObjectStore
    name: str
    where: str
    service: Service
    fields: Fields = field(repr=False)

    @contextmanager
    def translate_errors(self, url: str, key: str) -> Iterator[None]:
        """Translate errors of the client in a block that requests an object; see `_fail`."""
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError) as error:
            self._fail(error, url, key)

    def _fail(self, error: Exception, url: str, key: str) -> NoReturn:
        """Fail with CON039 to CON042, DRV001, DRV037 or DRV038."""
        from obstore.exceptions import PermissionDeniedError, PreconditionError, UnauthenticatedError

        if isinstance(error, PreconditionError):
            fail("DRV038", path=url)
        address = self.service.address(self.fields, self.name)
        answer = self.service.ask(self.store, address, self.fields, key)
        if answer is None:
            fail("CON039", where=self.where, reason="it does not answer")
        status, code = answer
        if code in self.service.missing:
            fail("CON041", where=self.where, bucket=self.name)
        if code in self.service.refused:
            fail("CON040", where=self.where, reason=code)
        if isinstance(error, FileNotFoundError):
            fail("DRV001", path=url)
        if status in _FORBIDDEN or isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
            fail("DRV037", path=url, reason=code or "access denied")
        fail("CON042", where=self.where, reason=_reason(status, code), path=url)


def _reason(status: int, code: str) -> str:
    reason = f"status {status}" if status else "it does not say why to who has no key that signs"
    return f"{code}, {reason}" if code else reason


def open_bucket(family: str, fields: Fields, name: str) -> Bucket:
    """Return a bucket of a connection without sending a request. Fails as `connect` does, or with CON016."""
    from obstore.exceptions import BaseError

    service = _SERVICES[family]
    try:
        store = service.connect(fields, name)
    except BaseError:  # its text may contain a part of the key
        fail("CON016", problem="the client library rejects its endpoint or key")
    return Bucket(store, name, service.where(fields), service, fields)


def host_of(url: StoreUrl, fields: Fields) -> str:
    """Return the host that requests for an object go to; fails with CON070 for an invalid endpoint."""
    return urlsplit(_SERVICES[url.family].address(fields, url.bucket)).hostname or ""
