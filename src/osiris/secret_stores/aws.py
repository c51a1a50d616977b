"""AWS Secrets Manager.

`${aws-sm:prod/shop#password}`: name or ARN of a secret, and a member of its JSON object; without a field its text.
Keys, region, profile and endpoint come from the AWS_… variables, else from where AWS's own tools find them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from osiris.distribution import install_command
from osiris.secret_stores import StoreError, parse_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_ENDPOINTS = ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL")
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")


def fetch(path: str, field: str | None, environ: Mapping[str, str], timeout: float) -> str | Mapping[str, object]:
    """Return the current version of a secret: its text, or with a field the members of its JSON object."""
    try:
        from botocore import exceptions
    except ImportError:
        raise StoreError("absent", "botocore", f"install it: {install_command('aws')}") from None
    try:
        answer = _get(path, environ, timeout)
    except exceptions.ClientError as error:
        raise _refused(error.response) from None
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError, exceptions.CredentialRetrievalError):
        remedy = "export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        raise StoreError("unusable", "there are no complete credentials for AWS", remedy) from None
    except exceptions.NoRegionError:
        raise StoreError("unusable", "no region of AWS is set", "export AWS_REGION") from None
    except exceptions.ProfileNotFound:
        raise StoreError("unusable", "AWS_PROFILE names no profile of the AWS configuration") from None
    except (exceptions.ParamValidationError, exceptions.ConfigParseError, ValueError) as error:
        raise StoreError("unusable", f"AWS cannot be asked ({type(error).__name__})") from None
    except (exceptions.BotoCoreError, exceptions.HTTPClientError) as error:
        raise StoreError("unreachable", f"AWS was not reached ({type(error).__name__})") from None
    return parse_fields(_text(answer), field)


def _get(path: str, environ: Mapping[str, str], timeout: float) -> Mapping[str, Any]:
    from botocore.config import Config
    from botocore.session import Session

    session = Session(profile=environ.get("AWS_PROFILE"))
    access, secret, token = (environ.get(name) for name in _KEYS)
    if access and secret:
        session.set_credentials(access, secret, token)
    client = session.create_client(
        "secretsmanager",
        region_name=_region_of(path) or _first(environ, _REGIONS),
        endpoint_url=_first(environ, _ENDPOINTS),
        config=Config(connect_timeout=timeout, read_timeout=timeout, retries={"total_max_attempts": 1}),
    )
    answer: Mapping[str, Any] = client.get_secret_value(SecretId=path)
    return answer


def _region_of(path: str) -> str | None:
    """Return the region in an ARN; None for a name."""
    return path.split(":")[3] if path.startswith("arn:") and path.count(":") > 3 else None


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((environ[name] for name in names if environ.get(name)), None)


def _refused(response: Mapping[str, Any]) -> StoreError:
    """Return what an error of the service means: by its code, as its text may be of any form."""
    code, status = str(response["Error"]["Code"]), response["ResponseMetadata"]["HTTPStatusCode"]
    name = code.rpartition("#")[2].removesuffix("Exception")
    if name == "ResourceNotFound":
        return StoreError("missing", "AWS has no secret of this name in this region")
    if name == "InvalidRequest":
        return StoreError("missing", "it is marked for deletion, or has no current version")
    if name in ("Throttling", "InternalService", "RequestLimitExceeded") or status >= 500:
        return StoreError("unreachable", f"AWS could not answer ({code[:60]})")
    if name in ("Validation", "InvalidParameter"):
        return StoreError("unusable", "it is neither the name nor the ARN of a secret")
    return StoreError("denied", f"AWS rejected the request ({code[:60]})")


def _text(answer: Mapping[str, Any]) -> str:
    if "SecretString" in answer:
        return str(answer["SecretString"])
    try:
        return bytes(answer["SecretBinary"]).decode()
    except (KeyError, UnicodeDecodeError):
        raise StoreError("missing", "its value is binary, not a text") from None
