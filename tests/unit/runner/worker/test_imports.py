"""What a worker imports before its first job."""

import subprocess
import sys

CODE = """
import sys
from osiris.runner.worker.main import _import_without_pandas
_import_without_pandas()
import pyarrow as pa
pa.array([1])
print("pandas" in sys.modules, pa.table({"a": [1]}).to_pandas()["a"].tolist())
"""


def test_pandas_is_imported_only_by_drivers_that_use_it():
    """Arrow would import it for the first array of a list, where it is installed."""
    done = subprocess.run([sys.executable, "-I", "-c", CODE], check=True, capture_output=True, text=True)
    assert done.stdout == "False [1]\n"
