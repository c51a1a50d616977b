"""The development set and the paraphrases: their worlds as discovery tells them, and what the rules make of words."""

import json
import os
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from osiris import api
from osiris.chat.found import read_names, with_looked
from osiris.chat.live import LiveWorld
from osiris.chat.port import Message, Request
from osiris.chat.proposal import Interest, Proposal, read
from osiris.chat.rules import Rules
from osiris.evaluation.cases import load_worlds
from osiris.evaluation.worlds import lay_out

DEVELOPMENT = Path(__file__).parents[3] / "evaluation" / "development"
PARAPHRASES = DEVELOPMENT.with_name("paraphrases")
WORLDS = load_worlds(DEVELOPMENT) | load_worlds(PARAPHRASES)


@cache
def discovered(world):
    """Return the choices of a world, by name only and with all that looking tells."""
    with TemporaryDirectory() as folder:
        project = lay_out(WORLDS[world], Path(folder) / world)
        live = LiveWorld(api.open_project(project, dict(os.environ)), Rules(), None, "c")
        named = read_names(live.names(""))
        told = live.look([(each.id, _target(each), each.table) for each in named.relations])
        return named, with_looked(named, told)


def _target(relation):
    return relation.source if relation.connection else relation.table


def messages_of(*said):
    """Return messages: texts of the person, and pairs of a question's key and the reply."""
    return tuple(
        Message("person", each) if isinstance(each, str) else Message("person", each[1], each[0]) for each in said
    )


def propose(world, *said, fast=False):
    """Return what the rules make of what is said in a world: a proposal, a question or a refusal."""
    named, looked = discovered(world)
    messages = messages_of(*said)
    intent = read("intent", Rules().complete(Request("intent", messages, named, fast=fast)).value, named)
    if not isinstance(intent, Interest):
        return intent
    names = {each.id: each for each in named.relations}
    known = {each.id: each for each in looked.relations}
    relations = tuple(known[each] if each in intent.tables else names[each] for each in names)
    choices = replace(looked, relations=relations)
    value = Rules().complete(Request("synthesis", messages, choices, fast=fast)).value
    return read("synthesis", json.loads(json.dumps(value)), choices)


def rows_of(world, proposal: Proposal):
    """Return the rows that a proposal's statement gives over the world's tables, by DuckDB itself."""
    _, looked = discovered(world)
    with duckdb.connect() as engine:
        engine.execute(WORLDS[world].schema)
        for table, path in _in_order(engine, WORLDS[world]):
            engine.execute(f"COPY {table} FROM '{path}' (FORMAT csv, HEADER)")
        names = [looked.relation(each.relation).name for each in proposal.sources]
        return engine.execute(proposal.sql or f"SELECT * FROM {names[0]}").fetchall()


def _in_order(engine, world):
    found = engine.execute("SELECT table_name FROM duckdb_tables() ORDER BY table_oid").fetchall()
    return [(name, world.tables[name]) for (name,) in found]
