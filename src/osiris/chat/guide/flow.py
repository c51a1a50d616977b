"""The guide itself: a flow of questions that ends with a whole request and what is to be done with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal, cast

from osiris.chat.expressions import unused
from osiris.chat.guide import parts, sources
from osiris.chat.guide.draft import UNNAMED, Draft, columns_of, default_name, plain
from osiris.chat.guide.questions import RELATIONS, Answer, Ask, Option, Propose, Show
from osiris.chat.request import Output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from osiris.chat.choices import Writer
    from osiris.chat.guide.questions import Flow
    from osiris.chat.request import Filter, Join, Measure, Mode, Request, Sort, Step
    from osiris.model import JsonValue

READ = "read"
"""Key of the first question."""

MENU = "next"

_PARTS: dict[str, tuple[str, str, Callable[[Draft], Flow[None]]]] = {
    "filters": ("Keep some rows", "or --where status = paid", parts.filters),
    "joins": ("Join another table", "by a key", sources.join),
    "compute": ("Compute a column", "or --compute total = price * qty", parts.compute),
    "group": ("Group and measure", "or --group region --sum total as sales --count", parts.group),
    "pivot": ("Columns from values", "one column per status", parts.pivot),
    "distinct": ("Each different row once", "repeated rows are left out", parts.distinct),
    "pick": ("First rows per group", "or --latest day per customer", parts.pick),
    "columns": ("Choose columns", "or --columns region, sales as total", parts.columns),
    "sort": ("Sort, first N rows", "or --sort sales desc --limit 10", parts.sort),
}

_MODES = {
    "append": ("append", "rows are added to those that are there"),
    "replace": ("replace", "all rows that are there go"),
    "upsert": ("upsert", "rows with the same key are updated, others are added"),
}

_NAME_TAKEN = "CMP007"

_CONFIRM = (Option("no", "no, choose another target"), Option("yes", "yes"))


@dataclass(frozen=True, slots=True)
class Agreed:
    """The end: the plan with this fingerprint is saved, and run if that is wanted; nothing if the person quits."""

    check: JsonValue
    action: Literal["run", "save"]


def pipeline(draft: Draft) -> Flow[Agreed]:
    """Ask until there is a plan that the person agrees to; a draft that reads something is changed."""
    if not draft.request.sources:
        yield from sources.first(draft, Ask(READ, "What do you want to read?", source=RELATIONS))
    while True:
        answer = yield from _menu(draft)
        before, is_done = draft.request, answer.keys == ("write",)
        if answer.text is not None:
            from osiris.chat.guide.flag_line import add_line

            is_done = yield from add_line(draft, answer.text)
        elif answer.keys[0] in _PARTS:
            yield from _PARTS[answer.keys[0]][2](draft)
        elif not is_done:
            yield from parts.computed_by(answer.keys[0], draft)
        if problem := draft.problem():
            draft.request = before
            yield Show(f"This does not work, and is left out: {problem}")
        if problem or not is_done:
            continue
        agreed = yield from _written(draft)
        if agreed:
            return agreed


def _menu(draft: Draft) -> Flow[Answer]:
    done = Option("write", "Write the result", "to a file or a table; or --to output/sales.parquet")
    others = tuple(Option(key, label, note) for key, (label, note, _) in _PARTS.items())
    options = (done, *others, *parts.functions(draft))
    answer: Answer = yield Ask(MENU, "What next?", options, typed="flags", head=summary(draft.request))
    return answer


def _written(draft: Draft) -> Flow[Agreed | None]:
    """Ask where the rows go, show the plan and ask for a yes; None if something is to be changed."""
    name = default_name(draft) if draft.request.name == UNNAMED else draft.request.name
    while True:
        if not draft.request.outputs:
            output = yield from _target(draft, name)
            draft.request = replace(draft.request, name=name, outputs=(output,))
        outputs = (replace(draft.request.outputs[0], input=draft.last()),)
        draft.request = replace(draft.request, outputs=outputs)
        agreed = yield from _accepted(draft)
        if agreed is None:
            return None
        if isinstance(agreed, Agreed):
            return agreed
        if agreed == "name":
            before, name = name, (yield from _named(name))
            draft.request = _renamed(draft.request, before, name)
        if agreed == "target":
            draft.request = replace(draft.request, outputs=())


def _accepted(draft: Draft) -> Flow[Agreed | str | None]:
    check = yield Propose(draft.request)
    if any(each["code"] == _NAME_TAKEN for each in check["diagnostics"]):
        return "name"
    if not check["ok"]:
        draft.request = replace(draft.request, outputs=())
        return None
    options = (
        Option("run", "Yes, save it and run it"),
        Option("save", "Save it, do not run it"),
        Option("oml", "Show the OML"),
        Option("change", "Change something"),
        Option("name", "Another name"),
        Option("target", "Another target"),
    )
    asked = Ask("accept", f"Plan {check['short']}: save and run it?", options)
    while (key := (yield asked).keys[0]) == "oml":
        yield Show(check["oml"])
    if key == "change":
        return None
    if key not in ("run", "save"):
        return str(key)
    for sentence in check["confirm"]:
        if (yield Ask("confirm", f"{sentence} Is that meant?", _CONFIRM)).keys[0] == "no":
            return "target"
    return Agreed(check, cast("Literal['run', 'save']", key))


def _named(before: str) -> Flow[str]:
    suggested = unused(before, [before])
    option = Option(suggested, suggested)
    answer = yield Ask("name", "Name of the pipeline?", (option,), typed="name")
    return plain([answer.text]) if answer.text else suggested


def _renamed(request: Request, before: str, name: str) -> Request:
    """Return a request with another name; a file that is named like the pipeline is renamed with it."""
    (output,) = request.outputs
    path = PurePosixPath(output.path) if output.path else None
    if path and path.stem == before:
        output = replace(output, path=str(path.with_stem(name)))
    return replace(request, name=name, outputs=(output,))


def _target(draft: Draft, name: str) -> Flow[Output]:
    writers = draft.choices.writers
    files = {each.component: each for each in writers if each.makes_files}
    endings = tuple(f".{each.ending}" for each in files.values())
    options = (*_file_targets(files.values(), name), *_table_targets(writers))
    answer = yield Ask("target", "Where does it go?", options, typed="path", endings=endings)
    if answer.text is not None:
        component = next(name for name, each in files.items() if answer.text.endswith(f".{each.ending}"))
        return Output(draft.last(), component, path=answer.text)
    kind, component, reference = answer.keys[0].split("|", 2)
    if kind == "file":
        return Output(draft.last(), component, path=f"output/{name}.{files[component].ending}")
    writer = next(each for each in writers if each.component == component)
    return (yield from _table(draft, writer, reference))


def _file_targets(files: Iterable[Writer], name: str) -> Iterator[Option]:
    for each in sorted(files, key=lambda each: each.ending != "parquet"):
        yield Option(f"file|{each.component}|", _file_words(each), f"output/{name}.{each.ending}")


def _table_targets(writers: Iterable[Writer]) -> Iterator[Option]:
    for each in writers:
        yield from (Option(f"table|{each.component}|{ref}", f"table of {ref}") for ref in each.connections)


def _file_words(writer: Writer) -> str:
    return f"{(writer.ending or '').upper() if writer.ending != 'parquet' else 'Parquet'} file"


def _table(draft: Draft, writer: Writer, reference: str) -> Flow[Output]:
    answer = yield Ask("table", f"Which table of {reference}?", typed="table", source=f"tables:{reference}")
    table = answer.text or answer.keys[0]
    options = tuple(Option(mode, *_MODES[mode]) for mode in writer.modes)
    mode = (yield Ask("mode", f"What becomes of rows that {table} has?", options)).keys[0]
    key: tuple[str, ...] = ()
    if mode == "upsert":
        columns = columns_of(draft, draft.result())
        key = (yield Ask("primary key", "Which columns identify a row?", columns, several=True)).keys
    return Output(draft.last(), writer.component, reference, table=table, mode=cast("Mode", mode), key=key)


def summary(request: Request) -> tuple[str, ...]:
    """Return a line for each part of a request."""
    read = f"read {', '.join(each.relation for each in request.sources)}"
    return (read, *(line for step in request.steps for line in _lines(step)))


def _lines(step: Step) -> Iterator[str]:
    if step.sql is not None:
        yield f"SQL of step {step.name}"
    yield from (f"join {_join(each)}" for each in step.joins)
    for new in step.compute:
        yield f"compute {new.name}: {new.function} of {_listed(filter(None, (new.column, new.other, new.value)))}"
    yield from (f"keep {filter_words(each)}" for each in step.filters)
    if step.group or step.measures:
        groups = _listed(f"{each.unit} of {each.column}" if each.unit else each.column for each in step.group)
        yield f"group by {groups}" if groups else "one row for everything"
    yield from _result_lines(step)


def _result_lines(step: Step) -> Iterator[str]:
    if step.measures:
        yield f"measure {_listed(map(measure_words, step.measures))}"
    if step.pick:
        yield f"first {step.pick.rows:,} of each {_listed(step.pick.per)} by {_listed(map(_sort, step.pick.order))}"
    if step.pivot:
        yield f"pivot by {step.pivot.column}"
    if step.columns:
        yield f"columns {_listed(each.label for each in step.columns)}"
    if step.sort:
        yield f"sort by {_listed(map(_sort, step.sort))}"
    if step.limit is not None:
        yield f"first {step.limit:,} rows"


def _join(join: Join) -> str:
    keys = " and ".join(f"{each.left} = {each.right}" for each in join.on)
    return f"{join.input} by {keys}, rows without a match are {'kept' if join.unmatched == 'keep' else 'dropped'}"


def filter_words(condition: Filter) -> str:
    """Return a condition in words."""
    right = condition.other or _listed(condition.values) or (condition.parameter or "")
    return f"{condition.column} {condition.operator} {right}".rstrip()


def measure_words(measure: Measure) -> str:
    """Return a measure in words."""
    if measure.function == "count":
        return "number of rows"
    of = measure.column or " / ".join(filter(None, (measure.of, measure.over)))
    return f"{measure.function.replace('count distinct', 'number of different')} of {of}"


def _sort(sort: Sort) -> str:
    return f"{sort.column}{' descending' if sort.descending else ''}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
