"""What is read, and looked at then; and joins: by declared keys, or by columns whose values were compared.

What would multiply rows is said first.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import partial
from typing import TYPE_CHECKING

from osiris.chat.choices import one_line
from osiris.chat.expressions import unused
from osiris.chat.guide.draft import RELATIONS, Ask, Compare, Look, Option, Show, columns_of, known_texts, typed_as
from osiris.chat.request import Join, Match, Step
from osiris.chat.sql_text import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from osiris.chat.choices import Relation
    from osiris.chat.guide.draft import Draft, Fields, Flow
    from osiris.model import JsonValue

    Pairs = tuple[Match, ...]

MEASURED = 4
"""So many keys are measured for one join."""

_ALIKE = 0.6
"""From this share of equal letters on, names are similar."""

_MOST = 0.5
"""Columns that only have similar names, or one known value in common, need a greater share of matches than this."""

_TRIED = 24
"""So many pairs of columns are compared at once, where names say nothing."""

_ID = ("id", "_id", "code", "_code", "key", "_key", "no", "_no")


@dataclass(frozen=True, slots=True)
class Figures:
    """What comparing the values of two keys gave: different ones on the left, those that the right has, rows per key.

    `most` is of the right side: more than 1 multiplies rows.
    """

    keys: int
    matched: int
    most: int

    def __str__(self) -> str:
        many = f", up to {self.most:,} rows for one value" if self.most > 1 else ""
        return f"{self.matched:,} of {self.keys:,} values match{many}"


def join(draft: Draft) -> Flow[None]:
    """Ask for a table and the key by which it is joined."""
    step = draft.step_for("joins")
    asked = Ask("join", "Join which table or file?", source=RELATIONS)
    relation = yield from looked_at(draft, asked)
    if relation is None:
        return
    left = draft.fields(step, "input")
    right = {each.name: each.type for each in relation.columns or ()}
    figures, offered = yield from _measured_keys(draft, step, relation, left, right)
    options = [Option(str(n), _words(pairs), str(figures[pairs] or "not measured")) for n, pairs in enumerate(offered)]
    options.append(Option("other", "other columns …"))
    chosen = (yield Ask("key", f"By which key is {relation.table} joined?", tuple(options))).keys[0]
    pairs = (yield from _own_key(draft, left, right)) if chosen == "other" else offered[int(chosen)]
    if pairs not in figures:
        figures[pairs] = yield from _measured(draft, step, relation, pairs)
    joined = yield from _confirmed(relation, pairs, figures[pairs])
    if joined is not None:
        draft.read(relation.id)
        draft.put(replace(step, joins=(*step.joins, joined)))


def _measured_keys(
    draft: Draft, step: Step, relation: Relation, left: Fields, right: Fields
) -> Flow[tuple[dict[Pairs, Figures | None], list[Pairs]]]:
    """Return what comparing keys gave, and which of them are offered."""
    named = _candidates(draft, relation, left, right)
    candidates = named or [*_by_likeness(left, right), *_by_values(draft, relation, left, right)]
    figures: dict[Pairs, Figures | None] = {}
    if candidates:
        yield Show("  comparing values of keys …")
    for pairs in list(dict.fromkeys(candidates))[:MEASURED]:
        figures[pairs] = yield from _measured(draft, step, relation, pairs)
    least = 0 if named else _MOST
    offered = [pairs for pairs, each in figures.items() if each is None or each.matched > each.keys * least]
    if not offered:
        for pairs in (yield from _by_all_values(draft, step, relation, left, right)):
            figures[pairs] = yield from _measured(draft, step, relation, pairs)
            offered.append(pairs)
    return figures, offered


def _confirmed(relation: Relation, pairs: Pairs, figures: Figures | None) -> Flow[Join | None]:
    """Return the join, unless it multiplies rows and the person does not want that."""
    if not (yield from _is_wanted(relation, pairs, figures)):
        return None
    if figures and figures.matched == figures.keys:
        yield Show(f"All {figures.keys:,} values match.")
        return Join(relation.name, pairs, "keep")
    options = (Option("keep", "keep them", "what is joined is empty there"), Option("drop", "drop them"))
    missing = f"{figures.keys - figures.matched:,} of {figures.keys:,} values have no match. " if figures else ""
    kept = (yield Ask("unmatched", f"{missing}Keep rows without a match?", options)).keys[0]
    return Join(relation.name, pairs, "keep" if kept == "keep" else "drop")


def _is_wanted(relation: Relation, pairs: Pairs, figures: Figures | None) -> Flow[bool]:
    """Tell whether the person wants a join: asked only where it multiplies rows, or may."""
    has_key = bool(relation.primary_key) and set(relation.primary_key) <= {each.right for each in pairs}
    if figures.most <= 1 if figures else has_key:
        return True
    options = (Option("no", f"no, do not join {relation.table}"), Option("yes", "yes, rows may become more"))
    many = f"up to {figures.most:,} rows" if figures else "perhaps several rows, which was not measured,"
    text = f"{relation.table} has {many} for one value of the key. Join it all the same?"
    return bool((yield Ask("multiplies", text, options)).keys[0] != "no")


def _candidates(draft: Draft, relation: Relation, left: Fields, right: Fields) -> list[Pairs]:
    """Return keys that names or declarations suggest, the likeliest first."""
    found = [*_declared(draft, relation, left)]
    same = tuple(_same(left, right))
    key = relation.primary_key
    if key and all(name in left and _fit(left[name], right.get(name)) for name in key):
        found.append(tuple(Match(name, name) for name in key))
    found += [(each,) for each in (*_by_id(relation, left, right), *same)]
    if len(same) > 1:
        found.append(same)
    return list(dict.fromkeys(found))


def _same(left: Fields, right: Fields) -> Iterator[Match]:
    """Yield the columns of one name on both sides, however it is spelled."""
    spelled = {_plain(name): name for name in reversed(right)}
    for name in left:
        other = name if name in right else spelled.get(_plain(name), "")
        if other and _fit(left[name], right[other]):
            yield Match(name, other)


def _by_id(relation: Relation, left: Fields, right: Fields) -> Iterator[Match]:
    """Yield columns that are called as a relation and its id: `customer_id` and `id`."""
    stem = relation.name.removesuffix("s").lower()
    for name in left:
        plain = name.lower()
        if plain.startswith(stem) and plain.removeprefix(stem) in _ID:
            others = (other for other in right if other.lower() in (*_ID, plain))
            yield from (Match(name, other) for other in others if _fit(left[name], right[other]))


def _by_likeness(left: Fields, right: Fields) -> list[Pairs]:
    """Return keys of columns with similar names, the most similar first: `vehid` and `VehicleID`."""
    pairs = _fitting(left, right)
    alike = {pair: SequenceMatcher(None, _plain(pair[0]), _plain(pair[1])).ratio() for pair in pairs}
    likely = sorted((pair for pair in pairs if alike[pair] >= _ALIKE), key=lambda pair: -alike[pair])
    return [(Match(*pair),) for pair in likely]


def _by_values(draft: Draft, relation: Relation, left: Fields, right: Fields) -> list[Pairs]:
    """Return keys of text columns that have a known value in common."""
    there = {each.name: {*known_texts(each)} for each in relation.columns or () if typed_as(each.type) == "text"}
    here = {name: {*known_texts(draft.column(name))} for name in left if typed_as(left[name]) == "text"}
    return [(Match(name, other),) for name in here for other in there if other in right and here[name] & there[other]]


def _by_all_values(draft: Draft, step: Step, relation: Relation, left: Fields, right: Fields) -> Flow[list[Pairs]]:
    """Return keys of which most values are in both columns, the likeliest first: names say nothing here."""
    keys = {name: type_ for name, type_ in left.items() if typed_as(type_) in ("text", "whole number", "uuid")}
    pairs = _fitting(keys, right)[:_TRIED]

    sql = partial(_counting, right=relation.name, pairs=pairs)
    row = (yield from _compared(draft, step, relation, sql)) if pairs else None
    if not row or len(row) != 2 * len(pairs):
        return []
    found = zip(pairs, row[::2], row[1::2], strict=True)
    likely = {pair: both for pair, keys, both in found if both > keys * _MOST}
    # Few values, as hours or amounts, are in many columns by chance: where most match, many come first.
    most = sorted(likely, key=lambda pair: -likely[pair])
    return [(Match(*pair),) for pair in most[:MEASURED]]


def _counting(left: str, right: str, pairs: Sequence[tuple[str, str]]) -> str:
    """Return a SELECT that counts, for each pair of columns, the values of the first, and those that both have."""
    counts = []
    for n, (name, other) in enumerate((quote(one), quote(two)) for one, two in pairs):
        mine = f"SELECT DISTINCT {name} AS k FROM {left} WHERE {name} IS NOT NULL"
        theirs = f"SELECT {other} FROM {quote(right)}"
        counts.append(f"(SELECT count(*) FROM ({mine})) AS all{n}")
        counts.append(f"(SELECT count(*) FROM ({mine}) WHERE k IN ({theirs})) AS both{n}")
    return f"SELECT {', '.join(counts)}"


def _plain(name: str) -> str:
    """Return a name without what names of one thing differ in: `ShipID`, `ship_id`."""
    return "".join(each for each in name.casefold() if each.isalnum())


def _declared(draft: Draft, relation: Relation, left: Fields) -> list[Pairs]:
    """Return the keys that foreign keys declare, from either side."""
    found: list[Pairs] = []
    for source in draft.request.sources:
        here = draft.relation(source.relation)
        if here.connection == relation.connection:
            found += [tuple(map(Match, k.columns, k.to)) for k in here.foreign_keys if k.table == relation.table]
            found += [tuple(map(Match, k.to, k.columns)) for k in relation.foreign_keys if k.table == here.table]
    return [pairs for pairs in found if all(pair.left in left for pair in pairs)]


def _fitting(left: Fields, right: Fields) -> list[tuple[str, str]]:
    """Return the pairs of columns whose values can be compared."""
    return [(name, other) for name in left for other in right if _fit(left[name], right[other])]


def _fit(left: str | None, right: str | None) -> bool:
    numbers = ("whole number", "number")
    kinds = [typed_as(left), typed_as(right)]
    return kinds[0] == kinds[1] or all(kind in numbers for kind in kinds)


def _measured(draft: Draft, step: Step, relation: Relation, pairs: Pairs) -> Flow[Figures | None]:
    """Compare the values of both sides."""
    row = yield from _compared(draft, step, relation, partial(_comparing, right=relation.name, pairs=pairs))
    return Figures(int(row[0]), int(row[1] or 0), int(row[2] or 0)) if row else None


def _compared(draft: Draft, step: Step, relation: Relation, sql: Callable[[str], str]) -> Flow[JsonValue]:
    """Return the row of a SELECT over the name of what there is before a join, and what is joined; None without one."""
    taken = [*(each.name for each in draft.request.steps), *(each.name for each in draft.choices.relations)]
    before = Step(unused("left_side", [*taken, relation.name]), input=step.input, joins=step.joins)
    before = replace(before, compute=step.compute, filters=step.filters)
    inputs = (before.name, relation.name)
    figures = Step(unused("figures", [*taken, before.name, relation.name]), sql=sql(before.name), inputs=inputs)
    asked = replace(draft.request, steps=(*(s for s in draft.request.steps if s.name != step.name), before, figures))
    sources = {each.relation: each for each in (*asked.sources, *draft.reading(relation.id))}
    return (yield Compare(replace(asked, sources=tuple(sources.values())), relation.id))


def _comparing(left: str, right: str, pairs: Pairs) -> str:
    lefts = ", ".join(f"{quote(each.left)} AS k{n}" for n, each in enumerate(pairs))
    rights = ", ".join(f"{quote(each.right)} AS k{n}" for n, each in enumerate(pairs))
    keys = ", ".join(f"k{n}" for n in range(len(pairs)))
    on = " AND ".join(f"l.k{n} = r.k{n}" for n in range(len(pairs)))
    return (
        f"WITH l AS (SELECT DISTINCT {lefts} FROM {quote(left)}),\n"
        f"a AS (SELECT {rights} FROM {quote(right)}),\n"
        f"r AS (SELECT {keys}, count(*) AS n FROM a GROUP BY {keys})\n"
        f"SELECT count(*) AS keys, count(r.n) AS matched, max(r.n) AS most FROM l LEFT JOIN r ON {on}"
    )


def _words(pairs: Pairs) -> str:
    return " and ".join(each.left if each.left == each.right else f"{each.left} = {each.right}" for each in pairs)


def _own_key(draft: Draft, left: Fields, right: Fields) -> Flow[Pairs]:
    """Ask for two columns that are equal."""
    mine = (yield Ask("left", "Which column so far?", columns_of(draft, left))).keys[0]
    fitting = {name: type_ for name, type_ in right.items() if _fit(left[mine], type_)}
    options = tuple(Option(name, name, type_ or "") for name, type_ in fitting.items())
    theirs = (yield Ask("right", f"{mine} equals which column of it?", options)).keys[0]
    return (Match(mine, theirs),)


_SHOWN = 200


def option_of(relation: str, source: str, table: str, note: str = "") -> Option:
    """Return the option for a relation; its key has what is needed to look at it."""
    return Option(json.dumps([relation, source, table]), relation, note)


def looked_at(draft: Draft, asked: Ask) -> Flow[Relation | None]:
    """Ask for a relation and look at it; None, and why, if it cannot be read."""
    answer = yield asked
    relation, source, table = json.loads(answer.keys[0])
    if relation not in draft.tables:
        found = yield Look(relation, source, table)
        if "table" not in found:
            yield Show(f"{relation} cannot be read: {found['reason']}")
            return None
        draft.tables = {**draft.tables, relation: (source, found["table"])}
    known = next((each for each in draft.choices.relations if each.id == relation), None)
    if known is None or not known.columns:
        draft.tables = {name: told for name, told in draft.tables.items() if name != relation}
        yield Show(f"{relation} has no columns that can be read.")
        return None
    yield Show(_columns(known, draft.tables[relation][1]))
    return known


def _columns(relation: Relation, table: Mapping[str, JsonValue]) -> str:
    """Return what a relation has, in a line or two."""
    columns = relation.columns or ()
    hidden = len(table["columns"]) - len(table["closed"]) - len(columns)
    names = one_line(", ".join(f"{each.name} {each.type or ''}".rstrip() for each in columns), _SHOWN)
    more = f"\n  not offered, as their names cannot be shown: {hidden:,}" if hidden > 0 else ""
    return f"  columns ({len(columns):,}): {names}{more}"


def first(draft: Draft, asked: Ask) -> Flow[None]:
    """Ask for what is read first, until it can be read."""
    relation = None
    while relation is None:
        relation = yield from looked_at(draft, asked)
    draft.read(relation.id)
