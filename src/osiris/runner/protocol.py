"""What host and worker say to each other: one JSON object per line.

To the worker, on stdin: a job, then its secrets, then control lines (`{"control": "cancel"}`); after a job has ended,
another may follow. The end of stdin means that the host is gone.
From the worker, on stdout: events with `wseq` counting from 1 without gaps, heartbeats among them; the last one of
each job is `job_end`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from osiris.model import JsonValue

VERSION = 1
HEARTBEAT = 1.0
"""Seconds between two signs of life."""

GRACE = 5.0
"""Seconds that a worker has to stop when told to."""

GONE_GRACE = 2.0
"""Seconds that a worker has to stop when its host is gone."""

JOBS = ("describe", "confirm", "run", "preview", "doctor", "discover")

CANCEL: dict[str, JsonValue] = {"control": "cancel"}

LEASE = 60.0
"""Seconds for which a worker whose host may vanish unseen goes on without hearing of it."""

RENEW: dict[str, JsonValue] = {"control": "lease", "seconds": LEASE}


CHECKED_ROWS = "checks.jsonl"
"""Among the artifacts of a step: the first rows that each broken check found, for the person who looks for the fault.

What is told of a check has columns and counts only, as agents read it too.
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the worker may use: bytes of memory for data, of all resident memory, of addresses; files, threads."""

    memory: int
    resident: int
    address_space: int
    files: int = 4096
    threads: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """One job: `steps` as in a manifest, in topological order; paths are absolute.

    `bindings` are the values of `${run.…}`; `skip` names the steps that are not run, each with the reason;
    `timeout` is the longest that a step may take, in seconds; `lock` is held while the job runs. At most `parallel`
    groups of steps run at once. Spools lie in the folder `spools`, at most `spool_limit` bytes; `kept` are those of
    skipped steps that an earlier run left there. `known` answers for
    steps that are not to be described, each as `Described.to_json`. `pipeline` is the name of what runs, and `plan` its
    fingerprint. A preview tells `show_rows` rows of each step in `show`, and reads at most `sample` rows of each source
    (0: all). A doctor looks at the connections in `uses`, which has the modes in which steps use each, for at most
    `timeout` seconds each. What the writers in `discard` take is digested and goes nowhere. `delivered_as` names the
    run in ledgers, where that is not `run.id`. What `discover` asks is told where it is answered
    (`runner.discover.Asked`). `paths` lists what steps may `read` and `write` outside of the project.
    Of a job that was carried elsewhere, `carried` has the SHA-256 of each file that must have arrived, by its path
    relative to `root`, `engines` the versions that must be there, and `handover` is the folder for copies of databases
    in a file, which later steps may change.
    """

    kind: str
    root: str
    scratch: str
    artifacts: str
    limits: Limits
    steps: list[dict[str, JsonValue]]
    bindings: dict[str, str] = field(default_factory=dict)
    skip: dict[str, str] = field(default_factory=dict)
    digest: Literal["written", "all"] = "written"
    timeout: float | None = None
    lock: str | None = None
    parallel: int = 1
    spools: str = ""
    spool_limit: int | None = None
    kept: dict[str, JsonValue] = field(default_factory=dict)
    known: dict[str, JsonValue] = field(default_factory=dict)
    pipeline: str = ""
    plan: str = ""
    show: list[str] = field(default_factory=list)
    show_rows: int = 0
    sample: int = 0
    uses: dict[str, list[str]] = field(default_factory=dict)
    discard: list[str] = field(default_factory=list)
    delivered_as: str = ""
    discover: dict[str, JsonValue] = field(default_factory=dict)
    carried: dict[str, str] = field(default_factory=dict)
    engines: dict[str, str] = field(default_factory=dict)
    handover: str = ""
    paths: dict[str, list[str]] = field(default_factory=dict)
    protocol: int = VERSION

    def to_json(self) -> dict[str, JsonValue]:
        """Return the job line."""
        fields = asdict(self)
        return {"protocol": self.protocol, "job": fields.pop("kind"), **fields}

    @classmethod
    def from_json(cls, data: dict[str, JsonValue]) -> Job:
        """Return the job that `to_json` wrote."""
        fields = {key: value for key, value in data.items() if key not in {"job", "limits"}}
        return cls(kind=data["job"], limits=Limits(**data["limits"]), **fields)


@dataclass(frozen=True, slots=True)
class Secrets:
    """The second line: per connection (`@family.alias`) its fields, plain and secret, and the sensitive parameters."""

    plain: dict[str, dict[str, JsonValue]] = field(default_factory=dict)
    secret: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)
    params: dict[str, str] = field(default_factory=dict, repr=False)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the secrets line; the only place where a secret leaves the host."""
        return {"plain": self.plain, "secret": self.secret, "params": self.params}

    @classmethod
    def from_json(cls, data: dict[str, JsonValue]) -> Secrets:
        """Return the secrets that `to_json` wrote."""
        return cls(data["plain"], data["secret"], data["params"])


class LineCutter:
    """Cuts what comes in pieces of any size into lines."""

    def __init__(self) -> None:
        self._begun = b""

    def cut(self, piece: bytes) -> list[bytes]:
        """Return the lines that end in this piece, without their ends; what has only begun waits for the next one."""
        *lines, self._begun = (self._begun + piece).split(b"\n")
        return lines


def encode(message: dict[str, JsonValue]) -> bytes:
    """Return a message as one line of ASCII."""
    return json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n"


def decode(line: bytes) -> dict[str, JsonValue]:
    """Return the message of a line; raises ValueError or TypeError if it is not one."""
    message: dict[str, JsonValue] = dict(json.loads(line))
    return message
