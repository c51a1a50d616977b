"""`osiris notify`: try the channels of notifications."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris import api
from osiris.cli.command import answers, noun, opened
from osiris.cli.render import Answer

if TYPE_CHECKING:
    from osiris.cli.render import Line

_NONE = "no channel is configured: set notify.webhook, notify.slack, notify.email or notify.apprise in osiris.yaml"


@answers("test")
def send_test() -> Answer:
    """Send a test message to every channel.

    Channels are the settings notify.webhook, notify.slack, notify.email and notify.apprise. Exits 1 if one of them did
    not accept the message.

    """
    accepted, warnings = api.send_test(opened())
    text: list[Line] = [[("", f"{name}  "), ("ok", "accepted")] for name in accepted]
    nothing = [] if accepted or warnings else [_NONE]
    return Answer({"accepted": accepted}, [*text, *nothing], warnings, exit_code=1 if warnings else None)


notify = noun("notify", "Send a test message to where failures are reported.", send_test)
