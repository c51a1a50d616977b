"""What differs between two plans, the first cause first, and how columns flow through plans."""

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
from osiris.compare.read_back import OutputText, StepText, grain_text, lines_of, probes, read_back
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
    "OutputText",
    "PipelineImpact",
    "Plan",
    "StepImpact",
    "StepText",
    "diff",
    "find_source",
    "first_change",
    "first_line",
    "grain_text",
    "is_derived",
    "known_sources",
    "label_of",
    "lines_of",
    "lock_plan",
    "output_changes",
    "probes",
    "read_back",
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
