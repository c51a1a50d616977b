"""A local E2B for tests, written from the wire protocol; the SDK (`e2b>=2.63,<3`) talks to it unmodified.

    with e2b_service(binds=[environment]) as service:
        ...                                                  # put service.environment into the SDK's environment
        sandbox = service.sandbox(its_id)                    # alive, state, tree, path("/home/user/x"), pids(), kill()
        service.requests, service.templates.all              # what was asked
        service.faults.answer(429, times=2, retry_after=1)   # what can go wrong: `faults.py`
        sandbox.faults.cut_output(after=1000)
        with service.unreachable(): ...

A sandbox is real processes in a tree of its own: in bubblewrap's namespaces where the machine has it, with the system's
folders, the running Python and `binds` visible read-only; else plain processes whose home is in the tree. Nothing is
left behind, however the tests end.

What it does not do: accounts (all is done by one user), watching folders, terminals, volumes, forks, egress rules
beyond on and off, limits of CPU, memory and disk. Pausing is stopping the processes; a snapshot has the files alone.
"""

from .faults import AWKWARD, Faults
from .sandbox import Sandbox
from .service import Seen, Service, e2b_service
from .templates import Base

__all__ = ["AWKWARD", "Base", "Faults", "Sandbox", "Seen", "Service", "e2b_service"]
