"""A request from flags of `osiris new`; `command_line` is the reverse.

    --from TABLE                      source: a path, or @FAMILY.ALIAS.TABLE
    --join 'TABLE on A = B and …'     inner join; --left-join keeps rows without a match
    --compute 'NAME = A * B'          or NAME = FUNCTION(A, VALUE): year, round, join-text, if-empty, …
    --where 'A = VALUE'               also != < <= > >= in, not in, between X and Y, contains, starts with, ends with,
                                      is empty, is not empty
    --group A, --group 'month(A)'     also with `as NAME`, as all that follow
    --count, --count-of A, --count-distinct A, --sum A, --avg A, --min A, --max A, --median A
    --share MEASURE, --ratio 'MEASURE / MEASURE'
    --latest 'A per B, C', --first 'A per B', --top '3 A per B'
    --columns 'A, B as NAME', --sort 'A desc', --limit N
                                      commas also list columns of groups, measures and orders

The right side of a condition, and arguments of a function after the first, are values typed by the column; `col:A`
names a column. A name with characters other than letters, digits, `_` and `.` needs double quotes. Names match exactly,
else the only one that differs in case, which is noted; an unknown name is rejected with suggestions, and no two words
may mean one name.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, cast, get_args

from osiris.chat.choices import with_slash
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
from osiris.chat.statement import Bindings, joined
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
"""Maps each part of a request to its flag."""

SIGNS: dict[str, Function] = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide"}
_QUOTED = r'"(?:[^"]|"")*"'
_WORDS = "not in|in|between|contains|starts with|ends with|is not empty|is empty"
_CONDITION = re.compile(rf"({_QUOTED}|.+?)(?:\s*(!=|<=|>=|=|<|>)\s*|\s+({_WORDS})(?:\s+|$))(.*)", re.DOTALL)
_CALL = re.compile(r"([a-z-]+)\((.*)\)", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d+)?|\.\d+)")
_AS = re.compile(rf"({_QUOTED}|.*?\)|.+?)\s+as\s+({_QUOTED}|[\w.]+)", re.DOTALL)
_ENDINGS = {"json": "jsonl", "ndjson": "jsonl", "pq": "parquet"}
"""Aliases of file suffixes."""

_NO_VALUE = ("=", "<", ">", "(", "'")
"""Starts that a value may have only in double quotes."""

_MORE = re.compile(r"\s(?:and|or)\s+(\S+?)\s*(?:[=<>!]|\s(?:in|is|like|between|contains)\s)", re.IGNORECASE)
"""Start of a second condition."""

_MOST_VALUES: dict[Function, int] = {"replace": 2}
"""Number of values that a function takes besides its column, if not one."""


class ParsedFlags(NamedTuple):
    """A request, and notes on how its flags were read."""

    request: Request
    notes: tuple[str, ...]


def request_of(flags: Flags, choices: Choices) -> ParsedFlags:
    """Return the request of flags; fails with CHT042 for the first invalid one."""
    reader = _Reader(flags, choices)
    request = reader.request()
    reject_misfits(request, choices)
    return ParsedFlags(request, tuple(reader.notes))


def add_flags(step: Step, scope: Sequence[str], flags: Flags, choices: Choices) -> tuple[Step, tuple[str, ...]]:
    """Return a step with flags applied, and notes on how they were read; fails as `request_of` does.

    `scope` are the columns available to the first flag.
    """
    reader = _Reader(flags, choices)
    return reader.step(step, scope), tuple(reader.notes)


def output_of(reads: str, flags: Flags, choices: Choices) -> Output:
    """Return the output for the rows of a step; fails as `request_of` does."""
    return _Reader(flags, choices).output(reads)


def reject_misfits(request: Request, choices: Choices) -> None:
    """Fail with CHT042 for the first invalid part of a request, naming its flag."""
    wrong = problems_of(request, choices)
    if wrong:
        fail("CHT042", flag=_flag_of(wrong[0].pointer), problem=wrong[0].problem, hint=wrong[0].hint)


@dataclass(slots=True)
class _Reader:
    """Reads flags; keeps notes, the word used for each name, and the columns available to the next flag."""

    flags: Flags
    choices: Choices
    notes: list[str] = field(default_factory=list)
    resolved: dict[str, str] = field(default_factory=dict)
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
        """Return the joins, and add their relations to `relations`; each but the first must be joined."""
        pairs = [
            self.read(flag, text, partial(self.join, flag=flag, first=relations[0]))
            for flag in ("join", "left-join")
            for text in self.flags.get(flag, ())
        ]
        unread = [each.id for each in relations[1:] if all(each is not relation for relation, _ in pairs)]
        if unread:
            hint = f"join it: --join '{unread[0]} on COLUMN = COLUMN'"
            fail("CHT042", flag=f"--from {unread[0]}", problem="is not joined to the first source", hint=hint)
        for relation, _ in pairs:
            if relation not in relations:
                relations.append(relation)
        return tuple(join for _, join in pairs)

    def read(self, flag: str, text: str, make: Callable[[str], T]) -> T:
        """Return the result of `make` for a flag's text; fails with CHT042 if it is invalid."""
        try:
            return make(text)
        except Misfit as wrong:
            return fail("CHT042", flag=f"--{flag} {shlex.quote(text)}", problem=wrong.problem, hint=wrong.hint)

    def each(self, flag: str, make: Callable[[str], T]) -> tuple[T, ...]:
        return tuple(self.read(flag, text, make) for text in self.flags.get(flag, ()))

    def listed(self, flag: str, make: Callable[[str], T]) -> tuple[T, ...]:
        """Return the results of `make` for each comma-separated part of a flag's texts."""
        return tuple(
            item
            for text in self.flags.get(flag, ())
            for item in self.read(flag, text, lambda text: [make(part) for part in _parts(text)])
        )

    def single(self, flag: str) -> str | None:
        return next(iter(self.flags.get(flag, ())), None)

    def name(self, word: str, available: Iterable[str], kind: str = "column") -> str:
        """Return the name that a word means."""
        names = list(available)
        folded_matches = [name for name in names if name.casefold() == word.casefold()]
        if word in names:
            match = word
        elif len(folded_matches) == 1:
            (match,) = folded_matches
            self.notes.append(f"{kind} '{match}' for '{word}'")
        else:
            hint = did_you_mean(word[:200], names)
            raise Misfit("", f"there is no {kind} '{word[:200]}'", hint or _listed(names))
        if self.resolved.setdefault(match, word) != word:
            raise Misfit(
                "", f"'{self.resolved[match]}' and '{word}' both mean {kind} '{match}'", "write the name as it is"
            )
        return match

    def relation(self, flag: str, text: str) -> Relation:
        """Return the relation with that id, or the only one of that name."""

        def find(text: str) -> Relation:
            text = with_slash(text)
            ids = {each.id: each for each in self.choices.relations}
            matches = [each for each in self.choices.relations if each.name == text]
            return matches[0] if len(matches) == 1 and text not in ids else ids[self.name(text, ids, "table")]

        return self.read(flag, text, find)

    def join(self, text: str, flag: str, first: Relation) -> tuple[Relation, Join]:
        table, on, keys = text.strip().partition(" on ")
        if not on:
            raise Misfit("", "does not say by which columns", "write it like 'customers on customer_id = id'")
        relation = self.relation(flag, _unquote(table.strip()))
        right = relation.names
        matches = []
        for part in re.split(r"\s+and\s+", keys.strip()):
            one, equals, other = part.partition(" = ")
            if not equals:
                raise Misfit("", f"'{part}' does not say which columns match", "write it like 'customer_id = id'")
            matches.append(Match(self.left(_unquote(one), first, relation), self.name(_unquote(other), right)))
        return relation, Join(relation.name, tuple(matches), "keep" if flag == "left-join" else "drop")

    def left(self, word: str, first: Relation, joined: Relation) -> str:
        """Return the left column of a join: of the first table, if it has it."""
        first_columns = first.names
        relations = (each for each in self.choices.relations if each is not first and each is not joined)
        names = dict.fromkeys([*first_columns, *(name for relation in relations for name in relation.names)])
        is_own = word in first_columns or (word not in names and word.casefold() in map(str.casefold, first_columns))
        return self.name(word, first_columns if is_own else names)

    def source(self, relation: Relation, *, is_alone: bool) -> Source:
        columns = relation.names
        options = [f"--{flag}" for flag in ("encoding", "dtype", "on-reject") if self.flags.get(flag)]
        if options and not is_alone:
            self.notes.append(f"{', '.join(options)} for '{relation.id}' alone")

        def typed(text: str) -> Typed:
            column, equals, kind = text.rpartition("=")
            if not equals:
                raise Misfit("", "does not say which type", "write it like 'zip = utf8'")
            return Typed(self.name(_unquote(column.strip()), columns), kind.strip())

        return Source(relation.id, None, self.single("encoding"), self.each("dtype", typed), self.single("on-reject"))

    def column(self, word: str) -> str:
        """Return the column that a word names at this point."""
        return self.name(_unquote(word), self.scope)

    def step(self, base: Step, scope: Sequence[str]) -> Step:
        """Return a step with flags applied; `scope` are the columns available to the first."""
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
        return replace(step, columns=columns, sort=sort, limit=next(iter(self.each("limit", _row_count)), base.limit))

    def computed(self, text: str) -> Computed:
        name, equals, expression = text.partition("=")
        if not equals or not name.strip():
            raise Misfit("", "gives no name", "write it like 'total = price * qty'")
        name, expression = _unquote(name.strip()), expression.strip()
        call = _CALL.fullmatch(expression)
        function = call[1].replace("-", " ") if call else ""
        if call and function in get_args(Function):
            new = replace(self.call(cast("Function", function), _parts(call[2])), name=name)
        else:
            new = replace(self.arithmetic(expression), name=name)
        self.scope.append(name)
        return new

    def arithmetic(self, expression: str) -> Computed:
        """Return an operation on two columns, or on a column and a number."""
        for sign, function in SIGNS.items():
            left, separator, right = _split(expression, f" {sign} ")
            if separator:
                self.reject_ambiguous(left)
                self.reject_ambiguous(right)
                column = self.column(left)
                if _NUMBER.fullmatch(right):
                    return Computed("", function, column, value=right)
                return Computed("", function, column, self.column(right.removeprefix("col:")))
        functions = ", ".join(each.replace(" ", "-") for each in get_args(Function))
        raise Misfit("", f"'{expression}' is nothing that can be computed", f"COLUMN * COLUMN, or one of {functions}")

    def reject_ambiguous(self, text: str) -> None:
        """Reject a number that is also the name of a column."""
        if _NUMBER.fullmatch(text) and text in self.scope:
            raise Misfit("", f"'{text}' is a number and a column", f'"{text}" is the column, +{text} the number')

    def call(self, function: Function, parts: list[str]) -> Computed:
        if function == "constant":
            return _constant(parts)
        first, *rest = parts or [""]
        column = self.column(first)
        others = [self.column(part[4:]) for part in rest if part.startswith("col:")]
        values = [_unquote(part) for part in rest if not part.startswith("col:")]
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
        return Filter(column, operator, tuple(map(_value, self.sides(operator, right))))

    def sides(self, operator: Operator, right: str) -> list[str]:
        """Return the written values on the right side of a condition."""
        if operator == "between":
            least, separator, most = _split(right, " and ")
            if not separator or (" and " in most and not re.fullmatch(_QUOTED, most)):
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
        expression, name = _split_alias(text)
        call = _CALL.fullmatch(expression)
        if call and call[1] in get_args(Unit):
            return Group(self.column(call[2].strip()), cast("Unit", call[1]), name)
        return Group(self.column(expression), None, name)

    def measures(self, existing: Sequence[Measure]) -> tuple[Measure, ...]:
        new = [Measure("rows", "count")] if self.flags.get("count") else []
        for flag, function in MEASURES.items():
            new += self.listed(flag, partial(self.measure, function=function))
        names = [each.name for each in (*existing, *new)]
        new += self.listed("share", partial(self.share, measures=names))
        new += self.listed("ratio", partial(self.ratio, measures=names))
        return tuple(new)

    def measure(self, text: str, function: Aggregate) -> Measure:
        expression, name = _split_alias(text)
        column = self.column(expression)
        return Measure(name or measure_name(function, column), function, column)

    def share(self, text: str, measures: Sequence[str]) -> Measure:
        expression, name = _split_alias(text)
        of = self.name(_unquote(expression), measures, "measure")
        return Measure(name or f"share_{of}", "share of total", of=of)

    def ratio(self, text: str, measures: Sequence[str]) -> Measure:
        expression, name = _split_alias(text)
        top, separator, below = _split(expression, " / ")
        if not separator:
            raise Misfit("", "names no two measures", "write it like 'sum_amount / rows'")
        of, over = (self.name(_unquote(each), measures, "measure") for each in (top, below))
        return Measure(name or f"{of}_per_{over}", "ratio", of=of, over=over)

    def pick(self) -> Pick | None:
        used = [flag for flag in ("latest", "first", "top") if self.flags.get(flag)]
        if len(used) > 1:
            hint = "put one of them into a pipeline of its own"
            fail("CHT042", flag=f"--{used[0]} and --{used[1]}", problem="cannot be combined", hint=hint)
        picks = [pick for flag in used for pick in self.each(flag, partial(self.pick_of, flag=flag))]
        return picks[0] if picks else None

    def pick_of(self, text: str, flag: str) -> Pick:
        number, _, rest = text.strip().partition(" ") if flag == "top" else ("1", "", text)
        order, separator, per = _split(rest, " per ")
        if not separator or not number.isdecimal() or len(number) > DIGITS:
            example = "3 amount" if flag == "top" else "date"
            advice = "; for the largest rows of the result: --sort 'NAME desc' --limit 3" if flag == "top" else ""
            raise Misfit("", "does not say of what", f"write it like '{example} per region'{advice}")
        column = self.column(order)
        return Pick(tuple(map(self.column, _parts(per))), (Sort(column, flag != "first"),), int(number))

    def chosen(self, text: str) -> Chosen:
        expression, name = _split_alias(text)
        return Chosen(self.column(expression), name)

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
        partitions, key = self.listed("partition-by", _unquote), self.listed("key", _unquote)
        mode = cast("Mode | None", self.single("mode"))
        if mode and mode not in get_args(Mode):
            fail("CHT042", flag=f"--mode {mode}", problem="is not a mode", hint=_listed(get_args(Mode)))
        target = self.read("to", to, partial(self.target, reads=reads, mode=mode))
        if target.path and mode in ("append", "upsert"):
            hint = "leave it out, or write to a table"
            fail(
                "CHT042", flag=f"--mode {mode}", problem="does not apply to a file, which is always replaced", hint=hint
            )
        return replace(target, key=key, partition_by=partitions)

    def target(self, text: str, reads: str, mode: Mode | None) -> Output:
        """Return the target file or table, without its key."""
        if not text.startswith("@"):
            writer = _file_writer(text, self.choices.writers)
            return Output(reads, writer.component, path=text, mode=None if mode == "replace" else mode)
        connection, _, table = with_slash(text).partition("/")
        writers = [each for each in self.choices.writers if connection in each.connections]
        if not writers:
            connections = [name for each in self.choices.writers for name in each.connections]
            raise Misfit(
                "",
                f"nothing is written to '{connection}'",
                did_you_mean(connection, connections) or _listed(connections),
            )
        if mode is None:
            raise Misfit(
                "", "does not say how rows go into the table", "--mode append, --mode replace, or --mode upsert"
            )
        return Output(reads, writers[0].component, connection, None, table, mode)


def _constant(parts: Sequence[str]) -> Computed:
    if len(parts) > 1:
        raise Misfit("", "'constant' takes one value", "put it in quotes")
    return Computed("", "constant", value=_unquote(parts[0]) if parts else None)


def _grouped(step: Step) -> list[str]:
    """Return the columns available after the groups of a step."""
    groups = (each.name or each.unit or each.column.replace(".", "_") for each in step.group)
    return [*groups, *(each.name for each in step.measures)]


def _scope(step: Step, relations: Sequence[Relation]) -> Iterator[str]:
    """Return the columns available after the joins of a step."""
    inputs = {each.name: partial(tuple, map(Field, each.types, each.types.values())) for each in relations}
    try:
        yield from joined(step, Bindings(inputs, {}, lambda _: ()))[0]
    except Misfit as misfit:
        flag = "--join" if isinstance(misfit, Misfits) else "--from"
        fail("CHT042", flag=flag, problem=misfit.problem, hint=misfit.hint)


def _file_writer(path: str, writers: Sequence[Writer]) -> Writer:
    """Return the writer for a path's suffix; folders are Parquet."""
    suffix = path.rstrip("/").removesuffix(".gz").removesuffix(".zst").rpartition(".")[2]
    ending = "parquet" if path.endswith("/") else _ENDINGS.get(suffix, suffix)
    writer = next((each for each in writers if each.ending == ending), None)
    if writer is None:
        endings = _listed(each.ending for each in writers if each.ending)
        raise Misfit("", "does not end like a file that can be written", f"{endings}; a table is @FAMILY.ALIAS.TABLE")
    return writer


def name_of(output: Output) -> str:
    """Return a pipeline name derived from its target."""
    last = (output.path or output.table or "").rstrip("/").rpartition("/")[2]
    words = re.sub(r"[^a-z0-9]+", "_", (last.partition(".")[0] if output.path else last).lower()).strip("_")[:60]
    return words if words[:1].isalpha() else f"pipeline_{words}".rstrip("_")[:60]


def _row_count(text: str) -> int:
    if not text.isdecimal() or len(text) > DIGITS or int(text) < 1:
        raise Misfit("", "is not a number of rows")
    return int(text)


def _flag_of(pointer: str) -> str:
    """Return the flag that a part of a request comes from."""
    parts = [part for part in pointer.split("/") if part and not part.isdecimal()]
    flags = [_FLAGS[part] for part in parts if part in _FLAGS]
    return f"--{flags[-1] if flags else parts[0]}"


def _split_alias(text: str) -> tuple[str, str | None]:
    """Return the part before `as NAME`, and the name."""
    parts = _AS.fullmatch(text.strip())
    return (parts[1].strip(), _unquote(parts[2])) if parts else (text.strip(), None)


def _value(text: str) -> str:
    """Return the value on the right side of a condition; what looks like SQL is rejected."""
    if re.fullmatch(_QUOTED, text, re.DOTALL):
        return _unquote(text)
    if not text:
        raise Misfit("", "has no value", "for no value there is 'is empty', for an empty text \"\"")
    if text.startswith("col:"):
        raise Misfit("", f"'{text}' is a column among values", "give a column alone")
    if text.lower() == "null":
        raise Misfit("", "NULL is no value", "write 'is empty' or 'is not empty'")
    if text.startswith(_NO_VALUE):
        raise Misfit(
            "", f"{text} is no plain value", "write it without SQL around it; in double quotes, if it is meant"
        )
    return text


def _unquote(text: str) -> str:
    """Return a word without its quotation marks."""
    is_quoted = re.fullmatch(_QUOTED, text, re.DOTALL)
    return text[1:-1].replace('""', '"') if is_quoted else text


def _split(text: str, by: str) -> tuple[str, str, str]:
    """Split at the first separator outside quotation marks."""
    for match in re.finditer(f"{_QUOTED}|({re.escape(by)})", text, re.DOTALL):
        if match[1]:
            return text[: match.start()].strip(), by, text[match.end() :].strip()
    return text, "", ""


def _parts(text: str) -> list[str]:
    """Split at commas outside quotation marks."""
    parts = re.findall(rf"\s*({_QUOTED}(?=[^,]*(?:,|$))[^,]*|[^,]*)(?:,|$)", text, re.DOTALL)
    return [part.strip() for part in parts if part.strip()]


def _listed(names: Iterable[str]) -> str:
    items = list(names)
    return ", ".join(items[:20]) + (", …" if len(items) > 20 else "")
