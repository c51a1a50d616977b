"""A bucket of an object store: how each service opens it, and what it means when something is refused there.

The client library has few kinds of errors, and says the rest in words. So what a server has against us is asked of the
server itself: a request whose answer has a status and a code.
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
"""Seconds until a server must have let us in, and until one request must have been answered, by default."""

Answer = tuple[int, str]
"""Status and code; the status is 0 where nobody could be asked."""

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
    """Return the seconds until a request must have been answered."""
    return float(fields.get("read_timeout") or SILENCE)


def _plain(fields: Fields, name: str) -> str | None:
    """Return a field that goes into a header or an address; fails with CON070 or CON071 if it cannot."""
    text = text_of(fields, name)
    if text and not _PLAIN.fullmatch(text):
        code = "CON071" if name in _KEY_FIELDS else "CON070"
        fail(code, field=f"'{name}'", problem="contains a space, a line break or a character that is not ASCII")
    return text


def _endpoint(fields: Fields) -> str | None:
    """Return the server's URL, if one is given; fails with CON070 if it is none."""
    endpoint = text_of(fields, "endpoint")
    if endpoint and not _ENDPOINT.fullmatch(endpoint):
        fail("CON070", field="'endpoint'", problem="must be a URL like https://host:port")
    return endpoint


def _client(fields: Fields, **options: Any) -> dict[str, Any]:  # noqa: ANN401  whatever a service takes
    """Return how a client is made: with these options, as far as they are given, and how long it waits and retries.

    To an endpoint that is http:// it connects without encryption, else with it.
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
    """Ask for the first byte behind a link; None where no answer comes."""
    import httpx

    plain = {"Range": "bytes=0-0", "Accept-Encoding": "identity"}
    try:
        with httpx.stream("GET", link, headers=plain, timeout=seconds, trust_env=False) as answer:
            said = next(answer.iter_raw(_ENOUGH), b"")  # of one that heeds no range, the rest may be large
    except httpx.TransportError:
        return None
    found = _CODE.search(said)
    return answer.status_code, answer.headers.get("x-ms-error-code", found[1].decode() if found else "")


def _ask_by_link(store: ObjectStore, address: str, fields: Fields, key: str) -> Answer | None:
    """Ask for the first byte of an object by a link that the client signs; without a key by one below `address`."""
    import obstore
    from obstore.exceptions import BaseError

    seconds = read_timeout(fields)
    try:
        link = obstore.sign(store, "GET", key or "-", _LINK_LASTS)  # type: ignore[call-overload]
    except BaseError:  # there is no key that could sign
        told = answer_to(f"{address}/{quote(key or '-')}", seconds)
        return (told[0], "AccessDenied") if told and told[0] in _FORBIDDEN else told
    return answer_to(str(link), seconds)


@dataclass(frozen=True, slots=True)
class Service:
    """A service, or the servers that speak like it.

    `connect(fields, bucket)` returns a client of a bucket, which nothing has been asked of yet; it fails with CON016 or
    CON067 to CON071 for fields that cannot be right. `where(fields)` is what messages call the server,
    `address(fields, bucket)` what the addresses of all objects begin with. `ask(store, address, fields, key)` returns
    status and code of the answer to a request for an object, None where none comes. `refused` are the codes for a bad
    key, `missing` those for a bucket that is not there.
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

    given = [name for name in _S3_KEYS if text_of(fields, name)]
    if len(given) == 1:
        [missing] = {*_S3_KEYS} - {*given}
        fail("CON067", missing=f"'{missing}', which '{given[0]}' needs")
    options = _client(
        fields,
        endpoint=_endpoint(fields),
        access_key_id=_plain(fields, "access_key_id"),
        session_token=_plain(fields, "session_token"),
        secret_access_key=text_of(fields, "secret_access_key"),
        region=_plain(fields, "region") or _REGION,
        virtual_hosted_style_request=_is_in_host(fields),
        skip_signature=not given,
    )
    return S3Store(bucket, **options)


def _s3_address(fields: Fields, bucket: str) -> str:
    own = f"s3.{_plain(fields, 'region') or _REGION}.amazonaws.com"
    in_host = _is_in_host(fields)
    server = (_endpoint(fields) or f"https://{f'{bucket}.' * in_host}{own}").rstrip("/")
    return server if in_host else f"{server}/{bucket}"


def _is_in_host(fields: Fields) -> bool:
    """Tell whether buckets are in the name of the host: a server of one's own has them in the path."""
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

# A service account's key signs the tokens here, so that all requests go to the store. Where no key is given the client
# would look for one in variables, in the home folder and at the machine's metadata service: so it always is given one.
_GOOGLE = "https://storage.googleapis.com"
_GCS_KEY = "service_account_key"
_GCS_KEY_PARTS = ("client_email", "private_key_id", "private_key")
_NOBODY: dict[str, JsonValue] = {**dict.fromkeys(_GCS_KEY_PARTS, ""), "disable_oauth": True}
"""The key of nobody: the client puts no token on what it reads, and asks nobody for one."""

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
    """Return of a key what signs: the rest of it could lead elsewhere. None without one; fails with CON071."""
    text = text_of(fields, _GCS_KEY)
    if not text:
        return None
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        fail("CON071", field=f"'{_GCS_KEY}'", problem="is not a JSON object")
    missing = [name for name in _GCS_KEY_PARTS if not (isinstance(given.get(name), str) and given[name])]
    if missing:
        fail(
            "CON071",
            field=f"'{_GCS_KEY}'",
            problem=f"is not the key of a service account: it lacks {', '.join(missing)}",
        )
    return {name: given[name] for name in _GCS_KEY_PARTS}


def _ask_google(store: ObjectStore, address: str, fields: Fields, key: str) -> Answer | None:
    """Return what the server has against a request for an object.

    Whether it answers and has the bucket, it tells anybody. What it has against the key is asked by the client, whose
    errors say that: links that it signs are for Google's own host, and for plain names of objects.
    """
    told = answer_to(f"{address}/{quote(key or '-', safe='')}", read_timeout(fields))
    if told is None or told[1] == _NO_GCS_BUCKET or told[0] not in _SAYS_WHO:
        return told
    if not text_of(fields, _GCS_KEY):
        return told[0], "AccessDenied"
    return _ask_by_key(store, key or "-")


def _ask_by_key(store: ObjectStore, key: str) -> Answer:
    import obstore
    from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

    found: Answer = 200, ""
    try:
        obstore.head(store, key)
    except UnauthenticatedError:
        return 401, _NO_GCS_KEY
    except PermissionDeniedError:
        return 403, "AccessDenied"
    except FileNotFoundError:
        found = 404, "NoSuchKey"
    except BaseError:
        return 0, ""
    try:
        next(iter(obstore.list(store, chunk_size=1)), None)
    except BaseError:  # of a list they do not say why; it is what is left
        return 403, "AccessDenied"
    return found


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
    """An open bucket: its client, its name, what messages call its server, its service and the connection's fields."""

    store: ObjectStore
    name: str
    where: str
    service: Service
    fields: Fields = field(repr=False)

    @contextmanager
    def asked(self, url: str, key: str) -> Iterator[None]:
        """Translate what the client raises in a block that asks for an object; see `_fail`."""
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
        told = self.service.ask(self.store, address, self.fields, key)
        if told is None:
            fail("CON039", where=self.where, reason="it does not answer")
        status, code = told
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
    """Return a bucket of a connection; nothing is asked of the server yet. Fails as `connect` does, or with CON016."""
    from obstore.exceptions import BaseError

    service = _SERVICES[family]
    try:
        store = service.connect(fields, name)
    except BaseError:  # its words may have a part of the key in them
        fail("CON016", problem="the client library rejects its endpoint or key")
    return Bucket(store, name, service.where(fields), service, fields)


def host_of(url: StoreUrl, fields: Fields) -> str:
    """Return the host that requests for an object go to; fails with CON070 for an endpoint that is none."""
    return urlsplit(_SERVICES[url.family].address(fields, url.bucket)).hostname or ""
