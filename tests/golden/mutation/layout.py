"""Mistakes in the YAML itself: white space, quotes, brackets, and ambiguous values."""

import re

import yaml
from tests.golden.mutation.mutant import Mutant, operator
from tests.golden.mutation.page import pointer
from tests.golden.mutation.shape import configs, steps

AMBIGUOUS = ("yes", "on", "010", "1_000", "12:30:45", "Off", "0o17")


def keys_of_lines(case):
    """Yield the entries of block mappings whose key begins a line (or follows only a dash)."""
    for _, entry in case.page.every_entry():
        if not entry.mapping.flow_style:
            yield entry


def later_keys(case):
    """Yield those that are not the first of their mapping, and where their line begins."""
    for entry in keys_of_lines(case):
        if entry.index:
            yield entry, case.text.rindex("\n", 0, entry.key.start_mark.index) + 1


def scalars(case):
    """Yield the entries with a text on one line: the head's, and those of the steps and their options."""
    found = [*case.page.entries(), *(e for i, _ in steps(case) for e in case.page.entries("steps", i))]
    for entry in [*found, *(e for _, _, e, _ in configs(case))]:
        if isinstance(entry.value, yaml.ScalarNode) and "\n" not in case.page.raw(entry.value).rstrip():
            yield entry


def line_of(entry):
    return entry.value.start_mark.line + 1


@operator()
def tab_for_spaces(case):
    for entry, start in later_keys(case):
        if entry.key.start_mark.column:
            text = case.page.splice(start, entry.key.start_mark.index, "\t")
            yield Mutant(text, (), entry.key.start_mark.line + 1)


@operator()
def one_space_too_many(case):
    for entry, start in later_keys(case):
        yield Mutant(case.page.splice(start, start, " "), (), entry.key.start_mark.line + 1)


@operator()
def one_space_too_few(case):
    for entry, start in later_keys(case):
        if entry.key.start_mark.column:
            yield Mutant(case.page.splice(start, start + 1, ""), (), entry.key.start_mark.line + 1)


@operator()
def lost_dash(case):
    """Two steps become one, with every key twice."""
    for i, _ in steps(case)[1:]:
        start = case.page.node("steps", i).start_mark.index
        at = case.text.rindex("-", 0, start)
        text = case.page.splice(at, at + 1, " ")
        yield Mutant(text, (pointer("steps", i - 1, "id"),), case.page.line(start))


@operator()
def duplicate_key(case):
    for entry in scalars(case):
        line = f"{entry.name}: {case.page.raw(entry.value).rstrip()}"
        text = case.page.insert(entry.mapping, line, before=entry.index)
        shift = 0 if entry.mapping.flow_style else 1
        yield Mutant(text, (entry.at,), line_of(entry) + shift)


@operator()
def anchor(case):
    for i, _ in steps(case):
        entry = case.page.entry("steps", i, "component")
        text = case.page.replace(entry.value, f"&c {case.page.raw(entry.value).rstrip()}")
        yield Mutant(text, (entry.at,), line_of(entry))


@operator()
def alias(case):
    for i, _ in steps(case):
        entry = case.page.entry("steps", i, "component")
        yield Mutant(case.page.replace(entry.value, "*c"), (entry.at,), line_of(entry))
        line = "<<: *defaults"
        text = case.page.insert(case.page.node("steps", i, "config"), line)
        yield Mutant(text, (), case.page.node("steps", i, "config").start_mark.line + 1)


@operator()
def tag(case):
    for i, _ in steps(case):
        for key, name in (("component", "!!str"), ("id", "!step")):
            entry = case.page.entry("steps", i, key)
            text = case.page.replace(entry.value, f"{name} {case.page.raw(entry.value).rstrip()}")
            yield Mutant(text, (entry.at,), line_of(entry))


@operator()
def two_documents(case):
    yield Mutant(case.text.rstrip() + "\n---\nname: other\n", (), case.text.rstrip().count("\n") + 2)


@operator()
def ambiguous_scalar(case):
    texts = ("description", "path", "table", "schema")
    for number, entry in enumerate(e for e in scalars(case) if e.name in texts):
        for value in (AMBIGUOUS[number % len(AMBIGUOUS)], AMBIGUOUS[(number + 3) % len(AMBIGUOUS)]):
            yield Mutant(case.page.replace(entry.value, value), (entry.at,), line_of(entry))


@operator()
def unquoted_reference(case):
    for _, step, entry, _ in configs(case):
        if entry.name == "connection":
            yield Mutant(case.page.replace(entry.value, step["config"]["connection"]), (), line_of(entry))


@operator()
def unclosed_quote(case):
    for entry in scalars(case):
        raw = case.page.raw(entry.value).rstrip().strip("\"'")
        yield Mutant(case.page.replace(entry.value, f'"{raw}'), (), line_of(entry))


@operator()
def unclosed_bracket(case):
    for _, entry in case.page.every_entry():
        if isinstance(entry.value, yaml.CollectionNode) and entry.value.flow_style:
            end = case.page.end(entry.value)
            yield Mutant(case.page.splice(end - 1, end, ""), (), line_of(entry))


@operator()
def no_colon(case):
    for entry in scalars(case):
        end = entry.key.end_mark.index
        if not entry.mapping.flow_style:
            yield Mutant(case.page.splice(end, end + 1, ""), (), line_of(entry))


@operator()
def no_space_after_the_colon(case):
    for entry in scalars(case):
        end = entry.key.end_mark.index
        if not entry.mapping.flow_style and case.text[end : end + 2] == ": ":
            yield Mutant(case.page.splice(end + 1, end + 2, ""), (), line_of(entry))


@operator()
def colon_in_a_plain_text(case):
    for entry in scalars(case):
        if entry.name == "description" and not entry.mapping.flow_style:
            yield Mutant(case.page.replace(entry.value, "sales: by region"), (), line_of(entry))


@operator()
def unquoted_pattern(case):
    """`*.csv` without quotes is an alias to YAML."""
    for _, step, entry, _ in configs(case):
        if entry.name == "path" and step["mode"] == "read":
            yield Mutant(case.page.replace(entry.value, "*.csv"), (), line_of(entry))


@operator()
def backslashes_in_double_quotes(case):
    for _, step, entry, _ in configs(case):
        if entry.name == "path":
            path = step["config"]["path"].replace("/", "\\")
            if re.search(r"\\[^0abtnvfre\"/\\N_LPxuU ]", path):
                yield Mutant(case.page.replace(entry.value, f'"{path}"'), (), line_of(entry))


@operator()
def fenced(case):
    """The output of a chat: the file between fences, with or without a word before."""
    yield Mutant(f"```yaml\n{case.text}```\n", (), 1)
    yield Mutant(f"Here is the pipeline:\n\n```yaml\n{case.text}```\n", (), 1)


@operator()
def left_by_a_merge(case):
    entry = case.page.entry("name")
    line = case.page.raw(entry.key) + ": " + case.page.raw(entry.value).rstrip()
    start = entry.key.start_mark.index
    text = f"<<<<<<< HEAD\n{line}\n=======\nname: other\n>>>>>>> theirs"
    yield Mutant(case.page.splice(start, case.page.end(entry.value), text), (), case.page.line(start))
