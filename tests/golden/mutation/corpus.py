"""The shipped pipelines, each with its project."""

import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml
from tests.docs.pages import PAGES, README
from tests.golden.mutation.page import Page

SOURCE = Path(__file__).parents[3] / "src" / "osiris"
TEMPLATE = SOURCE / "templates" / "init"
PLANS = Path(__file__).parents[1] / "plans"
SPECS = {
    spec["name"]: spec
    for spec in (yaml.safe_load(path.read_text("utf-8")) for path in SOURCE.glob("components/*/spec.yaml"))
}
FIELDS = {
    "duckdb": {"path": "data/store.duckdb"},
    "sqlite": {"path": "data/app.sqlite"},
    "mysql": {"host": "db.example.com", "database": "shop", "user": "osiris", "password": "${MYSQL_PASSWORD}"},
    "postgres": {"host": "db.example.com", "database": "shop", "user": "osiris", "password": "${PG_PASSWORD}"},
    "supabase": {
        "url": "https://abcdefghijklmnopqrst.supabase.co",
        "key": "${SUPABASE_KEY}",
        "pg_dsn": "${SUPABASE_DSN}",
    },
}
CONNECTIONS = yaml.safe_dump({"connections": {family: {"main": fields} for family, fields in FIELDS.items()}})
ROWS = {
    "rows": "id,region,amount,updated_at\n1,north,2.50,2025-01-01\n",
    "orders": "id,customer_id,amount\n1,7,2.50\n",
    "customers": "id,name\n7,Ada\n",
}
"""What the examples of components read."""


@dataclass(frozen=True)
class Case:
    """A correct pipeline; `origin` is the template or the case whose files surround it."""

    name: str
    text: str
    connections: str
    origin: Path | None = None

    @cached_property
    def page(self):
        return Page(self.text)

    @property
    def steps(self):
        return self.page.data["steps"]


def cases(*, whole=True):
    """Return all shipped pipelines; without `whole`, only one example of each component."""
    examples = [case for case in _examples() if whole or case.name.endswith("/1")]
    return [*_templates(), *_plans(), *_guide(), *examples]


def _templates():
    for name in ("demo", "init"):
        folder = SOURCE / "templates" / name
        (file,) = folder.glob("pipelines/*.yaml")
        yield Case(name, file.read_text("utf-8"), (folder / "osiris_connections.yaml").read_text("utf-8"), folder)


def _plans():
    for folder in sorted(PLANS.iterdir()):
        if (folder / "manifest.json").exists():
            own = folder / "connections.yaml"
            connections = own.read_text("utf-8") if own.exists() else "connections: {}\n"
            yield Case(f"plans/{folder.name}", (folder / "pipeline.yaml").read_text("utf-8"), connections, folder)


def _guide():
    """Yield the pipelines of the guide that need only its files; that of the README is the one of a new project."""
    usual = (TEMPLATE / "osiris_connections.yaml").read_text("utf-8")
    by_commands = [page for page in PAGES if "cat > osiris_connections.yaml" in page.path.read_text("utf-8")]
    for page in (page for page in PAGES if page is not README and page not in by_commands):
        connections = page.files.get("osiris_connections.yaml", usual)
        for file, text in page.files.items():
            if file.startswith("pipelines/"):
                yield Case(f"{page.path.stem}/{Path(file).stem}", text, connections, TEMPLATE)


def _examples():
    for name, spec in sorted(SPECS.items()):
        for number, example in enumerate(spec["examples"], 1):
            steps = list(_around(spec, example))
            head = {"oml_version": "0.1.0", "name": f"{name.replace('.', '-').replace('_', '-')}-{number}"}
            text = yaml.safe_dump({**head, "steps": steps}, sort_keys=False, width=120)
            yield Case(f"spec/{name}/{number}", text, CONNECTIONS)


def _around(spec, example):
    """Yield the steps of a pipeline around an example: its input, and a writer for its output."""
    family, mode = spec["name"].partition(".")[0], spec["modes"][0]
    sources = example.get("inputs", ["rows"] if spec["inputs"]["min"] or mode == "transform" else [])
    for source in sources:
        yield _step(source, "filesystem.csv_extractor", "read", [], {"path": f"data/{source}.csv"})
    config = {"connection": f"@{family}.main"} if spec["connection"] == "required" else {}
    yield _step("example", spec["name"], mode, sources, config | example["config"])
    if spec["output"]:
        yield _step("kept", "filesystem.parquet_writer", "write", ["example"], {"path": "output/kept.parquet"})


def _step(name, component, mode, needs, config):
    return {"id": name, "component": component, "mode": mode, "needs": needs, "config": config}


def lay_out(case, folder):
    """Write the files around a case into a folder, and return it."""
    if case.origin:
        shutil.copytree(case.origin, folder, dirs_exist_ok=True)
        shutil.rmtree(folder / "pipelines", ignore_errors=True)
    else:
        (folder / "data").mkdir(parents=True)
        for name, text in ROWS.items():
            (folder / "data" / f"{name}.csv").write_text(text, "utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "osiris.yaml").touch()
    (folder / "osiris_connections.yaml").write_text(case.connections, "utf-8")
    return folder
