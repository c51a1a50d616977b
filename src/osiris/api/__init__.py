"""The public Python API: plain functions that tie the parts together.

They take a `Workspace` (`open_project`) and plain values, return values, and raise `OsirisError` with every problem
that was found. Nothing here prints, and nothing here touches data: sources are described and rows moved by a worker.
"""

from osiris.api.catalogue import (
    check_sql,
    check_sql_lines,
    explain_code,
    explain_config,
    is_code,
    list_components,
    list_connections,
    one_line,
    show_component,
    validate_components,
)
from osiris.api.layout import demo_project, init_project, new_component
from osiris.api.pipelines import Compiled, Validated, changes_on_disk, compile_file, save, validate_file, validate_files
from osiris.api.runs import (
    Verdict,
    diff,
    find_subject,
    list_sessions,
    plan_of,
    rehearse,
    run_target,
    session_lines,
    show_session,
    verify,
)
from osiris.api.story import Story, story
from osiris.api.workspace import Workspace, open_project

__all__ = [
    "Compiled",
    "Story",
    "Validated",
    "Verdict",
    "Workspace",
    "changes_on_disk",
    "check_sql",
    "check_sql_lines",
    "compile_file",
    "demo_project",
    "diff",
    "explain_code",
    "explain_config",
    "find_subject",
    "init_project",
    "is_code",
    "list_components",
    "list_connections",
    "list_sessions",
    "new_component",
    "one_line",
    "open_project",
    "plan_of",
    "rehearse",
    "run_target",
    "save",
    "session_lines",
    "show_component",
    "show_session",
    "story",
    "validate_components",
    "validate_file",
    "validate_files",
    "verify",
]
