"""The SQL of a pipeline: what a step may read, whether it is safe, and where a problem is in the file."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from osiris import sql
from osiris.compiler.context import Prepared, required_connection, sql_fields
from osiris.document.edits import add, put
from osiris.errors import Location, OsirisError, diagnostic
from osiris.oml.parse import Document, load_document, parse
from osiris.sql.nondeterminism.determinism import diagnostics
from osiris.sql.safety.dialects import DIALECTS
from osiris.sql.safety.names import RUN_PARAMETERS, relation_names
from osiris.sql.safety.text import align, offset_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from osiris.compiler.context import Context, Question
    from osiris.errors import Diagnostic, Fix
    from osiris.model import ComponentSpec, Described, Step
    from osiris.sql.nondeterminism.determinism import Finding


def locate(root: Path, at: Location, pointer: str, position: Location, text: str, source: str = "") -> Location:
    """Return the file location of `position` in a text that was made from the value at `pointer`.

    `at` is the location of that value, returned where nothing more precise is known. The file's text, `source` or else
    its current content, is parsed again: it has the original, before parameters were substituted and SQL made
    canonical.
    """
    document, original = _original(root, at.file, pointer, source)
    return _located(replace(at, pointer=pointer), position, text, document, original)


def located(root: Path, at: Location, pointer: str, problem: Diagnostic, text: str, source: str) -> Diagnostic:
    """Return a problem of such a text with its location in the file, and with a fix of the file."""
    document, original = _original(root, at.file, pointer, source)
    place = _located(replace(at, pointer=pointer), problem.location, text, document, original)
    return replace(problem, location=place, fix=_fix_in_file(original, pointer, problem.fix, text))


def _located(at: Location, inner: Location, text: str, document: Document | None, source: str) -> Location:
    if document is None or inner.line is None:
        return at
    position = document.inside(at.pointer or "", align(text, offset_at(text, inner), source))
    return replace(at, line=position.line, column=position.column)


def _fix_in_file(original: str, pointer: str, fix: Fix, text: str) -> Fix:
    """Translate a fix of a derived text to the file; none where the two texts differ there."""
    if not fix:
        return ()
    for change in fix:
        place, old = Location(line=change["line"], column=change["column"]), change["old"]
        start = align(text, offset_at(text, place), original)
        if original[start : start + len(old)].casefold() != old.casefold():
            return ()
        original = original[:start] + change["value"] + original[start + len(old) :]
    return put(pointer, original) if original.strip() else ()


def _original(root: Path, file: str | None, pointer: str, source: str) -> tuple[Document | None, str]:
    """Return the document of a file and the text at a pointer; none if it cannot be read."""
    if file is None:
        return None, ""
    try:
        document = parse(source, file) if source else load_document(root / file, root)
    except OsirisError:
        return None, ""
    value = document.value(pointer)
    return (document, value) if isinstance(value, str) else (None, "")


def check_input_names(ctx: Context) -> Iterator[Diagnostic]:
    """No two inputs of a SQL step share a name."""
    for step, spec in ctx.with_specs():
        if not sql_fields(spec) or step.mode != "transform":
            continue
        at = ctx.at(f"{step.pointer}/inputs" if step.inputs else step.pointer)
        for name, inputs in relation_names(step.inputs).items():
            if len(inputs) > 1:
                listed = ", ".join(sorted(inputs))
                yield diagnostic("CMP010", at=at, step=step.id, name=name, inputs=listed)


def check_sql(ctx: Context) -> Iterator[Diagnostic]:
    """Every statement is safe, and a transform reads only its inputs."""
    for step, spec, name in ctx.statements():
        pointer, text = f"{step.pointer}/config/{name}", str(step.config[name])
        for problem in verdict_of(ctx, step, spec, name).diagnostics:
            item = located(ctx.root, ctx.at(pointer), pointer, problem, text, ctx.pipeline.text)
            if step.mode != "transform":  # the query of a source is changed only by its author
                item = replace(item, fix=())
            elif not item.fix and problem.code == "SQL006" and (need := _missing_need(ctx, step, problem, name)):
                item = replace(item, fix=_with_need(ctx, step, need), hint=f"add '{need}' to needs")
            yield item


def _missing_need(ctx: Context, step: Step, problem: Diagnostic, name: str) -> str | None:
    """Return the step whose name is at a problem in the SQL, if there is one that the step does not need yet."""
    word = re.match(r"\w+", str(step.config[name])[offset_at(str(step.config[name]), problem.location) :])
    candidates = {each.id for each in ctx.pipeline.steps if each.id != step.id and step.id not in each.needs}
    matches = [each for each in candidates if word and word[0].lower() in (each.lower(), f"df_{each.lower()}")]
    return matches[0] if len(matches) == 1 else None


def _with_need(ctx: Context, step: Step, need: str) -> Fix:
    pointer = f"{step.pointer}/needs"
    if pointer in ctx.pipeline.positions:
        return add(f"{pointer}/-", need)
    return add(pointer, [*step.inputs.values(), need])


def find_nondeterminism(ctx: Context) -> dict[str, tuple[Finding, ...]]:
    """Return, by step, the sources of nondeterminism in its SQL, located in the file."""
    by_step: dict[str, tuple[Finding, ...]] = {}
    for step, spec, name in ctx.statements():
        pointer, text = f"{step.pointer}/config/{name}", str(step.config[name])
        findings = findings_of(ctx, step, spec, name)
        places = (locate(ctx.root, ctx.at(pointer), pointer, each.place, text, ctx.pipeline.text) for each in findings)
        by_step[step.id] = tuple(replace(each, place=at) for each, at in zip(findings, places, strict=True))
    return by_step


def check_determinism(prepared: Prepared, described: Mapping[str, Described], _root: Path) -> Iterator[Diagnostic]:
    """Report what may differ between runs over equal data (SQL020 and following)."""
    for step in prepared.pipeline.steps:
        yield from lint_diagnostics(prepared.unsteady.get(step.id, ()), step, described)


def lint_diagnostics(findings: Sequence[Finding], step: Step, described: Mapping[str, Described]) -> list[Diagnostic]:
    """Return the diagnostics for findings in a step's SQL, given the descriptions of its inputs."""
    if not findings:
        return []
    sources = {name: described[step.inputs[keys[0]]] for name, keys in relation_names(step.inputs).items()}
    schemas = {name: source.schema or () for name, source in sources.items()}
    return diagnostics(findings, schemas, [name for name, source in sources.items() if source.order == "free"])


def findings_of(ctx: Context, step: Step, spec: ComponentSpec, name: str) -> tuple[Finding, ...]:
    """Return the sources of nondeterminism in one SQL field of a step, located in the text."""
    findings = verdict_of(ctx, step, spec, name).findings
    if findings is None:
        question = _question(ctx, step, spec, name)
        ctx.verdicts[question] = _checked(question)
        findings = ctx.verdicts[question].findings
    return findings or ()


def verdict_of(context: Context | Prepared, step: Step, spec: ComponentSpec, name: str) -> sql.Verdict:
    """Return the verdict of the safety check on one SQL field of a step."""
    question = _question(context, step, spec, name)
    try:
        return context.verdicts[question]
    except KeyError:
        verdict = context.verdicts[question] = _checked(question)
        return verdict


def canonical_of(ctx: Context, step: Step, spec: ComponentSpec, name: str) -> str | None:
    """Return the canonical text of one SQL field of a step, and cache its verdict."""
    question = _question(ctx, step, spec, name)
    verdict = verdict_of(ctx, step, spec, name)
    if verdict.canonical:  # the places of what is unsteady are those of the other text
        ctx.verdicts.setdefault((verdict.canonical, *question[1:]), replace(verdict, findings=None))
    return verdict.canonical


def transforms(prepared: Prepared) -> Iterator[tuple[Step, str, sql.Verdict]]:
    """Yield each SQL field of each transform, with the step and its verdict."""
    for step in prepared.pipeline.steps:
        spec = prepared.specs[step.component]
        for name in sql_fields(spec) if step.mode == "transform" else ():
            if name in step.config:
                yield step, name, verdict_of(prepared, step, spec, name)


def row_keeping(prepared: Prepared) -> set[str]:
    """Return the transforms with a single statement that returns one row for each input row."""
    flags: dict[str, list[bool]] = {}
    for step, _, verdict in transforms(prepared):
        flags.setdefault(step.id, []).append(verdict.keeps_row_count)
    return {step for step, all_kept in flags.items() if all_kept == [True]}


def _question(context: Context | Prepared, step: Step, spec: ComponentSpec, name: str) -> Question:
    relations = frozenset(relation_names(step.inputs)) if step.mode == "transform" else None
    parameters = frozenset((*RUN_PARAMETERS, *(f"param_{each}" for each in context.pipeline.sensitive)))
    dialect = sql_fields(spec)[name]
    if isinstance(context, Prepared):
        fields = context.connections.get(str(step.connection), {})
    else:
        fields = context.fields_of(required_connection(step, spec)) or {}
    listed, dialect_row = fields.get("functions"), DIALECTS.get(dialect)
    functions = dialect_row.homes_of(map(str, listed)) if isinstance(listed, list) and dialect_row else {}
    return str(step.config[name]), dialect, relations, parameters, frozenset(functions)


@lru_cache(maxsize=20_000)
def _checked(question: Question) -> sql.Verdict:
    text, dialect, relations, parameters, functions = question
    verdict = sql.check(text, dialect, relations=relations, parameters=parameters, functions=functions)
    return replace(verdict, tree=None)  # thousands of trees are large
