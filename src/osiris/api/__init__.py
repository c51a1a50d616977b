"""The public Python API: plain functions that tie the parts together.

They take a `Workspace` (`open_project`) and plain values, return values, and raise `OsirisError` with every problem
that was found. Nothing here prints, and nothing here touches data: sources are described and rows moved by a worker.
"""

from osiris.api.bundle import Bundle, bundle
from osiris.api.catalogue import (
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
from osiris.api.compare import diff_subjects
from osiris.api.discover import Discovery, discover
from osiris.api.doctor import Examined, examine_connections
from osiris.api.documents import compiled_data, plan_data, run_data, validated_data
from osiris.api.drafts import Saved, read_draft, save_draft
from osiris.api.editor import pipeline_schema, save_pipeline_schema, schema_text, wire_editor
from osiris.api.formatting import Formatted, format_files, format_text, unformatted
from osiris.api.impact import Impact, find_impact
from osiris.api.layout import demo_project, init_project, new_component
from osiris.api.lineage import Traced, TracedStep, trace
from osiris.api.masked_preview import NOT_FOLLOWED, masked_preview
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
from osiris.api.preview import Preview, preview, preview_text
from osiris.api.read_back import Measured, multiplied, outputs_of, read_back, seen_keys
from osiris.api.replay import Replayed, replay
from osiris.api.reports import Reports, write_report, write_reports
from osiris.api.retention import Limits, Swept, sweep
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
from osiris.api.stale import known_drift
from osiris.api.story import Remarks, Story, marks_of, remarks_on, story
from osiris.api.workspace import Workspace, confirmed_plan
from osiris.compare import Difference
from osiris.history.differences import RunDiff, Timing

__all__ = [
    "NOT_FOLLOWED",
    "Bundle",
    "Compiled",
    "Difference",
    "Discovery",
    "Examined",
    "Formatted",
    "Impact",
    "Limits",
    "Measured",
    "Packaged",
    "Plan",
    "Preview",
    "Rehearsal",
    "Remarks",
    "Replayed",
    "Reports",
    "RunDiff",
    "Saved",
    "Story",
    "Swept",
    "Timing",
    "Traced",
    "TracedStep",
    "Validated",
    "Verdict",
    "Workspace",
    "build_template",
    "bundle",
    "changes_on_disk",
    "check_sql",
    "check_sql_lines",
    "checked_rows",
    "compile_file",
    "compile_text",
    "compiled_data",
    "confirmed_plan",
    "damaged_sessions",
    "demo_project",
    "diff",
    "diff_subjects",
    "discover",
    "end_sandboxes",
    "event_line",
    "examine_connections",
    "explain_code",
    "explain_config",
    "find_impact",
    "find_subject",
    "format_files",
    "format_text",
    "init_project",
    "is_code",
    "known_drift",
    "lineage_events",
    "list_components",
    "list_connections",
    "list_packages",
    "list_records",
    "list_sandboxes",
    "list_sessions",
    "look_at_tables",
    "marks_of",
    "masked_preview",
    "multiplied",
    "new_component",
    "one_line",
    "open_project",
    "outputs_of",
    "package",
    "pipeline_schema",
    "plan_data",
    "plan_of",
    "plan_view",
    "preview",
    "preview_text",
    "previous_plan",
    "project_scrubber",
    "read_back",
    "read_draft",
    "rehearse",
    "remarks_on",
    "replay",
    "run_data",
    "run_target",
    "save",
    "save_draft",
    "save_pipeline_schema",
    "schema_text",
    "seen_keys",
    "session_lines",
    "shared_config",
    "show_component",
    "show_record",
    "show_session",
    "story",
    "sweep",
    "trace",
    "unformatted",
    "validate_components",
    "validate_file",
    "validate_files",
    "validate_text",
    "validated_data",
    "verify",
    "wire_editor",
    "write_page",
    "write_report",
    "write_reports",
]
