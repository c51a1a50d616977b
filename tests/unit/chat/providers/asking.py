"""A project whose model is a local server, and a request to it."""

import yaml
from tests.unit.chat.worlds import FILES, SHOP, names

from osiris.api import open_project
from osiris.chat.choices import read_names
from osiris.chat.conversation import Options
from osiris.chat.provider_api import Message, ModelRequest
from osiris.chat.providers import open_model

KEY = "sk-test-1234567890abcdef"
MODELS = {"openai": "gpt-5.1", "compatible": "qwen3", "anthropic": "claude-sonnet-4-6", "gemini": "gemini-2.5-pro"}
SERVED = {"openai": "openai", "compatible": "compatible", "anthropic": "anthropic", "gemini": "google"}
"""How the local server calls each provider."""

PROVIDERS = tuple(MODELS)
CHOICES = read_names(names(SHOP, FILES))
ORDERS = {"tables": ["@sqlite.shop/orders"], "question": None, "cannot": None}


def project(root, server=None, provider="openai", **settings):
    """Create and open a project whose model is that of a local server."""
    chat = {"provider": provider, "model": MODELS.get(provider), "api_key": "${MODEL_KEY}", "timeout": "5s"}
    if server:
        chat["base_url"] = server.url(SERVED[provider])
    kept = {name: each for name, each in {**chat, **settings}.items() if each is not None}
    (root / "osiris.yaml").write_text(yaml.safe_dump({"chat": kept}))
    return open_project(root, {"MODEL_KEY": KEY})


def request(words="orders to csv", purpose="intent", **more):
    return ModelRequest(purpose, (Message("person", words),), CHOICES, **more)


def opened(root, server, provider="openai", **settings):
    """Return the model of such a project."""
    return open_model(project(root, server, provider, **settings), Options())
