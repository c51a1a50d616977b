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

from osiris.chat.expressions import DIGITS, EMPTINESS, Misfit, Misfits, measure_name
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

SIGNS: dict[str, Function] = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide"}
_QUOTED = r'"(?:[^"]|"")*"'
_WORDS = "not in|in|between|contains|starts with|ends with|is not empty|is empty"
_CONDITION = re.compile(rf"({_QUOTED}|.+?)(?:\s*(!=|<=|>=|=|<|>)\s*|\s+({_WORDS})(?:\s+|$))(.*)", re.DOTALL)
_CALL = re.compile(r"([a-z-]+)\((.*)\)", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d+)?|\.\d+)")
_AS = re.compile(rf"({_QUOTED}|.*?\)|.+?)\s+as\s+({_QUOTED}|[\w.]+)", re.DOTALL)
_ENDINGS = {"json": "jsonl", "ndjson": "jsonl", "pq": "parquet"}
"""Other endings of files than those that writers name."""

_NO_VALUE = ("=", "<", ">", "(", "'")
"""How no value begins, unless it stands in double quotes."""

_MORE = re.compile(r"\s(?:and|or)\s+(\S+?)\s*(?:[=<>!]|\s(?:in|is|like|between|contains)\s)", re.IGNORECASE)
"""How another condition begins."""

_MOST_VALUES: dict[Function, int] = {"replace": 2}
"""How many values a function takes beside its column, where that is not one."""


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
    """Reads flags, and keeps what is to be told of it, of every name the word that meant it, and the columns that the
    next flag can name.
    """

    flags: Flags
    choices: Choices
    told: list[str] = field(default_factory=list)
    meant: dict[str, str] = field(default_factory=dict)
    scope: list[str] = field(default_factory=list)

    def request(self) -> Request:
        relations = [self.relation("from", text) for text in self.flags.get("from", ())]
        if not relations:
            fail(
                "CHT042",
                flag="--from",
                problem="is missing",
                hint="give the source, for example --from data/orders.csv",
            )
        first, joins = relations[0], self.joins(relations)
        base = Step(STEP, first.name, joins)
        step = self.step(base, list(_scope(base, relations)))
        steps = (step,) if step != Step(STEP, first.name) else ()
        sources = (self.source(first, is_alone=not joins), *(Source(each.id) for each in relations[1:]))
        output = self.output(STEP if steps else first.name)
        return Request(self.single("name") or name_of(output), sources, steps, (output,))

    def joins(self, relations: list[Relation]) -> tuple[Join, ...]:
        """Return the joins, and add what they read to the relations, of which each but the first is joined."""
        found = [
            self.read(flag, text, partial(self.join, flag=flag, first=relations[0]))
            for flag in ("join", "left-join")
            for text in self.flags.get(flag, ())
        ]
        unread = [each.id for each in relations[1:] if all(each is not relation for relation, _ in found)]
        if unread:
            hint = f"join it: --join '{unread[0]} on COLUMN = COLUMN'"
            fail("CHT042", flag=f"--from {unread[0]}", problem="is not joined to the first source", hint=hint)
        for relation, _ in found:
            if relation not in relations:
                relations.append(relation)
        return tuple(join for _, join in found)

    def read(self, flag: str, text: str, make: Callable[[str], T]) -> T:
        """Return what is made of the text of a flag; fails with CHT042 if nothing can be."""
        try:
            return make(text)
        except Misfit as wrong:
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
            raise Misfit("", f"there is no {what} '{word[:200]}'", hint or _listed(names))
        if self.meant.setdefault(found, word) != word:
            raise Misfit(
                "", f"'{self.meant[found]}' and '{word}' both mean {what} '{found}'", "write the name as it is"
            )
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
            raise Misfit("", "does not say by which columns", "write it like 'customers on customer_id = id'")
        relation = self.relation(flag, _bare(table.strip()))
        right = relation.names
        matches = []
        for part in re.split(r"\s+and\s+", keys.strip()):
            one, equals, other = part.partition(" = ")
            if not equals:
                raise Misfit("", f"'{part}' does not say which columns match", "write it like 'customer_id = id'")
            matches.append(Match(self.left(_bare(one), first, relation), self.name(_bare(other), right)))
        return relation, Join(relation.name, tuple(matches), "keep" if flag == "left-join" else "drop")

    def left(self, word: str, first: Relation, joined: Relation) -> str:
        """Return the column of what is there before a join: of the first table, if that has it."""
        own = first.names
        others = (each for each in self.choices.relations if each is not first and each is not joined)
        names = dict.fromkeys([*own, *(name for relation in others for name in relation.names)])
        is_own = word in own or (word not in names and word.casefold() in map(str.casefold, own))
        return self.name(word, own if is_own else names)

    def source(self, relation: Relation, *, is_alone: bool) -> Source:
        known = relation.names
        given = [f"--{flag}" for flag in ("encoding", "dtype", "on-reject") if self.flags.get(flag)]
        if given and not is_alone:
            self.told.append(f"{', '.join(given)} for '{relation.id}' alone")

        def typed(text: str) -> Typed:
            column, equals, kind = text.rpartition("=")
            if not equals:
                raise Misfit("", "does not say which type", "write it like 'zip = utf8'")
            return Typed(self.name(_bare(column.strip()), known), kind.strip())

        return Source(relation.id, None, self.single("encoding"), self.each("dtype", typed), self.single("on-reject"))

    def column(self, word: str) -> str:
        """Return the column that a word means where flags are read now."""
        return self.name(_bare(word), self.scope)

    def step(self, base: Step, scope: Sequence[str]) -> Step:
        """Return a step with what flags add to it; `scope` are the columns that the first of them can name."""
        self.scope = [*scope]
        compute = self.each("compute", self.computed)
        filters = self.each("where", self.filter)
        group, measures = self.listed("group", self.group), self.measures(base.measures)
        step = replace(
            base,
            compute=(*base.compute, *compute),
            filters=(*base.filters, *filters),
            group=(*base.group, *group),
            measures=(*base.measures, *measures),
            pick=self.pick() or base.pick,
        )
        if group or measures:
            self.scope = _grouped(step)
        columns = self.listed("columns", self.chosen) or base.columns
        results = [each.label for each in columns]
        self.scope = [*results, *(name for name in self.scope if name not in results)]
        sort = self.listed("sort", self.sort) or base.sort
        return replace(step, columns=columns, sort=sort, limit=next(iter(self.each("limit", _whole)), base.limit))

    def computed(self, text: str) -> Computed:
        name, equals, made = text.partition("=")
        if not equals or not name.strip():
            raise Misfit("", "gives no name", "write it like 'total = price * qty'")
        name, made = _bare(name.strip()), made.strip()
        call = _CALL.fullmatch(made)
        function = call[1].replace("-", " ") if call else ""
        if call and function in get_args(Function):
            new = replace(self.called(cast("Function", function), _parts(call[2])), name=name)
        else:
            new = replace(self.calculated(made), name=name)
        self.scope.append(name)
        return new

    def calculated(self, made: str) -> Computed:
        """Return what two columns, or a column and a number, make."""
        for sign, function in SIGNS.items():
            one, found, other = _split(made, f" {sign} ")
            if found:
                self.refuse_both(one)
                self.refuse_both(other)
                column = self.column(one)
                if _NUMBER.fullmatch(other):
                    return Computed("", function, column, value=other)
                return Computed("", function, column, self.column(other.removeprefix("col:")))
        functions = ", ".join(each.replace(" ", "-") for each in get_args(Function))
        raise Misfit("", f"'{made}' is nothing that can be computed", f"COLUMN * COLUMN, or one of {functions}")

    def refuse_both(self, text: str) -> None:
        """Refuse a number that is the name of a column too."""
        if _NUMBER.fullmatch(text) and text in self.scope:
            raise Misfit("", f"'{text}' is a number and a column", f'"{text}" is the column, +{text} the number')

    def called(self, function: Function, parts: list[str]) -> Computed:
        if function == "constant":
            return _constant(parts)
        first, *rest = parts or [""]
        column = self.column(first)
        others = [self.column(part[4:]) for part in rest if part.startswith("col:")]
        values = [_bare(part) for part in rest if not part.startswith("col:")]
        if len(others) > 1 or len(values) > _MOST_VALUES.get(function, 1):
            raise Misfit("", f"'{function}' takes fewer values")
        return Computed("", function, column, *(others or (None,)), *values)

    def filter(self, text: str) -> Filter:
        parts = _CONDITION.fullmatch(text.strip())
        if not parts:
            raise Misfit("", "is no condition", "write it like 'status = paid'")
        column = self.column(parts[1].strip())
        operator, right = cast("Operator", parts[2] or parts[3]), parts[4].strip()
        if operator in EMPTINESS:
            if right:
                raise Misfit("", f"'{operator}' takes no value")
            return Filter(column, operator)
        if right.startswith("col:"):
            return Filter(column, operator, other=self.column(right[4:].strip()))
        return Filter(column, operator, tuple(map(_side, self.sides(operator, right))))

    def sides(self, operator: Operator, right: str) -> list[str]:
        """Return the values on the right side of a condition, as they are written."""
        if operator == "between":
            least, found, most = _split(right, " and ")
            if not found or (" and " in most and not re.fullmatch(_QUOTED, most)):
                raise Misfit("", "'between' takes two values", "write it like 'between 1 and 5'")
            return [least, most]
        if operator in ("in", "not in"):
            return _parts(right)
        more = _MORE.search(right) if not re.fullmatch(_QUOTED, right, re.DOTALL) else None
        if more and more[1] in self.scope:
            hint = "give each its own --where; in double quotes, if it is meant"
            raise Misfit("", f"'{right}' has another condition in it", hint)
        return [right]

    def group(self, text: str) -> Group:
        what, name = _named(text)
        call = _CALL.fullmatch(what)
        if call and call[1] in get_args(Unit):
            return Group(self.column(call[2].strip()), cast("Unit", call[1]), name)
        return Group(self.column(what), None, name)

    def measures(self, known: Sequence[Measure]) -> tuple[Measure, ...]:
        made = [Measure("rows", "count")] if self.flags.get("count") else []
        for flag, function in MEASURES.items():
            made += self.listed(flag, partial(self.measure, function=function))
        plain = [each.name for each in (*known, *made)]
        made += self.listed("share", partial(self.share, measures=plain))
        made += self.listed("ratio", partial(self.ratio, measures=plain))
        return tuple(made)

    def measure(self, text: str, function: Aggregate) -> Measure:
        what, name = _named(text)
        column = self.column(what)
        return Measure(name or measure_name(function, column), function, column)

    def share(self, text: str, measures: Sequence[str]) -> Measure:
        what, name = _named(text)
        of = self.name(_bare(what), measures, "measure")
        return Measure(name or f"share_{of}", "share of total", of=of)

    def ratio(self, text: str, measures: Sequence[str]) -> Measure:
        what, name = _named(text)
        top, found, below = _split(what, " / ")
        if not found:
            raise Misfit("", "names no two measures", "write it like 'sum_amount / rows'")
        of, over = (self.name(_bare(each), measures, "measure") for each in (top, below))
        return Measure(name or f"{of}_per_{over}", "ratio", of=of, over=over)

    def pick(self) -> Pick | None:
        given = [flag for flag in ("latest", "first", "top") if self.flags.get(flag)]
        if len(given) > 1:
            hint = "put one of them into a pipeline of its own"
            fail("CHT042", flag=f"--{given[0]} and --{given[1]}", problem="cannot be combined", hint=hint)
        made = [pick for flag in given for pick in self.each(flag, partial(self.picked, flag=flag))]
        return made[0] if made else None

    def picked(self, text: str, flag: str) -> Pick:
        number, _, rest = text.strip().partition(" ") if flag == "top" else ("1", "", text)
        order, found, per = _split(rest, " per ")
        if not found or not number.isdecimal() or len(number) > DIGITS:
            example = "3 amount" if flag == "top" else "date"
            whole = "; for the largest rows of the result: --sort 'NAME desc' --limit 3" if flag == "top" else ""
            raise Misfit("", "does not say of what", f"write it like '{example} per region'{whole}")
        column = self.column(order)
        return Pick(tuple(map(self.column, _parts(per))), (Sort(column, flag != "first"),), int(number))

    def chosen(self, text: str) -> Chosen:
        what, name = _named(text)
        return Chosen(self.column(what), name)

    def sort(self, text: str) -> Sort:
        bare = text.strip()
        word, _, way = bare.rpartition(" ")
        if word and way in ("asc", "desc"):
            return Sort(self.column(word.strip()), way == "desc")
        return Sort(self.column(bare))

    def output(self, reads: str) -> Output:
        to = self.single("to")
        if to is None:
            fail("CHT042", flag="--to", problem="is missing", hint="give the target, for example --to output/x.parquet")
        partitions, key = self.listed("partition-by", _bare), self.listed("key", _bare)
        mode = cast("Mode | None", self.single("mode"))
        if mode and mode not in get_args(Mode):
            fail("CHT042", flag=f"--mode {mode}", problem="is not a mode", hint=_listed(get_args(Mode)))
        target = self.read("to", to, partial(self.target, reads=reads, mode=mode))
        return replace(target, key=key, partition_by=partitions)

    def target(self, text: str, reads: str, mode: Mode | None) -> Output:
        """Return the file or table that rows go to, without what names a row of it."""
        if not text.startswith("@"):
            writer = _file_writer(text, self.choices.writers)
            return Output(reads, writer.component, path=text, mode=None if mode == "replace" else mode)
        connection, _, table = text.partition("/")
        writers = [each for each in self.choices.writers if connection in each.connections]
        if not writers:
            known = [name for each in self.choices.writers for name in each.connections]
            raise Misfit("", f"nothing is written to '{connection}'", did_you_mean(connection, known) or _listed(known))
        if mode is None:
            raise Misfit(
                "", "does not say how rows go into the table", "--mode append, --mode replace, or --mode upsert"
            )
        return Output(reads, writers[0].component, connection, None, table, mode)


def _constant(parts: Sequence[str]) -> Computed:
    if len(parts) > 1:
        raise Misfit("", "'constant' takes one value", "put it in quotes")
    return Computed("", "constant", value=_bare(parts[0]) if parts else None)


def _grouped(step: Step) -> list[str]:
    """Return the columns behind the groups of a step."""
    groups = (each.name or each.unit or each.column.replace(".", "_") for each in step.group)
    return [*groups, *(each.name for each in step.measures)]


def _scope(step: Step, relations: Sequence[Relation]) -> Iterator[str]:
    """Return the columns behind the joins of a step."""
    inputs = {each.name: partial(tuple, map(Field, each.types, each.types.values())) for each in relations}
    try:
        yield from joined(step, Given(inputs, {}, lambda _: ()))[0]
    except Misfit as misfit:
        flag = "--join" if isinstance(misfit, Misfits) else "--from"
        fail("CHT042", flag=flag, problem=misfit.problem, hint=misfit.hint)


def _file_writer(path: str, writers: Sequence[Writer]) -> Writer:
    """Return what writes files of that ending; folders are Parquet."""
    written = path.rstrip("/").removesuffix(".gz").removesuffix(".zst").rpartition(".")[2]
    ending = "parquet" if path.endswith("/") else _ENDINGS.get(written, written)
    found = next((each for each in writers if each.ending == ending), None)
    if found is None:
        endings = _listed(each.ending for each in writers if each.ending)
        raise Misfit("", "does not end like a file that can be written", f"{endings}; a table is @FAMILY.ALIAS/TABLE")
    return found


def name_of(output: Output) -> str:
    """Return a name for a pipeline: that of its target."""
    last = (output.path or output.table or "").rstrip("/").rpartition("/")[2]
    words = re.sub(r"[^a-z0-9]+", "_", (last.partition(".")[0] if output.path else last).lower()).strip("_")[:60]
    return words if words[:1].isalpha() else f"pipeline_{words}".rstrip("_")[:60]


def _whole(text: str) -> int:
    if not text.isdecimal() or len(text) > DIGITS or int(text) < 1:
        raise Misfit("", "is no number of rows")
    return int(text)


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
        raise Misfit("", "has no value", "for no value there is 'is empty', for an empty text \"\"")
    if text.startswith("col:"):
        raise Misfit("", f"'{text}' is a column among values", "a column stands alone")
    if text.lower() == "null":
        raise Misfit("", "NULL is no value", "write 'is empty' or 'is not empty'")
    if text.startswith(_NO_VALUE):
        raise Misfit(
            "", f"{text} is no plain value", "write it without SQL around it; in double quotes, if it is meant"
        )
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
