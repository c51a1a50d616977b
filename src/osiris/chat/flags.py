"""A request from flags of `osiris new`; `command_line` is the way back.

    --from TABLE                      what is read: a path, or @FAMILY.ALIAS/TABLE
    --join 'TABLE on A = B and …'     rows that match; --left-join keeps those without a match
    --compute 'NAME = A * B'          or NAME = FUNCTION(A, VALUE): year, round, join-text, if-empty, …
    --where 'A = VALUE'               also != < <= > >= in, not in, between X and Y, contains, starts with, ends with,
                                      is empty, is not empty
    --group A, --group 'month(A)'     also with `as NAME`, as all that follow
    --count, --count-of A, --count-distinct A, --sum A, --avg A, --min A, --max A, --median A
    --share MEASURE, --ratio 'MEASURE / MEASURE'
    --latest 'A per B, C', --first 'A per B', --top '3 A per B'
    --columns 'A, B as NAME', --sort 'A desc', --limit N
                                      commas list columns of groups, measures and orders too

On the right side of a condition, and behind the first argument of a function, stands a value, typed by the column;
`col:A` names a column. A name with other characters than letters, digits, `_` and `.` stands in double quotes. Names
are taken as they are written, else as the only one that differs in case, which is told; a name that does not exist is
refused with those that are near, and no two words mean one name.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, cast, get_args

from osiris.chat.expressions import DIGITS, Misfit, Misfits, measure_name
from osiris.chat.render import problems_of
from osiris.chat.request import (
    Chosen,
    Computed,
    Filter,
    Function,
    Group,
    Join,
    Match,
    Measure,
    Mode,
    Operator,
    Output,
    Pick,
    Request,
    Sort,
    Source,
    Step,
    Typed,
    Unit,
)
from osiris.chat.statement import Given, joined
from osiris.errors import did_you_mean, fail
from osiris.model import Field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import TypeVar

    from osiris.chat.choices import Choices, Relation, Writer
    from osiris.chat.request import Aggregate
    from osiris.model import Schema

    Flags = Mapping[str, tuple[str, ...]]
    T = TypeVar("T")

STEP = "result"
MEASURES: dict[str, Aggregate] = {
    "count-of": "count",
    "count-distinct": "count distinct",
    "sum": "sum",
    "avg": "average",
    "min": "minimum",
    "max": "maximum",
    "median": "median",
}
_FLAGS = {
    "sources": "from",
    "outputs": "to",
    "joins": "join",
    "filters": "where",
    "pick": "latest",
    "measures": "sum",
    **{name: name for name in ("compute", "group", "columns", "sort", "limit", "dtype", "encoding", "mode", "key")},
    "partition_by": "partition-by",
}
"""By the part of a request, the flag that it comes from."""

SIGNS = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide"}
_QUOTED = r'"(?:[^"]|"")*"'
_WORDS = "not in|in|between|contains|starts with|ends with|is not empty|is empty"
_CONDITION = re.compile(rf"({_QUOTED}|.+?)(?:\s*(!=|<=|>=|=|<|>)\s*|\s+({_WORDS})(?:\s+|$))(.*)", re.DOTALL)
_CALL = re.compile(r"([a-z-]+)\((.*)\)", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d+)?|\.\d+)")
_AS = re.compile(rf"({_QUOTED}|.*?\)|.+?)\s+as\s+({_QUOTED}|[\w.]+)", re.DOTALL)
_NO_VALUE = ("=", "<", ">", "(", "'")
"""How no value begins, unless it stands in double quotes."""

_MORE = re.compile(r"\s(?:and|or)\s+(\S+?)\s*(?:[=<>!]|\s(?:in|is|like|between|contains)\s)", re.IGNORECASE)
"""How another condition begins."""

_TWO = 2


class Wrong(Exception):
    """A flag that cannot be carried out: why, and what to do instead."""

    def __init__(self, problem: str, hint: str | None = None) -> None:
        super().__init__(problem)
        self.problem, self.hint = problem, hint


class Asked(NamedTuple):
    """A request, and what to tell of how it was read."""

    request: Request
    told: tuple[str, ...]


def request_of(flags: Flags, choices: Choices) -> Asked:
    """Return the request of flags; fails with CHT042 for the first that cannot be carried out."""
    reader = _Reader(flags, choices)
    request = reader.request()
    refuse_misfits(request, choices)
    return Asked(request, tuple(reader.told))


def add_flags(step: Step, scope: Sequence[str], flags: Flags, choices: Choices) -> tuple[Step, tuple[str, ...]]:
    """Return a step with what flags add to it, and what to tell of how they were read; fails as `request_of` does.

    `scope` are the columns that the first of them can name.
    """
    reader = _Reader(flags, choices)
    return reader.step(step, scope), tuple(reader.told)


def output_of(reads: str, flags: Flags, choices: Choices) -> Output:
    """Return where the rows of a step go; fails as `request_of` does."""
    return _Reader(flags, choices).output(reads)


def refuse_misfits(request: Request, choices: Choices) -> None:
    """Fail with CHT042, by the flag that it comes from, for the first part of a request that cannot be carried out."""
    wrong = problems_of(request, choices)
    if wrong:
        fail("CHT042", flag=_flag_of(wrong[0].pointer), problem=wrong[0].problem, hint=wrong[0].hint)


@dataclass(slots=True)
class _Reader:
    """Reads flags, and keeps what is to be told of it; of every name the word that meant it."""

    flags: Flags
    choices: Choices
    told: list[str] = field(default_factory=list)
    meant: dict[str, str] = field(default_factory=dict)

    def request(self) -> Request:
        relations = [self.relation("from", text) for text in self.flags.get("from", ())]
        if not relations:
            fail("CHT042", flag="--from", problem="is missing", hint="name what is read: --from data/orders.csv")
        joins = [
            self.read(name, text, lambda text, name=name: self.join(text, name, relations[0]))  # type: ignore[misc]
            for name in ("join", "left-join")
            for text in self.flags.get(name, ())
        ]
        for relation, _ in joins:
            if relation not in relations:
                relations.append(relation)
        unread = [each.id for each in relations[1:] if all(each is not relation for relation, _ in joins)]
        if unread:
            hint = f"say how: --join '{unread[0]} on COLUMN = COLUMN'"
            fail("CHT042", flag=f"--from {unread[0]}", problem="is not joined to what is read first", hint=hint)
        base = Step(STEP, relations[0].name, tuple(join for _, join in joins))
        step = self.step(base, list(_scope(base, relations)))
        given = [f"--{flag}" for flag in ("encoding", "dtype", "on-reject") if self.flags.get(flag)]
        if given and joins:
            self.told.append(f"{', '.join(given)} for '{relations[0].id}' alone")
        steps = (step,) if step != Step(STEP, relations[0].name) else ()
        sources = tuple(self.source(relation, is_first=not number) for number, relation in enumerate(relations))
        output = self.output(STEP if steps else relations[0].name)
        return Request(self.single("name") or name_of(output), sources, steps, (output,))

    def read(self, flag: str, text: str, make: Callable[[str], T]) -> T:
        """Return what is made of the text of a flag; fails with CHT042 if nothing can be."""
        try:
            return make(text)
        except Wrong as wrong:
            return fail("CHT042", flag=f"--{flag} {shlex.quote(text)}", problem=wrong.problem, hint=wrong.hint)

    def each(self, flag: str, make: Callable[[str], T]) -> tuple[T, ...]:
        return tuple(self.read(flag, text, make) for text in self.flags.get(flag, ()))

    def listed(self, flag: str, make: Callable[[str], T]) -> tuple[T, ...]:
        """Return what is made of each part of a flag's texts, which have commas between them."""
        return tuple(
            made
            for text in self.flags.get(flag, ())
            for made in self.read(flag, text, lambda text: [make(part) for part in _parts(text)])
        )

    def single(self, flag: str) -> str | None:
        return next(iter(self.flags.get(flag, ())), None)

    def name(self, word: str, known: Iterable[str], what: str = "column") -> str:
        """Return the name that a word means."""
        names = list(known)
        alike = [name for name in names if name.casefold() == word.casefold()]
        if word in names:
            found = word
        elif len(alike) == 1:
            (found,) = alike
            self.told.append(f"{what} '{found}' for '{word}'")
        else:
            hint = did_you_mean(word[:200], names)
            raise Wrong(f"there is no {what} '{word[:200]}'", hint or _listed(names))
        if self.meant.setdefault(found, word) != word:
            raise Wrong(f"'{self.meant[found]}' and '{word}' both mean {what} '{found}'", "write the name as it is")
        return found

    def relation(self, flag: str, text: str) -> Relation:
        """Return the relation of an id, or of the only name."""

        def find(text: str) -> Relation:
            ids = {each.id: each for each in self.choices.relations}
            named = [each for each in self.choices.relations if each.name == text]
            return named[0] if len(named) == 1 and text not in ids else ids[self.name(text, ids, "table")]

        return self.read(flag, text, find)

    def join(self, text: str, flag: str, first: Relation) -> tuple[Relation, Join]:
        table, on, keys = text.strip().partition(" on ")
        if not on:
            raise Wrong("does not say by which columns", "write it like 'customers on customer_id = id'")
        relation = self.relation(flag, _bare(table.strip()))
        right = [each.name for each in relation.columns or ()]
        matches = []
        for part in re.split(r"\s+and\s+", keys.strip()):
            one, equals, other = part.partition(" = ")
            if not equals:
                raise Wrong(f"'{part}' does not say which columns match", "write it like 'customer_id = id'")
            matches.append(Match(self.left(_bare(one), first, relation), self.name(_bare(other), right)))
        return relation, Join(relation.name, tuple(matches), "keep" if flag == "left-join" else "drop")

    def left(self, word: str, first: Relation, joined: Relation) -> str:
        """Return the column of what is there before a join: of the first table, if that has it."""
        own = [each.name for each in first.columns or ()]
        others = (each for each in self.choices.relations if each is not first and each is not joined)
        names = dict.fromkeys([*own, *(each.name for relation in others for each in relation.columns or ())])
        is_own = word in own or (word not in names and word.casefold() in map(str.casefold, own))
        return self.name(word, own if is_own else names)

    def source(self, relation: Relation, *, is_first: bool) -> Source:
        if not is_first:
            return Source(relation.id)
        known = [each.name for each in relation.columns or ()]

        def typed(text: str) -> Typed:
            column, equals, kind = text.rpartition("=")
            if not equals:
                raise Wrong("does not say which type", "write it like 'zip = utf8'")
            return Typed(self.name(_bare(column.strip()), known), kind.strip())

        return Source(relation.id, None, self.single("encoding"), self.each("dtype", typed), self.single("on-reject"))

    def step(self, base: Step, scope: Sequence[str]) -> Step:
        """Return a step with what flags add to it; `scope` are the columns that the first of them can name."""
        scope, compute = [*scope], []
        for text in self.flags.get("compute", ()):
            compute.append(self.read("compute", text, lambda text: self.computed(text, scope)))
            scope.append(compute[-1].name)
        filters = self.each("where", lambda text: self.filter(text, scope))
        group = (*base.group, *self.listed("group", lambda text: self.group(text, scope)))
        measures = (*base.measures, *self.measures(scope, base.measures))
        pick = self.pick(scope) or base.pick
        if len(group) > len(base.group) or len(measures) > len(base.measures):
            grouped = [each.name or each.unit or each.column.replace(".", "_") for each in group]
            scope = [*grouped, *(each.name for each in measures)]
        columns = self.listed("columns", lambda text: self.chosen(text, scope)) or base.columns
        results = [each.name or each.column for each in columns]
        sort = self.listed("sort", lambda text: self.sort(text, [*results, *(n for n in scope if n not in results)]))
        limit = next(iter(self.each("limit", _whole)), base.limit)
        return replace(
            base,
            compute=(*base.compute, *compute),
            filters=(*base.filters, *filters),
            group=group,
            measures=measures,
            pick=pick,
            columns=columns,
            sort=sort or base.sort,
            limit=limit,
        )

    def computed(self, text: str, scope: Sequence[str]) -> Computed:
        name, equals, made = text.partition("=")
        if not equals or not name.strip():
            raise Wrong("gives no name", "write it like 'total = price * qty'")
        name, made = _bare(name.strip()), made.strip()
        call = _CALL.fullmatch(made)
        if call and call[1].replace("-", " ") in get_args(Function):
            return self.called(name, cast("Function", call[1].replace("-", " ")), _parts(call[2]), scope)
        for sign in SIGNS:
            one, found, other = _split(made, f" {sign} ")
            if found:
                function = cast("Function", SIGNS[sign])
                _refuse_both(one, scope)
                _refuse_both(other, scope)
                column = self.name(_bare(one), scope)
                if _NUMBER.fullmatch(other):
                    return Computed(name, function, column, value=other)
                return Computed(name, function, column, self.name(_bare(other.removeprefix("col:")), scope))
        functions = ", ".join(each.replace(" ", "-") for each in get_args(Function))
        raise Wrong(f"'{made}' is nothing that can be computed", f"COLUMN * COLUMN, or one of {functions}")

    def called(self, name: str, function: Function, parts: list[str], scope: Sequence[str]) -> Computed:
        if function == "constant":
            if len(parts) > 1:
                raise Wrong("'constant' takes one value", "put it in quotes")
            return Computed(name, function, value=_bare(parts[0]) if parts else None)
        column = self.name(_bare(parts[0]) if parts else "", scope)
        others = [self.name(_bare(part[4:]), scope) for part in parts[1:] if part.startswith("col:")]
        values = [_bare(part) for part in parts[1:] if not part.startswith("col:")]
        most = _TWO if function == "replace" else 1
        if len(others) > 1 or len(values) > most:
            raise Wrong(f"'{function}' takes fewer values")
        other = others[0] if others else None
        return Computed(name, function, column, other, *values[:2])

    def filter(self, text: str, scope: Sequence[str]) -> Filter:
        parts = _CONDITION.fullmatch(text.strip())
        if not parts:
            raise Wrong("is no condition", "write it like 'status = paid'")
        column = self.name(_bare(parts[1].strip()), scope)
        operator, right = cast("Operator", parts[2] or parts[3]), parts[4].strip()
        if operator in ("is empty", "is not empty"):
            if right:
                raise Wrong(f"'{operator}' takes no value")
            return Filter(column, operator)
        if right.startswith("col:"):
            return Filter(column, operator, other=self.name(_bare(right[4:].strip()), scope))
        if operator == "between":
            least, found, most = _split(right, " and ")
            if not found or (" and " in most and not re.fullmatch(_QUOTED, most)):
                raise Wrong("'between' takes two values", "write it like 'between 1 and 5'")
            return Filter(column, operator, (_side(least), _side(most)))
        if operator in ("in", "not in"):
            return Filter(column, operator, tuple(map(_side, _parts(right))))
        more = _MORE.search(right) if not re.fullmatch(_QUOTED, right, re.DOTALL) else None
        if more and more[1] in scope:
            hint = "give each its own --where; in double quotes, if it is meant"
            raise Wrong(f"'{right}' has another condition in it", hint)
        return Filter(column, operator, (_side(right),))

    def group(self, text: str, scope: Sequence[str]) -> Group:
        what, name = _named(text)
        call = _CALL.fullmatch(what)
        if call and call[1] in get_args(Unit):
            return Group(self.name(_bare(call[2].strip()), scope), cast("Unit", call[1]), name)
        return Group(self.name(_bare(what), scope), None, name)

    def measures(self, scope: Sequence[str], known: Sequence[Measure]) -> tuple[Measure, ...]:
        made = [Measure("rows", "count")] if self.flags.get("count") else []
        for flag, function in MEASURES.items():

            def measure(text: str, function: Aggregate = function) -> Measure:
                what, name = _named(text)
                column = self.name(_bare(what), scope)
                return Measure(name or measure_name(function, column), function, column)

            made += self.listed(flag, measure)
        plain = [each.name for each in (*known, *made)]
        made += self.listed("share", lambda text: self.share(text, plain))
        made += self.listed("ratio", lambda text: self.ratio(text, plain))
        return tuple(made)

    def share(self, text: str, measures: Sequence[str]) -> Measure:
        what, name = _named(text)
        of = self.name(_bare(what), measures, "measure")
        return Measure(name or f"share_{of}", "share of total", of=of)

    def ratio(self, text: str, measures: Sequence[str]) -> Measure:
        what, name = _named(text)
        top, found, below = _split(what, " / ")
        if not found:
            raise Wrong("names no two measures", "write it like 'sum_amount / rows'")
        of, over = (self.name(_bare(each), measures, "measure") for each in (top, below))
        return Measure(name or f"{of}_per_{over}", "ratio", of=of, over=over)

    def pick(self, scope: Sequence[str]) -> Pick | None:
        given = [flag for flag in ("latest", "first", "top") if self.flags.get(flag)]
        if len(given) > 1:
            hint = "make the other a pipeline of its own"
            fail("CHT042", flag=f"--{given[0]} and --{given[1]}", problem="go not together", hint=hint)
        made = [pick for flag in given for pick in self.each(flag, self.picking(flag, scope))]
        return made[0] if made else None

    def picking(self, flag: str, scope: Sequence[str]) -> Callable[[str], Pick]:
        def pick(text: str) -> Pick:
            number, _, rest = text.strip().partition(" ") if flag == "top" else ("1", "", text)
            order, found, per = _split(rest, " per ")
            if not found or not number.isdecimal() or len(number) > DIGITS:
                raise Wrong(
                    "does not say of what", f"write it like '{'3 amount' if flag == 'top' else 'date'} per region'"
                )
            column = self.name(_bare(order), scope)
            groups = tuple(self.name(_bare(each), scope) for each in _parts(per))
            return Pick(groups, (Sort(column, flag != "first"),), int(number))

        return pick

    def chosen(self, text: str, scope: Sequence[str]) -> Chosen:
        what, name = _named(text)
        return Chosen(self.name(_bare(what), scope), name)

    def sort(self, text: str, scope: Sequence[str]) -> Sort:
        bare = text.strip()
        word, _, way = bare.rpartition(" ")
        if word and way in ("asc", "desc"):
            return Sort(self.name(_bare(word.strip()), scope), way == "desc")
        return Sort(self.name(_bare(bare), scope))

    def output(self, reads: str) -> Output:
        to = self.single("to")
        if to is None:
            fail("CHT042", flag="--to", problem="is missing", hint="name where rows go: --to output/x.parquet")
        partitions = tuple(_bare(name) for text in self.flags.get("partition-by", ()) for name in _parts(text))
        key = tuple(_bare(name) for text in self.flags.get("key", ()) for name in _parts(text))
        mode = cast("Mode | None", self.single("mode"))
        if mode and mode not in get_args(Mode):
            fail("CHT042", flag=f"--mode {mode}", problem="is no mode", hint=_listed(get_args(Mode)))

        def make(text: str) -> Output:
            if not text.startswith("@"):
                writer = _file_writer(text, self.choices.writers)
                return Output(
                    reads,
                    writer.component,
                    path=text,
                    mode=None if mode == "replace" else mode,
                    key=key,
                    partition_by=partitions,
                )
            connection, _, table = text.partition("/")
            writers = [each for each in self.choices.writers if connection in each.connections]
            if not writers:
                known = [name for each in self.choices.writers for name in each.connections]
                raise Wrong(f"nothing is written to '{connection}'", did_you_mean(connection, known) or _listed(known))
            if mode is None:
                raise Wrong(
                    "does not say how rows go into the table", "--mode append, --mode replace, or --mode upsert"
                )
            return Output(reads, writers[0].component, connection, None, table, mode, key, partitions)

        return self.read("to", to, make)


def _scope(step: Step, relations: Sequence[Relation]) -> Iterator[str]:
    """Return the columns behind the joins of a step."""
    inputs = {each.name: partial(_schema, each) for each in relations}
    try:
        yield from joined(step, Given(inputs, {}, lambda _: ()))[0]
    except Misfits as misfits:
        fail("CHT042", flag="--join", problem=misfits.parts[0].problem, hint=misfits.parts[0].hint)
    except Misfit as misfit:
        fail("CHT042", flag="--from", problem=misfit.problem, hint=misfit.hint)


def _schema(relation: Relation) -> Schema:
    return tuple(Field(each.name, each.type) for each in relation.columns or () if each.type)


def _file_writer(path: str, writers: Sequence[Writer]) -> Writer:
    """Return what writes files of that ending; folders are Parquet."""
    plain = path.rstrip("/").removesuffix(".gz").removesuffix(".zst")
    ending = (
        "parquet"
        if path.endswith("/")
        else {"json": "jsonl", "ndjson": "jsonl", "pq": "parquet"}.get(
            plain.rpartition(".")[2], plain.rpartition(".")[2]
        )
    )
    found = next((each for each in writers if each.ending == ending), None)
    if found is None:
        endings = _listed(each.ending for each in writers if each.ending)
        raise Wrong("does not end like a file that can be written", f"{endings}; a table is @FAMILY.ALIAS/TABLE")
    return found


def name_of(output: Output) -> str:
    """Return a name for a pipeline: that of its target."""
    last = (output.path or output.table or "").rstrip("/").rpartition("/")[2]
    words = re.sub(r"[^a-z0-9]+", "_", (last.partition(".")[0] if output.path else last).lower()).strip("_")[:60]
    return words if words[:1].isalpha() else f"pipeline_{words}".rstrip("_")[:60]


def _whole(text: str) -> int:
    if not text.isdecimal() or len(text) > DIGITS or int(text) < 1:
        raise Wrong("is no number of rows")
    return int(text)


def _refuse_both(text: str, scope: Sequence[str]) -> None:
    """Refuse a number that is the name of a column too."""
    if _NUMBER.fullmatch(text) and text in scope:
        raise Wrong(f"'{text}' is a number and a column", f'"{text}" is the column, +{text} the number')


def _flag_of(pointer: str) -> str:
    """Return the flag that a part of a request comes from."""
    parts = [part for part in pointer.split("/") if part and not part.isdecimal()]
    known = [_FLAGS[part] for part in parts if part in _FLAGS]
    return f"--{known[-1] if known else parts[0]}"


def _named(text: str) -> tuple[str, str | None]:
    """Return what stands before `as NAME`, and the name."""
    parts = _AS.fullmatch(text.strip())
    return (parts[1].strip(), _bare(parts[2])) if parts else (text.strip(), None)


def _side(text: str) -> str:
    """Return the value that stands on the right side of a condition; what looks like SQL rather than one is refused."""
    if re.fullmatch(_QUOTED, text, re.DOTALL):
        return _bare(text)
    if not text:
        raise Wrong("has no value", "for no value there is 'is empty', for an empty text \"\"")
    if text.startswith("col:"):
        raise Wrong(f"'{text}' is a column among values", "a column stands alone")
    if text.lower() == "null":
        raise Wrong("NULL is no value", "write 'is empty' or 'is not empty'")
    if text.startswith(_NO_VALUE):
        raise Wrong(f"{text} is no plain value", "write it without SQL around it; in double quotes, if it is meant")
    return text


def _bare(text: str) -> str:
    """Return a word without its quotation marks."""
    is_quoted = re.fullmatch(_QUOTED, text, re.DOTALL)
    return text[1:-1].replace('""', '"') if is_quoted else text


def _split(text: str, by: str) -> tuple[str, str, str]:
    """Split at the first place outside of quotation marks."""
    for found in re.finditer(f"{_QUOTED}|({re.escape(by)})", text, re.DOTALL):
        if found[1]:
            return text[: found.start()].strip(), by, text[found.end() :].strip()
    return text, "", ""


def _parts(text: str) -> list[str]:
    """Split at commas outside of quotation marks."""
    parts = re.findall(rf"\s*({_QUOTED}(?=[^,]*(?:,|$))[^,]*|[^,]*)(?:,|$)", text, re.DOTALL)
    return [part.strip() for part in parts if part.strip()]


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    return ", ".join(found[:20]) + (", …" if len(found) > 20 else "")
