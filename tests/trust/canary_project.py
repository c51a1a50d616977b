"""A project with a canary in each slot for a secret: every secret field of every family, a parameter, a model's key.

No connection leaves this machine: servers that are not started here have a port at which no process listens.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from urllib.parse import quote

import yaml
from tests.canary import Canaries, files, watch
from tests.conftest import KEPT
from tests.e2e.sessions import slow

FAMILIES = Path(__file__).parents[2] / "src" / "osiris" / "families"
NASTY = "'\" \\/%&<+=@:é😀"
NOWHERE = {"host": "127.0.0.1", "port": 9, "database": "d", "user": "u"}
PLAIN = {
    "postgres": NOWHERE,
    "mysql": NOWHERE,
    "supabase": {"url": "http://127.0.0.1:9"},
    "s3": {"endpoint": "http://127.0.0.1:9", "bucket": "b", "connect_timeout": 1},
    "azure": {"endpoint": "http://127.0.0.1:9/a", "account": "a", "bucket": "b", "connect_timeout": 1},
    "gcs": {"endpoint": "http://127.0.0.1:9", "bucket": "b", "connect_timeout": 1},
}
ADDRESSES = ("dsn", "url", "pg_dsn", "pg_url", "sql_dsn")
HOLDERS = (".env", "osiris_connections.yaml")
"""Files in which secrets may be: only a person writes them."""
KEPT_STEPS = """
oml_version: "0.1.0"
name: NAME
params: {pin: {type: string, sensitive: true}}
steps:
  - {id: people, component: filesystem.csv_extractor, mode: read, config: {path: people.csv}}
  - id: some
    component: duckdb.processor
    mode: transform
    inputs: {df: "@people"}
    config: {query: "SELECT id, EXPRESSION AS name FROM df WHERE name <> ${params.pin}"}
  - {id: out, component: filesystem.csv_writer, mode: write, inputs: {df: "@some"}, config: {path: NAME.csv}}
"""
READ_STEPS = """
oml_version: "0.1.0"
name: NAME
steps:
  - {id: rows, component: FAMILY.extractor, mode: read, config: {connection: "@FAMILY.ALIAS", table: people}}
  - {id: out, component: filesystem.csv_writer, mode: write, inputs: {df: "@rows"}, config: {path: NAME.csv}}
"""


def canary(number):
    """Return a secret of at least 24 characters in which every 12 consecutive characters identify it."""
    own = f"k{number:02}"
    parts = (NASTY[at : at + 3] for at in range(0, len(NASTY), 3))
    return f"{own}Zq" + f"{own}Wv".join(parts) + f"{own}Jx"


def secret_fields():
    """Return (family, field) of all secret fields, from the specs of the families."""
    specs = [yaml.safe_load(path.read_text()) for path in FAMILIES.glob("*/*.yaml")]
    fields = {spec["name"]: spec["fields"]["properties"] for spec in sorted(specs, key=itemgetter("name"))}
    return [(family, name) for family in fields for name, schema in fields[family].items() if schema.get("x-secret")]


def _written(family, field, value):
    """Return a canary as the value of a field: in a URL as its password, or inside the key of a service account."""
    if field in ADDRESSES:
        scheme = "mysql" if family == "mysql" else "postgresql"
        return f"{scheme}://u:{quote(value, safe='')}@127.0.0.1:9/d"
    if field == "service_account_key":
        return json.dumps({"type": "service_account", "private_key": value, "client_email": "a@example.com"})
    return value


@dataclass
class Project:
    """The project: its folder, the environment of its commands, and the canaries."""

    folder: Path
    environment: dict
    canaries: Canaries
    osiris: Path
    temporary: Path

    def watch(self, *words, **options):
        """Run a command in it; returns what was observed."""
        return watch([self.osiris, *words], cwd=self.folder, env=self.environment, **options)

    def files(self):
        """Return all existing files, except those in which secrets are allowed."""
        yield from files(self.folder, self.temporary, but=HOLDERS)


def lay_out(folder, osiris, server=None):
    """Create the project; with the fields of a server, `postgres.wrong` connects there with a wrong password."""
    root, temporary = folder / "project", folder / "temporary"
    for each in (root, temporary, folder / "home"):
        each.mkdir(parents=True)
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    environment |= {"HOME": str(folder / "home"), "TMPDIR": str(temporary)}
    values, declared, secrets = {}, {}, {}
    slots = [*secret_fields(), ("postgres", "wrong"), ("params", "pin"), ("models", "key")]
    for number, (family, field) in enumerate(slots):
        slot, variable = f"{family}.{field}", f"SLOT_{number}"
        values[slot] = canary(number)
        secrets[variable] = _written(family, field, values[slot])
        if family in PLAIN:
            declared.setdefault(family, {})[field] = _fields(family, field, variable, server)
    variables = {"OSIRIS_PARAM_PIN": values["params.pin"], "OPENAI_API_KEY": values["models.key"]}
    environment |= {name: text for name, text in secrets.items() if int(name[5:]) % 2} | variables
    rest = {name: json.dumps(text, ensure_ascii=False) for name, text in secrets.items() if name not in environment}
    (root / ".env").write_text("".join(f"{name}={text}\n" for name, text in rest.items()))
    (root / "osiris.yaml").write_text("")
    (root / "osiris_connections.yaml").write_text(json.dumps({"version": 1, "connections": declared}))
    (root / "people.csv").write_text("id,name\n1,a\n2,b\n")
    (root / "orders.csv").write_text("id\n1\n2\n3\n")
    (root / "kept.yaml").write_text(KEPT_STEPS.replace("NAME", "kept").replace("EXPRESSION", "name"))
    broken = KEPT_STEPS.replace("NAME", "broken").replace("EXPRESSION", "CAST(name AS INTEGER)")
    (root / "broken.yaml").write_text(broken)
    (root / "slow.yaml").write_text(slow(14).replace("data/orders.csv", "orders.csv"))
    for family, field in slots:
        if family in ("postgres", "mysql", "supabase"):
            text = READ_STEPS.replace("NAME", f"{family}_{field}").replace("FAMILY", family).replace("ALIAS", field)
            (root / f"{family}_{field}.yaml").write_text(text)
    return Project(root, environment, Canaries(values), Path(osiris), temporary)


def _fields(family, field, variable, server):
    if field == "wrong":
        return {**(server or NOWHERE), "password": f"${{{variable}}}"}
    plain = {} if field in ADDRESSES else dict(PLAIN[family])
    if family == "supabase" and field.endswith("password"):
        plain = dict(NOWHERE)
    if family == "s3":
        other = "secret_access_key" if field == "access_key_id" else "access_key_id"
        plain |= {other: "${HOME}"} | ({"secret_access_key": "${HOME}"} if field == "session_token" else {})
    return plain | {field: f"${{{variable}}}"}
