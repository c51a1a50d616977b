"""The other tools, each in its own virtual environment, which is created when it is first needed.

`tools.py` installs and runs them, `jobs.py` defines what each does. The other scripts here run in those environments
and import nothing of ours.
"""

from .jobs import readers, upserters, writers
from .tools import Absent, Job, Unusable, perform

__all__ = ["Absent", "Job", "Unusable", "perform", "readers", "upserters", "writers"]
