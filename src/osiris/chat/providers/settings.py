"""Which service is asked, and how: from the command line, else from the settings of the project."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from osiris.config import PROVIDERS, RULES
from osiris.distribution import install_command
from osiris.errors import did_you_mean, fail
from osiris.secret import Secret

if TYPE_CHECKING:
    from osiris.api import Workspace
    from osiris.config import Config

_SAME = {"google": "gemini"}
_EARLIER = {"claude": "anthropic"}
_WITHOUT_A_MODEL = "run 'osiris new': it builds a pipeline from choices or flags, without a model"

_ADDRESSES = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "gemini": "https://generativelanguage.googleapis.com",
}

_MODELS = {"openai": "gpt-5.6-terra", "anthropic": "claude-sonnet-5-5", "gemini": "gemini-3.8-flash"}
"""The model of each service that is used if none is named; a compatible server has its own."""

_NEEDED = {"openai": "openai", "compatible": "openai", "anthropic": "anthropic", "gemini": "google.genai"}


@dataclass(frozen=True, slots=True)
class Settings:
    """How a service is asked; `timeout` is in seconds, `max_cost` in US dollars, and None is no limit."""

    provider: str
    models: tuple[str, ...]
    address: str
    key: Secret | None
    timeout: float
    answers: str
    context_tokens: int
    requests_per_minute: int | None
    tokens_per_minute: int | None
    max_tokens: int
    max_cost: float | None


def provider_name(config: Config, chosen: str | None) -> str | None:
    """Return the provider that counts, None if there is none; fails with LLM001, and for earlier ones with PRJ007 or
    PRJ010.
    """
    name = chosen or config.get("chat.provider")
    if name is None:
        return None
    if name == RULES:
        fail("PRJ010", what=f"--provider {name}" if chosen else f"chat.provider: {name}", instead=_WITHOUT_A_MODEL)
    if name in _EARLIER:
        fail("PRJ007", old=f"--provider {name}", new=f"--provider {_EARLIER[name]}")
    if name not in PROVIDERS:
        fail("LLM001", name=name, hint=did_you_mean(name, PROVIDERS))
    return _SAME.get(name, name)


def read_settings(workspace: Workspace, provider: str | None, model: str | None) -> Settings:
    """Return how the service is asked; fails with CHT065 if none is chosen, LLM001 to LLM005, and LLM009."""
    config = workspace.config
    name = provider_name(config, provider) or fail("CHT065")
    if not (_is_installed("pydantic_ai") and _is_installed(_NEEDED[name])):
        fail("LLM002", provider=name, command=install_command("chat"))
    is_configured = name == _SAME.get(config.get("chat.provider"), config.get("chat.provider"))
    first = model or (config.get("chat.model") if is_configured else None) or _MODELS.get(name)
    if not first:
        fail("LLM004", provider=name)
    fallback = config.get("chat.fallback_model") if is_configured else None
    own = config.get("chat.base_url") if is_configured else None
    address = own or _ADDRESSES.get(name)
    if address is None:
        fail("LLM005", provider=name)
    return Settings(
        provider=name,
        models=tuple(dict.fromkeys((first, fallback) if fallback else (first,))),
        address=address.rstrip("/"),
        key=_key(workspace, name, is_configured=is_configured),
        timeout=config.get("chat.timeout"),
        answers=config.get("chat.answers"),
        context_tokens=config.get("chat.context_tokens"),
        requests_per_minute=config.get("chat.requests_per_minute"),
        tokens_per_minute=config.get("chat.tokens_per_minute"),
        max_tokens=config.get("chat.max_tokens_per_conversation"),
        max_cost=config.get("chat.max_cost"),
    )


def _is_installed(package: str) -> bool:
    with suppress(ModuleNotFoundError):
        return find_spec(package) is not None
    return False


def _key(workspace: Workspace, provider: str, *, is_configured: bool) -> Secret | None:
    """Return the key: of the variable that is configured, else of the usual one, which goes to no other address."""
    config = workspace.config
    configured = config.get("chat.api_key") if is_configured else None
    is_elsewhere = is_configured and config.get("chat.base_url")
    variables = (configured,) if configured else () if is_elsewhere else PROVIDERS[provider]
    name = next((variable for variable in variables if workspace.environ.get(variable)), None)
    if name is None and (variables or provider != "compatible"):
        fail("LLM003", provider=provider, variable=" or ".join(variables) or "chat.api_key")
    key = workspace.environ[name] if name else ""
    if not re.fullmatch(r"[!-~]*", key):
        fail("LLM009", variable=name)
    return Secret(key) if key else None
