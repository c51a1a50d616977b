"""A CronJob of Kubernetes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from osiris.export.exported import digest, sunday_first
from osiris.export.yaml_text import Text, yaml_text

if TYPE_CHECKING:
    from osiris.export.exported import Exported
    from osiris.model import JsonValue

_LONGEST = 52
"""Characters of the name of a CronJob."""

_JOB = "metadata.labels['batch.kubernetes.io/job-name']"


def kubernetes(exported: Exported) -> dict[str, str]:
    """Return a CronJob; all pods of a job have the same run id. Fails with EXP001 without a schedule."""
    due, name = exported.due(), object_name(exported.name)
    if ":" in exported.folder:
        exported.refuse(exported.folder, "the path of a mounted volume has no colon")
    volume, secret = f"{name}-project", f"{name}-secrets"
    job = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": Text(name)},
        "spec": {
            "schedule": Text(sunday_first(due.cron)),
            "timeZone": Text(due.zone),
            "concurrencyPolicy": "Forbid",
            "jobTemplate": {"spec": {"backoffLimit": 0, "template": {"spec": _pod(exported, volume, secret)}}},
        },
    }
    about = exported.comments(
        f"Apply it: kubectl apply -f {exported.name}.yaml. The project is on the volume of the claim {volume}.",
        secrets=f"They are keys of the secret {secret}.",
    )
    return {f"{exported.name}.yaml": "\n".join([*about, yaml_text(job)])}


def _pod(exported: Exported, volume: str, secret: str) -> JsonValue:
    """Return the specification of a pod that runs the pipeline once."""
    container = {
        "name": "osiris",
        "image": Text(exported.image),
        "command": [Text(_word(exported.command))],
        "args": [*(Text(_word(word)) for word in exported.words[1:]), Text("$(OSIRIS_JOB)")],
        "env": [
            {"name": "OSIRIS_JOB", "valueFrom": {"fieldRef": {"fieldPath": Text(_JOB)}}},
            *(_secret(secret, variable) for variable in exported.variables),
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "project", "mountPath": Text(exported.folder)},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - of the container
        ],
    }
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001},
        "containers": [container],
        "volumes": [
            {"name": "project", "persistentVolumeClaim": {"claimName": volume}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }


def object_name(name: str) -> str:
    """Return a pipeline's name as that of an object, with a digest where another pipeline could have the same."""
    plain = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")
    if plain == name and len(name) <= _LONGEST:
        return name
    return f"{plain[: _LONGEST - 7].rstrip('-')}-{digest(name)}"


def _secret(secret: str, variable: str) -> JsonValue:
    """Return a variable from a secret; Osiris reports one that is missing, by its name."""
    reference = {"name": Text(secret), "key": Text(variable), "optional": True}
    return {"name": Text(variable), "valueFrom": {"secretKeyRef": reference}}


def _word(text: str) -> str:
    """Return a text as an argument, in which Kubernetes replaces `$(NAME)`, and takes `$$` for `$`."""
    return text.replace("$", "$$")
