"""One attempt to run a pipeline, as a folder: what happened (events), how much (metrics), and the summary (run.json).

A session is alive while its `events.jsonl` is locked by the process that writes it, so that a killed one is known to be
lost whatever its files claim. Lines are appended in single writes; the summary is replaced as a whole and made durable.
"""

from osiris.session.disk import iter_lines, now_text, read_lines
from osiris.session.finding import (
    RECENT,
    damaged_sessions,
    find_record,
    find_session,
    is_session_id,
    iter_records,
    iter_sessions,
    list_sessions,
    open_record,
    open_session,
    order_of,
    session_folders,
)
from osiris.session.lost import acknowledge, close_lost, is_unacknowledged
from osiris.session.recovered import read_plan, read_recovered
from osiris.session.stored import CONVERSATION, problem_of, read_summary
from osiris.session.writing import (
    ENDS,
    STEP_ENDS,
    STEP_FIGURES,
    Session,
    begin_conversation,
    continue_conversation,
    create_session,
    end_session,
    totals,
)

__all__ = [
    "CONVERSATION",
    "ENDS",
    "RECENT",
    "STEP_ENDS",
    "STEP_FIGURES",
    "Session",
    "acknowledge",
    "begin_conversation",
    "close_lost",
    "continue_conversation",
    "create_session",
    "damaged_sessions",
    "end_session",
    "find_record",
    "find_session",
    "is_session_id",
    "is_unacknowledged",
    "iter_lines",
    "iter_records",
    "iter_sessions",
    "list_sessions",
    "now_text",
    "open_record",
    "open_session",
    "order_of",
    "problem_of",
    "read_lines",
    "read_plan",
    "read_recovered",
    "read_summary",
    "session_folders",
    "totals",
]
