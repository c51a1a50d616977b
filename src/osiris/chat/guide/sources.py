"""Sources and joins: by declared keys, or by columns whose values were compared.

Joins that would multiply rows are announced first.
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
"""Most keys measured for one join."""

_ALIKE = 0.6
"""Names with at least this share of equal letters are similar."""

_MOST = 0.5
"""Least share of matches for columns that only have similar names, or one known value in common."""

_TRIED = 24
"""Most pairs of columns compared at once, where names give no hint."""

_ID = ("id", "_id", "code", "_code", "key", "_key", "no", "_no")


@dataclass(frozen=True, slots=True)
class Figures:
    """Comparison of two keys: distinct values on the left, those found on the right, and most rows per key.

    `most` is of the right side: more than 1 multiplies rows.
    """

    keys: int
    matched: int
    most: int

    def __str__(self) -> str:
        many = f", up to {self.most:,} rows for one value" if self.most > 1 else ""
        return f"{self.matched:,} of {self.keys:,} values match{many}"


def join(draft: Draft) -> Flow[None]:
    """Ask for a table and the join key."""
    step = draft.step_for("joins")
    question = Ask("join", "Join which table or file?", source=RELATIONS)
    relation = yield from choose_relation(draft, question)
    if relation is None:
        return
    left = draft.fields(step, "input")
    right = {each.name: each.type for each in relation.columns or ()}
    figures, offered = yield from _measured_keys(draft, step, relation, left, right)
    keys = (option for n, pairs in enumerate(offered) for option in _key_options(n, pairs, figures[pairs]))
    options = (*keys, Option("other", "other columns …"))
    chosen = (yield Ask("join key", f"By which key is {relation.table} joined?", options)).keys[0]
    number, _, unmatched = chosen.partition("|")
    pairs = offered[int(number)] if unmatched else (yield from _ask_key(draft, left, right))
    if pairs not in figures:
        figures[pairs] = yield from _measured(draft, step, relation, pairs)
    if not (yield from _is_wanted(relation, pairs, figures[pairs])):
        return
    unmatched = yield from _unmatched(unmatched, figures[pairs])
    draft.read(relation.id)
    draft.put(replace(step, joins=(*step.joins, Join(relation.name, pairs, "drop" if unmatched == "drop" else "keep"))))


def _key_options(number: int, pairs: Pairs, figures: Figures | None) -> Iterator[Option]:
    """Yield the options of a key: two where rows may have no match."""
    keep, drop = Option(f"{number}|keep", _words(pairs), str(figures or "not measured")), f"{number}|drop"
    if figures and figures.matched == figures.keys:
        yield keep
    else:
        yield replace(keep, label=f"{keep.label}, keep rows without a match")
        yield replace(keep, key=drop, label=f"{keep.label}, drop rows without a match")


def _measured_keys(
    draft: Draft, step: Step, relation: Relation, left: Fields, right: Fields
) -> Flow[tuple[dict[Pairs, Figures | None], list[Pairs]]]:
    """Return the figures of compared keys, and the keys to offer."""
    likely = _candidates(draft, relation, left, right)
    candidates = likely or [*_by_likeness(left, right), *_by_values(draft, relation, left, right)]
    figures: dict[Pairs, Figures | None] = {}
    if candidates:
        yield Show("  comparing values of keys …")
    for pairs in list(dict.fromkeys(candidates))[:MEASURED]:
        figures[pairs] = yield from _measured(draft, step, relation, pairs)
    least = 0 if likely else _MOST
    offered = [pairs for pairs, each in figures.items() if each is None or each.matched > each.keys * least]
    if not offered:
        for pairs in (yield from _by_all_values(draft, step, relation, left, right)):
            figures[pairs] = yield from _measured(draft, step, relation, pairs)
            offered.append(pairs)
    return figures, offered


def _unmatched(chosen: str, figures: Figures | None) -> Flow[str]:
    """Return what happens to rows without a match, keep or drop; asked unless it was chosen, or there are none."""
    if figures and figures.matched == figures.keys:
        yield Show(f"All {figures.keys:,} values match.")
        return "keep"
    if chosen:
        return chosen
    options = (Option("keep", "keep them", "what is joined is empty there"), Option("drop", "drop them"))
    missing = f"{figures.keys - figures.matched:,} of {figures.keys:,} values have no match. " if figures else ""
    return str((yield Ask("unmatched", f"{missing}Keep rows without a match?", options)).keys[0])


def _is_wanted(relation: Relation, pairs: Pairs, figures: Figures | None) -> Flow[bool]:
    """Tell whether the person wants a join: asked only if it multiplies rows, or may."""
    has_key = bool(relation.primary_key) and set(relation.primary_key) <= {each.right for each in pairs}
    if figures.most <= 1 if figures else has_key:
        return True
    options = (Option("no", f"no, do not join {relation.table}"), Option("yes", "yes, rows may become more"))
    many = f"up to {figures.most:,} rows" if figures else "perhaps several rows, which was not measured,"
    text = f"{relation.table} has {many} for one value of the key. Join it all the same?"
    return bool((yield Ask("multiplies", text, options)).keys[0] != "no")


def _candidates(draft: Draft, relation: Relation, left: Fields, right: Fields) -> list[Pairs]:
    """Return keys suggested by names or declarations, the likeliest first."""
    keys = [*_declared(draft, relation, left)]
    same = tuple(_same(left, right))
    key = relation.primary_key
    if key and all(name in left and _fit(left[name], right.get(name)) for name in key):
        keys.append(tuple(Match(name, name) for name in key))
    keys += [(each,) for each in (*_by_id(relation, left, right), *same)]
    if len(same) > 1:
        keys.append(same)
    return list(dict.fromkeys(keys))


def _same(left: Fields, right: Fields) -> Iterator[Match]:
    """Yield the columns of equal names on both sides, ignoring case and punctuation."""
    spelled = {_plain(name): name for name in reversed(right)}
    for name in left:
        other = name if name in right else spelled.get(_plain(name), "")
        if other and _fit(left[name], right[other]):
            yield Match(name, other)


def _by_id(relation: Relation, left: Fields, right: Fields) -> Iterator[Match]:
    """Yield columns named after a relation and its id: `customer_id` and `id`."""
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
    """Return keys of text columns with a known value in common."""
    there = {each.name: {*known_texts(each)} for each in relation.columns or () if typed_as(each.type) == "text"}
    here = {name: {*known_texts(draft.column(name))} for name in left if typed_as(left[name]) == "text"}
    return [(Match(name, other),) for name in here for other in there if other in right and here[name] & there[other]]


def _by_all_values(draft: Draft, step: Step, relation: Relation, left: Fields, right: Fields) -> Flow[list[Pairs]]:
    """Return keys of which most values are in both columns, the likeliest first: names give no hint here."""
    keys = {name: type_ for name, type_ in left.items() if typed_as(type_) in ("text", "whole number", "uuid")}
    pairs = _fitting(keys, right)[:_TRIED]

    sql = partial(_counting, right=relation.name, pairs=pairs)
    row = (yield from _compared(draft, step, relation, sql)) if pairs else None
    if not row or len(row) != 2 * len(pairs):
        return []
    counts = zip(pairs, row[::2], row[1::2], strict=True)
    likely = {pair: both for pair, keys, both in counts if both > keys * _MOST}
    # Small sets of values, as hours, match by chance; large ones come first.
    most = sorted(likely, key=lambda pair: -likely[pair])
    return [(Match(*pair),) for pair in most[:MEASURED]]


def _counting(left: str, right: str, pairs: Sequence[tuple[str, str]]) -> str:
    """Return a SELECT that counts, for each pair of columns, the values of the first, and those in both."""
    counts = []
    for n, (name, other) in enumerate((quote(one), quote(two)) for one, two in pairs):
        left_values = f"SELECT DISTINCT {name} AS k FROM {left} WHERE {name} IS NOT NULL"
        right_values = f"SELECT {other} FROM {quote(right)}"
        counts.append(f"(SELECT count(*) FROM ({left_values})) AS all{n}")
        counts.append(f"(SELECT count(*) FROM ({left_values}) WHERE k IN ({right_values})) AS both{n}")
    return f"SELECT {', '.join(counts)}"


def _plain(name: str) -> str:
    """Return a name without case and punctuation: `ShipID`, `ship_id`."""
    return "".join(each for each in name.casefold() if each.isalnum())


def _declared(draft: Draft, relation: Relation, left: Fields) -> list[Pairs]:
    """Return the keys of declared foreign keys, in either direction."""
    keys: list[Pairs] = []
    for source in draft.request.sources:
        here = draft.relation(source.relation)
        if here.connection == relation.connection:
            keys += [tuple(map(Match, k.columns, k.to)) for k in here.foreign_keys if k.table == relation.table]
            keys += [tuple(map(Match, k.to, k.columns)) for k in relation.foreign_keys if k.table == here.table]
    return [pairs for pairs in keys if all(pair.left in left for pair in pairs)]


def _fitting(left: Fields, right: Fields) -> list[tuple[str, str]]:
    """Return the pairs of columns with comparable values."""
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
    """Return the row of a SELECT over the left side and the joined relation; None if unavailable."""
    taken = [*(each.name for each in draft.request.steps), *(each.name for each in draft.choices.relations)]
    left_step = Step(unused("left_side", [*taken, relation.name]), input=step.input, joins=step.joins)
    left_step = replace(left_step, compute=step.compute, filters=step.filters)
    inputs = (left_step.name, relation.name)
    figures = Step(unused("figures", [*taken, left_step.name, relation.name]), sql=sql(left_step.name), inputs=inputs)
    comparison = replace(
        draft.request, steps=(*(s for s in draft.request.steps if s.name != step.name), left_step, figures)
    )
    sources = {each.relation: each for each in (*comparison.sources, *draft.reading(relation.id))}
    return (yield Compare(replace(comparison, sources=tuple(sources.values())), relation.id))


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


def _ask_key(draft: Draft, left: Fields, right: Fields) -> Flow[Pairs]:
    """Ask for two columns that are equal."""
    left_column = (yield Ask("left", "Which column so far?", columns_of(draft, left))).keys[0]
    fitting = {name: type_ for name, type_ in right.items() if _fit(left[left_column], type_)}
    options = tuple(Option(name, name, type_ or "") for name, type_ in fitting.items())
    right_column = (yield Ask("right", f"{left_column} equals which column of it?", options)).keys[0]
    return (Match(left_column, right_column),)


_SHOWN = 200


def option_of(relation: str, source: str, table: str, note: str = "") -> Option:
    """Return the option for a relation; its key has what discovery needs."""
    return Option(json.dumps([relation, source, table]), relation, note)


def choose_relation(draft: Draft, question: Ask) -> Flow[Relation | None]:
    """Ask for a relation and discover it; None, with a message, if it cannot be read."""
    answer = yield question
    relation, source, table = json.loads(answer.keys[0])
    if relation not in draft.tables:
        discovered = yield Look(relation, source, table)
        if "table" not in discovered:
            yield Show(f"{relation} cannot be read: {discovered['reason']}", rejects=True)
            return None
        draft.tables = {**draft.tables, relation: (source, discovered["table"])}
    loaded = next((each for each in draft.choices.relations if each.id == relation), None)
    if loaded is None or not loaded.columns:
        draft.tables = {name: entry for name, entry in draft.tables.items() if name != relation}
        yield Show(f"{relation} has no columns that can be read.", rejects=True)
        return None
    yield Show(_columns(loaded, draft.tables[relation][1]))
    return loaded


def _columns(relation: Relation, table: Mapping[str, JsonValue]) -> str:
    """Return the columns of a relation, in a line or two."""
    columns = relation.columns or ()
    hidden = len(table["columns"]) - len(table["closed"]) - len(columns)
    names = one_line(", ".join(f"{each.name} {each.type or ''}".rstrip() for each in columns), _SHOWN)
    more = f"\n  not offered, as their names cannot be shown: {hidden:,}" if hidden > 0 else ""
    return f"  columns ({len(columns):,}): {names}{more}"


def first(draft: Draft, question: Ask) -> Flow[None]:
    """Ask for the first source, until it can be read."""
    relation = None
    while relation is None:
        relation = yield from choose_relation(draft, question)
    draft.read(relation.id)
