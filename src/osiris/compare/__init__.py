"""What differs between two plans, the first cause first, and how columns flow through plans.

`compare.read_back` is imported where it is used: it needs the engine, and most commands do not.
"""

from osiris.compare.diff import ABSENT, Difference, diff, first_change, is_derived
from osiris.compare.impact import (
    PipelineImpact,
    Plan,
    StepImpact,
    find_source,
    known_sources,
    lock_plan,
    read_plan,
    trace_impact,
)
from osiris.compare.lineage import KINDS, Arrow, Column, Lineage, label_of, read_lineage, source_name
from osiris.compare.verify import (
    first_line,
    output_changes,
    same_data,
    same_output,
    verify,
    was_refused,
    written_changes,
)

__all__ = [
    "ABSENT",
    "KINDS",
    "Arrow",
    "Column",
    "Difference",
    "Lineage",
    "PipelineImpact",
    "Plan",
    "StepImpact",
    "diff",
    "find_source",
    "first_change",
    "first_line",
    "is_derived",
    "known_sources",
    "label_of",
    "lock_plan",
    "output_changes",
    "read_lineage",
    "read_plan",
    "same_data",
    "same_output",
    "source_name",
    "trace_impact",
    "verify",
    "was_refused",
    "written_changes",
]
