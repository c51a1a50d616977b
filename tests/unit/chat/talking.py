"""A project to talk about, a person with a list of words, and a model with a list of answers."""

import sqlite3

from osiris.api import open_project
from osiris.chat.agent import Agent
from osiris.chat.environment import Environment, Waiting
from osiris.chat.provider_api import ACCEPT, Answer, Usage

CONNECTIONS = """
connections:
  sqlite:
    shop: {path: data/shop.sqlite}
  duckdb:
    warehouse: {path: warehouse.duckdb}
"""
SHOP = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, country TEXT);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers (id), total INTEGER, placed_on TEXT);
CREATE TABLE secrets (id INTEGER PRIMARY KEY, token TEXT);
INSERT INTO customers VALUES (1, 'Ada', 'GB'), (2, 'Bo', 'SE'), (3, 'Cy', 'SE');
INSERT INTO orders VALUES (1, 1, 10, '2024-01-05'), (2, 2, 20, '2024-02-06'), (3, 2, 5, '2024-02-07');
INSERT INTO secrets VALUES (1, 'hunter2');
"""
CSV = "filesystem.csv_writer"


def make_project(root, shop=SHOP):
    """Create a project with a shop in SQLite, a CSV file, and a DuckDB target that does not exist yet."""
    (root / "data").mkdir(parents=True)
    (root / "osiris.yaml").write_text("run: {memory: 1GB}\n")
    (root / "osiris_connections.yaml").write_text(CONNECTIONS)
    (root / "data" / "countries.csv").write_text("code,country_name\nGB,Britain\nSE,Sweden\n")
    with sqlite3.connect(root / "data" / "shop.sqlite") as file:
        file.executescript(shop)
    return root


def proposal(*relations, sql=None, name="out", assumptions=(), reads=None, **target):
    """Return a request as a model answers it: copied rows, or one SELECT over the names of the relations (`reads`, if
    these are not the last parts of their ids); a target is a CSV file unless it says something else.
    """
    inputs = list(reads or map(sql_name, relations))
    steps = [{"name": "made", "sql": sql, "inputs": inputs}] if sql else []
    return {
        "name": name,
        "sources": [{"relation": each} for each in relations],
        "steps": steps,
        "outputs": [{"input": "made" if sql else relations[0], "component": CSV, **target}],
        "assumptions": list(assumptions),
        "question": None,
        "cannot": "",
    }


def typed(step, *relations, name="out", assumptions=(), **target):
    """Return a request with one step that is not SQL."""
    made = proposal(*relations, name=name, assumptions=assumptions, **target)
    return {**made, "steps": [step], "outputs": [{**made["outputs"][0], "input": step["name"]}]}


def sql_name(relation):
    """Return the SQL name of a relation with a plain name."""
    return relation.rpartition("/")[2].partition(".")[0]


def interest(*relations):
    return {"tables": list(relations), "question": None, "cannot": None}


def question(text, *choices, about="column"):
    return {"question": {"about": about, "text": text, "choices": list(choices)}, "cannot": None}


def refusal(reason):
    return {"question": None, "cannot": reason}


class Script:
    """A model that answers from a list, and keeps the requests."""

    name = "script"

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def complete(self, request):
        self.asked.append(request)
        return Answer(self.answers.pop(0), self.name, Usage(10, 2, 1))


class Person:
    """A user interface that says the words of its list, then nothing; with `yes` it accepts plans as `--yes` does."""

    def __init__(self, *words, yes=False, edited=None):
        self.words = list(words)
        self.yes = yes
        self.edited = edited
        self.told = []

    def ask_user(self, question):
        if self.yes and question and question.about == ACCEPT:
            return "yes"
        if not self.words:
            raise Waiting
        return self.words.pop(0)

    def edit(self, text):
        return self.edited(text)

    def show(self, kind, data):
        self.told.append((kind, data))

    def progress(self, event):
        pass

    def all(self, kind):
        return [data for each, data in self.told if each == kind]

    @property
    def states(self):
        return [data["to_state"] for data in self.all("state_transition")]

    @property
    def heard(self):
        """Return everything that the agent said, as one text."""
        return "\n".join(data["text"] for data in self.all("assistant_response"))


def talk(root, person, model, *, fast=False):
    """Talk until the person quits (True) or has no more words (False)."""
    world = Environment(open_project(root, {}), model, person, "20260101-120000-000-chat-0000")
    try:
        Agent(world, fast=fast).talk()
    except Waiting:
        return False
    return True
