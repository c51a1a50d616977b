"""The size of a synthesis request, with the tables of an answer inspected; includes the schema."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.chat.prompts.compose import compose, own_prompts, plain_json, tokens_of
from osiris.chat.provider_api import Message, ModelRequest
from osiris.chat.request import Request
from osiris.chat.request_json import answer_schema

if TYPE_CHECKING:
    from bench.evaluation.answered import Answered

    from osiris.model import JsonValue

CONTEXT = 16_000
"""Token limit of discovery: more than it needs here."""


def synthesis_tokens(answered: Answered, words: str, answer: JsonValue) -> int:
    """Return the number of tokens sent to a model before its answer."""
    read = {source["relation"] for source in answer["sources"]}
    relations = [each if each.id in read else _unseen(each) for each in answered.choices.relations]
    choices = replace(answered.choices, relations=tuple(relations))
    spoken = compose(ModelRequest("synthesis", (Message("person", words),), choices), "openai", own_prompts(), CONTEXT)
    return sum(map(tokens_of, (spoken.system, spoken.user, plain_json(answer_schema(Request, choices)))))


def _unseen(relation):
    """Return a relation without a profile of its rows."""
    columns = None if relation.columns is None else tuple(replace(each, profile={}) for each in relation.columns)
    return replace(relation, columns=columns)
