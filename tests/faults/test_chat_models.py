"""Failures of a model's service in a conversation: nothing incomplete is saved, and after resuming it ends the same."""

import json

import pytest
from tests.patience import SOON
from tests.servers.models import (
    big,
    blocked,
    call,
    cut,
    failure,
    malformed,
    model_server,
    page,
    refusal,
    silent,
    unfinished,
    value,
)
from tests.unit.chat.providers.asking import KEY, MODELS, PROVIDERS, SERVED
from tests.unit.chat.talking import SHOP, Person, interest, make_project, proposal

from osiris.api import open_project
from osiris.chat.conversation import Options, begin, resume
from osiris.errors import OsirisError
from osiris.secret import Scrubber, Secret

CUSTOMERS = "@sqlite.shop/customers"
WORDS = "the customers to csv"
INTEREST, GOOD = value(interest(CUSTOMERS)), value(proposal(CUSTOMERS, name="customers"))
WRONG = value({"name": "customers", "sql": 7})
MISSPELT = value(proposal(CUSTOMERS, name="customers", sql="SELECT nam FROM customers"))
SILENT = silent()
FAILS = {
    "429 for long": (failure(429, retry_after=3600), "LLM010"),
    "silent": (SILENT, "LLM013"),
    "503 for long": (failure(503, retry_after=3600), "LLM011"),
    "garbage": (page(200, b"\x00\xff\xfe garbage", "application/octet-stream"), "LLM016"),
    "a page": (page(), "LLM016"),
    "10 MB": (big(GOOD), "LLM017"),
    "an unfinished answer": (unfinished(proposal(CUSTOMERS)), "LLM018"),
    "a tool that is none": (call("shell", {"command": "id"}), "LLM019"),
    "a wrong key": (failure(401), "LLM014"),
    "a bad request": (failure(400), "LLM015"),
}
"""Replies that give no answer, and the code."""

PASSES = [failure(429, retry_after=1), failure(429), failure(503)], [cut(GOOD), cut(GOOD, 0.1), cut(GOOD, 0.9)]
"""What passes by itself."""

MENDED = [WRONG, malformed('{"name": "customers", "sou'), MISSPELT]
"""Replies that one regeneration corrects."""

LEFT = {
    "a wrong shape twice": [WRONG, WRONG],
    "no object twice": [malformed("SELECT"), malformed("[1]")],
    "wrong SQL twice": [MISSPELT, MISSPELT],
    "wrong in two ways": [WRONG, MISSPELT],
    "a refusal": [refusal("I will not."), refusal("No.")],
    "a filter": [blocked(), blocked()],
}
"""What goes to the person."""


@pytest.fixture
def project(tmp_path):
    return smaller(tmp_path / "project")


def smaller(root):
    """Make the project with one source."""
    make_project(root, SHOP)
    (root / "osiris_connections.yaml").write_text("connections: {sqlite: {shop: {path: data/shop.sqlite}}}\n")
    (root / "data" / "countries.csv").unlink()
    return root


def talk(project, provider, replies, person, *, taken_up=False):
    """Talk to a model with these replies; returns the status, or the code and its exit code."""
    with model_server(replies) as server:
        chat = {"provider": provider, "model": MODELS[provider], "base_url": server.url(SERVED[provider])}
        chat |= {"api_key": "${MODEL_KEY}", "timeout": "1s" if replies == [SILENT] else f"{SOON:.0f}s"}
        (project / "osiris.yaml").write_text(json.dumps({"chat": chat}))
        opened = open_project(project, {"MODEL_KEY": KEY})
        try:
            outcome = resume(opened, None, Options(), person) if taken_up else begin(opened, Options(), person)
            ended = outcome.summary["status"]
        except OsirisError as error:
            ended = error.diagnostics[0].code
        assert all(received.key == KEY for received in server.received)
    assert_key_is_nowhere(project, person)
    return ended


def assert_key_is_nowhere(project, person):
    """Search as the scrubber does: it would have replaced a key in any form."""
    scrubber = Scrubber([Secret(KEY)])
    told = json.dumps(person.told)
    assert scrubber.text(told) == told
    for path in project.rglob("*"):
        if path.is_file():
            text = path.read_bytes().decode("latin-1")
            assert scrubber.text(text) == text, path
            assert KEY[::-1] not in text, path


def made(project):
    output = project / "output"
    return {path.name: path.read_bytes() for path in output.iterdir()} if output.exists() else {}


def purposes(person):
    return [data["purpose"] for data in person.all("llm_request_start")]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The result of the conversation if nothing goes wrong."""
    root = smaller(tmp_path_factory.mktemp("healthy") / "project")
    assert talk(root, "openai", [INTEREST, GOOD], Person(WORDS, yes=True)) == "complete"
    assert set(made(root)) == {"customers.csv", "customers.yaml"}
    return made(root)


SHORT = {("intent", "openai"), ("synthesis", "anthropic"), ("regenerate", "gemini")}
PLACES = [
    pytest.param(at, provider, marks=() if (at, provider) in SHORT else pytest.mark.long)
    for at in ("intent", "synthesis", "regenerate")
    for provider in PROVIDERS
]


@pytest.mark.parametrize(("at", "provider"), PLACES)
def test_a_conversation_goes_on_after_its_service_failed(at, provider, project, expected):
    """Failures, one after another, are reported by their codes, and the conversation is resumed each time."""
    before = {"intent": [], "synthesis": [INTEREST], "regenerate": [INTEREST, MISSPELT]}[at]
    after = [INTEREST, GOOD] if at == "intent" else [GOOD]
    person = Person(WORDS, yes=True)
    for number, (reply, code) in enumerate(FAILS.values()):
        replies = [*before, reply] if number == 0 else [reply]
        assert talk(project, provider, replies, person, taken_up=number > 0) == code
        assert purposes(person)[-1] == at
        assert made(project) == {}
    assert talk(project, provider, after, person, taken_up=True) == "complete", person.heard
    assert made(project) == expected


@pytest.mark.long
@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_passes_is_waited_for(provider, project, expected):
    first, second = PASSES
    person = Person(WORDS, yes=True)
    assert talk(project, provider, [*first, INTEREST, *second, GOOD], person) == "complete"
    assert purposes(person) == ["intent", "synthesis"]
    assert made(project) == expected


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_is_wrong_once_is_made_again_once(provider, project, expected):
    person = Person(*[WORDS] * len(MENDED), "yes")
    replies = [reply for wrong in MENDED for reply in (INTEREST, wrong, GOOD)]
    assert talk(project, provider, replies, person) == "complete", person.heard
    assert purposes(person) == ["intent", "synthesis", "regenerate"] * len(MENDED)
    assert made(project)["customers.csv"] == expected["customers.csv"]


@pytest.mark.long
@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_stays_wrong_goes_to_the_person(provider, project, expected):
    """Nothing of it is saved, and the person can say it again."""
    for number, (name, replies) in enumerate(LEFT.items()):
        person = Person(WORDS, yes=True)
        assert talk(project, provider, [INTEREST, *replies], person, taken_up=number > 0) == "waiting", name
        assert purposes(person) in (["intent", "synthesis"], ["intent", "synthesis", "regenerate"]), name
        assert made(project) == {}
    person = Person(WORDS, yes=True)
    assert talk(project, provider, [INTEREST, GOOD], person, taken_up=True) == "complete"
    assert made(project)["customers.csv"] == expected["customers.csv"]
