"""A process that sends one message by a service of apprise: `python -m osiris.notify.apprise_service`.

It reads the message as JSON from standard input and prints a key of `REASONS`. It loads no plugin, configuration or
file: what apprise could load files with is removed from it, which would affect other code in a process with more to do.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from osiris.model import JsonValue

SENT, UNKNOWN, REFUSED = "sent", "unknown", "refused"
REASONS = {
    SENT: "",
    UNKNOWN: "its value is not an address that apprise supports without files",
    REFUSED: "apprise could not send it",
}
"""What the printed words mean: why a message was not sent, "" if it was."""


def send(message: dict[str, JsonValue]) -> str:
    """Send a message and return a key of `REASONS`."""
    from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType, OverflowMode
    from apprise.common import PersistentStoreMode
    from apprise.manager_attachment import AttachmentManager
    from apprise.manager_config import ConfigurationManager

    managers: tuple[Any, ...] = (AttachmentManager, ConfigurationManager)
    for manager in (each() for each in managers):
        manager.remove(*manager.schemas())
    asset = AppriseAsset(
        storage_mode=PersistentStoreMode.MEMORY, secure_logging=True, service_timeout=message["timeout"]
    )
    service = Apprise.instantiate(message["address"], asset=asset)
    if service is None:
        return UNKNOWN
    service.overflow_mode = OverflowMode.TRUNCATE
    services = Apprise(asset=asset)
    services.add(service)
    kind = NotifyType.SUCCESS if message["is_good"] else NotifyType.FAILURE
    sent = services.notify(
        title=message["title"], body=message["text"], body_format=NotifyFormat.TEXT, notify_type=kind
    )
    return SENT if sent else REFUSED


if __name__ == "__main__":
    print(send(json.load(sys.stdin)))  # noqa: T201
