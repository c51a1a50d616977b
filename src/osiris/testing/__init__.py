"""The test suite for any component, built-in or third-party, in three lines of a test module:

    from osiris.testing import Case, suite

    test_extractor = suite("my_family.extractor")
    test_writer = suite("my_family.writer", Case({"path": "out.txt"}, look=read_rows))

The first is tested with the first example of its spec. A `Case` gives everything else: another config, the fields of a
connection (`Secret("…")` marks one that must not be revealed; a function gives each folder its own database on a
server), `fill(root, rows)` to put rows where a source reads them, `look(root)` to read what a writer has written, and
other rows if the suite's own do not fit.

`filled_by` and `seen_by` do both with other components. Tests that a case does not support are skipped with the reason.
`check_component`, `behaviours` and `check_behaviour` are the same in parts, for other test runners, and `type_matrix`
returns what becomes of values of every type.
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
