"""Which columns name a row of a query: those of which no two of its rows have the same values. Nothing is guessed.

Keys come from primary keys of relations, GROUP BY, DISTINCT, set operations and row numbers; they survive a join that
gives each row at most one match. Where a key does not come out, or cannot be told, there is none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING

from sqlglot import exp

from osiris.sql.nondeterminism.row_order import Names, aggregates
from osiris.sql.nondeterminism.sources import (
    Item,
    Key,
    Rows,
    Scope,
    conjuncts,
    is_told_by,
    reference,
    same_type,
    smallest,
)
from osiris.sql.nondeterminism.tie_analysis import multiplies
from osiris.sql.safety.dialects import load_allowed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from osiris.sql.safety.dialects import Dialect

Keys = frozenset[Key]

NO_KEYS: Keys = frozenset()
ONE_ROW: Keys = frozenset({frozenset()})
_MORE = ("joins", "laterals", "pivots")
"""What makes more of one thing in FROM."""
_SUBTOTALS = (exp.Rollup, exp.Cube, exp.GroupingSets)


@dataclass(slots=True)
class Joined:
    """How one thing in FROM is joined to those before it.

    `pairs` are equal columns that USING names; `narrow`: a row of those before has at most one match.
    """

    node: exp.Join
    item: Item
    before: tuple[Item, ...]
    pairs: list[tuple[exp.Expr, exp.Expr]]
    narrow: bool = False


@dataclass(slots=True)
class Facts:
    """What is known of the rows that a SELECT takes in: values that are equal in each row, and those equal in all."""

    scope: Scope
    joins: list[Joined] = field(default_factory=list)
    keys: Keys = NO_KEYS
    equal: dict[str, str] = field(default_factory=dict)
    fixed: set[str] = field(default_factory=set)
    nullable: set[str] = field(default_factory=set)

    def standing(self, text: str) -> str:
        """Return the value that stands for all that are equal to it."""
        while text in self.equal:
            text = self.equal[text]
        return text

    def same(self, one: str, other: str) -> None:
        """Note that two values are equal in each row."""
        first, second = self.standing(one), self.standing(other)
        if first != second:
            self.equal[second] = first

    def key(self, texts: Iterable[str]) -> Key:
        """Return a key of values: without those that are the same in all rows."""
        fixed = {self.standing(text) for text in self.fixed}
        return frozenset(self.standing(text) for text in texts) - fixed


@dataclass(slots=True)
class Grains:
    """Finds the keys of the queries of one tree, each once. `relations` are known by their folded names."""

    relations: Mapping[str, Rows]
    dialect: Dialect
    names: Names = field(default_factory=Names)
    known: dict[int, Rows] = field(default_factory=dict)
    facts: dict[int, Facts] = field(default_factory=dict)

    def of(self, query: exp.Expr) -> Rows:
        """Return what is known of the rows of a query."""
        if id(query) not in self.known:
            self.known[id(query)] = Rows()  # a recursive CTE comes back to itself
            found = self._of_query(query)
            if _at_most_one(query):
                found = _with_keys(found, ONE_ROW)
            self.known[id(query)] = _with_keys(found, smallest(found.keys))
        return self.known[id(query)]

    def _of_query(self, query: exp.Expr) -> Rows:
        if isinstance(query, exp.Subquery):
            return Rows() if query.args.get("joins") else self.of(query.this)
        if isinstance(query, exp.SetOperation):
            return _of_set_operation(query, self.of(query.left), self.of(query.right))
        return self._of_select(query) if isinstance(query, exp.Select) else Rows()

    def of_source(self, source: exp.Expr) -> Rows:
        """Return what is known of the rows of one thing that stands in FROM."""
        alias = source.args.get("alias")
        found = Rows() if any(source.args.get(key) for key in _MORE) else self._inside(source)
        renamed = [column.name for column in alias.columns] if alias else []
        return found.renamed(renamed)

    def _inside(self, source: exp.Expr) -> Rows:
        if isinstance(source, exp.Lateral):
            return self.of_source(source.this)
        if isinstance(source, exp.Subquery):
            return self.of(source.this)
        if not isinstance(source, exp.Table) or not isinstance(source.this, exp.Identifier) or source.args.get("db"):
            return Rows()
        cte = self.names.cte(source)
        if cte is None:
            return self.relations.get(source.name.lower(), Rows())
        if isinstance(cte.parent, exp.With) and cte.parent.args.get("recursive") and _names_itself(cte):
            return Rows()
        return self.of(cte.this).renamed([each.name for each in cte.args["alias"].columns])

    def facts_of(self, select: exp.Select) -> Facts:
        """Return what is known of the rows that a SELECT takes in."""
        if id(select) not in self.facts:
            self.facts[id(select)] = self._facts(select)
        return self.facts[id(select)]

    def _facts(self, select: exp.Select) -> Facts:
        scope = Scope(select, load_allowed(self.dialect), self.dialect.load_grammar())
        facts = Facts(scope)
        first = select.args.get("from_")
        joins = select.args.get("joins") or []
        labels = _labels([first.this, *(join.this for join in joins)] if first else [])
        if first is None:
            facts.keys = ONE_ROW
        else:
            scope.items.append(self._item(first.this, labels))
            facts.keys = _of_item(scope.items[0])
        conditions = list(conjuncts(select.args.get("where")))
        for join in joins:
            _join(facts, join, self._item(join.this, labels), conditions)
        for condition in (*conditions, *conjuncts(select.args.get("having")), *conjuncts(select.args.get("qualify"))):
            _note(facts, condition)
        unknown = bool(select.args.get("laterals") or (first and first.this.args.get("laterals")))
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
            rows = _with_keys(rows, rows.keys | _all_columns(rows))
        return rows


@dataclass(frozen=True, slots=True)
class Output:
    """One column that comes out of a SELECT: its value as `Scope.spelled` gives it, and what else is known of it."""

    name: str | None
    text: str | None
    type: str | None = None
    origin: tuple[str, str] | None = None
    constant: str | None = None


def _labels(sources: list[exp.Expr]) -> dict[int, str]:
    """Return by which name people know each source: that of its relation, or its alias where that is there twice."""
    names = [each.name if isinstance(each, exp.Table) else "" for each in sources]
    folded = [name.lower() for name in names]
    shown: dict[int, str] = {}
    for source, name in zip(sources, names, strict=True):
        alone = name and folded.count(name.lower()) == 1
        shown[id(source)] = name if alone else source.alias_or_name or "a subquery"
    return shown


def _of_item(item: Item) -> Keys:
    return frozenset(frozenset(reference(item, name) for name in key) for key in item.rows.keys)


def _with_keys(rows: Rows, keys: Keys) -> Rows:
    return Rows(rows.columns, keys, rows.types, rows.origins, rows.constants, rows.declared)


def _all_columns(rows: Rows) -> Keys:
    names = [each.lower() for each in rows.columns or () if each]
    return frozenset({frozenset(names)}) if len(set(names)) == len(names) else NO_KEYS


def _at_most_one(query: exp.Expr) -> bool:
    limit = query.args.get("limit")
    if limit is None or isinstance(limit, exp.Fetch) or limit.args.get("limit_options") or limit.expressions:
        return False
    return isinstance(limit.expression, exp.Literal) and limit.expression.name in ("0", "1")


def _names_itself(cte: exp.Expr) -> bool:
    return any(table.name.lower() == cte.alias.lower() for table in cte.this.find_all(exp.Table))


def _join(facts: Facts, join: exp.Join, item: Item, conditions: list[exp.Expr]) -> None:
    """Add what is joined: the keys of both sides together, and those of one where the other has one match at most."""
    scope, before = facts.scope, tuple(facts.scope.items)
    kind, side, method = (str(join.args.get(key) or "").upper() for key in ("kind", "side", "method"))
    if kind in ("SEMI", "ANTI"):
        facts.joins.append(Joined(join, item, before, _pairs(join, item, before), narrow=True))
        return
    scope.items.append(item)
    pairs = _pairs(join, item, before)
    shown = Joined(join, item, before, pairs)
    facts.joins.append(shown)
    _merge(scope, join, item, before, side)
    tests = [*conjuncts(join.args.get("on")), *conditions]
    matched = [*pairs, *((each.this, each.expression) for each in tests if isinstance(each, (exp.EQ, exp.NullSafeEQ)))]
    left, right = facts.keys, _of_item(item)
    told, told_before = _told(scope, [item], matched), _told(scope, before, matched)
    shown.narrow = method == "ASOF" or any(key <= told for key in right)
    keys = left if shown.narrow and side in ("", "LEFT") else NO_KEYS
    keys |= frozenset(one | other for one, other in product(left, right))
    if side in ("", "LEFT"):
        keys |= frozenset(one | (other - told) for one, other in product(left, right))
    if side in ("", "RIGHT"):
        keys |= frozenset((one - told_before) | other for one, other in product(left, right))
    facts.keys = NO_KEYS if side == "FULL" or method == "POSITIONAL" else smallest(keys)
    facts.nullable |= {item.alias} if side in ("LEFT", "FULL") else set()
    facts.nullable |= {each.alias for each in before} if side in ("RIGHT", "FULL") else set()
    if side in ("RIGHT", "FULL"):
        facts.fixed.clear()
    if not side and method != "ASOF":
        for one, other in pairs:
            _equate(facts, one, other)
        for condition in conjuncts(join.args.get("on")):
            _note(facts, condition)


def _pairs(join: exp.Join, item: Item, before: tuple[Item, ...]) -> list[tuple[exp.Expr, exp.Expr]]:
    """Return the pairs of columns that USING names, or a NATURAL join has; none where they cannot be told."""
    names = [each.name for each in join.args.get("using") or ()]
    if str(join.args.get("method") or "").upper() == "NATURAL":
        if item.rows.columns is None or any(each.rows.columns is None for each in before):
            return []
        names = [name for name in item.rows.columns if name and any(each.rows.has(name.lower()) for each in before)]
    pairs: list[tuple[exp.Expr, exp.Expr]] = []
    for name in names:
        left = [each for each in before if each.rows.columns is None or each.rows.has(name.lower())]
        if len(left) == 1:
            pairs.append((exp.column(name, table=left[0].alias), exp.column(name, table=item.alias)))
    return pairs


def _merge(scope: Scope, join: exp.Join, item: Item, before: tuple[Item, ...], side: str) -> None:
    """Note which column a bare name of USING or of a NATURAL join is."""
    for one, _ in _pairs(join, item, before):
        name = one.name.lower()
        left = (
            scope.merged[name] if name in scope.merged else next(e for e in before if e.alias == one.args["table"].name)
        )
        scope.merged[name] = {"RIGHT": item, "FULL": None}.get(side, left)
    for each in join.args.get("using") or ():
        scope.merged.setdefault(each.name.lower(), None)


def _told(scope: Scope, side: Iterable[Item], equal: Iterable[tuple[exp.Expr, exp.Expr]]) -> set[str]:
    """Return the columns of one side of a join that have one value in all rows that a row of the other matches."""
    own, told = {item.alias for item in side}, set()
    for one, other in (pair for left, right in equal for pair in ((left, right), (right, left))):
        if isinstance(one, exp.Column) and (item := scope.item_of(one)) and item.alias in own:
            reads = scope.aliases(other)
            alike = same_type(scope.type_of(one), scope.type_of(other)) or _is_told(scope, one, other)
            if reads is not None and not reads & own and alike:
                told.add(reference(item, one.name))
    return told


def _note(facts: Facts, condition: exp.Expr) -> None:
    """Note what a condition that holds for all rows says: two values are equal, or one is the same everywhere."""
    if not isinstance(condition, (exp.EQ, exp.NullSafeEQ)):
        return
    one, other = condition.this, condition.expression
    for value, constant in ((one, other), (other, one)):
        text = facts.scope.spelled(value)
        if text is not None and _is_told(facts.scope, value, constant):
            facts.fixed.add(text)
    _equate(facts, one, other)


def _is_told(scope: Scope, value: exp.Expr, constant: exp.Expr) -> bool:
    """Tell whether a value that is equal to another is known: that is a constant, and nothing else is equal to it."""
    return scope.is_constant(constant) and is_told_by(scope.type_of(value), constant, scope.type_of(constant))


def _equate(facts: Facts, one: exp.Expr, other: exp.Expr) -> None:
    scope = facts.scope
    texts = scope.spelled(one), scope.spelled(other)
    both = isinstance(one, exp.Column) and isinstance(other, exp.Column)
    if both and texts[0] and texts[1] and same_type(scope.type_of(one), scope.type_of(other)):
        facts.same(texts[0], texts[1])


def _grouped(select: exp.Select, facts: Facts) -> Keys:
    """Return the keys of the rows of a SELECT once they are grouped, if they are."""
    group, scope = select.args.get("group"), facts.scope
    if group is None:
        gathers = aggregates(select, scope.allowed.aggregates)
        having = select.args.get("having")
        return ONE_ROW if gathers or having else facts.keys
    if any(group.find(kind) for kind in _SUBTOTALS) or group.args.get("totals"):
        return NO_KEYS
    return _key_of(facts, group_values(select, scope))


def group_values(select: exp.Select, scope: Scope) -> list[exp.Expr]:
    """Return the values by which a SELECT groups; positions and names of outputs are those values."""
    group = select.args.get("group")
    if group is None:
        return []
    if group.args.get("all"):
        return [each.unalias() for each in select.expressions if not _gathers(each, scope)]
    found = []
    for value in group.expressions:
        if isinstance(value, exp.Literal) and value.is_int and not value.is_string:
            found += [each.unalias() for each in select.expressions[int(value.name) - 1 : int(value.name)]]
        else:
            meant = scope.meaning(value) if isinstance(value, exp.Column) else None
            found.append(meant if meant is not None else value)
    return found


def _gathers(value: exp.Expr, scope: Scope) -> bool:
    calls = value.walk(prune=lambda inner: isinstance(inner, exp.Select))
    return any(isinstance(call, exp.Anonymous) and call.name.lower() in scope.allowed.aggregates for call in calls)


def _key_of(facts: Facts, values: Iterable[exp.Expr]) -> Keys:
    """Return the key that values make; of a source whose key is among them, only that counts."""
    texts = [facts.scope.spelled(value) for value in values if not facts.scope.is_constant(value)]
    if None in texts:
        return NO_KEYS
    key = facts.key(text for text in texts if text is not None)
    for item in facts.scope.items:
        for own in _of_item(item):
            certain = item.rows.declared or item.alias not in facts.nullable
            if certain and facts.key(own) <= key:
                others = facts.key(reference(item, name) for name in item.rows.columns or () if name)
                key = key - (others - facts.key(own))
    return frozenset({key})


def _numbered(select: exp.Select, facts: Facts) -> Keys:
    """Return the keys that row numbers make: their partition and the number."""
    parts = [*select.expressions, *([select.args["qualify"]] if select.args.get("qualify") else [])]
    found = NO_KEYS
    for window in (each for part in parts for each in part.find_all(exp.Window)):
        call = window.this
        is_number = isinstance(call, exp.Anonymous) and call.name.lower() == "row_number"
        own = window.find_ancestor(exp.Select) is select and not window.args.get("alias")
        if is_number and own:
            found |= _key_of(facts, [*(window.args.get("partition_by") or ()), window])
    return found


def _outputs(select: exp.Select, scope: Scope) -> Iterator[Output]:
    for each in select.expressions:
        value = each.unalias()
        star = value.this if isinstance(value, exp.Column) else value
        if isinstance(star, exp.Star):
            table = value.args["table"].name.lower() if isinstance(value, exp.Column) else None
            yield from _of_star(star, table, scope)
        elif any(isinstance(node, exp.Anonymous) and node.name.lower() == "columns" for node in value.walk()):
            yield Output("*", None)
        else:
            name = each.alias or (value.name if isinstance(value, exp.Column) else None)
            yield _output(name, value, scope)


def _output(name: str | None, value: exp.Expr, scope: Scope) -> Output:
    item = scope.item_of(value) if isinstance(value, exp.Column) else None
    origin = item.rows.origins.get(value.name.lower()) if item else None
    constant = value.name if isinstance(value, exp.Literal) and value.is_string else None
    return Output(name, scope.spelled(value), scope.type_of(value), origin, constant)


def _of_star(star: exp.Star, table: str | None, scope: Scope) -> Iterator[Output]:
    """Yield the columns of a `*`; `Output("*", None)` where they are not known."""
    items = [item for item in scope.items if table in (None, item.alias)]
    if any(item.rows.columns is None for item in items) or not items:
        yield Output("*", None)
        return
    left_out = {column.name.lower() for column in star.args.get("except_") or ()}
    replaced = {each.alias.lower(): each.unalias() for each in star.args.get("replace") or ()}
    renamed = {each.this.name.lower(): each.alias for each in star.args.get("rename") or ()}
    seen: set[str] = set()
    for item in items:
        for name in item.rows.columns or ():
            folded = (name or "").lower()
            if folded in left_out or (table is None and folded in scope.merged and folded in seen):
                continue
            seen.add(folded)
            value: exp.Expr = exp.column(name or "", table=None if folded in scope.merged and not table else item.alias)
            yield _output(renamed.get(folded, name), replaced.get(folded, value), scope)


def _projected(outputs: list[Output], keys: Keys, facts: Facts) -> Rows:
    """Return the rows that come out: a key stays one if all of its values do."""
    if any(output.name == "*" for output in outputs):
        return Rows()
    folded = [(output.name or "").lower() for output in outputs]
    named = {name: output for name, output in zip(folded, outputs, strict=True) if name and folded.count(name) == 1}
    by_text = {facts.standing(each.text): name for name, each in reversed(named.items()) if each.text is not None}
    found = [facts.key(key) for key in keys]
    return Rows(
        tuple(output.name for output in outputs),
        frozenset(frozenset(by_text[text] for text in key) for key in found if key <= by_text.keys()),
        {name: each.type for name, each in named.items() if each.type},
        {name: each.origin for name, each in named.items() if each.origin},
        {name: frozenset({each.constant}) for name, each in named.items() if each.constant is not None},
    )


def _of_set_operation(query: exp.SetOperation, left: Rows, right: Rows) -> Rows:
    """Return the rows of a set operation: those of a distinct one differ, and none are added but by UNION."""
    if query.args.get("by_name") or left.columns is None or right.columns is None:
        return Rows()
    if None in left.columns or len(left.columns) != len(right.columns):
        return Rows(left.columns)
    right = right.renamed([str(name) for name in left.columns])
    types = {name: kind for name, kind in left.types.items() if right.types.get(name) == kind}
    both = left.constants.keys() & right.constants.keys()
    constants = {name: left.constants[name] | right.constants[name] for name in both}
    is_union = isinstance(query, exp.Union)
    alike = {name for name in left.types if same_type(left.types.get(name), right.types.get(name))}
    keys = _apart(left, right, alike) if is_union else frozenset(key for key in left.keys if key <= alike)
    rows = Rows(left.columns, keys, types, {} if is_union else left.origins, constants if is_union else left.constants)
    return rows if query.args.get("distinct") is False else _with_keys(rows, rows.keys | _all_columns(rows))


def _apart(left: Rows, right: Rows, alike: set[str]) -> Keys:
    """Return the keys of two sides that are told apart by a column with other constants in each."""
    both = left.constants.keys() & right.constants.keys()
    marks = [name for name in both if not left.constants[name] & right.constants[name]]
    pairs = product(left.keys, right.keys, marks)
    return frozenset(one | other | {mark} for one, other, mark in pairs if one | other <= {*alike, mark})
