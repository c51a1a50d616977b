"""A model behind a provider's wire format whose answers follow from the person's latest words."""

import json

from tests.servers.models import model_server, value
from tests.unit.chat.talking import interest, question

KEY = "sk-test-1234567890abcdef"
UNCLEAR = question("What is meant by that?", about="words")


def newest_words(asked):
    """Return the person's latest words, as in a request to a model."""
    lines = [line for message in asked.messages for line in message.text.splitlines()]
    said = [json.loads(line)["text"] for line in lines if line.startswith('{"role":"person"')]
    return said[-1]


def scripted(answers):
    """Return a model that answers words from a table (`words: value`), and others with a question.

    It inspects the sources of its answer.
    """

    def answer(asked):
        made = answers.get(newest_words(asked), UNCLEAR)
        if "tables" in asked.schema["properties"] and made.get("sources"):
            made = interest(*(each["relation"] for each in made["sources"]))
        return value(made)

    return answer


def environment(server):
    """Return the variables that make a server the model of a project."""
    return {
        "OSIRIS_CHAT__PROVIDER": "openai",
        "OSIRIS_CHAT__BASE_URL": server.url("openai"),
        "OSIRIS_CHAT__API_KEY": "${MODEL_KEY}",
        "MODEL_KEY": KEY,
    }


def serving(answers):
    """Return a server whose model answers from a table, as a context manager."""
    return model_server(scripted(answers))
