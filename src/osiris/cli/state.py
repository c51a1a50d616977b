"""`osiris state`: how far pipelines with a cursor have read, and moving that by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from osiris import api
from osiris.cli.command import FILE, PARAM, PROFILE, answers, console, flag, noun, opened, valued
from osiris.cli.render import Answer, figures
from osiris.document.commented import inline
from osiris.errors import exit_code
from osiris.units import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from osiris.api import Pair
    from osiris.cli.render import Line
    from osiris.model import JsonValue

ANY_FILE = click.argument("file", metavar="[FILE|PLAN]", required=False)
WHAT = click.argument("what", metavar="[STEP|TABLE]", required=False)
DRY_RUN = flag("--dry-run", "Show what would change; change nothing.")


@answers("list", ANY_FILE, WHAT, PARAM, PROFILE)
def list_states(file: str | None, what: str | None, params: dict[str, str], profile: str | None) -> Answer:
    """List how far each table has been read.

    The default is all pipelines of the project with a cursor; exits 1 if one of them has no plan, as it has errors.
    STEP or TABLE limits it. 'recognized' is how many delivered rows are known to the next run, which may read them
    again. A note names tables of entries without a cursor. Exits 3 if a target cannot be reached; other tables are
    listed anyway.
    """
    pairs, problems = api.list_states(opened(profile), file, what, params=params)
    data = [console().clean(pair.to_json()) for pair in pairs]
    rows = [_cells(pair, each) for pair, each in zip(pairs, data, strict=True)]
    text: list[Line] = figures(rows, _HEADER) if rows else [] if problems else ["no pipeline has a cursor"]
    is_partial = any(item.code == "STA046" for item in problems)
    return Answer({"states": data}, text, problems, exit_code=exit_code(problems) or int(is_partial))


_HEADER = ("pipeline", "source", "target", "mark", "held back", "last run", "written (UTC)", "recognized")


def _cells(pair: Pair, data: Mapping[str, JsonValue]) -> tuple[JsonValue, ...]:
    mark = data["mark"] if pair.version else "no state"
    if pair.diagnostics:
        mark = f"not known ({pair.diagnostics[0].code})"
    at = data["last_at"] and _second(data["last_at"])
    own = (data["pipeline"], data["source"], data["target"], mark, data["held_back"])
    return (*own, data["last_run"], at, data["rows_kept"] or None)


@answers("show", FILE, WHAT, PARAM, PROFILE)
def show(file: str, what: str | None, params: dict[str, str], profile: str | None) -> Answer:
    """Show everything that the states of a pipeline hold.

    FILE is a pipeline or a plan. STEP or TABLE limits it. The last 30 marks are kept, one for each run:
    'osiris state rewind --to RUN' goes back to the one before a run. 'mark' and 'greatest' are in the time zone of the
    cursor's column (its 'zone', else UTC), 'version' is how often the state was written, and 'clock' is the source's
    clock in the last run.
    """
    pairs, problems = api.list_states(opened(profile), file, what, params=params)
    data = [console().clean(pair.to_json(whole=True)) for pair in pairs]
    return Answer({"states": data}, [line for each in data for line in _state_lines(each)], problems)


def _state_lines(data: Mapping[str, JsonValue]) -> Iterator[Line]:
    state = data["state"]
    yield [("bold", f"{data['source']} -> {data['target']}"), ("dim", f"  {data['pipeline']}, step {data['step']}")]
    if not state:
        yield "  not known" if data["codes"] else "  no state: the next run reads everything"
        return
    yield from ([("dim", f"  {name}: "), ("", str(value))] for name, value in _facts(data, state) if value)
    newest: dict[str, Mapping[str, JsonValue]] = {}  # a run that was resumed has written the state several times
    for mark in reversed(state["marks"]):
        newest.setdefault(mark["run"], mark)
    yield [("dim", f"  marks of the last {count(len(newest), 'run')}, with the time of writing (UTC):")]
    yield from (f"    {_second(mark['at'])}  {_position(mark)}  {run}" for run, mark in newest.items())


def _facts(data: Mapping[str, JsonValue], state: Mapping[str, JsonValue]) -> Iterator[tuple[str, JsonValue]]:
    cursor, columns = data["cursor"], state["columns"] or {}
    yield "version", data["version"]
    yield "cursor", ", ".join(f"{k}: {inline(v)}" for k, v in cursor.items()) if isinstance(cursor, dict) else cursor
    yield from ((name, _short(value)) for name, value in state["position"].items())
    yield "held back", data["held_back"]
    yield "rows recognized", data["rows_kept"]
    yield "compared at", state["compared_at"]
    yield "columns", ", ".join(f"{name} {kind or 'of any type'}" for name, kind in columns.items())
    before = state["texts"]
    yield (
        "changed since",
        "; ".join(f"{name}, was {before[name]}" if name in before else name for name in data["changed"]),
    )


def _position(mark: Mapping[str, JsonValue]) -> str:
    position = mark.get("mark", mark.get("xmin"))
    return "before the first row" if position is None else str(position)


def _short(value: JsonValue) -> JsonValue:
    """Return a value of a position; of files only their number."""
    return count(len(value), "file") if isinstance(value, dict) else value


def _second(at: JsonValue) -> str:
    return str(at).replace("T", " ")[:19]


TO = valued("--to", "RUN|VALUE", "Read again what this run read, or all rows from this value on.", required=True)


@answers("rewind", FILE, WHAT, TO, DRY_RUN, PARAM, PROFILE)
def rewind(file: str, what: str | None, to: str, dry_run: bool, params: dict[str, str], profile: str | None) -> Answer:
    """Set from where the next run reads.

    RUN is a session or run id: the state goes back to the position before that run. 'osiris state show FILE' lists the
    possible ones, the last 30 runs that read something. VALUE is any value of the cursor column. A cursor of files or
    row_xids has no values, and one of files can only be reset. This accepts the cursor, query, source and target as
    they are now. Each state changes in a transaction of its own, which the ledger of the target records. For
    write_mode: append, rows that are read again are appended again; --dry-run counts them.
    """
    return _moved(file, what, to, dry_run, params, profile)


@answers("reset", FILE, WHAT, DRY_RUN, PARAM, PROFILE)
def reset(file: str, what: str | None, dry_run: bool, params: dict[str, str], profile: str | None) -> Answer:
    """Have the next run read everything.

    As 'osiris state rewind', to before the first row. The target keeps its rows: with write_mode: append, the next run
    appends all rows again; --dry-run counts them. Without a next run, the table no longer counts as one that Osiris
    writes, so that other pipelines can read it with late: open_transactions.
    """
    return _moved(file, what, None, dry_run, params, profile)


def _moved(
    file: str,
    what: str | None,
    to: str | None,
    dry_run: bool,
    params: dict[str, str],
    profile: str | None,
) -> Answer:
    def busy(holder: str) -> None:
        console().talk(f"waiting for {holder}")

    moved = api.move_states(opened(profile), file, what, to, busy, params=params, dry_run=dry_run)
    data = [console().clean(each.to_json()) for each in moved]
    text = [line for each in data for line in _moved_lines(each, dry_run=dry_run)]
    warnings = [item for each in moved for item in each.diagnostics]
    return Answer({"states": data, "dry_run": dry_run}, text, warnings, [] if dry_run else [f"osiris run {file}"])


def _moved_lines(data: Mapping[str, JsonValue], *, dry_run: bool) -> Iterator[Line]:
    yield [("bold", f"{data['source']} -> {data['target']}")]
    yield f"  mark before: {'none' if data['mark'] is None else data['mark']}"
    yield f"  the next run {'would read' if dry_run else 'reads'} {data['reads']}; {data['effect']}"


state = noun("state", "Show and move how far pipelines with a cursor have read.", list_states, show, rewind, reset)
