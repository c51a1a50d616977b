"""The public Python API: plain functions that combine the other packages.

They take a `Workspace` (`open_project`) and plain values, and raise `OsirisError` with all problems found. Nothing here
prints or touches data: a worker describes sources and moves rows. Names are imported on first use, so that a command
loads only what it needs. No module here may have one of these names, as it would replace it.
"""

from __future__ import annotations

import ast
import importlib
import pathlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from osiris.api.comparisons import Replayed, Verdict, diff_subjects, replay, verify
    from osiris.api.connections import Discovery, Examined, discover, examine_connections
    from osiris.api.feeding import Ended, Member, combined_code, find_members, run_members, without_awaited
    from osiris.api.inspect import (
        check_sql,
        check_sql_lines,
        explain_code,
        explain_config,
        is_code,
        list_components,
        list_connections,
        one_line,
        show_component,
        suggest_code,
        validate_components,
    )
    from osiris.api.lineage import Impact, Traced, TracedStep, find_impact, trace
    from osiris.api.notifications import notify_late, send_test
    from osiris.api.opening import open_project, report_lost
    from osiris.api.openlineage import event_line, lineage_events
    from osiris.api.pipelines import (
        Compiled,
        Validated,
        changes_on_disk,
        compile_file,
        compiled_data,
        pipeline_files,
        plan_data,
        save,
        validate_file,
        validate_files,
        validated_data,
    )
    from osiris.api.plan import (
        cuts_of,
        inspect_tables,
        known_drift,
        plan_view,
        previous_plan,
        saved_plan,
        view_plan,
        write_page,
    )
    from osiris.api.previews import (
        NOT_FOLLOWED,
        Measured,
        Preview,
        masked_preview,
        multiplied,
        outputs_of,
        preview,
        preview_into,
        read_back,
        seen_keys,
    )
    from osiris.api.project_files import (
        Corrected,
        Formatted,
        Saved,
        correct_files,
        draft_path,
        format_files,
        format_text,
        lay_out,
        new_component,
        pipeline_schema,
        read_draft,
        save_draft,
        schema_text,
        unformatted,
        wire_editor,
    )
    from osiris.api.reports import Packaged, Reports, package, rejected_file, run_report, write_report, write_reports
    from osiris.api.runs import Plan, Rehearsal, end_sandboxes, find_subject, plan_of, rehearse, run_target
    from osiris.api.session_files import Bundle, Limits, Swept, bundle, sweep
    from osiris.api.sessions import (
        Remarks,
        Story,
        checked_rows,
        given_id,
        list_records,
        list_sessions,
        marks_of,
        remarks_on,
        resumed_by,
        run_data,
        session_lines,
        show_record,
        show_session,
        story,
        story_lines,
    )
    from osiris.api.states import Moved, Pair, list_states, move_states
    from osiris.api.workspace import Workspace, confirmed_plan, project_scrubber
    from osiris.compare.differences import Difference
    from osiris.history.changes import RunDiff, Timing


def _homes() -> dict[str, str]:
    """Return the names imported above for type checking, each with its module."""
    tree = ast.parse(pathlib.Path(__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    homes = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {each.name: str(node.module) for node in homes for each in node.names}


_HOMES = _homes()
"""Modules by name."""


def __getattr__(name: str) -> object:
    """Import a name from its module; raises AttributeError for an unknown one."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_HOMES)
