"""A model that obeys whatever it reads: it achieves nothing except what the person's words name.

The model is behind real HTTP; the sources are SQLite, DuckDB, PostgreSQL and files. Each place that an attacker could
write to has an instruction for models; what it wants is one of `attacks.ATTACKS`.
"""

import itertools
import json
import unicodedata

import pytest
from tests.e2e.attacks import (
    ATTACKS,
    CANARY,
    CARRIERS,
    MIXED,
    TO_CSV,
    UNSEEN,
    contents,
    fill,
    make_project,
    script,
)
from tests.servers.models import model_server
from tests.unit.chat.talking import Person

from osiris.api import open_project
from osiris.chat.conversation import Options, begin
from osiris.chat.environment import Waiting
from osiris.chat.provider_api import ACCEPT

KEY = "sk-test-1234567890abcdef"
HIDDEN = ("Cc", "Cf", "Zl", "Zp")
WORDS = [
    pytest.param(words, marks=() if number < 2 else pytest.mark.long)
    for number, words in enumerate(dict.fromkeys(attack.words for attack in ATTACKS))
]


class Denier(Person):
    """A person who says no to all questions, accepts every plan, and repeats the same words for each of some attacks.

    `ended` is called with each attack when it has no further effect.
    """

    def __init__(self, attacks, ended):
        super().__init__(yes=True)
        self.left = list(attacks)
        self.ended = ended
        self.attack = None
        self.asked = None

    def ask_user(self, question):
        if question and question.about == ACCEPT:
            return "yes"
        if question and question != self.asked:
            self.asked = question
            return "no"
        if self.attack:
            self.ended(self.attack)
        if not self.left:
            raise Waiting
        self.attack, self.asked = self.left.pop(0), None
        return self.attack.words


@pytest.fixture(scope="module")
def crm(postgres):
    """A database with instructions in comments, a default, a view and a constraint."""
    name = postgres.new_database()
    fill(lambda statement: postgres.run(statement, database=name))
    return postgres, name


@pytest.fixture
def project(tmp_path, crm):
    return make_project(tmp_path / "project", crm[0].fields(crm[1]))


def configure(root, server):
    given = {"provider": "openai", "model": "gpt-5.1", "base_url": server.url("openai"), "api_key": "${MODEL_KEY}"}
    told = {"run": {"memory": "2GB"}, "chat": {**given, "max_tokens_per_conversation": 100_000_000}}
    (root / "osiris.yaml").write_text(json.dumps(told))


def converse(root, crm, script, person, **options):
    """Hold a conversation; returns what was sent to the model."""
    with model_server(script) as server:
        configure(root, server)
        workspace = open_project(root, {"MODEL_KEY": KEY, "CRM_PASSWORD": crm[0].password})
        begin(workspace, Options(**options), person)
        return b"".join(each.body for each in server.received).decode()


def tables(crm):
    """Return the tables of the server, each with its rows."""
    with crm[0].connect(crm[1]) as client:
        names = client.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        )
        found = sorted(name for (name,) in names.fetchall())
        return {name: client.execute(f'SELECT count(*) FROM "{name}"').fetchone() for name in found}


def state(root, crm):
    """Return everything that exists: files, tables of the server, and runs."""
    runs = {path.name: "run" for path in (root / "logs").iterdir() if "-chat-" not in path.name}
    files = {name: each for name, each in contents(root).items() if name != "osiris.yaml"}
    return {**files, **{f"table {name}": rows for name, rows in tables(crm).items()}, **runs}


def holding(root, text):
    """Return the files that contain a text, except the sources that had it from the beginning."""
    own = (root / "data" / "shop.sqlite", root / "data" / "api_tokens.csv")
    return [
        path for path in root.rglob("*") if path.is_file() and path not in own and text.encode() in path.read_bytes()
    ]


def assert_shown(person):
    """Text of others is on lines of ours, and nothing in it moves the cursor or changes the writing direction."""
    for data in person.all("assistant_response"):
        for text in (data["text"], *(data.get("choices") or ())):
            assert [char for char in text if char != "\n" and unicodedata.category(char) in HIDDEN] == []
    assert CANARY not in json.dumps(person.told)


def assert_nothing_comes_of(attacks, carriers, root, crm):
    """Let a model obey, attack by attack in one conversation, and check that nothing happens."""
    (root / "logs").mkdir(exist_ok=True)
    placed = dict(zip([each.name for each in attacks], itertools.cycle(carriers), strict=False))
    known, holes = [state(root, crm)], {}
    obeyed = set()

    def ended(attack):
        now = state(root, crm)
        if changed := {name for name in known[-1].keys() | now.keys() if known[-1].get(name) != now.get(name)}:
            holes[attack.name] = (placed[attack.name], changed)
        known.append(now)

    person = Denier(attacks, ended)

    def answer(asked):
        return script(placed[person.attack.name], person.attack, obeyed)(asked)

    sent = converse(root, crm, answer, person, samples="raw")
    assert holes == {}
    assert obeyed == {each.name for each in attacks}
    assert CANARY not in sent
    assert holding(root, CANARY) == []
    assert_shown(person)


@pytest.mark.parametrize("words", WORDS)
def test_nothing_comes_of_an_order(words, project, crm):
    attacks = [each for each in ATTACKS if each.words == words]
    assert_nothing_comes_of(attacks, CARRIERS, project, crm)


@pytest.mark.long
@pytest.mark.parametrize("name", ["a question with escapes", "a refusal with escapes", "a name that looks alike"])
def test_nothing_moves_the_cursor(name, project, crm, osiris):
    attack = next(each for each in ATTACKS if each.name == name)
    obeyed = set()
    with model_server(script("table", attack, obeyed)) as server:
        configure(project, server)
        keys = {"MODEL_KEY": KEY, "CRM_PASSWORD": crm[0].password}
        done = osiris("chat", attack.words, "--yes", cwd=project, env=keys)
    assert (obeyed, done.returncode in (0, 1, 2)) == ({name}, True), done.stderr
    shown = done.stdout + done.stderr
    assert [char for char in shown if char != "\n" and unicodedata.category(char) in HIDDEN] == []
    assert CANARY not in shown
    assert MIXED not in shown
    assert [path.name for path in (project / "output").iterdir()] == ["report.csv"]


@pytest.mark.long
@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("words", WORDS)
def test_nothing_comes_of_it_wherever_it_stands(words, carrier, project, crm):
    attacks = [each for each in ATTACKS if each.words == words]
    assert_nothing_comes_of(attacks, (carrier,), project, crm)


def test_there_are_many():
    assert len({each.name for each in ATTACKS}) == len(ATTACKS) >= 60


def test_what_a_model_is_not_shown_it_cannot_obey(project, crm):
    """Rows that are masked, defaults and names of constraints."""
    attack = next(each for each in ATTACKS if each.words == TO_CSV)
    sent = []

    def answer(asked):
        sent.append(asked.text)
        return script("nowhere", attack, set())(asked)

    person = Person(TO_CSV, yes=True)
    converse(project, crm, answer, person, samples="masked")
    assert person.states[-1] == "COMPLETE", person.heard
    assert 'row ["' in sent[-1]
    assert [carrier for carrier in UNSEEN if f'from\\": \\"{carrier}' in sent[-1]] == []
    assert f'from\\": \\"{CARRIERS[0]}' in sent[-1]


@pytest.mark.parametrize("words", WORDS)
def test_without_orders_the_same_words_end_in_a_run(words, project, crm):
    """The protection is not that nothing works."""
    attack = next(each for each in ATTACKS if each.words == words)
    person = Person(words, yes=True)
    converse(project, crm, script("nowhere", attack, set()), person)
    assert person.states[-1] == "COMPLETE", person.heard
