"""The provider that needs no key and no network: words to a proposal by rules."""

from osiris.chat.rules.provider import Rules

__all__ = ["Rules"]
