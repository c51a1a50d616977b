"""The protocol between host and worker: one JSON object per line.

To the worker, on stdin: a job, then its secrets, then control lines (`{"control": "cancel"}`); after a job has ended,
another may follow. End of stdin means that the host has exited.
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
"""Seconds between two heartbeats."""

GRACE = 5.0
"""Seconds a worker has to stop after a cancel."""

GONE_GRACE = 2.0
"""Seconds a worker has to stop after its host has exited."""

JOBS = ("describe", "confirm", "run", "preview", "doctor", "discover", "state", "rehearse")

CANCEL: dict[str, JsonValue] = {"control": "cancel"}

LEASE = 60.0
"""Seconds a remote worker continues without a lease renewal from its host."""

RENEW: dict[str, JsonValue] = {"control": "lease", "seconds": LEASE}


KEPT = ".rows"
KEPT_PART = ".part"
"""Suffixes of the files of `Job.keep`: of a complete one, and of one being written."""

CHECKED_ROWS = "checks.jsonl"
"""Artifact of a step with the first rows found by each failed check, for debugging by a person.

Events and diagnostics of checks have only columns and counts, as agents read them too.
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of the worker: bytes of memory for data, resident memory and address space; open files; threads."""

    memory: int
    resident: int
    address_space: int
    files: int = 4096
    threads: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """One job: `steps` as in a manifest, in topological order; paths are absolute.

    `bindings` are the values of `${run.…}`; `skip` has the steps not to run, each with the reason; `timeout` is the
    limit per step, in seconds; the `lock` file is locked while the job runs. At most `parallel` groups of steps run at
    once; a step that can be cut is computed in `partitions` parts (0: it is not cut). Spools are in the folder
    `spools`, at most `spool_limit` bytes; `kept` are those that an earlier run left there for skipped steps. `known`
    has the answers of steps not to describe, each as `Described.to_json`.
    `pipeline` is the pipeline's name, `plan` its fingerprint. A preview returns `show_rows` rows of each step in `show`
    and reads at most `sample` rows of each source (0: all). A doctor job checks the connections in `uses`, each with
    the modes in which steps use it, for at most `timeout` seconds each. Rows of the writers in `discard` are digested
    and discarded. `delivered_as` is the run's name in ledgers, if not `run.id`. `discover` has the fields of
    `worker.discover.DiscoverRequest`. `states` has the writers whose states are asked for, each with the fields of a
    `StateChange`, if it is to be changed. `paths` lists what steps may `read` and `write` outside of the project. The
    rows of the steps in `keep` (of a writer: those given to it) are left in `spools` as Arrow streams, if complete.

    In a remote job, `carried` has the SHA-256 of each file that must have arrived, by its path relative to `root`,
    `engines` the required versions, and `handover` is the folder for copies of database files, which later steps may
    change.
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
    partitions: int = 0
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
    states: dict[str, JsonValue] = field(default_factory=dict)
    carried: dict[str, str] = field(default_factory=dict)
    engines: dict[str, str] = field(default_factory=dict)
    handover: str = ""
    paths: dict[str, list[str]] = field(default_factory=dict)
    keep: list[str] = field(default_factory=list)
    protocol: int = VERSION

    def to_json(self) -> dict[str, JsonValue]:
        """Return the job line."""
        fields = {each: getattr(self, each) for each in self.__dataclass_fields__}
        fields["limits"] = asdict(self.limits)
        return {"protocol": self.protocol, "job": fields.pop("kind"), **fields}

    @classmethod
    def from_json(cls, data: dict[str, JsonValue]) -> Job:
        """Return the job that `to_json` wrote."""
        fields = {key: value for key, value in data.items() if key not in {"job", "limits"}}
        return cls(kind=data["job"], limits=Limits(**data["limits"]), **fields)


@dataclass(frozen=True, slots=True)
class Secrets:
    """The second line: per connection (`@family.alias`) its fields, plain and secret, and the sensitive parameters.

    `stored` has the values from secret stores, which are masked also where they are in plain fields.
    """

    plain: dict[str, dict[str, JsonValue]] = field(default_factory=dict)
    secret: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)
    params: dict[str, str] = field(default_factory=dict, repr=False)
    stored: list[str] = field(default_factory=list, repr=False)

    def texts(self) -> list[str]:
        """Return all values to be masked."""
        return [
            *(text for fields in self.secret.values() for text in fields.values()),
            *self.params.values(),
            *self.stored,
        ]

    def to_json(self) -> dict[str, JsonValue]:
        """Return the secrets line; the only place where a secret leaves the host."""
        return {"plain": self.plain, "secret": self.secret, "params": self.params, "stored": self.stored}

    @classmethod
    def from_json(cls, data: dict[str, JsonValue]) -> Secrets:
        """Return the secrets that `to_json` wrote."""
        return cls(data["plain"], data["secret"], data["params"], data["stored"])


class LineCutter:
    """Splits a stream received in pieces of any size into lines."""

    def __init__(self) -> None:
        self._begun = b""

    def cut(self, piece: bytes) -> list[bytes]:
        """Return the lines that end in this piece, without line ends; an incomplete line waits for the next piece."""
        *lines, self._begun = (self._begun + piece).split(b"\n")
        return lines


def encode(message: dict[str, JsonValue]) -> bytes:
    """Return a message as one line of ASCII."""
    return json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n"


def decode(line: bytes) -> dict[str, JsonValue]:
    """Return the message of a line; raises ValueError or TypeError if it is not one."""
    message: dict[str, JsonValue] = dict(json.loads(line))
    return message
