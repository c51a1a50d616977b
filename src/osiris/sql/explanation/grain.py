"""Keys of a query: columns of which no two of its rows have the same values. Only proven keys are returned.

Keys come from primary keys of relations, GROUP BY, DISTINCT, set operations and row numbers; they survive a join that
gives each row at most one match. If a key column is not output, or ambiguous, there is no key.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING

from sqlglot import exp

from osiris.sql.explanation.sources import (
    Item,
    Key,
    Rows,
    SelectScope,
    conjuncts,
    fixes_value,
    reference,
    same_type,
    smallest,
)
from osiris.sql.nondeterminism.row_order import aggregates, multiplies
from osiris.sql.safety.dialects import load_allowed
from osiris.sql.safety.tree import called, calls_any
from osiris.sql.scope import TableNames, from_items, join_words, reads_itself

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from osiris.sql.safety.dialects import Dialect
    from osiris.sql.scope import JoinWords, Source

Keys = frozenset[Key]
Pairs = list[tuple[exp.Expr, exp.Expr]]
"""Pairs of equal values."""

NO_KEYS: Keys = frozenset()
ONE_ROW: Keys = frozenset({frozenset()})
_SUBTOTALS = (exp.Rollup, exp.Cube, exp.GroupingSets)


@dataclass(slots=True)
class JoinFacts:
    """How an item of FROM is joined to those before it.

    `pairs` are equal columns of USING; `narrow`: a row of those before has at most one match.
    """

    node: exp.Join
    item: Item
    before: tuple[Item, ...]
    pairs: Pairs
    words: JoinWords
    narrow: bool = False


@dataclass(slots=True)
class Facts:
    """What is known of the input rows of a SELECT: values that are equal in each row, and values that are constant."""

    scope: SelectScope
    joins: list[JoinFacts] = field(default_factory=list)
    keys: Keys = NO_KEYS
    equal: dict[str, str] = field(default_factory=dict)
    fixed: set[str] = field(default_factory=set)
    nullable: set[str] = field(default_factory=set)

    def root(self, text: str) -> str:
        """Return the representative of all values equal to one."""
        while text in self.equal:
            text = self.equal[text]
        return text

    def unite(self, one: str, other: str) -> None:
        """Record that two values are equal in each row."""
        first, second = self.root(one), self.root(other)
        if first != second:
            self.equal[second] = first

    def key(self, texts: Iterable[str]) -> Key:
        """Return a key of values, without constant ones."""
        fixed = {self.root(text) for text in self.fixed}
        return frozenset(self.root(text) for text in texts) - fixed


@dataclass(slots=True)
class Grains:
    """Computes the keys of the queries of one tree, each once. `relations` are by folded name."""

    relations: Mapping[str, Rows]
    dialect: Dialect
    names: TableNames | None = None
    known: dict[int, Rows] = field(default_factory=dict)
    facts: dict[int, Facts] = field(default_factory=dict)

    def of(self, query: exp.Expr) -> Rows:
        """Return the facts about the rows of a query."""
        if id(query) not in self.known:
            self.known[id(query)] = Rows()  # a recursive CTE comes back to itself
            rows = Rows()
            if isinstance(query, exp.Subquery) and not query.args.get("joins"):
                rows = self.of(query.this)
            elif isinstance(query, exp.SetOperation):
                rows = _of_set_operation(query, self.of(query.left), self.of(query.right))
            elif isinstance(query, exp.Select):
                rows = self._of_select(query)
            self.known[id(query)] = replace(rows, keys=ONE_ROW if _at_most_one(query) else smallest(rows.keys))
        return self.known[id(query)]

    def of_source(self, node: exp.Expr) -> Rows:
        """Return the facts about the rows of an item of FROM."""
        if self.names is None:
            self.names = TableNames(node.root(), self.dialect)
        source = self.names.source(node)
        return Rows() if source.is_joined else self._inside(source).renamed([*source.columns])

    def _inside(self, source: Source) -> Rows:
        table, query = source.relation, source.query
        if isinstance(source.node, exp.Lateral) and query is not None:
            return self.of_source(query)
        if source.cte is not None:
            return Rows() if source.is_recursive and reads_itself(source.cte) else self.of(source.cte.this)
        if table is not None:
            return Rows() if table.args.get("db") else self.relations.get(table.name.lower(), Rows())
        return self.of(query.this) if isinstance(query, exp.Subquery) else Rows()

    def facts_of(self, select: exp.Select) -> Facts:
        """Return the facts about the input rows of a SELECT."""
        if id(select) not in self.facts:
            self.facts[id(select)] = self._facts(select)
        return self.facts[id(select)]

    def _facts(self, select: exp.Select) -> Facts:
        scope = SelectScope(select, load_allowed(self.dialect), self.dialect.load_grammar())
        facts = Facts(scope)
        items = from_items(select)
        labels = _labels(items)
        scope.items += [self._item(item, labels) for item in items[:1]]
        facts.keys = _of_item(scope.items[0]) if items else ONE_ROW
        equal = list(_equalities(select.args.get("where")))
        for join in select.args.get("joins") or ():
            _join(facts, join, self._item(join.this, labels), equal)
        for key in ("where", "having", "qualify"):
            for left, right in _equalities(select.args.get(key)):
                _note_equal(facts, left, right)
        unknown = any(each.args.get("laterals") for each in (select, *items[:1]))
        facts.keys = NO_KEYS if unknown else frozenset(facts.key(key) for key in facts.keys)
        return facts

    def _item(self, source: exp.Expr, labels: dict[int, str]) -> Item:
        return Item(source.alias_or_name.lower(), labels[id(source)], self.of_source(source))

    def _of_select(self, select: exp.Select) -> Rows:
        facts = self.facts_of(select)
        keys = _grouped(select, facts)
        keys = NO_KEYS if multiplies(select) else keys | _numbered(select, facts)
        distinct = select.args.get("distinct")
        on = distinct.args.get("on") if distinct else None
        if on is not None:
            keys |= _key_of(facts, on.expressions if isinstance(on, exp.Tuple) else [on])
        outputs = list(_outputs(select, facts.scope))
        rows = _projected(outputs, keys, facts)
        if distinct and on is None and rows.columns is not None and None not in rows.columns:
            rows = replace(rows, keys=rows.keys | _all_columns(rows))
        return rows


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """One output column of a SELECT: its value as `SelectScope.spelled` returns it, and what else is known of it."""

    name: str | None
    text: str | None
    type: str | None = None
    origin: tuple[str, str] | None = None
    constant: str | None = None


def _labels(sources: list[exp.Expr]) -> dict[int, str]:
    """Return the display name of each source: that of its relation, or its alias if that is not unique."""
    names = [each.name if isinstance(each, exp.Table) else "" for each in sources]
    folded = [name.lower() for name in names]
    labels: dict[int, str] = {}
    for source, name in zip(sources, names, strict=True):
        alone = name and folded.count(name.lower()) == 1
        labels[id(source)] = name if alone else source.alias_or_name or "a subquery"
    return labels


def _of_item(item: Item) -> Keys:
    return frozenset(frozenset(reference(item, name) for name in key) for key in item.rows.keys)


def _all_columns(rows: Rows) -> Keys:
    names = [name.lower() for name in rows.named]
    return frozenset({frozenset(names)}) if len(set(names)) == len(names) else NO_KEYS


def _at_most_one(query: exp.Expr) -> bool:
    limit = query.args.get("limit")
    if limit is None or isinstance(limit, exp.Fetch) or limit.args.get("limit_options") or limit.expressions:
        return False
    return isinstance(limit.expression, exp.Literal) and limit.expression.name in ("0", "1")


def _join(facts: Facts, join: exp.Join, item: Item, equal: Pairs) -> None:
    """Add a joined item: its rows, and the equalities of its conditions."""
    before, words = tuple(facts.scope.items), join_words(join)
    joined = JoinFacts(join, item, before, _pairs(join, item, before), words, narrow=words.only_filters)
    facts.joins.append(joined)
    if words.only_filters:
        return
    facts.scope.items.append(item)
    _merge(facts.scope, joined)
    facts.keys = _joined_keys(facts, joined, equal)
    side = joined.words.side
    if side in ("LEFT", "FULL"):
        facts.nullable.add(joined.item.alias)
    if side in ("RIGHT", "FULL"):
        facts.nullable.update(each.alias for each in joined.before)
        facts.fixed.clear()
    if not words.side and words.method != "ASOF":
        for left, right in joined.pairs:
            _equate(facts, left, right)
        for left, right in _equalities(join.args.get("on")):
            _note_equal(facts, left, right)


def _equalities(condition: exp.Expr | None) -> Iterator[tuple[exp.Expr, exp.Expr]]:
    """Yield the pairs of values that a condition equates."""
    for each in conjuncts(condition):
        if isinstance(each, (exp.EQ, exp.NullSafeEQ)):
            yield each.this, each.expression


def _joined_keys(facts: Facts, joined: JoinFacts, equal: Pairs) -> Keys:
    """Return the combined keys of both sides, and those of one side where the other has at most one match."""
    scope, (_, side, method) = facts.scope, joined.words
    matched = [*joined.pairs, *_equalities(joined.node.args.get("on")), *equal]
    left, right = facts.keys, _of_item(joined.item)
    fixed, fixed_before = _determined(scope, [joined.item], matched), _determined(scope, joined.before, matched)
    joined.narrow = method == "ASOF" or any(key <= fixed for key in right)
    if side == "FULL" or method == "POSITIONAL":
        return NO_KEYS
    keys = {*left} if joined.narrow and side != "RIGHT" else set()
    for one, other in product(left, right):
        keys.add(one | other)
        # a key of one side, without columns determined by the other
        if side != "RIGHT":
            keys.add(one | (other - fixed))
        if side != "LEFT":
            keys.add((one - fixed_before) | other)
    return smallest(frozenset(keys))


def _pairs(join: exp.Join, item: Item, before: tuple[Item, ...]) -> Pairs:
    """Return the pairs of columns of USING, or of a NATURAL join; none if ambiguous."""
    pairs: Pairs = []
    for name in _shared_names(join, item, before):
        left = [each for each in before if each.rows.may_have(name.lower())]
        if len(left) == 1:
            pairs.append((exp.column(name, table=left[0].alias), exp.column(name, table=item.alias)))
    return pairs


def _shared_names(join: exp.Join, item: Item, before: tuple[Item, ...]) -> list[str]:
    if join_words(join).method != "NATURAL":
        return [each.name for each in join.args.get("using") or ()]
    if any(each.rows.columns is None for each in (item, *before)):
        return []
    return [name for name in item.rows.named if any(each.rows.has(name.lower()) for each in before)]


def _merge(scope: SelectScope, joined: JoinFacts) -> None:
    """Record which column a bare name of USING or a NATURAL join refers to."""
    for one, _ in joined.pairs:
        name = one.name.lower()
        first = next(each for each in joined.before if each.alias == one.args["table"].name)
        left = scope.merged.get(name, first)
        scope.merged[name] = {"RIGHT": joined.item, "FULL": None}.get(joined.words.side, left)
    for each in joined.node.args.get("using") or ():
        scope.merged.setdefault(each.name.lower(), None)


def _determined(scope: SelectScope, side: Iterable[Item], equal: Iterable[tuple[exp.Expr, exp.Expr]]) -> set[str]:
    """Return the columns of one join side that have one value in all rows that match a row of the other side."""
    aliases, fixed = {item.alias for item in side}, set()
    for one, other in (pair for left, right in equal for pair in ((left, right), (right, left))):
        item = scope.item_of(one) if isinstance(one, exp.Column) else None
        if item is not None and item.alias in aliases and _determines(scope, one, other, aliases):
            fixed.add(reference(item, one.name))
    return fixed


def _determines(scope: SelectScope, one: exp.Expr, other: exp.Expr, aliases: set[str]) -> bool:
    """Tell whether one value is equated with a value of the other join side alone."""
    reads = scope.aliases(other)
    if reads is None or reads & aliases:
        return False
    return same_type(scope.type_of(one), scope.type_of(other)) or _is_determined(scope, one, other)


def _note_equal(facts: Facts, one: exp.Expr, other: exp.Expr) -> None:
    """Record two values that are equal in all rows; one may be constant."""
    for value, constant in ((one, other), (other, one)):
        text = facts.scope.spelled(value)
        if text is not None and _is_determined(facts.scope, value, constant):
            facts.fixed.add(text)
    _equate(facts, one, other)


def _is_determined(scope: SelectScope, value: exp.Expr, constant: exp.Expr) -> bool:
    """Tell whether equality with a constant fixes a value."""
    return scope.is_constant(constant) and fixes_value(scope.type_of(value), constant, scope.type_of(constant))


def _equate(facts: Facts, one: exp.Expr, other: exp.Expr) -> None:
    scope = facts.scope
    texts = scope.spelled(one), scope.spelled(other)
    both = isinstance(one, exp.Column) and isinstance(other, exp.Column)
    if both and texts[0] and texts[1] and same_type(scope.type_of(one), scope.type_of(other)):
        facts.unite(texts[0], texts[1])


def _grouped(select: exp.Select, facts: Facts) -> Keys:
    """Return the keys of a SELECT after grouping, if any."""
    group, scope = select.args.get("group"), facts.scope
    if group is None:
        gathers = aggregates(select, scope.allowed.aggregates)
        having = select.args.get("having")
        return ONE_ROW if gathers or having else facts.keys
    if any(group.find(kind) for kind in _SUBTOTALS) or group.args.get("totals"):
        return NO_KEYS
    return _key_of(facts, group_values(select, scope))


def group_values(select: exp.Select, scope: SelectScope) -> list[exp.Expr]:
    """Return the grouping values of a SELECT; positions and aliases are resolved."""
    group = select.args.get("group")
    if group is None:
        return []
    if group.args.get("all"):
        keys = (each for each in select.expressions if not calls_any(each, scope.allowed.aggregates, exp.Select))
        return [each.unalias() for each in keys]
    return [output for value in group.expressions for output in _group_outputs(value, select, scope)]


def _group_outputs(value: exp.Expr, select: exp.Select, scope: SelectScope) -> list[exp.Expr]:
    """Return the value of a GROUP BY key: none for a position without output."""
    if isinstance(value, exp.Literal) and value.is_int and not value.is_string:
        return [each.unalias() for each in select.expressions[int(value.name) - 1 : int(value.name)]]
    output = scope.meaning(value) if isinstance(value, exp.Column) else None
    return [value if output is None else output]


def _key_of(facts: Facts, values: Iterable[exp.Expr]) -> Keys:
    """Return the key that values form; columns that a source's own key determines are removed."""
    texts = [facts.scope.spelled(value) for value in values if not facts.scope.is_constant(value)]
    if None in texts:
        return NO_KEYS
    key = facts.key(text for text in texts if text is not None)
    for item in facts.scope.items:
        if item.rows.declared or item.alias not in facts.nullable:
            key = _reduced(key, item, facts)
    return frozenset({key})


def _reduced(key: Key, item: Item, facts: Facts) -> Key:
    """Return a key without the columns of an item that the item's own key, if part of it, determines."""
    for item_key in map(facts.key, _of_item(item)):
        if item_key <= key:
            key -= facts.key(reference(item, name) for name in item.rows.named) - item_key
    return key


def _numbered(select: exp.Select, facts: Facts) -> Keys:
    """Return the keys of row numbers: their partition and the number."""
    parts = [*select.expressions, *filter(None, [select.args.get("qualify")])]
    keys = NO_KEYS
    for window in (each for part in parts for each in part.find_all(exp.Window)):
        is_own = window.find_ancestor(exp.Select) is select and not window.args.get("alias")
        if is_own and called(window.this) == "row_number":
            keys |= _key_of(facts, [*(window.args.get("partition_by") or ()), window])
    return keys


def _outputs(select: exp.Select, scope: SelectScope) -> Iterator[OutputColumn]:
    for each in select.expressions:
        value = each.unalias()
        star = value.this if isinstance(value, exp.Column) else value
        if isinstance(star, exp.Star):
            table = value.args["table"].name.lower() if isinstance(value, exp.Column) else None
            yield from _of_star(star, table, scope)
        elif any(called(node) == "columns" for node in value.walk()):
            yield OutputColumn("*", None)
        else:
            name = each.alias or (value.name if isinstance(value, exp.Column) else None)
            yield _output(name, value, scope)


def _output(name: str | None, value: exp.Expr, scope: SelectScope) -> OutputColumn:
    item = scope.item_of(value) if isinstance(value, exp.Column) else None
    origin = item.rows.origins.get(value.name.lower()) if item else None
    constant = value.name if isinstance(value, exp.Literal) and value.is_string else None
    return OutputColumn(name, scope.spelled(value), scope.type_of(value), origin, constant)


def _of_star(star: exp.Star, table: str | None, scope: SelectScope) -> Iterator[OutputColumn]:
    """Yield the columns of a `*`; `OutputColumn("*", None)` if unknown."""
    items = [item for item in scope.items if table in (None, item.alias)]
    if not items or any(item.rows.columns is None for item in items):
        yield OutputColumn("*", None)
        return
    values, names = _changes(star)
    left_out = {each.name.lower() for each in star.args.get("except_") or ()}
    for name, value in _listed(items, set() if table else {*scope.merged}, left_out):
        folded = value.name.lower()
        yield _output(names.get(folded, name), values.get(folded, value), scope)


def _changes(star: exp.Star) -> tuple[dict[str, exp.Expr], dict[str, str]]:
    """Return the values and names that a star changes, by folded name."""
    values = {each.alias.lower(): each.unalias() for each in star.args.get("replace") or ()}
    return values, {each.this.name.lower(): each.alias for each in star.args.get("rename") or ()}


def _listed(items: list[Item], merged: set[str], left_out: set[str]) -> Iterator[tuple[str | None, exp.Expr]]:
    """Yield the columns of items by name; merged ones once, unqualified."""
    hidden = left_out
    for item in items:
        for name in item.rows.columns or ():
            folded = (name or "").lower()
            if folded not in hidden:
                hidden = hidden | ({folded} & merged)
                yield name, exp.column(name or "", table=None if folded in merged else item.alias)


def _projected(outputs: list[OutputColumn], keys: Keys, facts: Facts) -> Rows:
    """Return the output rows: a key is kept if all of its values are output."""
    columns, outputs_by_name = tuple(output.name for output in outputs), _unique(outputs)
    if "*" in columns:
        return Rows()
    return Rows(
        columns,
        _projected_keys(outputs_by_name, keys, facts),
        {name: each.type for name, each in outputs_by_name.items() if each.type},
        {name: each.origin for name, each in outputs_by_name.items() if each.origin},
        {name: frozenset({each.constant}) for name, each in outputs_by_name.items() if each.constant is not None},
    )


def _projected_keys(outputs: Mapping[str, OutputColumn], keys: Keys, facts: Facts) -> Keys:
    names = {facts.root(each.text): name for name, each in reversed([*outputs.items()]) if each.text is not None}
    folded = map(facts.key, keys)
    return frozenset(frozenset(names[text] for text in key) for key in folded if key <= names.keys())


def _unique(outputs: list[OutputColumn]) -> dict[str, OutputColumn]:
    """Return the outputs with unique names, by folded name."""
    times = Counter((output.name or "").lower() for output in outputs)
    return {output.name.lower(): output for output in outputs if output.name and times[output.name.lower()] == 1}


def _of_set_operation(query: exp.SetOperation, left: Rows, right: Rows) -> Rows:
    """Return the rows of a set operation: DISTINCT makes them unique, and only UNION adds any."""
    if query.args.get("by_name") or left.columns is None or right.columns is None:
        return Rows()
    if None in left.columns or len(left.columns) != len(right.columns):
        return Rows(left.columns)
    rows = _of_both(left, right.renamed([str(name) for name in left.columns]), isinstance(query, exp.Union))
    return rows if query.args.get("distinct") is False else replace(rows, keys=rows.keys | _all_columns(rows))


def _of_both(left: Rows, right: Rows, is_union: bool) -> Rows:
    """Return the facts about rows that come from both sides, or (not `is_union`) from a part of the left."""
    types = {name: kind for name, kind in left.types.items() if right.types.get(name) == kind}
    comparable = {name for name, kind in left.types.items() if same_type(kind, right.types.get(name))}
    if not is_union:
        keys = frozenset(key for key in left.keys if key <= comparable)
        return Rows(left.columns, keys, types, left.origins, left.constants)
    both = left.constants.keys() & right.constants.keys()
    constants = {name: left.constants[name] | right.constants[name] for name in both}
    return Rows(left.columns, _apart(left, right, comparable), types, {}, constants)


def _apart(left: Rows, right: Rows, comparable: set[str]) -> Keys:
    """Return the keys of two sides that a column with different constants distinguishes."""
    both = left.constants.keys() & right.constants.keys()
    marks = [name for name in both if not left.constants[name] & right.constants[name]]
    pairs = product(left.keys, right.keys, marks)
    return frozenset(one | other | {mark} for one, other, mark in pairs if one | other <= {*comparable, mark})
