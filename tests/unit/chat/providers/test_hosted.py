"""Models over real HTTP without faults: requests, answers, cost, and the places of the key."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from tests.servers.models import Usage, call, model_server, refusal, text, value
from tests.unit.chat.providers.asking import KEY, MODELS, ORDERS, PROVIDERS, opened, project, request

from osiris.api import project_scrubber
from osiris.chat.conversation import Options
from osiris.chat.provider_api import Interest, Refusal
from osiris.chat.provider_api import Usage as Used
from osiris.chat.providers import open_model
from osiris.chat.request import Request
from osiris.chat.request_json import answer_schema, read_interest
from osiris.errors import InvalidInput, StepFailed, Unavailable

every = pytest.mark.parametrize("provider", PROVIDERS)
PURPOSES = ("intent", "synthesis", "regenerate")


@every
@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_question_is_one_request_and_one_typed_answer(provider, purpose, tmp_path):
    asked = request(purpose=purpose)
    with model_server([value(ORDERS, usage=Usage(1234, 56))]) as server:
        model = opened(tmp_path, server, provider)
        answer = model.complete(asked)
    assert answer.value == ORDERS
    assert answer.model == model.name == f"{provider}:{MODELS[provider]}"
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.requests) == (1234, 56, 1)
    assert (answer.usage.cost is None) == (provider == "compatible")
    (seen,) = server.asked
    assert (seen.how, seen.streamed) == ("native", False)
    wanted = answer_schema(Interest if purpose == "intent" else Request, asked.choices)
    assert sorted(seen.schema["properties"]) == sorted(wanted["properties"])
    assert [message.role for message in seen.messages] == ["system", "user"]
    assert [message.text for message in seen.messages] == [message["text"] for message in answer.sent]


@every
def test_the_key_is_in_its_header_and_nowhere_else(provider, tmp_path):
    with model_server([value(ORDERS)]) as server:
        model = opened(tmp_path, server, provider)
        answer = model.complete(request())
    (received,) = server.received
    assert received.places(KEY) == ["header x-goog-api-key" if provider == "gemini" else "header authorization"]
    assert KEY not in json.dumps([answer.sent, answer.value, answer.model])
    assert KEY not in repr([model, vars(model), model._settings])


def test_a_compatible_service_needs_no_key(tmp_path):
    with model_server([value(ORDERS)]) as server:
        assert opened(tmp_path, server, "compatible", api_key=None).complete(request()).value == ORDERS
    assert server.received[0].key in (None, "none")


@every
@pytest.mark.parametrize(("output", "how"), [("tool", "tool"), ("native", "native"), ("json", "json")])
def test_a_structured_answer_is_asked_for_as_configured(provider, output, how, tmp_path):
    with model_server([value(ORDERS)]) as server:
        assert opened(tmp_path, server, provider, answers=output).complete(request()).value == ORDERS
    assert server.asked[0].how == ("text" if (provider, output) == ("anthropic", "json") else how)
    assert "@sqlite.shop/orders" in server.asked[0].text


@every
def test_a_model_that_declines_says_so_in_words(provider, tmp_path):
    with model_server([refusal("That is not for me.")]) as server:
        asked = request()
        said = opened(tmp_path, server, provider).complete(asked).value
    if provider == "compatible":
        assert said == "That is not for me."
    else:
        assert isinstance(read_interest(said, asked.choices), Refusal)


@every
def test_words_where_json_belongs_are_left_to_the_one_who_asked(provider, tmp_path):
    with model_server([text("Sure! Use the orders.")]) as server:
        asked = request()
        said = opened(tmp_path, server, provider).complete(asked).value
    assert said == "Sure! Use the orders."
    with pytest.raises(InvalidInput) as caught:
        read_interest(said, asked.choices)
    assert caught.value.diagnostics[0].code == "CHT001"


@pytest.mark.parametrize(
    "around", ["```json\n{}\n```", "Here it is: {} I hope it helps.", "<think>Well, [1]</think>\n{}"]
)
def test_words_around_json_are_passed_over(around, tmp_path):
    with model_server([text(around.replace("{}", json.dumps(ORDERS)))]) as server:
        assert opened(tmp_path, server, "compatible").complete(request()).value == ORDERS


@pytest.mark.parametrize("words", ["[" * 200_000, '{"tables": NaN}', '{"tables": 1e999}', '{"tables": "\\ud800"}', ""])
def test_json_that_nothing_can_hold_is_no_json(words, tmp_path):
    with model_server([text(words)]) as server:
        said = opened(tmp_path, server).complete(request()).value
    assert isinstance(said, str)
    assert len(said) <= 2000
    said.encode()  # as UTF-8, which not every text of Python can be


@every
def test_a_call_of_a_tool_that_was_not_offered_is_refused(provider, tmp_path):
    with model_server(call("run_shell", {"command": "rm -rf /"})) as server:
        model = opened(tmp_path, server, provider)
        with pytest.raises(StepFailed, match=r"LLM019 .* called 'run_shell'"):
            model.complete(request())
    assert len(server.received) == 1


def test_the_command_line_counts_before_the_settings(tmp_path):
    workspace = project(tmp_path, None, "openai")
    assert open_model(workspace, Options(model="gpt-6")).name == "openai:gpt-6"
    assert open_model(project(tmp_path, None, "gemini"), Options("google")).name == "gemini:gemini-2.5-pro"
    with pytest.raises(Unavailable, match="LLM003 provider 'anthropic' needs an API key, but ANTHROPIC_API_KEY"):
        open_model(workspace, Options(provider="anthropic", model="claude-x"))
    with pytest.raises(InvalidInput, match="LLM004"):
        open_model(project(tmp_path, None, "compatible", model=None, base_url="http://localhost/v1"), Options())


@pytest.mark.parametrize(
    ("settings", "options", "code"),
    [
        ({}, Options(provider="cluade"), "LLM001 unknown provider 'cluade'"),
        ({}, Options(provider="claude"), "PRJ007 '--provider claude' was renamed"),
        ({"provider": None}, Options(), "CHT065 free text needs a model"),
        ({}, Options(provider="rules"), "PRJ010 '--provider rules'"),
        ({"provider": "rules"}, Options(), "PRJ010 'chat.provider: rules'"),
        ({"provider": "compatible", "model": "qwen3"}, Options(), "LLM005"),
        (
            {"provider": "compatible", "model": "m", "max_cost": 1, "base_url": "http://localhost/v1"},
            Options(),
            "LLM008",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_sent(settings, options, code, tmp_path):
    provider = settings.pop("provider", "openai")
    with pytest.raises(InvalidInput, match=code):
        open_model(project(tmp_path, None, provider, **settings), options)


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini"])
def test_each_service_has_a_default_model_that_its_library_knows_and_has_a_price_for(provider, tmp_path):
    from typing import get_args

    from pydantic_ai.models import KnownModelName

    from osiris.chat.providers.hosted import price

    name = open_model(project(tmp_path, None, provider, model=None), Options()).name
    assert name.replace("gemini:", "google:") in get_args(KnownModelName.__value__)
    assert price(*name.split(":")) > 0


@pytest.mark.parametrize(
    ("provider", "package"),
    [("openai", "pydantic_ai"), ("compatible", "openai"), ("anthropic", "anthropic"), ("gemini", "google")],
)
def test_a_library_that_is_not_installed_is_told_with_its_remedy(provider, package, tmp_path, monkeypatch):
    workspace = project(tmp_path, None, provider, base_url="http://127.0.0.1:9")
    for name in (package, "google.genai"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InvalidInput, match="LLM002") as caught:
        open_model(workspace, Options())
    assert "pip install 'pydantic-ai-slim[" in caught.value.diagnostics[0].hint


def test_opening_a_model_needs_no_library_of_models(tmp_path):
    code = "import sys; from osiris.chat.conversation import Options; "
    code += "from osiris.chat.providers import open_model; "
    code += "from osiris.api import open_project; "
    code += "open_model(open_project(None, {'OPENAI_API_KEY': 'k'}), Options('openai')); "
    code += "print({'pydantic_ai', 'openai', 'pydantic'} & {*sys.modules})"
    (tmp_path / "osiris.yaml").write_text("")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("set()\n", "")


@pytest.mark.parametrize("key", ["sk-1234 5678", "sk-12345678\n", "sk-1234…", "\x00"])
def test_a_value_that_no_header_can_have_is_no_key(key, tmp_path):
    workspace = project(tmp_path, None, "openai")
    with pytest.raises(Unavailable, match="LLM009 the value of MODEL_KEY is not a valid key") as caught:
        open_model(replace(workspace, environ={"MODEL_KEY": key}), Options())
    assert key not in str(caught.value)


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini"])
def test_the_usual_key_goes_to_no_other_address(provider, tmp_path):
    with model_server([]) as server:
        workspace = project(tmp_path, server, provider, api_key=None)
        environ = {"OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY, "GEMINI_API_KEY": KEY}
        with pytest.raises(Unavailable, match=r"LLM003 .* chat.api_key is not set"):
            open_model(replace(workspace, environ=environ), Options())
    assert server.received == []


def test_variables_of_the_process_change_nothing(tmp_path, monkeypatch):
    for name in ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "GOOGLE_GEMINI_BASE_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/elsewhere")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "another-token")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    for provider in PROVIDERS:
        with model_server([value(ORDERS)]) as server:
            assert opened(tmp_path, server, provider).complete(request()).value == ORDERS
        assert server.received[0].places("another-token") == []


def test_what_a_conversation_has_spent_counts(tmp_path):
    with model_server(value(ORDERS, usage=Usage(900, 100))) as server:
        workspace = project(tmp_path, server, max_tokens_per_conversation=5000)
        model = open_model(workspace, Options(), spent=Used(1500, 500))
        model.complete(request())
        with pytest.raises(InvalidInput, match=r"LLM006 .* used 3,000 tokens, .*max_tokens_per_conversation is 5,000"):
            model.complete(request("orders " * 2000))
    assert len(server.received) == 1


def test_money_that_is_used_up_ends_it(tmp_path):
    with model_server(value(ORDERS, usage=Usage(2_000_000, 0))) as server:
        model = opened(tmp_path, server, max_cost=0.5, max_tokens_per_conversation=9_000_000)
        assert model.complete(request()).usage.cost > 0.5
        with pytest.raises(InvalidInput, match=r"LLM007 .*chat.max_cost is 0.5"):
            model.complete(request())
    assert len(server.received) == 1


def test_keys_of_models_are_masked_wherever_a_project_writes(tmp_path):
    workspace = project(tmp_path, None, "openai")
    environ = {"MODEL_KEY": KEY, "ANTHROPIC_API_KEY": "sk-ant-0123456789", "GOOGLE_API_KEY": "AIza0123456789abc"}
    scrubber = project_scrubber(replace(workspace, environ=environ))
    assert [scrubber.text(f"key {each}.") for each in environ.values()] == ["key ***."] * 3
