"""Changes of a text that are not mistakes: they must not cause any new diagnostic."""

import json
import re

import yaml
from tests.golden.mutation.shape import options_of, steps
from tests.golden.mutation.sql import statements

SAME = {}


def same(function):
    SAME[function.__name__] = function
    return function


def dumped(data, **options):
    return yaml.safe_dump(data, sort_keys=False, width=1000, allow_unicode=True, **options)


@same
def other_order_of_root_keys(case):
    yield dumped(dict(sorted(case.page.data.items(), reverse=True)))


@same
def other_order_of_step_keys(case):
    for turned in (reversed, sorted):
        steps = [{key: step[key] for key in turned(list(step))} for step in case.steps]
        yield dumped(case.page.data | {"steps": steps})


@same
def other_order_of_options(case):
    steps = [step | {"config": dict(sorted(step["config"].items(), reverse=True))} for step in case.steps]
    yield dumped(case.page.data | {"steps": steps})


@same
def block_style(case):
    yield dumped(case.page.data, default_flow_style=False)
    yield dumped(case.page.data, default_flow_style=False, indent=4)


@same
def flow_style(case):
    yield dumped(case.page.data, default_flow_style=True)


@same
def as_json(case):
    yield json.dumps(case.page.data)
    yield json.dumps(case.page.data, indent=2, ensure_ascii=False)


@same
def everything_quoted(case):
    for style in ("'", '"'):
        yield quoted_texts(case, style)


def quoted_texts(case, style):
    """Quote every plain text that is a value."""
    text = case.text
    nodes = [entry.value for _, entry in case.page.every_entry() if isinstance(entry.value, yaml.ScalarNode)]
    for node in sorted(nodes, key=lambda n: -n.start_mark.index):
        if node.style is None and node.tag.endswith(":str") and "'" not in node.value:
            end = node.start_mark.index + len(case.page.raw(node).rstrip())
            text = text[: node.start_mark.index] + style + node.value + style + text[end:]
    return text


@same
def comments(case):
    yield "# a comment\n" + case.text + "\n# and another"
    starts = {entry.key.start_mark.index for _, entry in case.page.every_entry() if not entry.mapping.flow_style}
    lines = {case.text.rfind("\n", 0, start) + 1 for start in starts}
    text = case.text
    for at in sorted(lines, reverse=True):
        text = text[:at] + "  # why: because [it] 'is'\n" + text[at:]
    yield text


@same
def blank_lines_and_ends(case):
    yield case.text.rstrip()
    yield case.text + "\n\n\n"
    yield "---\n" + case.text
    yield case.text.replace("\n", "\r\n")
    yield "\ufeff" + case.text


@same
def extensions(case):
    yield case.text.rstrip() + "\nx-owner: {team: sales}\n"
    for i, step in enumerate(case.steps):
        yield case.page.insert(case.page.node("steps", i), "x-ticket: 17", before=1)
        if "description" not in step:
            yield case.page.insert(case.page.node("steps", i), "description: What it is for.", before=1)


@same
def implied_needs(case):
    """Write out the implied order."""
    for i, step in enumerate(case.steps):
        if "needs" not in step and "inputs" not in step:
            before = [case.steps[i - 1]["id"]] if i else []
            yield case.page.insert(case.page.node("steps", i), f"needs: {json.dumps(before)}", before=1)


@same
def inputs_for_needs(case):
    """The same edges as data, if a step reads by the name of the other."""
    for i, step in enumerate(case.steps):
        if step["mode"] == "write" and step.get("needs"):
            steps = [dict(each) for each in case.steps]
            del steps[i]["needs"]
            steps[i]["inputs"] = {"df": f"@{step['needs'][0]}"}
            yield dumped(case.page.data | {"steps": steps})


@same
def other_order_of_steps(case):
    """Steps with explicit needs may be in any order."""
    if all("needs" in step for step in case.steps):
        yield dumped(case.page.data | {"steps": case.steps[::-1]})


@same
def other_layout_of_sql(case):
    """Case, white space and comments of SQL do not matter."""
    for entry, start, end in statements(case):
        words = re.sub(
            r"\b(SELECT|FROM|JOIN|ON|WHERE|GROUP BY|ORDER BY|AS)\b", lambda m: m[0].swapcase(), case.text[start:end]
        )
        yield case.page.splice(start, end, words)
        if entry.value.style == "|":
            indent = case.text[:start].rpartition("\n")[2]
            yield case.page.splice(start, start, f"-- first, a word; about 'this'\n{indent}")
            yield case.page.splice(end, end, f"\n{indent}-- and last\n{indent};")


@same
def longer_newer_version(case):
    """0.2.0 has everything that 0.1.0 has."""
    yield case.page.replace(case.page.node("oml_version"), "'0.2.0'")


@same
def defaults_written_out(case):
    for i, step in steps(case):
        for name, option in options_of(step).items():
            plain = isinstance(option.get("default"), str | bool | int)
            if plain and name not in step["config"] and name != "offset":
                line = f"{name}: {json.dumps(option['default'])}"
                yield case.page.insert(case.page.node("steps", i, "config"), line)
