"""Mistakes in how steps, connections and parameters refer to each other."""

import json
import re
from itertools import pairwise

import yaml
from tests.golden.mutation.corpus import SPECS
from tests.golden.mutation.mutant import Mutant, operator
from tests.golden.mutation.page import Page, pointer, typo
from tests.golden.mutation.shape import configs, options_of, spec_of, steps

SECRETS = {
    "password": "hunter2-Xq7!",
    "key": "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "pg_dsn": "postgresql://a:hunter2@h/d",
}
PARAM = re.compile(r"\$\{params\.(\w+)\}")


def ids(case):
    return [step["id"] for step in case.steps]


def reads_by_name(step, need):
    """Return whether a step's SQL contains the name of another."""
    return bool(re.search(rf"\b(df_)?{need}\b", step["config"].get("query", "")))


@operator()
def duplicate_step_id(case):
    for i, _ in steps(case)[1:]:
        text = case.page.replace(case.page.node("steps", i, "id"), ids(case)[i - 1])
        yield Mutant(text, (pointer("steps", i, "id"),))


@operator()
def misspelt_need(case):
    for i, step in steps(case):
        for j, need in enumerate(step.get("needs", [])):
            at = ("steps", i, "needs", j)
            yield Mutant(case.page.replace(case.page.node(*at), typo(need, case.name)), (pointer(*at),))


@operator()
def misspelt_id(case):
    """The id of a step that others need: the mistake shows at the others."""
    for i, step in steps(case):
        users = [(k, s["needs"].index(step["id"])) for k, s in steps(case) if step["id"] in s.get("needs", [])]
        if len(users) == 1:
            text = case.page.replace(case.page.node("steps", i, "id"), typo(step["id"], case.name))
            yield Mutant(text, tuple(pointer("steps", k, "needs", j) for k, j in users))


@operator()
def unknown_need(case):
    for i, step in steps(case):
        if step.get("needs"):
            text = case.page.add(case.page.node("steps", i, "needs"), "qqq") if is_flow(case, i) else None
            if text:
                yield Mutant(text, (pointer("steps", i, "needs", len(step["needs"])),))


def is_flow(case, i):
    return case.page.node("steps", i, "needs").flow_style


@operator()
def need_of_itself(case):
    for i, step in steps(case):
        node = case.page.node("steps", i, "needs")
        if node and is_flow(case, i):
            yield Mutant(case.page.add(node, step["id"]), (pointer("steps", i, "needs", len(step["needs"])),))
        elif not node:
            text = case.page.insert(case.page.node("steps", i), f"needs: [{step['id']}]", before=1)
            yield Mutant(text, (pointer("steps", i, "needs", 0),))


@operator()
def need_twice(case):
    for i, step in steps(case):
        if step.get("needs") and is_flow(case, i):
            text = case.page.add(case.page.node("steps", i, "needs"), step["needs"][0])
            yield Mutant(text, (pointer("steps", i, "needs", len(step["needs"])),))


@operator()
def cycle(case):
    """A step that needs one which needs it; either edge may be blamed, by its entry or its list."""
    for i, step in steps(case):
        for j, need in enumerate(step.get("needs", [])):
            k = ids(case).index(need)
            entry, node = pointer("steps", i, "needs", j), case.page.node("steps", k, "needs")
            if node and node.flow_style:
                text = case.page.add(node, step["id"])
                yield Mutant(text, (pointer("steps", k, "needs", len(node.value)), entry))
            elif not node:
                text = case.page.insert(case.page.node("steps", k), f"needs: [{step['id']}]", before=1)
                yield Mutant(text, (pointer("steps", k, "needs", 0), entry))


@operator()
def missing_needs(case):
    """Without `needs` a step follows the previous one, which here has no output, or not the one in the SQL."""
    for i, step in steps(case):
        needs, before = step.get("needs"), case.steps[i - 1] if i else None
        if not needs or before is None or needs == [before["id"]]:
            continue
        lost = [need for need in needs if need != before["id"] and reads_by_name(step, need)]
        where = pointer("steps", i, "config", "query") if lost else pointer("steps", i)
        if lost or before["mode"] == "write":
            yield Mutant(case.page.remove(case.page.entry("steps", i, "needs")), (where,))


@operator()
def one_need_too_few(case):
    for i, step in steps(case):
        needs = step.get("needs", [])
        for need in needs if len(needs) > 1 else []:
            if reads_by_name(step, need):
                rest = json.dumps([n for n in needs if n != need])
                text = case.page.replace(case.page.node("steps", i, "needs"), rest)
                yield Mutant(text, (pointer("steps", i, "config", "query"),))


@operator()
def writer_without_input(case):
    for i, step in steps(case):
        if step["mode"] == "write" and "needs" in step:
            text = case.page.replace(case.page.node("steps", i, "needs"), "[]")
            yield Mutant(text, (pointer("steps", i), pointer("steps", i, "needs")))


@operator()
def writer_of_a_writer(case):
    """A writer that needs another writer, which has no output."""
    writers = [i for i, step in steps(case) if step["mode"] == "write" and "needs" in step]
    for before, i in pairwise(writers):
        text = case.page.replace(case.page.node("steps", i, "needs"), f"[{ids(case)[before]}]")
        yield Mutant(text, (pointer("steps", i), pointer("steps", i, "needs"), pointer("steps", i, "needs", 0)))


def with_inputs(case, i, value):
    """Replace `needs` by `inputs`."""
    entry, line = case.page.entry("steps", i, "needs"), f"inputs: {value}"
    if entry is None:
        return case.page.insert(case.page.node("steps", i), line, before=1)
    return case.page.splice(entry.key.start_mark.index, case.page.end(entry.value), line)


@operator()
def input_of_no_step(case):
    for i, step in steps(case):
        if step["mode"] != "read" and step.get("needs"):
            wrong = typo(step["needs"][0], case.name)
            for form in (f"@{wrong}", f"${{{wrong}.df}}"):
                at = (pointer("steps", i, "inputs", "df"),)
                yield Mutant(with_inputs(case, i, f'{{df: "{form}"}}'), at)


@operator()
def input_in_no_form(case):
    """The bare name of a step, or a list of names."""
    for i, step in steps(case):
        if step["mode"] != "read" and step.get("needs"):
            need, at = step["needs"][0], pointer("steps", i, "inputs")
            yield Mutant(with_inputs(case, i, f"{{df: {need}}}"), (at + "/df",))
            yield Mutant(with_inputs(case, i, json.dumps(step["needs"])), (at,))


@operator()
def input_of_a_reader(case):
    for i, step in steps(case)[1:]:
        if step["mode"] == "read":
            at = pointer("steps", i, "inputs")
            text = case.page.insert(case.page.node("steps", i), f'inputs: {{df: "@{ids(case)[0]}"}}', before=1)
            yield Mutant(text, (at, at + "/df"))


def connected(case):
    for i, step, entry, _ in configs(case):
        if entry.name == "connection":
            family, _, alias = step["config"]["connection"][1:].partition(".")
            yield i, step, entry, family, alias


def refer(case, entry, reference):
    return Mutant(case.page.replace(entry.value, json.dumps(reference)), (entry.at,))


@operator()
def misspelt_alias(case):
    for _, _, entry, family, alias in connected(case):
        if alias:
            yield refer(case, entry, f"@{family}.{typo(alias, case.name)}")


@operator()
def unknown_alias(case):
    for _, _, entry, family, _ in connected(case):
        yield refer(case, entry, f"@{family}.qqq")


@operator()
def misspelt_family(case):
    for _, _, entry, family, alias in connected(case):
        yield refer(case, entry, f"@{typo(family, case.name)}.{alias or 'main'}")


@operator()
def connection_of_another_family(case):
    for _, _, entry, family, _ in connected(case):
        yield refer(case, entry, "@mysql.main" if family != "mysql" else "@postgres.main")


@operator()
def connection_without_its_sign(case):
    for _, _, entry, family, alias in connected(case):
        yield refer(case, entry, ".".join(filter(None, (family, alias))))


@operator()
def alias_alone(case):
    for _, _, entry, _, alias in connected(case):
        if alias:
            yield refer(case, entry, f"@{alias}")


@operator()
def missing_connection(case):
    """In a family without a default: the hint names the alias only if there is just one."""
    declared = yaml.safe_load(case.connections)["connections"]
    for i, step, entry, family, _ in connected(case):
        default = any(alias == "default" or fields.get("default") for alias, fields in declared[family].items())
        if spec_of(step)["connection"] == "required" and not default:
            yield Mutant(case.page.remove(entry), (pointer("steps", i, "config"),))


@operator()
def connection_where_none_is_used(case):
    for i, step in steps(case):
        if spec_of(step)["connection"] == "none":
            text = case.page.insert(case.page.node("steps", i, "config"), 'connection: "@duckdb.main"')
            yield Mutant(text, (pointer("steps", i, "config", "connection"),))


@operator()
def literal_secret_in_a_connection(case):
    page, used = Page(case.connections), {(family, alias) for *_, family, alias in connected(case)}
    for family, alias in sorted(used):
        for entry in page.entries("connections", family, alias):
            if entry.name in SECRETS:
                yield Mutant(case.text, (entry.at,), None, page.replace(entry.value, json.dumps(SECRETS[entry.name])))


@operator()
def misspelt_field_of_a_connection(case):
    page, used = Page(case.connections), {(family, alias) for *_, family, alias in connected(case)}
    for family, alias in sorted(used):
        for entry in page.entries("connections", family, alias):
            wrong = typo(entry.name, case.name)
            at = (entry.at.rpartition("/")[0] + pointer(wrong),)
            yield Mutant(case.text, at, None, page.rename(entry, wrong))


@operator()
def secret_in_the_text(case):
    secrets = ("postgresql://me:Tr0ub4dor&3@db/x", "use ghp_16C7e42F292c6912E7710c838347Ae178B4a")
    for secret in secrets:
        described = case.page.node("description")
        text = (
            case.page.replace(described, json.dumps(secret))
            if described
            else case.page.insert(case.page.root, f"description: {json.dumps(secret)}")
        )
        yield Mutant(text, ("/description",))
    for i, _ in steps(case):
        text = case.page.insert(case.page.node("steps", i), f"description: {json.dumps(secrets[0])}", before=1)
        if "description" not in case.steps[i]:
            yield Mutant(text, (pointer("steps", i, "description"),))


@operator()
def password_among_the_options(case):
    for i, _ in steps(case):
        text = case.page.insert(case.page.node("steps", i, "config"), "password: hunter2-Xq7!")
        yield Mutant(text, (pointer("steps", i, "config", "password"),))


def uses(case):
    """Yield each use of a parameter: the entry of the value, and the match in its text."""
    for i, step, entry, _ in configs(case):
        if isinstance(step["config"][entry.name], str):
            start, end = case.page.inside(entry.value)
            for match in PARAM.finditer(case.text, start, end):
                yield pointer("steps", i, "config", entry.name), match


@operator()
def misspelt_use_of_a_parameter(case):
    for at, match in uses(case):
        text = case.page.splice(*match.span(1), typo(match[1], case.name))
        yield Mutant(text, (at,), case.page.line(match.start()))


@operator()
def undeclared_parameter(case):
    for at, match in uses(case):
        yield Mutant(case.page.splice(*match.span(1), "qqq"), (at,), case.page.line(match.start()))


@operator()
def malformed_placeholder(case):
    """Other tools' placeholders, and incomplete ones of ours."""
    for at, match in uses(case):
        name = match[1]
        for wrong in (f"${{{name}}}", f"${{param.{name}}}", f"${{params.{name}", f"{{{{ params.{name} }}}}"):
            yield Mutant(case.page.splice(*match.span(), wrong), (at,), case.page.line(match.start()))


@operator()
def misspelt_parameter(case):
    """Its declaration is misspelt: the mistake shows where it is used, or where a profile sets it."""
    for entry in case.page.entries("params"):
        at = [where for where, match in uses(case) if match[1] == entry.name]
        at += [
            pointer("profiles", profile, "params", entry.name)
            for profile, body in case.page.data.get("profiles", {}).items()
            if entry.name in body.get("params", {})
        ]
        yield Mutant(case.page.rename(entry, typo(entry.name, case.name)), tuple(at))


@operator()
def misspelt_parameter_of_a_profile(case):
    for profile in case.page.data.get("profiles", {}):
        for entry in case.page.entries("profiles", profile, "params"):
            wrong = typo(entry.name, case.name)
            at = (pointer("profiles", profile, "params", wrong),)
            yield Mutant(case.page.rename(entry, wrong), at)


@operator()
def misspelt_type_of_a_parameter(case):
    for name in case.page.data.get("params", {}):
        at = ("params", name, "type")
        if node := case.page.node(*at):
            yield Mutant(case.page.replace(node, typo(node.value, case.name)), (pointer(*at),))


@operator()
def default_of_another_type(case):
    wrong = {"integer": "many", "date": '"2025-13-45"', "string": "5", "number": "many", "list": "5"}
    for name, declared in case.page.data.get("params", {}).items():
        at = ("params", name, "default")
        if isinstance(declared, dict) and "default" in declared:
            yield Mutant(case.page.replace(case.page.node(*at), wrong[declared["type"]]), (pointer(*at),))


@operator()
def default_out_of_range(case):
    for name, declared in case.page.data.get("params", {}).items():
        at = ("params", name, "default")
        if isinstance(declared, dict) and "min" in declared:
            text = case.page.replace(case.page.node(*at), str(declared["min"] - 1))
            yield Mutant(text, (pointer(*at),))


@operator()
def two_writers_of_one_target(case):
    writers = [(i, s) for i, s in steps(case) if s["mode"] == "write" and "path" in s["config"]]
    for (_, first), (i, second) in pairwise(writers):
        at = ("steps", i, "config", "path")
        if first["config"].get("connection") == second["config"].get("connection"):
            yield Mutant(case.page.replace(case.page.node(*at), first["config"]["path"]), (pointer(*at),))


@operator(severity="note")
def path_outside_of_the_root(case):
    for i, step in steps(case):
        if "path" in step["config"] and "connection" not in step["config"]:
            at = ("steps", i, "config", "path")
            wrong = f"../{step['config']['path']}"
            yield Mutant(case.page.replace(case.page.node(*at), json.dumps(wrong)), (pointer(*at),))


@operator()
def option_of_another_component(case):
    """The first option of a family's other component that this one does not have."""
    for i, step in steps(case):
        others = [s for name, s in SPECS.items() if name.split(".")[0] == step["component"].split(".")[0]]
        foreign = sorted({n for s in others for n in s["config"]["properties"]} - set(options_of(step)))
        known = set(spec_of(step).get("hints", {}).get("synonyms", {}))
        for name in [n for n in foreign if n not in known and n not in ("max_cell_bytes",)][:1]:
            text = case.page.insert(case.page.node("steps", i, "config"), f"{name}: 1")
            yield Mutant(text, (pointer("steps", i, "config", name),))
