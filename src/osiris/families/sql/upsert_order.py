"""Which of several rows with one key an upsert writes that sets rows aside: the last one that the table takes.

The last rows of all keys are tried first. Where one is refused, the one before it has its turn: so no row is set aside
for a rival that is not there itself, and all servers keep the same one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from osiris.families.quarantine import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_TURNS, _DONE = "_osiris_turns", "_osiris_done"
_PAGE = 1000
SUPERSEDED = "a later row has the same key"


class Server(Protocol):
    """A session that runs statements."""

    def rows(self, statement: str, /) -> list[tuple[Any, ...]]:
        """Return the rows of a statement."""
        ...

    def run(self, statement: str, /) -> int:
        """Run a statement that gives no rows."""
        ...


def move_in_turns(
    server: Server,
    staged: tuple[str, str],
    key: Sequence[str],
    move: Callable[[str], None],
    set_aside: Callable[[int, Refused], None],
) -> None:
    """Call `move` with the condition of the rows whose turn it is, until each key has its row or has none left.

    `staged` are the table in which rows wait and its column with their numbers, and `key` its columns that name a row,
    all quoted. What `move` refuses it removes from that table, as `set_aside` does, which is called for each row before
    the one that was taken.
    """
    table, number = staged
    of_key = f"OVER (PARTITION BY {', '.join(key)}"
    server.run(
        f"CREATE TEMPORARY TABLE {_TURNS} AS SELECT {number} AS place, "
        f"ROW_NUMBER() {of_key} ORDER BY {number} DESC) AS turn, MAX({number}) {of_key}) AS newest FROM {table}"
    )
    server.run(f"CREATE TEMPORARY TABLE {_DONE} (newest BIGINT)")  # a table is never dropped: that would commit
    ((most,),) = server.rows(f"SELECT MAX(turn) FROM {_TURNS}")
    for turn in range(1, (most or 0) + 1):
        move(f"{number} IN (SELECT place FROM {_TURNS} WHERE turn = {turn})" if most > 1 else "1 = 1")
        if not server.rows(f"SELECT 1 FROM {_TURNS} WHERE turn > {turn} LIMIT 1"):
            break
        taken = f"turn = {turn} AND place IN (SELECT {number} FROM {table})"
        server.run(f"INSERT INTO {_DONE} SELECT newest FROM {_TURNS} WHERE {taken}")
        _pass_over(server, f"turn > {turn} AND newest IN (SELECT newest FROM {_DONE})", set_aside)


def _pass_over(server: Server, which: str, set_aside: Callable[[int, Refused], None]) -> None:
    """Set aside rows whose key is taken, some at a time."""
    while rows := server.rows(f"SELECT place FROM {_TURNS} WHERE {which} ORDER BY place LIMIT {_PAGE}"):
        for (place,) in rows:
            set_aside(place, Refused("", SUPERSEDED))
        server.run(f"DELETE FROM {_TURNS} WHERE {which} AND place <= {rows[-1][0]}")
