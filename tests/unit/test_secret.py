import base64
import copy
import json
import os
import pickle
import time
from dataclasses import dataclass

import pytest

from osiris.secret import (
    Scrubber,
    Secret,
    find_literal_secrets,
    is_secret_name,
    literal_secret_kind,
    redact,
    sounds_secret,
)

VALUE = "correct horse battery staple"


@pytest.mark.parametrize(
    "use",
    [
        str,
        bytes,
        hash,
        len,
        list,
        json.dumps,
        pickle.dumps,
        lambda secret: f"{secret}",
        lambda secret: f"{secret:>40}",
        lambda secret: "%s" % secret,  # noqa: UP031
        lambda secret: "{}".format(secret),  # noqa: UP032
        lambda secret: "postgres://" + secret,
        lambda secret: secret + "x",
        lambda secret: secret == VALUE,
        lambda secret: secret != secret,
        lambda secret: secret < secret,
        lambda secret: "c" in secret,
        lambda secret: {secret: 1},
        os.fspath,
        lambda secret: "".join([secret]),
        vars,
    ],
)
def test_a_secret_cannot_be_used_as_a_text(use):
    with pytest.raises(TypeError) as caught:
        use(Secret(VALUE))
    assert VALUE not in str(caught.value)


def test_a_secret_shows_nothing_and_reveals_its_value():
    @dataclass
    class Holder:
        password: Secret

    secret = Secret(VALUE)
    assert secret.reveal() == VALUE
    assert repr(secret) == "Secret(***)"
    assert VALUE not in repr(Holder(secret))
    assert copy.deepcopy({"password": secret})["password"] is secret
    assert copy.copy(secret) is secret


def join(*parts):
    """Assemble a token here, so that no scanner takes this file for a leak."""
    return "".join(parts)


LITERALS = {
    "in a sentence": ("description", "db password: Tr0ub4dor-horse-9x, ask Eve"),
    "password": ("password", "hunter2"),
    "db_password": ("db_password", "s3cr3t!"),
    "dbPassword": ("dbPassword", "s3cr3t!"),
    "DB-PASSWORD": ("DB-PASSWORD", "s3cr3t!"),
    "pwd": ("pwd", "x"),
    "passphrase": ("passphrase", "two words"),
    "client_secret": ("client_secret", "abc"),
    "token": ("token", "abc123"),
    "auth_token": ("auth_token", "abc123"),
    "api_key": ("api_key", "0123456789"),
    "apiKey": ("apiKey", "0123456789"),
    "x-api-key": ("X-Api-Key", "0123456789"),
    "service_role_key": ("service_role_key", "abcdef"),
    "anon_key": ("anon_key", "abcdef"),
    "private_key": ("private_key", "abcdef"),
    "aws_secret_access_key": ("aws_secret_access_key", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYz"),
    "authorization": ("Authorization", "Bearer abcdefgh"),
    "a default that is a secret": ("password", "${DB_PASSWORD:-hunter2}"),
    "half a reference": ("password", "abcdef${SUFFIX}"),
    "supabase key": ("key", join("a1b2c3d4e5", "f6a7b8c9d0", "e1f2")),
    "several lines": ("password", "line one\nline two\n"),
    "url password": ("url", "postgres://app:hunter2@db/x"),
    "url password with a default": ("url", "postgres://app:${PW:-hunter2}@db/x"),
    "url without a user": ("url", "redis://:hunter2@cache:6379/0"),
    "url user token": ("url", "https://0123456789abcdef0123@sentry.io/1"),
    "url in a sentence": ("note", "see mysql://u:pa55@h/db for it"),
    "url query token": ("url", "https://x.io/a?token=abcdef"),
    "url query api_key": ("url", "https://x.io/a?b=1&api_key=abcdef"),
    "url query key": ("url", "https://x.io/a?key=0123456789abcdef"),
    "azure sas": ("url", "https://a.blob.core.windows.net/c?sv=2020&sig=" + "aB3%2F" * 8),
    "dsn pair": ("dsn", "host=db user=u password=hunter2"),
    "odbc pair": ("dsn", "Driver={x};Server=db;UID=u;PWD=hunter2;"),
    "azure account": ("dsn", "AccountName=a;AccountKey=" + "Ab1+" * 22 + "=="),
    "block of pairs": ("options", "host=db\npassword=hunter2\n"),
    "block of lines": ("notes", "user: me\npassword: hunter2\n"),
    "json in a text": ("body", '{"user": "me", "password": "hunter2"}'),
    "option": ("args", "--user me --password hunter2"),
    "basic header": ("headers", "Basic dXNlcjpwYXNzd29yZDEyMw=="),
    "bearer header": ("headers", "authorization: Bearer 0123456789abcdef"),
    "sql identified by": ("query", "CREATE USER u IDENTIFIED BY 'hunter2'"),
    "sql identified with": ("query", "CREATE USER u IDENTIFIED WITH mysql_native_password BY 'hunter2'"),
    "sql password": ("query", "ALTER ROLE u PASSWORD 'hunter2'"),
    "sql secret": ("query", "CREATE SECRET s (TYPE s3, KEY_ID 'x', SECRET 'hunter2')"),
    "sql attach": ("query", "ATTACH 'host=db password=hunter2' AS p (TYPE postgres)"),
    "sql comparison": ("query", "SELECT * FROM u WHERE password = 'hunter2'"),
    "aws key id": ("x", join("AKIA", "IOSFODNN7EXAMPLE")),
    "github": ("x", join("gh", "p_", "Ab1" * 12)),
    "github fine": ("x", join("github", "_pat_", "Ab1" * 10)),
    "gitlab": ("x", join("gl", "pat-", "Ab1" * 7)),
    "slack": ("x", join("xo", "xb-", "1234567890-abcdef")),
    "slack hook": ("x", join("https://hooks.slack", ".com/services/T0/B0/", "Ab1" * 8)),
    "discord hook": ("x", join("https://discord.com/api", "/webhooks/123456/", "Ab1" * 8)),
    "jwt": ("x", join("ey", "JhbGciOiJIUzI1NiJ9", ".ey", "JzdWIiOiIxMjM0In0", ".c2lnbmF0dXJl")),
    "pem": ("x", join("-----BEGIN RSA ", "PRIVATE KEY-----\nMIIEow\n")),
    "pem plain": ("x", join("-----BEGIN ", "PRIVATE KEY-----\nMIIEow\n")),
    "stripe": ("x", join("sk", "_live_", "Ab1" * 8)),
    "google": ("x", join("AI", "za", "Ab1-_" * 7)),
    "google oauth": ("x", join("GOC", "SPX-", "Ab1" * 9)),
    "openai": ("x", join("sk", "-proj-", "Ab1" * 12)),
    "openai old": ("x", join("sk", "-", "Ab1" * 16)),
    "anthropic": ("x", join("sk", "-ant-api03-", "Ab1" * 12)),
    "huggingface": ("x", join("h", "f_", "Ab1" * 12)),
    "npm": ("x", join("np", "m_", "Ab1" * 12)),
    "pypi": ("x", join("py", "pi-AgE", "Ab1" * 20)),
    "sendgrid": ("x", join("S", "G.", "Ab1" * 7, ".", "Ab1" * 14)),
    "e2b": ("x", join("e2", "b_", "0a" * 20)),
    "supabase token": ("x", join("sb", "p_", "0a" * 20)),
    "telegram": ("x", join("123456789", ":AA", "Ab1" * 11)),
    "databricks": ("x", join("da", "pi", "0a" * 16)),
    "vault": ("x", join("hv", "s.", "Ab1" * 10)),
    "shopify": ("x", join("shp", "at_", "0a" * 16)),
    "digitalocean": ("x", join("do", "p_v1_", "0a" * 32)),
}

BENIGN = {
    "primary key": ("primary_key", "customer_id"),
    "keys": ("upsert_keys", "id, day"),
    "sort key": ("sort_key", "created_at"),
    "key column": ("key", "customer_id"),
    "token column": ("token_column", "abc123"),
    "page token": ("next_page_token", "abc123"),
    "password env": ("password_env", "MYSQL_PASSWORD"),
    "password file": ("password_file", "/run/secrets/db"),
    "reference": ("password", "${DB_PASSWORD}"),
    "reference with nothing": ("password", "${DB_PASSWORD:-}"),
    "parameter": ("password", "${params.pw}"),
    "bearer reference": ("authorization", "Bearer ${TOKEN}"),
    "shell variable": ("password", "$DB_PASSWORD"),
    "bracketed": ("password", "<your password>"),
    "your": ("api_key", "your-api-key-here"),
    "mask": ("password", "********"),
    "crosses": ("password", "xxxxxxxx"),
    "template": ("password", "{{ secrets.pw }}"),
    "redacted": ("password", "[REDACTED]"),
    "empty": ("password", ""),
    "git sha": ("commit", "9fceb02d0ae598e95dc970b74767f19372d61af8"),
    "sha256": ("digest", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    "uuid": ("id", "123e4567-e89b-12d3-a456-426614174000"),
    "base64 of a text": ("text", "VGhpcyBpcyBqdXN0IHNvbWUgdGV4dA=="),
    "url": ("url", "postgres://app@db:5432/x"),
    "url with a reference": ("url", "postgres://app:${DB_PASSWORD}@db:5432/x"),
    "url with a mask": ("url", "postgres://app:***@db/x"),
    "url with an at": ("url", "https://x.io/@someone/post?page=2"),
    "url query": ("url", "https://x.io/a?page_token=abcdef&sort_key=x"),
    "mail": ("contact", "jane.doe@example.com"),
    "ssh": ("repo", "git@github.com:someone/tokenizer.git"),
    "dsn": ("dsn", "host=db user=u password=${PW}"),
    "dsn without": ("dsn", "mysql://db/x"),
    "s3 path": ("path", "s3://bucket/key=1/secret-santa/part.parquet"),
    "sql columns": ("query", "SELECT password, token AS t FROM users"),
    "sql join": ("query", "SELECT 1 FROM a JOIN b ON a.token = b.token"),
    "sql update": ("query", "SELECT md5(password) FROM u WHERE u.password=x.password"),
    "sql bound": ("query", "SELECT 1 FROM u WHERE token = $1 AND password = ${params.pw}"),
    "sql token": ("query", "SELECT * FROM words WHERE token = 'noun'"),
    "sql identifier": ("query", 'SELECT * FROM u WHERE password = "Password"'),
    "prose": ("description", "Basic understanding of the password: required field and its token"),
    "prose two": ("description", "The primary key and the api key are kept elsewhere; rotate the secret weekly."),
    "task": ("note", "ask-for-a-long-name-that-is-not-a-key-at-all"),
    "alias": ("connection", "@mysql.main"),
    "delimiter": ("delimiter", ";"),
    "compass": ("compass", "north"),
}  # fmt: skip


@pytest.mark.parametrize("case", LITERALS)
def test_a_literal_secret_is_seen(case):
    assert literal_secret_kind(*LITERALS[case])


@pytest.mark.parametrize("case", BENIGN)
def test_what_is_no_secret_is_left_alone(case):
    assert literal_secret_kind(*BENIGN[case]) is None


def test_secrets_are_found_with_their_place_and_never_their_value():
    value = {
        "steps": [{"config": {"password": "hunter2", "note": "fine", "a/b": {"token": ["t0k3n"]}}}],
        "params": {"api_key": {"type": "string", "default": "abc"}, "limit": {"default": 5}},
        "pin": {"password": 1234, "token": 5, "secret": True},
        "options": {"cast": {"password": "utf8", "token": "int64"}, "primary_key": ["a", "b"]},
    }
    assert find_literal_secrets(value, "") == [
        ("/steps/0/config/password", "a literal in a secret field"),
        ("/steps/0/config/a~1b/token/0", "a literal in a secret field"),
        ("/params/api_key/default", "a literal in a secret field"),
        ("/pin/password", "a literal in a secret field"),
    ]
    assert find_literal_secrets("hunter2", "/x/password") == [("/x/password", "a literal in a secret field")]
    assert find_literal_secrets("utf8", "/x/name") == []


def test_secret_names():
    assert is_secret_name("DB_PASSWORD")
    assert is_secret_name("apiToken")
    assert not is_secret_name("primary_key")
    assert not is_secret_name("tokenizer")


@pytest.mark.parametrize("name", ["passwrd", "pasword", "Password", "secrte", "db_password"])
def test_a_misspelt_name_sounds_secret(name):
    assert sounds_secret(name)


@pytest.mark.parametrize("name", ["path", "base_dir", "host", "user", "primary_key", "passage_id", "compass"])
def test_an_ordinary_name_does_not(name):
    assert not sounds_secret(name)


HARD = ["a", "-", ":-", "${", "${:-", "eyJ-", "sk-", "://:a", "'a", "password ", "password='", " \t", "?a=", '"key":']


@pytest.mark.bench
@pytest.mark.parametrize("text", HARD)
def test_the_search_is_linear(text):
    def seconds(times):
        began = time.perf_counter()
        literal_secret_kind("query", "key secret token " + text * times)
        return time.perf_counter() - began

    small, large = (sorted(seconds(times) for _ in range(5))[2] for times in (20_000, 80_000))
    assert large < 8 * small + 0.01


def test_a_scrubber_without_secrets_changes_nothing():
    scrubber = Scrubber(())
    assert scrubber.text("hunter2") == "hunter2"
    assert scrubber.json({"a": [1, "b", None]}) == {"a": [1, "b", None]}
    assert scrubber.line(b'{"a": "\\u00e9"}\n') == b'{"a": "\\u00e9"}\n'


def test_a_short_secret_is_masked_only_as_a_whole_value():
    scrubber = Scrubber([Secret("true"), Secret("1000"), Secret("main")])
    value = {"main": "main", "rows": 1000, "text": "the main thing", "flag": True, "list": ["1000"]}
    masked = {"main": "***", "rows": 1000, "text": "the main thing", "flag": True, "list": ["***"]}
    assert scrubber.json(value) == masked
    assert json.loads(scrubber.line(json.dumps(value).encode() + b"\n")) == masked
    assert scrubber.text("main") == "***"


def test_words_of_structure_stay_keys():
    scrubber = Scrubber([Secret("postgres"), Secret("1234567890123456")])
    line = b'{"postgres": 1, "rows": 1234567890123456, "family": "postgres", "small": 12}\n'
    assert json.loads(scrubber.line(line)) == {"postgres": 1, "rows": "***", "family": "***", "small": 12}


def test_a_key_that_holds_a_secret_is_masked():
    assert Scrubber([Secret("Tr0ub4dor&3")]).json({"user Tr0ub4dor&3": 1}) == {"user ***": 1}


def test_pieces_of_a_long_secret_are_masked():
    scrubber = Scrubber([Secret("abcdefghij-KLMNOPQRST-0123456789")])
    assert scrubber.text("cut off: abcdefghij-KLMN") == "cut off: ***"
    assert scrubber.text('"OPQRST-0123456789" is bad') == '"***" is bad'
    assert scrubber.text("x MNOPQRST-012 y MNOPQRST-012") == "x *** y ***"
    assert scrubber.text("abcdefgh and KLMNOPQ") == "abcdefgh and KLMNOPQ"


def test_the_password_of_a_url_is_a_secret_of_its_own():
    scrubber = Scrubber([Secret("postgres://app:p%40ssw0rd-9@db.local/x")])
    assert scrubber.text("FATAL for app: p@ssw0rd-9") == "FATAL for app: ***"
    assert scrubber.text("raw p%40ssw0rd-9") == "raw ***"


def test_of_a_key_in_json_only_its_secrets_are_masked():
    pem = "-----BEGIN PRIVATE KEY-----\nTUlJRXZ3SUJB/c4naryc0ffee00c0ffee0\nS0NBUUVBeUh3+deadbeefdeadbeef=\n"
    names = {"type": "service_account", "project_id": "shop-production-4711", "client_email": "etl@shop.example"}
    key = json.dumps({**names, "private_key": pem})
    scrub = Scrubber([Secret(key)]).text
    for line in pem.splitlines():
        assert line not in scrub(f"it says {line}!")
    for leak in (key, pem, json.dumps(pem), repr(pem), base64.b64encode(key.encode()).decode(), key.upper()):
        said = scrub(f"it says {leak}!")
        assert "c4nary" not in said.lower()
        assert base64.b64encode(pem.encode()).decode()[24:60] not in said
    assert scrub("gs://shop-production-4711/x.csv of etl@shop.example") == (
        "gs://shop-production-4711/x.csv of etl@shop.example"
    )
    broken = key[:-1]
    assert "c4nary" not in scrub(f"it says {broken}!")


@pytest.mark.parametrize(
    "secret",
    [
        {"user": "bob", "pin": "hunter2hunter2", "token": "t0ken-t0ken-t0ken"},
        {"nested": {"pin": "hunter2hunter2"}, "token": "t0ken-t0ken-t0ken"},
        {"type": "service_account", "private_key": "t0ken-t0ken-t0ken", "pin": "hunter2hunter2"},
        {"type": "service_account", "private_key": "t0ken-t0ken-t0ken", "more": [{"project_id": "hunter2hunter2"}]},
    ],
)
def test_a_secret_in_json_hides_all_that_is_not_known_to_be_public(secret):
    scrub = Scrubber([Secret(json.dumps(secret))]).text
    assert scrub("it says hunter2hunter2!") == "it says ***!"
    assert scrub("it says t0ken-t0ken-t0ken!") == "it says ***!"


@pytest.mark.parametrize("spelled", [str, lambda text: text[:-1]])
def test_the_names_in_a_key_are_no_secrets(spelled):
    key = spelled(
        json.dumps({"type": "service_account", "client_email": "", "private_key_id": "", "private_key": None})
    )
    said = (
        "'service_account_key' is not the key of a service account: it lacks client_email, private_key_id, private_key"
    )
    assert Scrubber([Secret(key)]).text(said) == said


def test_a_line_that_is_no_json_is_scrubbed_as_text():
    scrubber = Scrubber([Secret("Tr0ub4dor&3")])
    assert scrubber.line(b"login with Tr0ub4dor&3 failed\n") == b"login with *** failed\n"
    assert scrubber.line(b"\xff Tr0ub4dor&3") == b"\\xff ***"
    assert scrubber.line(b"nothing here\n") == b"nothing here\n"


def test_a_line_of_json_is_scrubbed_however_it_is_spelled():
    scrubber = Scrubber([Secret("gehe\u00efm-pa\u00dfwort")])
    spelled = b'{"a": "x gehe\\u00EFm-pa\\u00DFwort"}\n'
    assert json.loads(scrubber.line(spelled)) == {"a": "x ***"}


def test_a_message_repeats_no_secret_that_it_quotes():
    assert redact("step 'a' needs 'postgres://u:Zq7naryXw9@h/db'") == "step 'a' needs ***"
    assert redact("key 'token=Zq7naryXw9Lm' appears twice") == "key *** appears twice"
    assert redact("step 'a' needs 'b', which does not exist") == "step 'a' needs 'b', which does not exist"
