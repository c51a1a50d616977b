"""Mistakes in keys and their values."""

import json
import re

from tests.golden.mutation.corpus import SPECS
from tests.golden.mutation.mutant import Mutant, operator
from tests.golden.mutation.page import pointer, typo

FREE = {"dtype", "cast", "filter", "metadata", "profiles"}
"""Keys below which any name is allowed."""

ROOT_REQUIRED = ("oml_version", "name", "steps")
STEP_REQUIRED = ("id", "component", "mode")
OTHER_TYPES = {"string": "5", "integer": "many", "number": "many", "boolean": "maybe", "array": "5", "object": "5"}
COUNTERPARTS = {"extractor": "writer", "writer": "extractor"}
MODES = ("read", "write", "transform")


def steps(case):
    return list(enumerate(case.steps))


def spec_of(step):
    return SPECS[step["component"]]


def options_of(step):
    return spec_of(step)["config"]["properties"]


def configs(case):
    """Yield the number and step, and each entry of its config with the component's schema of it."""
    for i, step in steps(case):
        for entry in case.page.entries("steps", i, "config"):
            yield i, step, entry, options_of(step).get(entry.name, {})


def misspelt(case, entries):
    for entry in entries:
        wrong = typo(entry.name, case.name + entry.at)
        yield Mutant(case.page.rename(entry, wrong), (entry.at.rpartition("/")[0] + pointer(wrong),))


@operator()
def misspelt_root_key(case):
    yield from misspelt(case, [e for e in case.page.entries() if not e.name.startswith("x-")])


@operator()
def misspelt_step_key(case):
    for i, _ in steps(case):
        yield from misspelt(case, case.page.entries("steps", i))


@operator()
def misspelt_config_key(case):
    for i, _ in steps(case):
        found = case.page.every_entry("steps", i, "config")
        yield from misspelt(case, [entry for parts, entry in found if not FREE & set(map(str, parts))])


@operator()
def misspelt_key_of_a_parameter(case):
    for name in case.page.data.get("params", {}):
        yield from misspelt(case, case.page.entries("params", name))


@operator()
def key_in_another_style(case):
    """`writeMode`, `write-mode` and `Write_Mode` for `write_mode`, `Name` for `name`."""
    found = [*case.page.entries(), *(e for i, _ in steps(case) for e in case.page.entries("steps", i))]
    for entry in [*found, *(e for _, _, e, _ in configs(case))]:
        first, *rest = entry.name.split("_")
        others = [first + "".join(map(str.title, rest)), "-".join([first, *rest])] if rest else [first.title()]
        if not entry.name.startswith("x-"):
            for other in others:
                yield Mutant(case.page.rename(entry, other), (entry.at.rpartition("/")[0] + pointer(other),))


@operator()
def missing_root_key(case):
    for name in ROOT_REQUIRED:
        yield Mutant(case.page.remove(case.page.entry(name)), ("",))


@operator()
def missing_step_key(case):
    for i, _ in steps(case):
        for name in STEP_REQUIRED:
            yield Mutant(case.page.remove(case.page.entry("steps", i, name)), (pointer("steps", i),))


@operator()
def missing_option(case):
    for i, step, entry, _ in configs(case):
        schema = spec_of(step)["config"]
        either = {name for choice in schema.get("oneOf", []) for name in choice.get("required", [])}
        if entry.name in {*schema.get("required", []), *either}:
            yield Mutant(case.page.remove(entry), (pointer("steps", i, "config"),))


@operator()
def missing_config(case):
    for i, step in steps(case):
        entry = case.page.entry("steps", i, "config")
        if spec_of(step)["config"].get("required"):
            yield Mutant(case.page.remove(entry), (pointer("steps", i), pointer("steps", i, "config")))


@operator()
def forbidden_root_key(case):
    for line in ('version: "1"', "connectors: {}", "tasks: []", "outputs: [x]"):
        yield Mutant(case.page.insert(case.page.root, line), (pointer(line.partition(":")[0]),))


@operator()
def unknown_root_key(case):
    for line in ("owner: me", "environment: {A: b}", "retries: 3"):
        yield Mutant(case.page.insert(case.page.root, line), (pointer(line.partition(":")[0]),))


@operator()
def unknown_step_key(case):
    for i, _ in steps(case):
        for line in ("enabled: true", "outputs: [df]"):
            text = case.page.insert(case.page.node("steps", i), line, before=1)
            yield Mutant(text, (pointer("steps", i, line.partition(":")[0]),))


@operator()
def unknown_option(case):
    for i, _ in steps(case):
        for line in ("colour: red", "parallelism: 4"):
            text = case.page.insert(case.page.node("steps", i, "config"), line)
            yield Mutant(text, (pointer("steps", i, "config", line.partition(":")[0]),))


@operator()
def name_of_earlier_days(case):
    """Names of earlier versions:

    `version` for `oml_version`, `tasks` for `steps`; of a step: `type`, `uses`, `with`, `depends_on`.
    """
    root, renames = case.page.entries(), {"oml_version": ["version"], "steps": ["tasks"], "params": ["parameters"]}
    for entry in root:
        for other in renames.get(entry.name, []):
            yield Mutant(case.page.rename(entry, other), (pointer(other),))
    renames = {"component": ["type", "uses"], "config": ["with"], "needs": ["depends_on"]}
    for i, _ in steps(case):
        for entry in case.page.entries("steps", i):
            for other in renames.get(entry.name, []):
                yield Mutant(case.page.rename(entry, other), (pointer("steps", i, other),))


@operator()
def alias_of_an_option(case):
    """Another tool's name for an option, which the component's spec lists."""
    for i, step, entry, _ in configs(case):
        for other in spec_of(step).get("hints", {}).get("aliases", {}).get(entry.name, []):
            if other not in options_of(step):
                yield Mutant(case.page.rename(entry, other), (pointer("steps", i, "config", other),))


@operator()
def root_value_of_a_wrong_type(case):
    wrong = {"name": "[a]", "description": "{a: b}", "metadata": "text", "params": "[a]", "steps": "text"}
    for entry in case.page.entries():
        if entry.name in wrong:
            yield Mutant(case.page.replace(entry.value, wrong[entry.name]), (entry.at,))


@operator()
def step_value_of_a_wrong_type(case):
    wrong = {"id": "[a]", "component": "{a: b}", "mode": "[a]", "config": "text", "needs": "{a: b}", "inputs": "text"}
    for i, _ in steps(case):
        for entry in case.page.entries("steps", i):
            if entry.name in wrong:
                yield Mutant(case.page.replace(entry.value, wrong[entry.name]), (entry.at,))


@operator()
def option_of_a_wrong_type(case):
    for _, _, entry, option in configs(case):
        types = option.get("type", [])
        types = {types} if isinstance(types, str) else set(types)
        for kind, value in OTHER_TYPES.items():
            if kind in types and not (value == "5" and {"integer", "number"} & types):
                yield Mutant(case.page.replace(entry.value, value), (entry.at,))
                break


@operator()
def number_for_text(case):
    """A number or a boolean that should have been quoted."""
    for _, _, entry, option in configs(case):
        if option.get("type") == "string" and "x-sql" not in option:
            for value in ("2024", "true"):
                yield Mutant(case.page.replace(entry.value, value), (entry.at,))
    for entry in case.page.entries():
        if entry.name in ("name", "description"):
            yield Mutant(case.page.replace(entry.value, "2024"), (entry.at,))


@operator()
def text_for_number(case):
    """A number or a boolean in quotes, in the first option of a step that takes one."""
    for i, step in steps(case):
        for kind, value in (("integer", '"500"'), ("boolean", '"true"')):
            fitting = (n for n, o in options_of(step).items() if o.get("type") == kind)
            name = next((n for n in fitting if n not in step["config"] and n not in ("limit", "offset")), None)
            if name:
                text = case.page.insert(case.page.node("steps", i, "config"), f"{name}: {value}")
                yield Mutant(text, (pointer("steps", i, "config", name),))


@operator()
def text_for_a_list(case):
    """One entry without its brackets, in an option that only takes a list."""
    for _, _, entry, option in configs(case):
        if option.get("type") == "array" and isinstance(entry.value.value[0].value, str):
            yield Mutant(case.page.replace(entry.value, json.dumps(entry.value.value[0].value)), (entry.at,))


@operator()
def needs_as_text(case):
    for i, step in steps(case):
        if step.get("needs"):
            at = ("steps", i, "needs")
            yield Mutant(case.page.replace(case.page.node(*at), ", ".join(step["needs"])), (pointer(*at),))


@operator()
def nothing_behind_a_key(case):
    required = [case.page.entry(name) for name in ROOT_REQUIRED]
    required += [case.page.entry("steps", i, name) for i, _ in steps(case) for name in STEP_REQUIRED]
    required += [e for _, step, e, _ in configs(case) if e.name in spec_of(step)["config"].get("required", [])]
    for entry in required:
        yield Mutant(case.page.replace(entry.value, ""), (entry.at,))


@operator()
def bad_enum_value(case):
    """A misspelt value of an option with few values, which is present or added for this."""
    for i, step in steps(case):
        for name, option in options_of(step).items():
            at = pointer("steps", i, "config", name)
            if "enum" in option and name in step["config"]:
                wrong = typo(step["config"][name], at)
                yield Mutant(case.page.replace(case.page.node("steps", i, "config", name), wrong), (at,))
            elif "enum" in option and name != "write_mode":
                value = typo(str(option["enum"][-1]), at)
                text = case.page.insert(case.page.node("steps", i, "config"), f"{name}: {json.dumps(value)}")
                yield Mutant(text, (at,))


@operator()
def number_out_of_range(case):
    for i, step in steps(case):
        for name, option in options_of(step).items():
            if option.get("type") == "integer" and "minimum" in option and name not in step["config"]:
                if name in spec_of(step)["config"].get("dependentRequired", {}) and "table" not in step["config"]:
                    continue
                line = f"{name}: {option['minimum'] - 1}"
                text = case.page.insert(case.page.node("steps", i, "config"), line)
                yield Mutant(text, (pointer("steps", i, "config", name),))


@operator()
def wrong_mode(case):
    for i, step in steps(case):
        for mode in set(MODES) - {step["mode"]}:
            yield Mutant(case.page.replace(case.page.node("steps", i, "mode"), mode), (pointer("steps", i, "mode"),))


@operator()
def unknown_mode(case):
    """Misspelt, or another tool's word that a component's spec lists."""
    others = {"read": ["extract"], "write": ["load"], "transform": []}
    for i, step in steps(case):
        for mode in [typo(step["mode"], case.name), step["mode"].title(), *others[step["mode"]]]:
            yield Mutant(case.page.replace(case.page.node("steps", i, "mode"), mode), (pointer("steps", i, "mode"),))


@operator()
def misspelt_component(case):
    for i, step in steps(case):
        family, _, kind = step["component"].partition(".")
        spellings = [f"{typo(family, case.name)}.{kind}", f"{family}.{typo(kind, case.name)}"]
        for wrong in [*spellings, f"{family}-{kind}", kind, step["component"].title()]:
            node = case.page.node("steps", i, "component")
            yield Mutant(case.page.replace(node, wrong), (pointer("steps", i, "component"),))


@operator()
def unknown_component(case):
    for i, _ in steps(case):
        node = case.page.node("steps", i, "component")
        yield Mutant(case.page.replace(node, "kafka.consumer"), (pointer("steps", i, "component"),))


@operator()
def component_of_another_mode(case):
    """The reader of a family instead of its writer, and the other way round."""
    for i, step in steps(case):
        other = re.sub("extractor|writer", lambda m: COUNTERPARTS[m[0]], step["component"])
        if other != step["component"]:
            node = case.page.node("steps", i, "component")
            at = (pointer("steps", i, "component"), pointer("steps", i, "mode"))
            yield Mutant(case.page.replace(node, other), at)


@operator()
def wrong_oml_version(case):
    for version in ('"1.0.0"', '"0.1"', '"v0.1.0"', "0.1", "1"):
        yield Mutant(case.page.replace(case.page.node("oml_version"), version), (pointer("oml_version"),))


@operator()
def too_old_for_what_it_uses(case):
    at = tuple(pointer("steps", i, "config", "checks") for i, s in steps(case) if "checks" in s["config"])
    if at:
        yield Mutant(case.page.replace(case.page.node("oml_version"), '"0.1.0"'), at)


@operator()
def nothing_to_do(case):
    yield Mutant(case.page.replace(case.page.node("steps"), "[]"), (pointer("steps"),))
    yield Mutant(case.page.replace(case.page.node("name"), '""'), (pointer("name"),))


@operator()
def steps_by_name(case):
    """The steps as a mapping by id, as in other tools."""
    found = {step["id"]: {k: v for k, v in step.items() if k != "id"} for step in case.steps}
    yield Mutant(case.page.replace(case.page.node("steps"), json.dumps(found)), (pointer("steps"),))


@operator()
def step_that_is_a_word(case):
    for i, step in steps(case):
        yield Mutant(case.page.replace(case.page.node("steps", i), step["id"] + "\n\n"), (pointer("steps", i),))


@operator()
def key_without_its_rows(case):
    """An upsert without the columns that identify a row."""
    for i, step, entry, _ in configs(case):
        if entry.name == "primary_key" and step["config"].get("write_mode") == "upsert":
            yield Mutant(case.page.remove(entry), (pointer("steps", i, "config"),))
    for i, step in steps(case):
        if "write_mode" in options_of(step) and "write_mode" not in step["config"]:
            text = case.page.insert(case.page.node("steps", i, "config"), "write_mode: upsert")
            yield Mutant(text, (pointer("steps", i, "config"),))


@operator()
def two_sources_at_once(case):
    """A table and a query."""
    for i, step in steps(case):
        if "oneOf" in spec_of(step)["config"]:
            line = "query: SELECT id FROM orders ORDER BY id" if "table" in step["config"] else "table: orders"
            text = case.page.insert(case.page.node("steps", i, "config"), line)
            yield Mutant(text, (pointer("steps", i, "config"),))


@operator()
def reserved_table(case):
    for _, _, entry, option in configs(case):
        if "pattern" in option and entry.name == "table":
            yield Mutant(case.page.replace(entry.value, "_osiris_ledger"), (entry.at,))


@operator()
def bad_common_option(case):
    """`timeout`, `retry`, `cast`, `on_reject` with invalid values."""
    wrong = {
        "timeout: 5 minutes": ("timeout",),
        "retry: {max: three}": ("retry", "max"),
        "retry: {maximum: 3}": ("retry", "maximum"),
        "retry: {max: -1}": ("retry", "max"),
        "cast: {id: strng}": ("cast", "id"),
        'cast: {id: "decimal(99,2)"}': ("cast", "id"),
        "on_reject: quarantin": ("on_reject",),
    }
    for i, step in steps(case):
        for line, parts in wrong.items():
            text = case.page.insert(case.page.node("steps", i, "config"), line)
            if parts[0] not in step["config"] and not (step["mode"] == "write" and parts[0] == "cast"):
                yield Mutant(text, (pointer("steps", i, "config", *parts),))


@operator()
def unknown_type_of_a_column(case):
    for _, _, entry, _ in configs(case):
        if entry.name == "dtype":
            for column, node in entry.value.value:
                yield Mutant(case.page.replace(node, json.dumps(typo(node.value))), (entry.at + pointer(column.value),))
