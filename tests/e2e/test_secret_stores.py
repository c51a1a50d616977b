"""Connections whose secrets are in stores: fetched late and once, never shown, every failure with place and remedy."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from tests.e2e.agent import ask
from tests.servers.gcp_secrets import QUOTA
from tests.servers.http_double import Answer, Faults
from tests.strangers import install

from osiris.api import open_project, project_scrubber
from osiris.model import parse_store_reference
from osiris.secret.references import StoreError
from osiris.secret_stores import fetch_secret
from osiris.secret_stores.aws import fetch as fetch_from_aws
from osiris.secret_stores.gcp import _ENDPOINT
from osiris.secret_stores.vault import fetch as fetch_from_vault
from osiris.session.writing import begin_conversation

PACKAGE = Path(__file__).parents[1] / "fixtures" / "hello_store"
CANARY = "cänary-from-the-store-%-7Kq"
CONNECTIONS = "osiris_connections.yaml"
READS = """
oml_version: "0.1.0"
name: reads
steps:
  - {id: rows, component: postgres.extractor, mode: read, config: {connection: "@postgres.wh", table: orders}}
  - {id: keep, component: filesystem.csv_writer, mode: write, config: {path: output/orders.csv}}
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vault:secret/a#b", ("vault", "secret/a", "b")),
        ("aws-sm:arn:aws:s:eu-west-1:1:secret:a-Xy", ("aws-sm", "arn:aws:s:eu-west-1:1:secret:a-Xy", None)),
        ("gcp-sm:projects/p/secrets/s/versions/3#a.b", ("gcp-sm", "projects/p/secrets/s/versions/3", "a.b")),
        ("keyring:my service#me@host", ("keyring", "my service", "me@host")),
        ("vault:-x", None),
        ("vault:-x#y", None),
        ("vault:a:-b", None),
        ("vault:a#b:-c", None),
        ("vault:", None),
        ("vault:a#", None),
        ("vault: a", None),
        ("vault:a\n", None),
        ("Vault:a", None),
        ("NAME", None),
    ],
)  # fmt: skip
def test_the_form_of_a_reference(text, expected):
    found = parse_store_reference(text)
    assert (found and (found.scheme, found.path, found.field)) == expected


def remedy_of(text, environ):
    """Return the remedy of the failure to fetch a reference."""
    with pytest.raises(StoreError) as failed:
        fetch_secret(parse_store_reference(text), environ)
    return failed.value.remedy


def fetched(text, environ):
    """Return the value of a reference, or the kind of failure and its reason."""
    try:
        return fetch_secret(parse_store_reference(text), environ)
    except StoreError as error:
        told = error.kind, error.reason
    assert not {CANARY, environ.get("VAULT_TOKEN")} & {*told[1].split()}
    return told


def test_what_vault_has(vault):
    vault.put("secret/app/db", {"password": "old"})
    vault.put("secret/app/db", {"password": CANARY, "port": 5432, "on": True, "empty": "", "list": [1], "x.y": "z"})
    vault.put("kv/app", {"password": "one"})
    vault.mount("team/kv", 2, namespace="eng")
    vault.put("team/kv/a b", {"é": "in eng"}, namespace="eng")
    env = vault.environment
    assert fetched("vault:secret/app/db#password", env) == CANARY
    asked = len(vault.requests)
    assert [fetched(f"vault:secret/app/db#{name}", env) for name in ("port", "on", "x.y")] == ["5432", "true", "z"]
    assert len(vault.requests) == asked, "the fields of a secret are asked for once"
    assert fetched("vault:kv/app#password", env) == "one"
    assert fetched("vault:team/kv/a b#é", env | {"VAULT_NAMESPACE": "eng"}) == "in eng"
    missing = {
        "vault:secret/app/db": "it has several fields: append one as '#field', one of 'empty', 'list',",
        "vault:secret/app/db#pasword": "it has no field 'pasword'; its fields: 'empty',",
        "vault:secret/app/db#empty": "its value is empty",
        "vault:secret/app/db#list": "its value is not a text",
        "vault:secret/app#a": "Vault has no 'app' in the mount 'secret/'",
        "vault:secret/data/app/db#password": "the path is written without 'data/'",
        "vault:kv/app/db#password": "Vault has no 'app/db' in the mount 'kv/'",
    }
    for text, reason in missing.items():
        kind, said = fetched(text, env)
        assert (kind, said[: len(reason)]) == ("missing", reason)
    for way, said in (("delete", "deleted"), ("destroy", "destroyed")):
        vault.put(f"secret/{way}", {"a": "b"})
        getattr(vault, way)(f"secret/{way}")
        assert fetched(f"vault:secret/{way}#a", env) == ("missing", f"its newest version is {said}")
    unrouted = Answer(404, {"errors": ['no handler for route "nothing/app". route entry not found.']})
    vault.server.script += [unrouted, unrouted]
    assert fetched("vault:nothing/app#a", env) == ("missing", "Vault has no mount 'nothing/'")
    for path in ("secret", "secret/../sys/x", "secret//a", "/"):
        assert fetched(f"vault:{path}#a", env)[0] == "unusable"


def test_logins_to_vault(vault, vault_tls, tmp_path):
    vault.put("secret/app", {"a": "b"})
    vault.put("secret/other", {"a": "b"})
    env = vault.environment
    limited = env | {"VAULT_TOKEN": vault.token("secret/data/app")}
    assert fetched("vault:secret/app#a", limited) == "b"
    role, secret = vault.approle("secret/data/app")
    by_role = {"VAULT_ADDR": vault.address, "VAULT_ROLE_ID": role, "VAULT_SECRET_ID": secret}
    assert fetched("vault:secret/app#a", by_role) == "b"
    (tmp_path / ".vault-token").write_text(f"{vault.root}\n")
    at_home = {"VAULT_ADDR": vault.address, "HOME": str(tmp_path)}
    assert fetched("vault:secret/app#a", at_home) == "b"
    refused = {
        "no permission": ("vault:secret/other#a", limited, "denied"),
        "no mount": ("vault:nothing/a#a", env, "denied"),
        "expired": ("vault:secret/app#a", env | {"VAULT_TOKEN": vault.token(ttl=0)}, "denied"),
        "unknown": ("vault:secret/app#a", env | {"VAULT_TOKEN": CANARY.replace("ä", "a")}, "denied"),
        "no token": ("vault:secret/app#a", {"VAULT_ADDR": vault.address}, "unusable"),
        "not a token": ("vault:secret/app#a", env | {"VAULT_TOKEN": "a\nb"}, "unusable"),
        "wrong role": ("vault:secret/app#a", by_role | {"VAULT_ROLE_ID": "x"}, "denied"),
        "no address": ("vault:secret/app#a", env | {"VAULT_ADDR": ""}, "unusable"),
        "not an address": ("vault:secret/app#a", env | {"VAULT_ADDR": "vault:8200"}, "unusable"),
        "no file": ("vault:secret/app#a", env | {"VAULT_CACERT": "/nothing.pem"}, "unusable"),
    }
    assert {name: fetched(*asked)[0] for name, (*asked, _) in refused.items()} == {
        name: kind for name, (*_, kind) in refused.items()
    }
    for name in ("no token", "no address"):
        assert ".env" in remedy_of(*refused[name][:2])
    assert "mount" in remedy_of("vault:kv/none#a", env)
    vault_tls.put("secret/app", {"a": "b"})
    assert fetched("vault:secret/app#a", vault_tls.environment) == "b"
    untrusted = {name: text for name, text in vault_tls.environment.items() if name != "VAULT_CACERT"}
    assert "certificate is not trusted" in fetched("vault:secret/app#a", untrusted)[1]
    assert [each for each in vault_tls.requests if "x-vault-token" in each.headers][-1].headers["x-vault-token"]


def test_a_vault_that_is_not_well(vault):
    """A disturbance is tried again a few times; nothing takes longer than its limit."""
    vault.put("secret/app", {"a": "b"})
    env = vault.environment
    vault.server.script += [Answer(503, {"errors": ["busy"]}), Answer(429, {"errors": []})]
    assert fetched("vault:secret/app#a", env) == "b"
    vault.put("secret/two", {"a": "b"})
    for fault in ({"cut": 5}, {"drop": True}):
        vault.server.faults = Faults(**fault)
        assert fetched("vault:secret/two#a", env)[0] == "unreachable"
    vault.server.faults = Faults()
    for state, kind in {"sealed": "unreachable", "standby": "unreachable", "uninitialized": "unreachable"}.items():
        vault.state = state
        before = len(vault.requests)
        assert fetched("vault:secret/three#a", env)[0] == kind
        assert len(vault.requests) - before == 3
    vault.active = "http://127.0.0.1:1"
    vault.state = "standby"
    assert fetched("vault:secret/three#a", env)[0] == "unusable", "a token is not sent to where a server points"
    vault.state = "active"
    vault.server.always = Answer(200, b"<html>", {"Content-Type": "text/html"})
    assert fetched("vault:secret/three#a", env)[0] == "unreachable"
    vault.server.always = None
    vault.server.faults.hang = True
    with pytest.raises(StoreError, match="Vault did not answer within 1 s"):
        fetch_from_vault("secret/three", "a", env, 1.0)


def test_aws(aws_secrets, tmp_path):
    env = aws_secrets.environment | {"AWS_CONFIG_FILE": str(tmp_path / "no"), "HOME": str(tmp_path)}
    aws_secrets.put("prod/db", json.dumps({"password": CANARY, "port": 5432}))
    aws_secrets.put("text", CANARY)
    aws_secrets.put("pem", b"bytes of a text")
    aws_secrets.put("binary", b"\xff\x00")
    aws_secrets.put("gone", "x")
    aws_secrets.delete("gone")
    assert fetched("aws-sm:prod/db#password", env) == CANARY
    asked = len(aws_secrets.requests)
    assert fetched("aws-sm:prod/db#port", env) == "5432"
    assert len(aws_secrets.requests) == asked
    assert fetched(f"aws-sm:{aws_secrets.arn('text')}", env | {"AWS_REGION": "eu-west-9"}) == CANARY
    assert fetched("aws-sm:pem", env) == "bytes of a text"
    by_token = {**env, **aws_secrets.user(token=True, allowed=["text"])}
    assert fetched("aws-sm:text", by_token) == CANARY
    refused = {
        "no such secret": ("aws-sm:prod/dbb#password", env, "missing"),
        "no such field": ("aws-sm:prod/db#pasword", env, "missing"),
        "no fields": ("aws-sm:text#password", env, "missing"),
        "binary": ("aws-sm:binary", env, "missing"),
        "deleted": ("aws-sm:gone", env, "missing"),
        "no permission": ("aws-sm:pem", by_token, "denied"),
        "wrong key": ("aws-sm:text", env | {"AWS_SECRET_ACCESS_KEY": "no"}, "denied"),
        "too long": (f"aws-sm:{'a' * 2049}", env, "unusable"),
        "no region": ("aws-sm:text", env | {"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}, "unusable"),
        "no profile": ("aws-sm:text", env | {"AWS_PROFILE": "nobody"}, "unusable"),
        "not there": ("aws-sm:text", env | {"AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://127.0.0.1:1"}, "unreachable"),
    }
    found = {name: fetched(*asked)[0] for name, (*asked, _) in refused.items()}
    assert found == {name: kind for name, (*_, kind) in refused.items()}
    kinds = {"DecryptionFailure": "denied", "InternalServiceError": "unreachable", "ThrottlingException": "unreachable"}
    for error, kind in kinds.items():
        aws_secrets.fails["*"] = error
        assert fetched("aws-sm:prod/other", env)[0] == kind
    aws_secrets.fails.clear()
    aws_secrets.server.faults.hang = True
    with pytest.raises(StoreError, match=r"AWS was not reached \(ReadTimeoutError\)"):
        fetch_from_aws("prod/other", None, env, 1.0)


def test_google(gcp_secrets, tmp_path):
    def login(name, text):
        (tmp_path / name).write_text(text)
        return {_ENDPOINT: gcp_secrets.endpoint, "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / name)}

    env, base = login("key.json", gcp_secrets.key), f"gcp-sm:projects/{gcp_secrets.project}/secrets"
    gcp_secrets.put("db", json.dumps({"password": "old"}))
    gcp_secrets.put("db", json.dumps({"password": CANARY, "port": 5432}))
    gcp_secrets.put("text", CANARY)
    gcp_secrets.put("binary", b"\xff\x00")
    gcp_secrets.put("off", "x")
    gcp_secrets.disable("off")
    assert fetched(f"{base}/db#password", env) == CANARY
    asked = len(gcp_secrets.requests)
    assert fetched(f"{base}/db#port", env) == "5432"
    assert len(gcp_secrets.requests) == asked
    assert fetched(f"{base}/db/versions/1#password", env) == "old"
    assert fetched(f"{base}/text", env) == CANARY
    refused = {
        "no such secret": (f"{base}/other", env, "missing"),
        "no such version": (f"{base}/db/versions/9#password", env, "missing"),
        "no such field": (f"{base}/db#pasword", env, "missing"),
        "no fields": (f"{base}/text#a", env, "missing"),
        "binary": (f"{base}/binary", env, "missing"),
        "disabled": (f"{base}/off", env, "missing"),
        "not a path": ("gcp-sm:text", env, "unusable"),
        "another path": (f"{base}/db/../x", env, "unusable"),
        "no rights": (f"{base}/text", login("outsider.json", gcp_secrets.outsider), "denied"),
        "forged": (f"{base}/text", login("forged.json", gcp_secrets.forged), "denied"),
        "no login": (f"{base}/text", env | {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "no")}, "unusable"),
        "not a login": (f"{base}/text", login("list.json", "[]"), "unusable"),
        "another login": (f"{base}/text", login("external.json", '{"type": "external_account"}'), "unusable"),
        "not there": (f"{base}/text", env | {_ENDPOINT: "http://127.0.0.1:1"}, "unreachable"),
    }
    found = {name: fetched(*asked)[0] for name, (*asked, _) in refused.items()}
    assert found == {name: kind for name, (*_, kind) in refused.items()}
    gcp_secrets.wrong_checksum = True
    assert fetched(f"{base}/db/versions/2#password", env)[0] == "unreachable"
    gcp_secrets.wrong_checksum = False
    gcp_secrets.server.script += [QUOTA]
    assert fetched(f"{base}/db/versions/2#password", env) == CANARY


def test_a_keyring(tmp_path, monkeypatch):
    """The password of `keyring set`, in a keyring that is a file; a machine without one says so."""
    environment = {**os.environ, "PYTHON_KEYRING_BACKEND": "keyrings.alt.file.PlaintextKeyring"}
    environment |= {"XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path)}
    stored = "import keyring, sys; keyring.set_password('my shop', 'me@host', sys.stdin.read())"
    subprocess.run([sys.executable, "-c", stored], env=environment, input=CANARY, text=True, check=True)

    def shown(reference, **more):
        program = (
            "import os, sys\n"
            "from osiris.model import parse_store_reference\n"
            "from osiris.secret.references import StoreError\n"
            "from osiris.secret_stores import fetch_secret\n"
            "try: print(fetch_secret(parse_store_reference(sys.argv[1]), os.environ))\n"
            "except StoreError as error: print(error.kind, error.reason)"
        )
        call = [sys.executable, "-c", program, reference]
        return subprocess.run(call, env=environment | more, capture_output=True, text=True, check=True).stdout.strip()

    assert shown("keyring:my shop#me@host") == CANARY
    assert shown("keyring:my shop#you") == "missing the keyring has no such service and user"
    assert shown("keyring:my shop").startswith("unusable it names no user")
    nothing = {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    assert shown("keyring:my shop#me@host", **nothing) == "unusable this machine has no keyring"


def test_a_library_that_is_missing_is_named_with_its_command(shop, console_script, tmp_path):
    """The stores are asked in an environment that has none of their libraries."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import sys\nsys.modules |= dict.fromkeys(['botocore', 'google.auth', 'keyring'])\n"
    )
    references = {"aws-sm:a": "botocore", "gcp-sm:projects/p/secrets/s": "google-auth", "keyring:a#b": "keyring"}
    written = {f"c{n}": {"base_dir": f"${{{text}}}"} for n, text in enumerate(references)}
    (shop / CONNECTIONS).write_text(json.dumps({"connections": {"filesystem": written}}))
    done = console_script("connections", "doctor", "--json", cwd=shop, env={"PYTHONPATH": str(hidden)})
    problems = json.loads(done.stdout)["diagnostics"]
    assert [each["code"] for each in problems] == ["CON078"] * 3
    for problem, library in zip(problems, references.values(), strict=True):
        assert re.search(rf"pip install .*{library}.*>=", problem["hint"])


@pytest.fixture
def shop(tmp_path):
    """A project that reads the table `orders` of @postgres.wh."""
    (tmp_path / "osiris.yaml").write_text("")
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "reads.yaml").write_text(READS)
    return tmp_path


def everything(root: Path, *done):
    """Return all bytes below a folder, and all that commands printed."""
    files = (path for path in root.rglob("*") if path.is_file() and path.name != "secret.env")
    return b"".join(
        [*(path.read_bytes() for path in files), *(f"{each.stdout}{each.stderr}".encode() for each in done)]
    )


def test_a_run_with_a_password_and_a_host_from_vault(shop, osiris, postgres, vault):
    """Fetched once for compiling and running; nothing has a value; without the store nothing is read but by workers."""
    database = postgres.new_database()
    postgres.run(
        "CREATE TABLE orders (id int)",
        "INSERT INTO orders SELECT generate_series(1, 3)",
        f"DROP ROLE IF EXISTS stored; CREATE ROLE stored LOGIN PASSWORD '{CANARY}'",
        "GRANT SELECT ON orders TO stored",
        database=database,
    )
    fields = {**postgres.fields(database), "user": "stored", "sslmode": "disable"}
    stored = {"password": CANARY, "host": fields["host"], "port": fields["port"]}
    vault.put("secret/shop/wh", stored)
    written = fields | {name: f"${{vault:secret/shop/wh#{name}}}" for name in stored}
    (shop / CONNECTIONS).write_text(json.dumps({"connections": {"postgres": {"wh": written}}}))
    listed = osiris("connections", "list", "--json", cwd=shop, env=vault.environment)
    (item,) = json.loads(listed.stdout)["data"]["connections"]
    assert item["fields"]["password"] == "${vault:secret/shop/wh#password}"
    assert item["stores"] == [f"vault:secret/shop/wh#{name}" for name in sorted(stored)]
    valid = osiris("validate", "pipelines/reads.yaml", cwd=shop, env=vault.environment)
    assert (valid.returncode, vault.requests) == (0, [])
    ran = osiris("run", "pipelines/reads.yaml", "--verbose", cwd=shop, env=vault.environment)
    assert ran.returncode == 0, ran.stderr
    assert (shop / "output" / "orders.csv").read_text().splitlines() == ["id", "1", "2", "3"]
    assert len(vault.requests) == 2, "the mount and the secret, once"
    compiled = osiris("compile", "pipelines/reads.yaml", cwd=shop, env=vault.environment)
    assert (compiled.returncode, len(vault.requests)) == (0, 2), "its answer is kept"
    doctor = osiris("connections", "doctor", cwd=shop, env=vault.environment)
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    found = osiris("discover", "@postgres.wh", cwd=shop, env=vault.environment)
    assert found.returncode == 0
    shown = everything(shop, listed, valid, ran, compiled, doctor, found)
    assert CANARY.encode() not in shown
    assert json.dumps(CANARY)[1:-1].encode() not in shown
    assert vault.root.encode() not in shown
    assert b"vault:secret/shop/wh#password" in (shop / CONNECTIONS).read_bytes()
    (plan,) = (shop / "build").rglob("manifest.json")
    assert b"${vault:secret/shop/wh#password}" in plan.read_bytes()


def test_a_value_of_a_store_cannot_be_guessed_from_a_record(shop, osiris, vault):
    """Records have digests of connections: of what is written, not of the short values that a store has."""
    (shop / CONNECTIONS).write_text('connections: {filesystem: {local: {base_dir: "${vault:secret/shop#folder}"}}}\n')
    (shop / "pipelines" / "reads.yaml").write_text(OF_FILES)
    digests = set()
    for folder in ("one", "two"):
        (shop / folder).mkdir()
        (shop / folder / "rows.csv").write_text("a\n1\n")
        vault.put("secret/shop", {"folder": folder})
        ran = osiris("run", FILE, "--json", cwd=shop, env=vault.environment)
        assert ran.returncode == 0, ran.stderr
        record = shop / "logs" / json.loads(ran.stdout)["data"]["session"] / "run.json"
        digests.add(json.loads(record.read_text())["connections"]["@filesystem.local"])
    assert len(digests) == 1


def test_a_conversation_masks_what_it_fetches_while_it_goes_on(shop, vault):
    vault.put("secret/shop", {"folder": CANARY})
    written = {"@filesystem.local": {"base_dir": "${vault:secret/shop#folder}"}}
    (shop / CONNECTIONS).write_text(
        json.dumps({"connections": {"filesystem": {"local": written["@filesystem.local"]}}})
    )
    workspace = open_project(shop, vault.environment)
    session = begin_conversation(workspace.project, partial(project_scrubber, workspace))
    workspace.resolve(workspace.declared())
    with session:
        session.event("user_said", words=f"read {CANARY}/rows.csv")
    assert "read ***/rows.csv" in (session.folder / "events.jsonl").read_text()


def test_failures_have_a_place_and_a_remedy(shop, osiris, vault):
    written = {
        "a": {"user": "u", "database": "d", "host": "h", "password": "${vault:secret/shop#password}"},
        "b": {"user": "u", "database": "d", "host": "h", "password": "${valt:secret/shop#password}"},
        "c": {"user": "u", "database": "d", "host": "${vault:-h}", "password": "${vault:kv/shop#password}"},
    }
    (shop / CONNECTIONS).write_text(json.dumps({"connections": {"postgres": written}}, indent=1))
    env = vault.environment | {"VAULT_TOKEN": vault.token("secret/*")}
    done = osiris("connections", "doctor", "--json", cwd=shop, env=env)
    reports = json.loads(done.stdout)["diagnostics"]
    assert done.returncode == 3
    assert [(each["code"], each["line"] is not None) for each in reports] == [
        ("CON074", True),
        ("CON077", True),
        ("CON075", True),
    ]
    assert reports[1]["hint"] == "did you mean 'vault'?"
    (shop / "pipelines" / "reads.yaml").write_text(READS.replace("@postgres.wh", "@postgres.b"))
    checked = osiris("validate", "pipelines/reads.yaml", cwd=shop, env=env)
    assert (checked.returncode, "CON077" in checked.stderr) == (3, True)
    written["a"]["host"] = "${vault:secret/other#host}"
    (shop / CONNECTIONS).write_text(json.dumps({"connections": {"postgres": written}}, indent=1))
    vault.state, before = "sealed", len(vault.requests)
    sealed = osiris("connections", "doctor", "@postgres.a", "--json", cwd=shop, env=env)
    assert [each["code"] for each in json.loads(sealed.stdout)["diagnostics"]] == ["CON076", "CON076"]
    assert len(vault.requests) - before == 3, "not asked again for the second field"


def test_a_store_of_another_package(shop, tmp_path_factory):
    """It is used like ours, replaces none of ours, and what it raises does not get into a message."""
    python = install(tmp_path_factory.mktemp("stranger") / "venv", PACKAGE)
    folder = tmp_path_factory.mktemp("hello")
    (folder / "shop.json").write_text(json.dumps({"folder": "data"}))
    references = {"a": "hello:shop#folder", "b": "hello:none#x", "c": "hello:raises#x", "d": "hello:other#x"}
    references |= {"e": "broken:x", "f": "vault:secret/a#b", "g": "hullo:shop#folder"}
    written = {name: {"base_dir": f"${{{text}}}"} for name, text in references.items()}
    (shop / "data").mkdir()
    (shop / CONNECTIONS).write_text(json.dumps({"connections": {"filesystem": written}}))
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "HELLO_STORE": str(folder)}
    command = [python, "-I", "-m", "osiris.cli.main", "connections", "doctor", "--json"]
    done = subprocess.run(command, cwd=shop, env=environment, capture_output=True, text=True, timeout=100)
    found = [(each["code"], each["hint"]) for each in json.loads(done.stdout)["diagnostics"]]
    assert [code for code, _ in found] == ["CON074", "CON076", "CON074", "CON077", "CON077", "CON077"]
    assert (found[0][1], found[5][1]) == ("write that file", "did you mean 'hello'?")
    assert "VAULT_ADDR is not set" in done.stdout
    assert "its store failed with ValueError" in done.stdout
    assert str(folder) not in done.stdout + done.stderr


TOOL = """#!/bin/sh
echo "$#:$*" >> {record}
echo {canary} is wrong >&2
case "$1" in
  fails) exit 3 ;;
  sleeps) sleep 300 ;;
  much) head -c 100000 /dev/zero ;;
  none) ;;
  agent) sleep 300 > /dev/null 2>&1 &
    echo $! >> {record}
    echo data ;;
  *) echo data ;;
esac
"""


@pytest.fixture
def at_home(tmp_path):
    """A function that runs osiris in a project whose files are in a folder that a command prints."""
    home, shop, record = tmp_path / "home", tmp_path / "shop", tmp_path / "record"
    tool = home / "tool"
    for folder in (home / ".config" / "osiris", shop / "pipelines", shop / "data"):
        folder.mkdir(parents=True)
    tool.write_text(TOOL.format(record=record, canary=CANARY))
    tool.chmod(0o755)
    (shop / "osiris.yaml").write_text("")
    (shop / "data" / "rows.csv").write_text("a\n1\n")
    (shop / "pipelines" / "reads.yaml").write_text(OF_FILES)

    def call(osiris, *args, words="folder 'a b' \"$(touch x)\" ;", listed=None, env=None, file=None):
        written = {"local": {"base_dir": f"${{cmd:{tool} {words}}}"}}
        (shop / CONNECTIONS).write_text(json.dumps({"connections": {"filesystem": written}}))
        allowed = [[str(tool), *shlex.split(words)]] if listed is None else listed
        place = file or home / ".config" / "osiris" / "config.yaml"
        place.write_text(json.dumps({"secrets": {"commands": allowed}}))
        environment = {"HOME": str(home), **(env or {})}
        done = osiris(*args, cwd=shop, env=environment)
        times = record.read_text().splitlines() if record.exists() else []
        record.unlink(missing_ok=True)
        assert CANARY not in done.stdout + done.stderr
        return done, times

    call.home, call.shop = home, shop
    return call


OF_FILES = """
oml_version: "0.1.0"
name: reads
steps:
  - id: rows
    component: filesystem.csv_extractor
    mode: read
    config: {connection: "@filesystem.local", path: rows.csv}
  - {id: keep, component: filesystem.csv_writer, mode: write, config: {path: output/rows.csv}}
"""
FILE = "pipelines/reads.yaml"


def test_who_may_run_a_command_for_a_secret(at_home, osiris):
    """Its words are passed as they are; nothing but the listed ones runs, and only for some commands."""
    forbidden = {"compile": (FILE,), "new": ("--from", "@filesystem.local.rows.csv", "--to", "output/x.csv", "--yes")}
    for command, arguments in forbidden.items():
        done, times = at_home(osiris, command, *arguments)
        assert (times, done.returncode in (2, 3)) == ([], True), done.stdout + done.stderr
    done, times = at_home(osiris, "compile", FILE)
    assert "CON075" in done.stderr
    assert "'osiris compile' runs no commands for secrets" in done.stderr
    for arguments in (("validate", FILE), ("connections", "list"), ("completion", "bash")):
        done, times = at_home(osiris, *arguments)
        assert (done.returncode, times) == (0, [])
    program = f"import osiris; osiris.preview({FILE!r})"
    python = subprocess.run(
        [sys.executable, "-c", program],
        cwd=at_home.shop,
        env={"HOME": str(at_home.home)},
        capture_output=True,
        text=True,
    )
    assert "a call of an agent or from Python runs no commands" in python.stderr
    assert at_home(osiris, "connections", "list")[1] == [], "Python ran nothing"
    for arguments in (("preview", FILE), ("run", FILE), ("connections", "doctor", "@filesystem.local")):
        done, times = at_home(osiris, *arguments)
        assert (done.returncode, times) == (0, ["4:folder a b $(touch x) ;"]), done.stdout + done.stderr
    assert (at_home.shop / "output" / "rows.csv").exists()
    done, times = at_home(osiris, "compile", FILE)
    assert (done.returncode, times) == (0, []), "the schema is known"
    assert not [*at_home.shop.rglob("x"), *at_home.home.rglob("x")]


def test_an_agent_gets_a_secret_of_a_store_but_runs_no_command(at_home, osiris, vault):
    vault.put("secret/shop", {"folder": CANARY})
    (at_home.shop / CANARY).mkdir()
    (at_home.shop / CANARY / "rows.csv").write_text("a\n1\n")
    at_home(osiris, "connections", "list")
    declared = json.loads((at_home.shop / CONNECTIONS).read_text())
    declared["connections"]["filesystem"]["kept"] = {"base_dir": "${vault:secret/shop#folder}"}
    (at_home.shop / CONNECTIONS).write_text(json.dumps(declared))

    @ask(at_home.shop, env={"HOME": str(at_home.home), **vault.environment})
    async def _(agent):
        found = await agent("connections_doctor", ok=False)
        assert [each["code"] for each in found["diagnostics"]] == ["CON075"]
        assert "a call of an agent or from Python runs no commands" in agent.text
        assert CANARY not in agent.text
        assert json.dumps(CANARY)[1:-1] not in agent.text

    assert any(request.path.endswith("secret/data/shop") for request in vault.requests)
    assert at_home(osiris, "connections", "list")[1] == []


def test_a_command_that_the_user_does_not_allow(at_home, osiris, tmp_path):
    """The user's own configuration is outside of projects, and nobody else can change it."""
    doctor = ("connections", "doctor", "--json")
    inside = at_home.shop / "osiris"
    inside.mkdir()
    others = tmp_path / "others"
    (others / "osiris").mkdir(parents=True)

    def refused(*, mode=0o644, **given):
        file = given.get("file") or at_home.home / ".config" / "osiris" / "config.yaml"
        file.touch()
        file.chmod(mode)
        done, times = at_home(osiris, *doctor, **given)
        assert times == []
        (problem,) = json.loads(done.stdout)["diagnostics"]
        return problem["code"], problem["message"].partition("cannot be read: ")[2] or problem["message"]

    unlisted = ("CON075", "your own configuration does not list this command")
    assert refused(listed=[]) == unlisted
    assert refused(listed=[[str(at_home.home / "tool"), "folder"]]) == unlisted
    assert refused(listed=["tool folder"])[0] == "CON077"
    assert "others can change" in refused(mode=0o666)[1]
    in_project = {"XDG_CONFIG_HOME": str(at_home.shop)}
    assert "inside a project" in refused(env=in_project, file=inside / "config.yaml")[1]
    (at_home.home / ".config" / "osiris" / "config.yaml").unlink()
    (at_home.shop / ".env").write_text(f"XDG_CONFIG_HOME={others}\n")
    assert refused(file=others / "osiris" / "config.yaml") == unlisted
    (at_home.shop / ".env").unlink()
    elsewhere = {"XDG_CONFIG_HOME": str(others)}
    done, times = at_home(osiris, *doctor, env=elsewhere, file=others / "osiris" / "config.yaml")
    assert (done.returncode, len(times)) == (0, 1)


@pytest.mark.long
def test_what_never_ends_is_given_up(at_home, osiris, vault):
    vault.put("secret/app", {"a": "b" * 1000})
    vault.server.faults.rate = 5
    began = time.monotonic()
    assert fetched("vault:secret/app#a", vault.environment) == ("unreachable", "no answer within 30 s")
    done, times = at_home(osiris, "connections", "doctor", "--json", words="sleeps")
    assert time.monotonic() - began < 100
    assert "it did not end within 25 s" in done.stdout
    assert times == ["1:sleeps"]


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        ("fails", "CON074", "it exited with 3"),
        ("none", "CON074", "its value is empty"),
        ("much", "CON074", "it printed more than 64 KiB"),
        ("'open", "CON077", "its quotes are not closed"),
    ],
)
def test_a_command_that_fails(at_home, osiris, words, code, reason):
    listed = [] if "'" in words else None
    done, _times = at_home(osiris, "connections", "doctor", "--json", words=words, listed=listed)
    (problem,) = json.loads(done.stdout)["diagnostics"]
    assert (problem["code"], reason in problem["message"]) == (code, True), problem


def test_what_a_command_leaves_running_lives_on(at_home, osiris):
    """As an agent that keeps a vault unlocked does."""
    done, (_, agent) = at_home(osiris, "connections", "doctor", words="agent")
    assert done.returncode == 0, done.stderr
    os.kill(int(agent), signal.SIGKILL)  # fails unless it lives


def test_a_command_that_is_not_there(at_home, osiris):
    (at_home.home / "tool").unlink()
    done, times = at_home(osiris, "connections", "doctor", "--json")
    (problem,) = json.loads(done.stdout)["diagnostics"]
    assert (problem["code"], times) == ("CON077", [])
    assert "there is no such program" in problem["message"]
