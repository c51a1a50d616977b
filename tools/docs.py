"""Writes the reference pages from the code that they describe; with --check, only names those that are not up to date.

Pages can be selected by name. By default, all are written except those that take long, because their facts come from
running components.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import json
import re
import sys
import tempfile
import textwrap
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import osiris
from osiris.api import explain_code
from osiris.cli.main import root
from osiris.codes import CODES
from osiris.codes.page import load_page
from osiris.config import KEYS, variable_name
from osiris.oml.editor import editor_schema
from osiris.oml.params import DECLARATION
from osiris.oml.parse import ENTRY_KEYS, FILE_KEYS, STEP_KEYS
from osiris.oml.schedule import SCHEDULE
from osiris.registry import RESERVED, UNSUPPORTED_RESERVED, Registry, load_registry
from osiris.testing import Case, seen_by, type_matrix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from osiris.model import ComponentSpec, JsonValue
    from osiris.testing.values import Carried

WIDTH = 100
DOCS = Path(__file__).parents[1] / "docs"
EXAMPLE = Path(inspect.getfile(editor_schema)).parents[1] / "templates" / "init" / "pipelines" / "example.yaml"
NOTICE = "<!-- Written by tools/docs.py; change what it describes, then run `{command}`. -->"
PREFIXES = {
    "PRJ": "Project, configuration and command line",
    "OML": "The text of a pipeline",
    "CMP": "The plan",
    "LCK": "Pinned schemas",
    "REG": "Components",
    "CON": "Connections",
    "SQL": "SQL",
    "DAT": "Types and data",
    "RUN": "Runs",
    "SCH": "Schedules",
    "SBX": "Sandboxes and remote targets",
    "AIO": "Packages, reports and lineage of runs",
    "DRV": "Drivers",
    "DSC": "Discovery",
    "NTF": "Notifications and telemetry",
    "CHT": "Conversations",
    "LLM": "Models",
    "MCP": "Requests of agents",
    "LSP": "Help in editors",
    "EXP": "Exports to schedulers",
    "STA": "Cursors and state",
    "INT": "Osiris itself",
}
EXIT_CODES = {
    0: "success",
    1: "a run failed, or a comparison differs",
    2: "invalid usage or input",
    3: "a connection or secret is missing or unreachable",
    4: "integrity: a plan, lock file or component is not the expected one; nothing was run",
    5: "the plan would change (`compile --check --detailed-exitcode`)",
    6: "a source no longer matches the plan, or a data check failed",
    70: "an internal error of Osiris",
    75: "another run has the same pipeline or target; try again later (`--wait`, `run.wait`)",
    129: "the terminal was closed",
    130: "interrupted (Ctrl-C)",
    143: "terminated",
}

SCHEDULES = (
    'Since `oml_version: "0.2.0"`. The fields of `cron` are numbers, names (`MON`, `JAN`), `*`, lists (`1,15`), '
    "ranges (`6-18`)\nand steps (`*/15`). [Schedules](../guide/schedules.md) has the rest."
)
REPLICATE = """\
Since `oml_version: "0.3.0"`. An entry is a short way to write one extractor and one writer per table. `osiris compile`
asks the source which tables match, and pins them with their keys in `osiris.lock`. Ids of the steps are
`ENTRY-SCHEMA-TABLE`, of the extractors the same with `-source`. `needs` of other steps may name the entry.

A table's config replaces a default as a whole; `cursor: none` and `deletes: none` switch it off. An upsert without
`primary_key` uses the primary key of the source, or its only unique key without NULL.
"""
ORDER = """\
## Order and data

- `needs` lists the steps that this one waits for. It also reads their outputs, if they have one and this step takes
  input. Data streams from step to step; a step that only waits does so until the other has ended.
- `inputs` lists what is read, as `NAME: "@step"` or `NAME: "${step.df}"`. The step then waits for these steps, and for
  those in `needs`, if that is given.
- With neither, a step needs the one before it, as if that were in `needs`. If it reads nothing from it, a note says
  so; `needs: []` lets the step start at once.
- In the SQL of a step, an input has the name of its step or of the input, also with `df_` before it; a single input is
  also called `df` or `input_df`. Characters that are not allowed in a plain name become `_`, and case does not matter.
- Rows have an order only if a step gives them one: a file that is read, or an `ORDER BY`.
"""
PLACEHOLDERS = """\
## Placeholders

`${params.NAME}` is the value of a parameter; `${run.id}` and `${run.started_at}` get their values when the run starts.
All can be used in every value of a `config`, parameters also in descriptions and in `metadata`.

- A placeholder that is the whole text has the type of its parameter: `limit: ${params.top}` is a number. Within a text,
  it is replaced by the value as text.
- In SQL, it becomes a literal of its type, and inside quotes a part of that text. A value never becomes syntax.
- A value comes from `--param NAME=VALUE`, else from the variable `OSIRIS_PARAM_NAME`, else from the chosen profile,
  else from the default.
- A sensitive parameter can be used only in SQL, where it is bound when the run starts.
"""
YAML = """\
## The text

One YAML document in UTF-8, read strictly. Values that YAML readers interpret differently (`yes`, `010`, `1_000`,
`12:30:45`, an unquoted `@step`) are rejected with what to write instead. Duplicate keys, anchors, aliases and tags are
rejected too.

`osiris fmt` rewrites a file in the canonical format: keys in the order of the tables on this page, keys of a `config`
in the order of the component's table, two spaces per level, quotes only if needed, SQL as a block, a blank line between
steps. Comments stay with their lines; the meaning never changes.

`osiris schema` prints a JSON Schema with the options of all installed components; `osiris init` puts it into a new
project for VS Code.
"""

TYPES = """\
# Types

What happens to each type of column when a writer of Osiris stores it and the matching extractor reads it back, or when
a SQL step passes it on unchanged. The tables come from tests that send values, including NULL and the limits of each
range, and compare what comes back.

- `=`: the same type, with every value unchanged.
- *as T*: read back as type T, with equal values. A `cast` in the step that reads restores the original type and values
  exactly; with ¹ it does not, and a cast in SQL is needed.
- *a code*: rejected, with `CMP012` and `DAT006` at compile time, with other codes when the rows are written. If
  *cast to T* follows, that `cast`, in the step that writes or the one before, changes no value and is accepted.
- *in parentheses*: the equal value that comes back instead of the original one.

This page is about data that Osiris itself has written; how other files and tables are read is described with
[the component](components.md).
"""
WRONG = "*Wrong*: a known defect of that writer: it accepts such values, but they cannot be read back."

TEXT_FILES = {"CSV": ("csv", "t.csv"), "JSON lines": ("json", "t.jsonl"), "Parquet": ("parquet", "t.parquet")}
DATABASES = {"DuckDB": "duckdb", "SQLite": "sqlite"}


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Yield a Markdown table and an empty line; nothing if there are no rows."""
    if not rows:
        return
    for cells in (header, ("---",) * len(header), *rows):
        yield "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"
    yield ""


def code(value: object) -> str:
    """Return a value as inline code; text as it is, anything else as JSON."""
    return f"`{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}`"


AS_JSON = """\
## As JSON

With `--json`, and for agents over MCP, each problem is one object: `code`, `severity`, `message`, `file`, `line`,
`column`, `pointer` (a JSON Pointer into the file) and `hint`. If exactly one correction is possible,
`fix` has it: a list of JSON Patch operations (RFC 6902: `replace`, `add`, `remove`, `move`) on the content of the file.
If the text is not valid YAML, an operation is `{"op": "text", "line", "column", "old", "value"}` instead: at that
position, counted from 1, replace `old` by `value`. A fix never contains a secret, and is applied only on request."""


def codes_page() -> Iterator[str]:
    """Yield the index of all codes."""
    yield from ("# Codes", "", "Every error, warning and note has a code; `osiris explain CODE` prints its page.", "")
    yield from ("## Exit codes", "", "If there are several errors: 4 before 3 before 2 before 1.", "")
    yield from table(("exit code", "meaning"), [(str(number), text) for number, text in EXIT_CODES.items()])
    yield from (AS_JSON, "")
    for prefix, title in PREFIXES.items():
        yield from (f"## {prefix}: {title}", "")
        rows = [(name, row) for name, row in CODES.items() if name.startswith(prefix)]
        yield from table(
            ("code", "title", "exit code"),
            [(f"[{n}]({prefix.lower()}.md#{n.lower()})", r.title, ending(r.severity, r.exit_code)) for n, r in rows],
        )


def code_pages(prefix: str) -> Iterator[str]:
    """Yield the pages of the codes with a prefix, one below the other."""
    yield from (f"# {prefix}: {PREFIXES[prefix]}", "", "[All codes](README.md)", "")
    for name in (name for name in CODES if name.startswith(prefix)):
        row, page = explain_code(name), load_page(name)
        yield from (f"## {name}", "", f"**{row['title']}** ({row['severity']}, exit code {row['exit_code']})", "")
        yield from (page.meaning, "", f"Message: {code(str(row['message']))}", "")
        yield from (f"Hint: {row['hint']}", "") if row["hint"] else ()
        for title, blocks in page.parts():
            yield from (f"{title}:", "")
            for block in blocks:
                yield from (code(block.path), "") if block.path else ()
                yield from (f"```{block.language}", *block.text.splitlines(), "```", "")


def ending(severity: str, exit_code: int) -> str:
    """Return how a command with this code ends."""
    return str(exit_code) if severity == "error" else severity


def components_page() -> Iterator[str]:
    """Yield the page of our own components and families."""
    registry = load_registry()
    yield from ("# Components", "", "The components that steps can use; `osiris components show NAME` shows one.", "")
    yield from ("## Keys of every component", "")
    yield from config_table({key: RESERVED[key] for key in RESERVED if key not in UNSUPPORTED_RESERVED}, ())
    for spec in (spec for spec in registry.all() if spec.module.startswith("osiris.")):
        yield from component(spec)
    yield from families(registry)


def component(spec: ComponentSpec) -> Iterator[str]:
    """Yield the section of one component."""
    yield from (f"## {spec.name}", "", f"**{spec.title}**, version {spec.version}.", "", spec.description.strip(), "")
    facts = {
        "modes": ", ".join(spec.modes),
        "connection": spec.connection,
        "inputs": inputs(spec.inputs),
        "output": "yes" if spec.output else "no",
        "delivery": spec.delivery or "",
        "capabilities": ", ".join(spec.capabilities),
        "requires": ", ".join(spec.requirements),
    }
    yield from (f"- {name}: {value}" for name, value in facts.items() if value)
    yield ""
    public = {key: schema for key, schema in spec.config["properties"].items() if not schema.get("x-internal")}
    yield from config_table(public, spec.config.get("required", ()))
    if guidance := spec.hints.get("guidance"):
        yield from (" ".join(guidance.split()), "")
    for example in spec.examples:
        yield from (f"{example['title']}:", "", "```json", json.dumps(example["config"], ensure_ascii=False), "```", "")


def inputs(limits: tuple[int, int | None]) -> str:
    """Return how many inputs a component takes."""
    least, most = limits
    if most is None:
        return f"{least} or more"
    return str(least) if least == most else f"{least} to {most}"


def families(registry: Registry) -> Iterator[str]:
    """Yield the sections about connections."""
    ours = [spec for spec in registry.all() if spec.module.startswith("osiris.")]
    used = {name for spec in ours for name in (spec.family, *spec.families)}
    for name in registry.families():
        family = registry.family(name)
        if family and name in used:
            yield from (f"## Connections of the family {name}", "", f"{family.title}.", "")
            yield from config_table(family.fields.get("properties", {}), family.fields.get("required", ()))


def config_table(properties: dict[str, Any], required: tuple[str, ...]) -> Iterator[str]:
    """Yield the table of the keys of a JSON Schema object."""
    rows = [
        (
            code(key),
            kind(schema),
            "required" if key in required else code(schema["default"]) if "default" in schema else "",
            schema.get("description", ""),
        )
        for key, schema in properties.items()
    ]
    yield from table(("key", "type", "default", "meaning"), rows)


def kind(schema: dict[str, Any]) -> str:
    """Return what a JSON Schema allows, in a few words."""
    if "enum" in schema:
        return " or ".join(code(value) for value in schema["enum"])
    branches = schema.get("anyOf", schema.get("oneOf"))
    if branches and "type" not in schema:
        return " or ".join(kind(branch) for branch in branches)
    types = schema.get("type", "any value")
    if types == "array" and "type" in schema.get("items", {}):
        return f"list of {kind(schema['items'])}"
    return " or ".join(types) if isinstance(types, list) else types


def oml_page() -> Iterator[str]:
    """Yield the page of the language."""
    properties = editor_schema(load_registry())["properties"]
    step = properties["steps"]["items"]
    component = {"description": step["properties"]["component"]["description"], "type": "string"}
    config = {**step["properties"], "component": component}
    yield from ("# OML", "", "The language of pipelines. A complete example, from `osiris init`:", "")
    yield from ("```yaml", *EXAMPLE.read_text(encoding="utf-8").splitlines(), "```", "")
    yield from ("## Keys of a file", "", "Other keys begin with `x-` and are ignored.", "")
    yield from config_table({key: properties[key] for key in FILE_KEYS}, ("oml_version", "name"))
    yield from ("## Keys of a schedule", "", SCHEDULES, "")
    yield from config_table(SCHEDULE["properties"], SCHEDULE["required"])
    yield from ("## Keys of an entry of replicate", "", REPLICATE)
    entry = properties["replicate"]["items"]
    yield from config_table({key: entry["properties"][key] for key in ENTRY_KEYS}, entry["required"])
    for name in ("from", "to"):
        inner = entry["properties"][name]
        yield from (f"Keys of `{name}`:", "")
        yield from config_table(inner["properties"], inner.get("required", ()))
    yield from ("## Keys of a step", "")
    yield from config_table({key: config[key] for key in STEP_KEYS}, step["required"])
    yield from (
        ORDER,
        "## Keys of a parameter",
        "",
        "Instead of these keys, a parameter can be just its default value, which also sets its type.",
        "",
    )
    yield from config_table(DECLARATION["properties"], ())
    yield from (PLACEHOLDERS, "## Config keys of every component", "")
    yield from config_table({key: RESERVED[key] for key in RESERVED if key not in UNSUPPORTED_RESERVED}, ())
    yield YAML


def cli_page() -> Iterator[str]:
    """Yield the page of all commands and settings."""
    yield from ("# Command line", "", str(root.help), "")
    top = click.Context(root, info_name="osiris")
    own = [param for param in root.params if isinstance(param, click.Option)]
    shared = [p for p in root.get_params(top) if isinstance(p, click.Option) and p not in own]
    yield from ("## osiris", "", *options(own, top), "## Options of every command", "", *options(shared, top))
    names = {param.name for param in shared}
    for path, command, context in commands(root, top):
        usage = " ".join(piece for piece in command.collect_usage_pieces(context) if piece != "[OPTIONS]")
        yield from (
            f"## {path}",
            "",
            "```",
            f"{path} {usage}".strip(),
            "```",
            "",
            *inspect.cleandoc(command.help or "").split("\n"),
            "",
        )
        own = [p for p in command.params if isinstance(p, click.Option) and p.name not in names and not p.hidden]
        yield from options(own, context)
    yield from settings()


def commands(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    """Yield each command below a group with its path and context."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = click.Context(command, parent=context, info_name=name)
        if isinstance(command, click.Group):
            yield from commands(command, inner)
        else:
            yield inner.command_path, command, inner


def options(params: list[click.Option], context: click.Context) -> Iterator[str]:
    """Yield the table of some options."""
    rows = []
    for option in params:
        names, text = option.get_help_record(context) or ("", "")
        rows.append((code(names), text))
    yield from table(("option", "meaning"), rows)


def settings() -> Iterator[str]:
    """Yield the section about osiris.yaml."""
    yield from ("## Settings", "", "In `osiris.yaml`, or as an environment variable, which takes precedence.", "")
    rows = [
        (code(name), code(variable_name(name)), key.expected, code(key.default or 0), key.purpose)
        if key.default is not None
        else (code(name), code(variable_name(name)), key.expected, "", key.purpose)
        for name, key in KEYS.items()
    ]
    yield from table(("setting", "variable", "is", "default", "meaning"), rows)


PYTHON = """\
# Python

`import osiris` offers these names. Results show themselves as tables in a notebook. Every problem is an `OsirisError`;
each of its `diagnostics` has `code`, `severity`, `message`, `location` (`file`, `line`, `column`) and `hint`. The
examples are of a project that `osiris init` made; [the guide](../guide/python.md) explains more.

`PathLike` is a text or a path, and `Pipeline` one of these or a `Plan`. `Params` are the values of parameters by name:
texts, numbers, booleans, dates, `Decimal`, or lists of them; each is read as if it were written on the command line.
`Progress` is a function that takes an event, a dictionary as in `events.jsonl`.

## A pipeline file

`osiris init NAME` makes a project with an example. A pipeline is a YAML file in its folder `pipelines/`: steps that
read, transform with SQL, or write. This one reads a CSV file with dates and numbers in a local spelling, sets rows that
do not fit aside, and writes Parquet:

```yaml
# pipelines/tickets.yaml
oml_version: "0.1.0"
name: tickets

steps:
  - id: tickets
    component: filesystem.csv_extractor
    mode: read
    config:
      path: data/tickets.csv
      delimiter: ";"
      encoding: cp1250
      dtype: {ticket: int64, minutes: utf8}
      on_reject: quarantine

  - id: typed
    component: duckdb.processor
    mode: transform
    needs: [tickets]
    config:
      query: |
        SELECT
          ticket,
          CAST(strptime(opened, '%d.%m.%Y') AS date) AS opened,
          CAST(replace(minutes, ',', '.') AS decimal(9, 1)) AS minutes
        FROM tickets

  - id: save
    component: filesystem.parquet_writer
    mode: write
    needs: [typed]
    config:
      path: output/tickets.parquet
```

All options of a step go into its `config`. [Components and their options](components.md), [all keys of a
file](oml.md). `osiris components show filesystem.csv_extractor` prints the same.
"""


def python_page() -> Iterator[str]:
    """Yield the page of what `import osiris` offers, from docstrings."""
    public = {name: getattr(osiris, name) for name in osiris.__all__ if not name.startswith("__")}
    yield PYTHON
    yield from ("## Functions", "")
    for name, value in public.items():
        if inspect.isfunction(value):
            yield from (f"### {name}", "", "```python", *signature(f"osiris.{name}", value), "```", "", *prose(value))
    yield from ("## Objects", "")
    for name, value in public.items():
        if inspect.isclass(value):
            yield from (f"### {name}", "", *prose(value))
            described = dict(attributes(value))
            fields = dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()
            rows = [(code(each.name), code(str(each.type))) for each in fields if code(each.name) not in described]
            yield from table(("attribute", "type"), rows)
            yield from table(("attribute", "meaning"), [*described.items()])
            yield from methods(value) if value is not osiris.Project else ()


def signature(name: str, function: Callable[..., object]) -> Iterator[str]:
    """Yield the lines of a call: in one line if they fit, else one parameter a line."""
    text = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(inspect.signature(function)))
    text = text.replace("(self, ", "(").replace("(self)", "()")
    if len(name + text) <= WIDTH:
        yield name + text
        return
    head, end = text[1:].rsplit(") -> ", 1)
    yield f"{name}("
    yield from (f"    {each}," for each in re.split(r", (?=[*\w]+(?::|,|$))", head))
    yield f") -> {end}"


def prose(value: object) -> Iterator[str]:
    """Yield a docstring, with its examples as blocks of code."""
    for part in (inspect.getdoc(value) or "").split("\n\n"):
        lines = part.split("\n")
        yield from ("```python", *lines, "```", "") if part.startswith(">>>") else (*lines, "")


def attributes(kind: type) -> Iterator[tuple[str, str]]:
    """Yield the public attributes and properties of a class with their meaning."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    for node in ast.walk(tree):
        body = getattr(node, "body", None) or []
        for one, two in itertools.pairwise(body if isinstance(body, list) else []):
            target = getattr(one, "target", None) or next(iter(getattr(one, "targets", ())), None)
            if isinstance(two, ast.Expr) and isinstance(two.value, ast.Constant) and isinstance(target, ast.AST):
                yield code(getattr(target, "id", None) or getattr(target, "attr", "")), str(two.value.value)
    for name, value in vars(kind).items():
        if isinstance(value, property | cached_property) and not name.startswith("_"):
            yield code(name), inspect.getdoc(value) or ""


def methods(kind: type) -> Iterator[str]:
    """Yield the public methods of a class."""
    for name, value in vars(kind).items():
        if inspect.isfunction(value) and not name.startswith("_") and name != "to_json":
            yield from ("```python", *signature(f".{name}", value), "```", "", *prose(value))


def types_page() -> Iterator[str]:
    """Yield the page about what happens to every type, determined by running our own components."""
    ways = dict(matrices())
    rows = [*zip(*ways.values(), strict=True)]
    yield from (TYPES, "## Ordinary values", "")
    yield from table(("type", *ways), [(code(row[0].sample.type), *map(fate, row)) for row in rows if not what(row)])
    yield from ("## Values that few targets can hold", "")
    rare = [(code(row[0].sample.type), what(row), *map(fate, row)) for row in rows if what(row)]
    yield from table(("type", "values", *ways), rare)
    if any(each.outcome.changed for row in rows for each in row):
        yield WRONG


def matrices() -> Iterator[tuple[str, list[Carried]]]:
    """Yield what happens to every type, by the heading of each path."""
    for title, (kind, path) in TEXT_FILES.items():
        yield title, kept(f"filesystem.{kind}_writer", f"filesystem.{kind}_extractor", {"path": path}, {})
    for title, family in DATABASES.items():
        yield title, kept(f"{family}.writer", f"{family}.extractor", {"table": "t"}, {"path": f"t.{family}"})
    yield "SQL step", type_matrix("duckdb.processor", Case({"query": "SELECT * FROM df"}))


def kept(
    writer: str, reader: str, config: Mapping[str, JsonValue], connection: Mapping[str, JsonValue]
) -> list[Carried]:
    """Return what happens to every type that a writer stores and an extractor reads."""
    return type_matrix(writer, Case(config, connection, look=seen_by(reader, config, connection)))


def what(row: tuple[Carried, ...]) -> str:
    """Return which values of a type a row is about; nothing for ordinary ones."""
    return row[0].sample.what


def fate(carried: Carried) -> str:
    """Return what happens to a sample, in a few words."""
    outcome = carried.outcome
    if outcome.changed:
        return "*Wrong*"
    if outcome.refusal:
        return code(outcome.refusal.code) + (f", cast to {code(carried.cast)}" if carried.cast else "")
    again = "" if carried.again else " ¹"
    text = "`=`" if outcome.type == carried.sample.type else f"as {code(outcome.type)}{again}"
    return f"{text} ({outcome.note})" if outcome.note else text


def server_types_page() -> Iterator[str]:
    """Yield the page of the types of database servers, determined by running pipelines between our own servers."""
    sys.path.insert(0, str(DOCS.parent))
    from tests.components.server_types.bench import Bench
    from tests.components.server_types.matrix import SOURCES, matrix_of, rest_of
    from tests.components.server_types.page import page
    from tests.servers import start_mariadb, start_postgres

    with (
        tempfile.TemporaryDirectory() as folder,
        start_postgres() as postgres,
        start_mariadb() as mariadb,
        Bench(Path(folder), postgres, mariadb).served() as bench,
    ):
        matrices = [(source, matrix_of(source, bench)) for source in SOURCES]
        yield from page(matrices, rest_of(*matrices[0], bench))


PAGES = {
    "reference/oml.md": oml_page,
    "reference/components.md": components_page,
    "reference/cli.md": cli_page,
    "reference/python.md": python_page,
    "errors/README.md": codes_page,
    **{f"errors/{prefix.lower()}.md": partial(code_pages, prefix) for prefix in PREFIXES},
}
SLOW_PAGES = {"reference/types.md": types_page, "reference/server-types.md": server_types_page}


def command_for(name: str) -> str:
    """Return the command that writes a page."""
    return "make docs" if name in PAGES else f"python tools/docs.py {name}"


def rendered(name: str, lines: Iterable[str]) -> str:
    """Return the whole text of a page."""
    return "\n".join([NOTICE.format(command=command_for(name)), "", *lines]).rstrip("\n") + "\n"


def main(arguments: list[str]) -> int:
    """Write the pages, or check them; returns the exit code."""
    check = "--check" in arguments
    old = []
    for name in [name for name in arguments if name != "--check"] or PAGES:
        path, text = DOCS / name, rendered(name, {**PAGES, **SLOW_PAGES}[name]())
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        old.append(name)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for name in old:
        print(f"docs/{name} {f'is not up to date: run {command_for(name)}' if check else 'written'}")
    return 1 if old and check else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
