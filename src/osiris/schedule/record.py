"""What `osiris schedule` has run, by pipeline: a file that is replaced as a whole, so that a kill damages nothing.

A run is recorded before it starts and after it has ended. After a kill in between, the same run id is started again: it
resumes the run, or finds it finished.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from osiris.durable import guarded, make_folder, write_file
from osiris.errors import fail
from osiris.fault import fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.model import JsonValue
    from osiris.project import Project

_TIMES = ("handled", "started", "ended", "absent")


@dataclass(frozen=True, slots=True)
class Entry:
    """The record of one pipeline; times are in UTC.

    `handled` is the last due time that was run or skipped, at first the time when the schedule was seen. `started` is
    the due time of a run that has begun and not ended, and `kills` how often its process was killed. `ended` is when
    the last run ended, with `exit_code` and `cause`. `absent` is since when its file is missing.
    """

    file: str
    cron: str
    zone: str
    handled: datetime
    started: datetime | None = None
    kills: int = 0
    ended: datetime | None = None
    exit_code: int | None = None
    cause: str | None = None
    absent: datetime | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Return all fields, times as texts."""
        return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in asdict(self).items()}


def load_entries(project: Project) -> dict[str, Entry] | None:
    """Return the record by pipeline; None if the file is damaged. Fails with SCH004 if it cannot be read."""
    path = project.schedule_record
    try:
        content = json.loads(path.read_bytes())
        return {str(name): _entry(each) for name, each in content["pipelines"].items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        fail("SCH004", path=path.relative_to(project.root), reason=error.strerror or type(error).__name__)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _entry(data: Mapping[str, JsonValue]) -> Entry:
    names = {each.name for each in fields(Entry)}
    values = {key: value for key, value in data.items() if key in names}
    times = {key: datetime.fromisoformat(values[key]).astimezone(UTC) for key in _TIMES if values.get(key)}
    return Entry(**{**values, **times})


def save_entries(project: Project, entries: Mapping[str, Entry]) -> None:
    """Replace the record durably; fails with PRJ006."""
    content = {"version": 1, "pipelines": {name: entries[name].to_json() for name in sorted(entries)}}
    make_folder(project.state, private=True)
    with guarded(project.schedule_record):
        fault("schedule.record")
    write_file(project.schedule_record, json.dumps(content, indent=1).encode(), private=True)
    fault("schedule.recorded")
