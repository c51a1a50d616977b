"""Local services that speak the wire formats of the model providers, so that a model is a script of the test.

    from tests.servers.models import failure, model_server, value

    def test_one(…):
        with model_server([failure(429, retry_after=1), value({"table": "orders"})]) as server:
            ...                                  # a client with base_url=server.url("openai") and any key
            assert server.asked[-1].how == "tool"
            assert server.received[0].key == "k" and server.received[0].places("k") == ["header authorization"]

Providers: `openai` (chat completions), `compatible` (the same, as Ollama and vLLM speak it; needs no key unless one is
given), `anthropic` (messages), `google` (Gemini, generateContent). Each has an address of its own, on loopback.

The script is a list of replies, one reply for all requests, or a function of the request (`asked.Asked`); replies and
faults are in `replies`, ready scripts in `scripts`. A request is checked before the script is asked, as the service
would: path, key, fields, model, calls of tools that have no result. Such a request uses up no reply. A request beyond
the script, or a script that fails, fails the test when the block ends.

`web` is HTTP and the faults, `wire` what a provider has to say about itself, `chat`, `messages` and `generate` the
three formats, `shape` the checks that they share. Written from the providers' own clients and documentation. What
depends on the model (which parameters it takes) is left out.
"""

from .asked import Asked, Message, Received
from .replies import (
    Reply,
    Usage,
    big,
    blocked,
    call,
    cut,
    dripping,
    failure,
    last,
    malformed,
    page,
    refusal,
    silent,
    slow,
    text,
    unfinished,
    value,
    zipped,
)
from .scripts import obedient
from .server import PROVIDERS, ModelServer, model_server

__all__ = [
    "PROVIDERS",
    "Asked",
    "Message",
    "ModelServer",
    "Received",
    "Reply",
    "Usage",
    "big",
    "blocked",
    "call",
    "cut",
    "dripping",
    "failure",
    "last",
    "malformed",
    "model_server",
    "obedient",
    "page",
    "refusal",
    "silent",
    "slow",
    "text",
    "unfinished",
    "value",
    "zipped",
]
