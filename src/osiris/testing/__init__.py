"""The suite that every component passes, ours or a stranger's, in three lines of a test module:

    from osiris.testing import Case, suite

    test_extractor = suite("my_family.extractor")
    test_writer = suite("my_family.writer", Case({"path": "out.txt"}, look=read_rows))

The first is tried with the first example of its spec. What that does not tell, a `Case` does: another config, the
fields of a connection (`Secret("…")` is one that must not be told; a function gives each folder a database of its own
on a server), `fill(root, rows)` to put rows where a source reads them, `look(root)` to see what a writer has written,
and rows that fit, if the suite's own do not.
`filled_by` and `seen_by` do both by other components. What cannot be tried is skipped, and says what is missing.

`check_component`, `behaviours` and `check_behaviour` are the same piece by piece, for other test runners, and
`type_matrix` tells what becomes of values of every type.
"""

from osiris.testing.behaviours import behaviours, check_behaviour, suite
from osiris.testing.component import check_component
from osiris.testing.trial import Case, filled_by, seen_by
from osiris.testing.values import type_matrix

__all__ = [
    "Case",
    "behaviours",
    "check_behaviour",
    "check_component",
    "filled_by",
    "seen_by",
    "suite",
    "type_matrix",
]
