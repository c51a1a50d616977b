"""The double of AWS Secrets Manager answers botocore, and refuses what AWS refuses."""

import botocore.session
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError
from tests.servers.aws_secrets import ERRORS, REGION

SETTINGS = {"retries": {"mode": "standard", "total_max_attempts": 1}, "read_timeout": 60, "connect_timeout": 60}


def client(environment, **changed):
    given = {
        "aws_access_key_id": environment["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": environment["AWS_SECRET_ACCESS_KEY"],
        "aws_session_token": environment.get("AWS_SESSION_TOKEN"),
        "endpoint_url": environment["AWS_ENDPOINT_URL_SECRETS_MANAGER"],
        "region_name": REGION,
        "config": Config(**SETTINGS),
    }
    session = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
    return session.create_client("secretsmanager", **given | changed)


def read(environment, name, *, changed=None, **more):
    with_client = client(environment, **changed or {})
    try:
        return with_client.get_secret_value(SecretId=name, **more)
    finally:
        with_client.close()


def refusal(environment, name, **more):
    with pytest.raises(ClientError) as caught:
        read(environment, name, **more)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]


def test_values(aws_secrets):
    env = aws_secrets.environment
    aws_secrets.put("prod/db", '{"password": "ü"}')
    aws_secrets.put("plain", "p")
    aws_secrets.put("binary", b"\0\xff")
    answer = read(env, "prod/db")
    assert answer["SecretString"] == '{"password": "ü"}'
    assert (answer["Name"], answer["VersionStages"]) == ("prod/db", ["AWSCURRENT"])
    assert answer["ARN"] == aws_secrets.arn("prod/db")
    assert read(env, aws_secrets.arn("plain"))["SecretString"] == "p"
    assert read(env, aws_secrets.arn("plain")[:-7])["SecretString"] == "p"
    assert read(env, "binary")["SecretBinary"] == b"\0\xff"
    assert "SecretString" not in read(env, "binary")


def test_versions(aws_secrets):
    env = aws_secrets.environment
    first = aws_secrets.put("a", "1")
    aws_secrets.put("a", "2")
    aws_secrets.put("a", "3", stages=["AWSPENDING"])
    assert read(env, "a")["SecretString"] == "2"
    for stage, value in (("AWSPREVIOUS", "1"), ("AWSCURRENT", "2"), ("AWSPENDING", "3")):
        assert read(env, "a", VersionStage=stage)["SecretString"] == value
    assert read(env, "a", VersionId=first)["SecretString"] == "1"
    code, status, message = refusal(env, "a", VersionStage="other")
    assert (code, status) == ("ResourceNotFoundException", 400)
    assert message.endswith("staging label: other")
    assert refusal(env, "a", VersionId=first, VersionStage="AWSCURRENT")[0] == "ResourceNotFoundException"
    assert refusal(env, "a", VersionId="x" * 70)[0] == "ValidationException"


def test_rights(aws_secrets):
    for name in ("a", "b"):
        aws_secrets.put(name, name)
    env = aws_secrets.user(token=True, allowed=["a"])
    assert read(env, "a")["SecretString"] == "a"
    for name in ("b", "missing"):
        code, status, message = refusal(env, name)
        assert (code, status) == ("AccessDeniedException", 400)
        assert "is not authorized to perform: secretsmanager:GetSecretValue" in message
    assert refusal(aws_secrets.environment, "missing")[0] == "ResourceNotFoundException"
    aws_secrets.delete("b")
    assert refusal(aws_secrets.environment, "b")[0] == "InvalidRequestException"


@pytest.mark.parametrize("name", ERRORS)
def test_failures(aws_secrets, name):
    aws_secrets.put("a", "1")
    aws_secrets.fails["*"] = name
    assert refusal(aws_secrets.environment, "a") == (name, *ERRORS[name])


def test_signatures(aws_secrets):
    aws_secrets.put("a", "1")
    env, temporary = aws_secrets.environment, aws_secrets.user(token=True)
    cases = [
        (env, {"aws_secret_access_key": "wrong"}, "InvalidSignatureException"),
        (env, {"aws_access_key_id": "AKIAUNKNOWN"}, "UnrecognizedClientException"),
        (env, {"aws_session_token": "x"}, "UnrecognizedClientException"),
        (env, {"region_name": "us-east-1"}, "InvalidSignatureException"),
        (temporary, {"aws_session_token": None}, "UnrecognizedClientException"),
    ]
    for environment, changed, code in cases:
        assert refusal(environment, "a", changed=changed)[:2] == (code, 400)
    assert read(temporary, "a")["SecretString"] == "1"
    aws_secrets.expire(temporary)
    assert refusal(temporary, "a")[0] == "ExpiredTokenException"


def test_requests_that_were_changed_or_repeated_later(aws_secrets):
    aws_secrets.put("a", "1")
    read(aws_secrets.environment, "a")
    sent = aws_secrets.requests[-1]

    def send(body=sent.body, **changed):
        headers = {k: v for k, v in {**sent.headers, **changed}.items() if v is not None}
        answer = httpx.post(aws_secrets.server.url, content=body, headers=headers)
        return answer.json().get("__type", answer.status_code)

    stamp = sent.headers["x-amz-date"]
    signed = sent.headers["authorization"]
    assert send() == 200
    assert send(sent.body.replace(b'"a"', b'"b"')) == "InvalidSignatureException"
    assert send(host="other") == "InvalidSignatureException"
    assert send(**{"x-amz-date": str(int(stamp[:4]) - 1) + stamp[4:]}) == "InvalidSignatureException"
    assert send(**{"x-amz-target": "secretsmanager.ListSecrets"}) == "InvalidSignatureException"
    assert send(**{"x-amz-extra": "not signed"}) == "InvalidSignatureException"
    assert send(authorization=None) == "MissingAuthenticationTokenException"
    assert send(authorization=signed[:-10]) == "IncompleteSignatureException"
    assert send(authorization=signed.replace("host;", "")) == "InvalidSignatureException"
    assert send(**{"content-type": "application/json"}) == "UnknownOperationException"


def test_other_operations(aws_secrets):
    one = client(aws_secrets.environment)
    with pytest.raises(ClientError, match="UnknownOperationException"):
        one.list_secrets()
    one.close()


def test_the_specification_s_own_example():
    """The example of the AWS General Reference: GET of IAM ListUsers, with its published signature."""
    from tests.servers.aws_secrets import _signature
    from tests.servers.http_double import Request

    headers = {
        "content-type": "application/x-www-form-urlencoded; charset=utf-8",
        "host": "iam.amazonaws.com",
        "x-amz-date": "20150830T123600Z",
    }
    request = Request("GET", "/?Action=ListUsers&Version=2010-05-08", headers, b"")
    credential = "AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request"
    key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    expected = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    assert _signature(request, key, credential, "content-type;host;x-amz-date") == expected


def test_faults(aws_secrets):
    aws_secrets.put("a", "1")
    aws_secrets.server.faults.hang = True
    with pytest.raises(ReadTimeoutError):
        read(aws_secrets.environment, "a", changed={"config": Config(**SETTINGS | {"read_timeout": 0.5})})
