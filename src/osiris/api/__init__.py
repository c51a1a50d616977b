"""The public Python API: plain functions that tie the parts together.

They take a `Workspace` (`open_project`) and plain values, return values, and raise `OsirisError` with every problem
that was found. Nothing here prints, and nothing here touches data: sources are described and rows moved by a worker.

A name is imported when it is first used, so that a command loads only what it needs. No module here is called as one of
these names is: it would take its place.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from osiris.api.bundles import Bundle, bundle
    from osiris.api.compare import diff_subjects
    from osiris.api.discoveries import Discovery, discover
    from osiris.api.doctor import Examined, examine_connections
    from osiris.api.documents import compiled_data, plan_data, run_data, validated_data
    from osiris.api.drafts import Saved, read_draft, save_draft
    from osiris.api.drift_warnings import known_drift
    from osiris.api.editor import pipeline_schema, save_pipeline_schema, schema_text, wire_editor
    from osiris.api.formatting import Formatted, format_files, format_text, unformatted
    from osiris.api.impact import Impact, find_impact
    from osiris.api.inspect import (
        check_sql,
        check_sql_lines,
        explain_code,
        explain_config,
        is_code,
        list_components,
        list_connections,
        one_line,
        shared_config,
        show_component,
        validate_components,
    )
    from osiris.api.layout import demo_project, init_project, new_component
    from osiris.api.lineage import Traced, TracedStep, trace
    from osiris.api.masked_previews import NOT_FOLLOWED, masked_preview
    from osiris.api.opening import open_project
    from osiris.api.openlineage import event_line, lineage_events
    from osiris.api.packages import Packaged, list_packages, package
    from osiris.api.pipelines import (
        Compiled,
        Validated,
        changes_on_disk,
        compile_file,
        compile_text,
        save,
        validate_file,
        validate_files,
        validate_text,
    )
    from osiris.api.plan import look_at_tables, plan_view, previous_plan, write_page
    from osiris.api.previews import Preview, preview, preview_text
    from osiris.api.read_backs import Measured, multiplied, outputs_of, read_back, seen_keys
    from osiris.api.replays import Replayed, replay
    from osiris.api.reports import Reports, write_report, write_reports
    from osiris.api.retention import Limits, Swept, sweep
    from osiris.api.run_explanations import Remarks, Story, marks_of, remarks_on, story
    from osiris.api.runs import (
        Plan,
        Rehearsal,
        Verdict,
        checked_rows,
        damaged_sessions,
        diff,
        find_subject,
        list_records,
        list_sessions,
        plan_of,
        rehearse,
        run_target,
        session_lines,
        show_record,
        show_session,
        verify,
    )
    from osiris.api.sandboxes import build_template, end_sandboxes, list_sandboxes
    from osiris.api.scrubbing import project_scrubber
    from osiris.api.workspace import Workspace, confirmed_plan
    from osiris.compare import Difference
    from osiris.history.differences import RunDiff, Timing

_TABLE = """
osiris.api.bundles: Bundle bundle
osiris.api.inspect: check_sql check_sql_lines explain_code explain_config is_code list_components list_connections
osiris.api.inspect: one_line shared_config show_component validate_components
osiris.api.compare: diff_subjects
osiris.api.discoveries: Discovery discover
osiris.api.doctor: Examined examine_connections
osiris.api.documents: compiled_data plan_data run_data validated_data
osiris.api.drafts: Saved read_draft save_draft
osiris.api.editor: pipeline_schema save_pipeline_schema schema_text wire_editor
osiris.api.formatting: Formatted format_files format_text unformatted
osiris.api.impact: Impact find_impact
osiris.api.layout: demo_project init_project new_component
osiris.api.lineage: Traced TracedStep trace
osiris.api.masked_previews: NOT_FOLLOWED masked_preview
osiris.api.opening: open_project
osiris.api.openlineage: event_line lineage_events
osiris.api.packages: Packaged list_packages package
osiris.api.pipelines: Compiled Validated changes_on_disk compile_file compile_text save validate_file validate_files
osiris.api.pipelines: validate_text
osiris.api.plan: look_at_tables plan_view previous_plan write_page
osiris.api.previews: Preview preview preview_text
osiris.api.read_backs: Measured multiplied outputs_of read_back seen_keys
osiris.api.replays: Replayed replay
osiris.api.reports: Reports write_report write_reports
osiris.api.retention: Limits Swept sweep
osiris.api.runs: Plan Rehearsal Verdict checked_rows damaged_sessions diff find_subject list_records list_sessions
osiris.api.runs: plan_of rehearse run_target session_lines show_record show_session verify
osiris.api.sandboxes: build_template end_sandboxes list_sandboxes
osiris.api.scrubbing: project_scrubber
osiris.api.drift_warnings: known_drift
osiris.api.run_explanations: Remarks Story marks_of remarks_on story
osiris.api.workspace: Workspace confirmed_plan
osiris.compare: Difference
osiris.history.differences: RunDiff Timing
"""
_HOMES = {
    name: home for home, _, names in (line.partition(":") for line in _TABLE.splitlines()) for name in names.split()
}
"""Each name with the module that has it."""


def __getattr__(name: str) -> object:
    """Import a name from its module; raises AttributeError for any other."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(_HOMES)
