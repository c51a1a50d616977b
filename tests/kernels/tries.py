"""Tries compiled functions in a separate process: `python -m tests.kernels.tries FILE SEED CASES SECONDS [NAME …]`.

Each function is tried with up to CASES cases, as time permits. FILE names the current case, so that it is known which
one ended the process; at the end it has the number of cases tried, and the plain cases without a result.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from tests.kernels import generators  # noqa: F401  all of them
from tests.kernels.cases import tried, twins

STEP = 20


def main() -> None:
    """Try the functions."""
    import osiris_kernels

    file, seed, most, seconds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    found = {}
    for name in sys.argv[5:] or sorted(twins()):
        left, first, end = [], 0, time.monotonic() + seconds
        while first < most and time.monotonic() < end:
            numbers = range(first, min(first + STEP, most))
            left += tried(name, seed, numbers, getattr(osiris_kernels, name), file.write_text)
            first = numbers.stop
        found[name] = {"tried": first, "left": left}
    file.write_text(json.dumps({"library": osiris_kernels.__file__, "twins": found}))


if __name__ == "__main__":
    main()
