"""The SQL of a pipeline: what a step may read, whether it is safe, and where a problem stands in the file."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from osiris import sql
from osiris.compiler.context import Prepared, sql_fields, wanted_connection
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


def locate(root: Path, at: Location, pointer: str, inside: Location, text: str, source: str = "") -> Location:
    """Return the place in a file of line and column `inside` a text that was made of the value at `pointer`.

    `at` is the place of that value, and the answer where nothing more exact can be told. The text of the file, `source`
    or else what the file has now, is read again for this: it has what was written, before parameters were put in, and
    before a statement became canonical.
    """
    document, written = _written(root, at.file, pointer, source)
    return _located(replace(at, pointer=pointer), inside, text, document, written)


def located(root: Path, at: Location, pointer: str, problem: Diagnostic, text: str, source: str) -> Diagnostic:
    """Return a problem of such a text with its place in the file, and with a fix of the file."""
    document, written = _written(root, at.file, pointer, source)
    place = _located(replace(at, pointer=pointer), problem.location, text, document, written)
    return replace(problem, location=place, fix=_outside(written, pointer, problem.fix, text))


def _located(whole: Location, inside: Location, text: str, document: Document | None, written: str) -> Location:
    if document is None or inside.line is None:
        return whole
    found = document.inside(whole.pointer or "", align(text, offset_at(text, inside), written))
    return replace(whole, line=found.line, column=found.column)


def _outside(written: str, pointer: str, fix: Fix, text: str) -> Fix:
    """Return the fix of a file for that of a text in it; none where the two do not say the same there."""
    if not fix:
        return ()
    for change in fix:
        place, old = Location(line=change["line"], column=change["column"]), change["old"]
        start = align(text, offset_at(text, place), written)
        if written[start : start + len(old)].casefold() != old.casefold():
            return ()
        written = written[:start] + change["value"] + written[start + len(old) :]
    return put(pointer, written) if written.strip() else ()


def _written(root: Path, file: str | None, pointer: str, source: str) -> tuple[Document | None, str]:
    """Return the document of a file and the text that stands in it at a pointer; none if it cannot be read now."""
    if file is None:
        return None, ""
    try:
        document = parse(source, file) if source else load_document(root / file, root)
    except OsirisError:
        return None, ""
    value = document.value(pointer)
    return (document, value) if isinstance(value, str) else (None, "")


def check_input_names(ctx: Context) -> Iterator[Diagnostic]:
    """No two inputs of a SQL step have a name in common."""
    for step, spec in ctx.known():
        if not sql_fields(spec) or step.mode != "transform":
            continue
        at = ctx.at(f"{step.pointer}/inputs" if step.inputs else step.pointer)
        for name, inputs in relation_names(step.inputs).items():
            if len(inputs) > 1:
                listed = ", ".join(sorted(inputs))
                yield diagnostic("CMP010", at=at, step=step.id, name=name, inputs=listed)


def check_sql(ctx: Context) -> Iterator[Diagnostic]:
    """Every statement is safe, and a transform reads nothing but its inputs."""
    for step, spec, name in ctx.statements():
        pointer, text = f"{step.pointer}/config/{name}", str(step.config[name])
        for problem in verdict_of(ctx, step, spec, name).diagnostics:
            found = located(ctx.root, ctx.at(pointer), pointer, problem, text, ctx.pipeline.text)
            if step.mode != "transform":  # what a source is asked for is changed by nobody but its author
                found = replace(found, fix=())
            elif not found.fix and problem.code == "SQL006":
                found = replace(found, fix=_needed(ctx, step, problem, name))
            yield found


def _needed(ctx: Context, step: Step, problem: Diagnostic, name: str) -> Fix:
    """Return the fix that lets a step read the one whose name stands at a problem in its SQL, if there is one."""
    word = re.match(r"\w+", str(step.config[name])[offset_at(str(step.config[name]), problem.location) :])
    lists = {each.id for each in ctx.pipeline.steps if each.id != step.id and step.id not in each.needs}
    wanted = [each for each in lists if word and word[0].lower() in (each.lower(), f"df_{each.lower()}")]
    if len(wanted) != 1:
        return ()
    pointer = f"{step.pointer}/needs"
    if pointer in ctx.pipeline.positions:
        return add(f"{pointer}/-", wanted[0])
    return add(pointer, [*step.inputs.values(), *wanted])


def find_unsteady(ctx: Context) -> dict[str, tuple[Finding, ...]]:
    """Return, by step, what in its SQL may give another result in another run, each at its place in the file."""
    found: dict[str, tuple[Finding, ...]] = {}
    for step, spec, name in ctx.statements():
        pointer, text = f"{step.pointer}/config/{name}", str(step.config[name])
        findings = findings_of(ctx, step, spec, name)
        places = (locate(ctx.root, ctx.at(pointer), pointer, each.place, text, ctx.pipeline.text) for each in findings)
        found[step.id] = tuple(replace(each, place=at) for each, at in zip(findings, places, strict=True))
    return found


def check_determinism(prepared: Prepared, described: Mapping[str, Described], _root: Path) -> Iterator[Diagnostic]:
    """Nothing gives another result in another run over equal data (SQL020 and following)."""
    for step in prepared.pipeline.steps:
        yield from unsteadiness(prepared.unsteady.get(step.id, ()), step, described)


def unsteadiness(found: Sequence[Finding], step: Step, described: Mapping[str, Described]) -> list[Diagnostic]:
    """Return what is to be said of findings in a step's SQL, given what the steps that it reads say of themselves."""
    if not found:
        return []
    sources = {name: described[step.inputs[keys[0]]] for name, keys in relation_names(step.inputs).items()}
    schemas = {name: source.schema or () for name, source in sources.items()}
    return diagnostics(found, schemas, [name for name, source in sources.items() if source.order == "free"])


def findings_of(ctx: Context, step: Step, spec: ComponentSpec, name: str) -> tuple[Finding, ...]:
    """Return what in one SQL field of a step may give another result in another run, each at its place in the text."""
    found = verdict_of(ctx, step, spec, name).findings
    if found is None:
        question = _question(ctx, step, spec, name)
        ctx.verdicts[question] = _checked(question)
        found = ctx.verdicts[question].findings
    return found or ()


def verdict_of(around: Context | Prepared, step: Step, spec: ComponentSpec, name: str) -> sql.Verdict:
    """Return what the safety check says of one SQL field of a step."""
    question = _question(around, step, spec, name)
    try:
        return around.verdicts[question]
    except KeyError:
        verdict = around.verdicts[question] = _checked(question)
        return verdict


def canonical_of(ctx: Context, step: Step, spec: ComponentSpec, name: str) -> str | None:
    """Return the canonical text of one SQL field of a step, which has the same verdict from now on."""
    question = _question(ctx, step, spec, name)
    verdict = verdict_of(ctx, step, spec, name)
    if verdict.canonical:  # the places of what is unsteady are those of the other text
        ctx.verdicts.setdefault((verdict.canonical, *question[1:]), replace(verdict, findings=None))
    return verdict.canonical


def transforms(prepared: Prepared) -> Iterator[tuple[Step, str, sql.Verdict]]:
    """Yield each SQL field of each transform, with the step and the verdict on it."""
    for step in prepared.pipeline.steps:
        spec = prepared.specs[step.component]
        for name in sql_fields(spec) if step.mode == "transform" else ():
            if name in step.config:
                yield step, name, verdict_of(prepared, step, spec, name)


def row_keeping(prepared: Prepared) -> set[str]:
    """Return the transforms with a single statement that gives one row for each row of the relation that it reads."""
    kept: dict[str, list[bool]] = {}
    for step, _, verdict in transforms(prepared):
        kept.setdefault(step.id, []).append(verdict.keeps_row_count)
    return {step for step, all_kept in kept.items() if all_kept == [True]}


def _question(around: Context | Prepared, step: Step, spec: ComponentSpec, name: str) -> Question:
    relations = frozenset(relation_names(step.inputs)) if step.mode == "transform" else None
    parameters = frozenset((*RUN_PARAMETERS, *(f"param_{each}" for each in around.pipeline.sensitive)))
    dialect = sql_fields(spec)[name]
    if isinstance(around, Prepared):
        fields = around.connections.get(str(step.connection), {})
    else:
        fields = around.fields_of(wanted_connection(step, spec)) or {}
    listed, known = fields.get("functions"), DIALECTS.get(dialect)
    functions = known.homes_of(map(str, listed)) if isinstance(listed, list) and known else {}
    return str(step.config[name]), dialect, relations, parameters, frozenset(functions)


@lru_cache(maxsize=20_000)
def _checked(question: Question) -> sql.Verdict:
    text, dialect, relations, parameters, functions = question
    verdict = sql.check(text, dialect, relations=relations, parameters=parameters, functions=functions)
    return replace(verdict, tree=None)  # thousands of trees are large
