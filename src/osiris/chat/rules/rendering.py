"""From the parts of a statement to its text, if its joins give each row as often as is meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.chat.rules.answers import Ask, Cannot
from osiris.chat.rules.naming import Piece, name, ref_of
from osiris.chat.rules.predicates import together
from osiris.chat.rules.scope import Ref, Scope
from osiris.chat.rules.shape import Shape, is_grouped
from osiris.chat.rules.tokens import stem

if TYPE_CHECKING:
    from osiris.chat.choices import Relation
    from osiris.chat.rules.joins import Joined


@dataclass(frozen=True, slots=True)
class Made:
    """A statement (None for a copy), the tables that it reads, the names of its columns, and whether it groups."""

    sql: str | None
    relations: tuple[Relation, ...]
    columns: tuple[str, ...]
    grouped: bool


def check_rows(scope: Scope, shape: Shape, joined: Joined) -> None:
    """See that joins give no row twice where rows of one table are listed or added up."""
    if is_grouped(shape):
        _check_sums(shape, joined)
        return
    listed = {part.relation.id for each in shape.columns for part in each.piece if isinstance(part, Ref)}
    if joined.base == scope.main[0] or joined.base.id in listed:
        return
    main = scope.main[0]
    keyed = shape.whole or any(each.piece == (ref_of(main, key),) for each in shape.columns for key in main.primary_key)
    if not (keyed and main.primary_key):
        options = ("each once", "one row for each match")
        text = f"One {stem(main.name)} can have several {joined.base.name}. Is it listed each time?"
        if scope.pick_always(f"rows {main.name}", text, options, assumed=options[0]) == options[1]:
            return
    shape.distinct = True


def _check_sums(shape: Shape, joined: Joined) -> None:
    for each in shape.columns:
        inner = {part.relation.id for part in each.piece if isinstance(part, Ref)} if each.aggregate else set()
        single = each.aggregate and (each.aggregate.function in ("min", "max") or each.aggregate.distinct)
        if (
            inner
            and not single
            and joined.base.id not in inner
            and each.aggregate
            and each.aggregate.function != "count"
        ):
            raise Cannot(
                f"a row would be added up once for each of its {joined.base.name}, and the result be wrong; "
                "aggregate each table by itself"
            )


def check_used(scope: Scope, joined: Joined) -> None:
    """Ask what is wanted of a table that was named and is not read."""
    used = {each.id for each in (*joined.relations, *scope.inner)}
    idle = [each for each in scope.main if each.id not in used]
    if idle:
        names = [each.name for each in scope.main]
        raise Ask(
            f"which {' '.join(sorted(names))}",
            f"One pipeline makes one table. What is wanted of {' and '.join(each.name for each in idle)}?",
        )


def rendered(shape: Shape, joined: Joined, scope: Scope) -> Made:
    """Return the statement of a shape, and what it reads."""
    relations = (*joined.relations, *(each for each in scope.inner if each not in joined.relations))
    qualified = len(relations) > 1
    has_groups = is_grouped(shape)

    def text(piece: Piece) -> str:
        return "".join(part if isinstance(part, str) else _column(part, qualified=qualified) for part in piece)

    main = scope.main[0] if scope.main else joined.base
    names = [*(each.name for each in main.columns or ())] if shape.whole else []
    names += [each.name for each in shape.columns]
    plain = shape.whole and not shape.columns and not (shape.where or shape.order or shape.distinct)
    if plain and len(relations) == 1 and shape.limit is None:
        return Made(None, relations, tuple(names), grouped=False)
    star = [f"{main.name}.*" if qualified else "*"] if shape.whole else []
    listed = star + [_as(text(each.piece), each.name) for each in shape.columns]
    lines = [("SELECT DISTINCT " if shape.distinct else "SELECT ") + ",\n  ".join(listed)]
    lines += [f"FROM {joined.base.name}", *joined.clauses]
    if shape.where:
        lines.append("WHERE " + text(together(shape.where)))
    if keys := [text(each.piece) for each in shape.columns if each.is_group]:
        lines.append("GROUP BY " + ", ".join(keys))
    if shape.having:
        lines.append("HAVING " + text(together(shape.having)))
    if shape.order:
        lines.append("ORDER BY " + ", ".join(text(each) for each in shape.order))
    if shape.limit is not None:
        lines.append(f"LIMIT {shape.limit}")
    return Made("\n".join(lines), relations, tuple(names), has_groups)


def _column(ref: Ref, *, qualified: bool) -> str:
    return f"{ref.relation.name}.{name(ref.column.name)}" if qualified else name(ref.column.name)


def _as(text: str, label: str) -> str:
    own = text.rpartition(".")[2] if text.replace(".", "").replace('"', "").replace("_", "").isalnum() else text
    return text if own == name(label) else f"{text} AS {name(label)}"
