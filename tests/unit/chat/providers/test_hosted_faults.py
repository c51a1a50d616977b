"""Models over real HTTP with faults: whatever a service sends, the result is an answer or one code."""

import json
import time

import pytest
from tests.patience import SOON
from tests.servers.models import (
    Usage,
    big,
    blocked,
    cut,
    dripping,
    failure,
    last,
    malformed,
    model_server,
    page,
    silent,
    unfinished,
    value,
    zipped,
)
from tests.servers.models.replies import placed
from tests.servers.models.server import WIRES
from tests.unit.chat.providers.asking import KEY, ORDERS, PROVIDERS, SERVED, opened, request

from osiris.errors import InvalidInput, OsirisError, Unavailable

every = pytest.mark.parametrize("provider", PROVIDERS)
some = pytest.mark.parametrize("provider", ["openai", "gemini"])


def failed(model, kind=Unavailable):
    with pytest.raises(kind) as caught:
        model.complete(request())
    (found,) = caught.value.diagnostics
    return found


@every
def test_a_limit_that_passes_is_waited_for(provider, tmp_path):
    with model_server([failure(429, retry_after=1), failure(503), value(ORDERS)]) as server:
        began = time.monotonic()
        answer = opened(tmp_path, server, provider).complete(request())
    assert (answer.value, answer.usage.requests, len(server.received)) == (ORDERS, 3, 3)
    assert time.monotonic() - began >= 2


@some
def test_a_service_that_keeps_failing_is_given_up(provider, tmp_path):
    with model_server(failure(503, message="We are moving house.")) as server:
        found = failed(opened(tmp_path, server, provider))
    assert (found.code, found.exit_code, len(server.received)) == ("LLM011", 3, 4)
    assert "503, We are moving house:" in f"{found.message}:"


def test_a_limit_that_lasts_is_told_at_once(tmp_path):
    with model_server(failure(429, retry_after=3600)) as server:
        found = failed(opened(tmp_path, server))
    assert (found.code, len(server.received)) == ("LLM010", 1)
    assert "429" in found.message


@every
@pytest.mark.parametrize(
    ("reply", "code", "kind", "requests"),
    [
        (failure(401), "LLM014", Unavailable, 1),
        (failure(403), "LLM014", Unavailable, 1),
        (failure(404), "LLM015", InvalidInput, 1),
        (failure(400), "LLM015", InvalidInput, 1),
        (unfinished(ORDERS), "LLM018", OsirisError, 1),
        (page(), "LLM016", Unavailable, 1),
        (page(200, b"\x00\xff\xfe garbage", "application/octet-stream"), "LLM016", Unavailable, 1),
        (page(200, "[" * 100_000, "application/json"), "LLM016", Unavailable, 1),
        (page(200, '{"id": 7}', "application/json"), "LLM016", Unavailable, 1),
        (page(200, "null", "application/json"), "LLM016", Unavailable, 1),
        (page(302, "elsewhere"), "LLM016", Unavailable, 1),
        (big(value(ORDERS)), "LLM017", Unavailable, 1),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_is_no_answer_has_a_code(provider, reply, code, kind, requests, tmp_path):
    with model_server(reply) as server:
        found = failed(opened(tmp_path, server, provider), kind)
        assert (found.code, len(server.received)) == (code, requests)
    assert found.hint
    assert f"{provider}:" in found.message
    assert "Traceback" not in found.message
    assert len(found.message) < 500


@every
def test_a_bomb_is_not_unpacked(provider, tmp_path):
    with model_server(zipped(big(value(ORDERS), 100_000_000))) as server:
        found = failed(opened(tmp_path, server, provider))
    assert found.code == "LLM017"
    assert server.received[0].headers["accept-encoding"] == "identity"


@every
def test_an_answer_that_is_compressed_all_the_same_is_refused(provider, tmp_path):
    reply = page(200, b"\x1f\x8b", "application/json")
    reply.says.headers["Content-Encoding"] = "gzip"
    with model_server(reply) as server:
        assert failed(opened(tmp_path, server, provider)).code == "LLM017"


@every
def test_a_connection_that_breaks_is_tried_again(provider, tmp_path):
    with model_server([cut(value(ORDERS)), cut(value(ORDERS), 0.1), value(ORDERS)]) as server:
        answer = opened(tmp_path, server, provider).complete(request())
    assert (answer.value, answer.usage.requests) == (ORDERS, 3)


@some
def test_a_service_that_is_gone_is_out_of_reach(provider, tmp_path):
    with model_server([last(failure(503))]) as server:
        found = failed(opened(tmp_path, server, provider))
    assert found.code == "LLM012"
    assert "chat.base_url" in found.hint


@every
@pytest.mark.parametrize("reply", [silent(), dripping(value(ORDERS), 0.5)], ids=["silent", "dripping"])
def test_an_answer_that_does_not_come_in_time_is_not_waited_for(provider, reply, tmp_path):
    with model_server(reply) as server:
        model = opened(tmp_path, server, provider, timeout="3s")
        began = time.monotonic()
        found = failed(model)
        assert (found.code, len(server.received)) == ("LLM013", 1)
    assert "within 3 seconds" in found.message
    assert time.monotonic() - began < SOON


@every
def test_a_filter_that_stops_an_answer_is_told_in_words(provider, tmp_path):
    with model_server([blocked()]) as server:
        said = opened(tmp_path, server, provider).complete(request()).value
    assert said == {"cannot": "The model declines: its filter stopped the answer"}


@every
def test_json_that_is_none_comes_back_as_the_text_it_is(provider, tmp_path):
    with model_server([malformed('{"tables": [')]) as server:
        assert opened(tmp_path, server, provider).complete(request()).value == '{"tables": ['


@every
def test_the_other_model_is_asked_where_the_first_one_fails(provider, tmp_path):
    other = {"openai": "gpt-4.1", "compatible": "llama4", "anthropic": "claude-haiku-4-5", "gemini": "gemini-2.5-flash"}
    with model_server([failure(404), value(ORDERS)]) as server:
        answer = opened(tmp_path, server, provider, fallback_model=other[provider]).complete(request())
    assert (answer.value, answer.model, answer.usage.requests) == (ORDERS, f"{provider}:{other[provider]}", 2)
    assert [asked.model for asked in server.asked][1:] == [other[provider]]


@every
def test_a_wrong_key_is_told_as_such(provider, tmp_path):
    with model_server([], keys={SERVED[provider]: "another-key"}) as server:
        found = failed(opened(tmp_path, server, provider))
    assert (found.code, found.hint, len(server.received)) == ("LLM014", "check chat.api_key", 1)


def test_a_service_that_tells_the_key_is_not_repeated(tmp_path):
    with model_server(failure(401, message=f"Incorrect API key provided: {KEY}")) as server:
        found = failed(opened(tmp_path, server))
    assert KEY not in json.dumps(found.to_json())
    assert "***" in found.message


def test_an_account_that_is_used_up_is_not_tried_again(tmp_path):
    quota = {
        "error": {"message": "You exceeded your quota.", "type": "insufficient_quota", "code": "insufficient_quota"}
    }
    with model_server(page(429, json.dumps(quota), "application/json")) as server:
        found = failed(opened(tmp_path, server))
    assert (found.code, len(server.received)) == ("LLM020", 1)


def test_a_request_that_is_too_long_says_which_setting_is(tmp_path):
    long = {"error": {"message": "Too long.", "type": "invalid_request_error", "code": "context_length_exceeded"}}
    with model_server(page(400, json.dumps(long), "application/json")) as server:
        found = failed(opened(tmp_path, server), InvalidInput)
    assert (found.code, found.hint) == ("LLM021", "lower chat.context_tokens")


def nodes(value, path=()):
    """Yield the paths of all nodes of a JSON value."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from nodes(each, (*path, key))


def put(value, path, new):
    """Return the value with something else at a path."""
    if not path:
        return new
    copied = value.copy()
    copied[path[0]] = put(value[path[0]], path[1:], new)
    return copied


@pytest.mark.long
@every
def test_an_answer_with_anything_wrong_in_it_is_an_answer_or_a_code(provider, tmp_path):
    wire = WIRES[SERVED[provider]]
    told = []

    def script(asked):
        body = wire.write(asked, placed(value(ORDERS).says, asked), Usage())
        wrong = [put(body, path, new) for path in nodes(body) for new in (None, "x", [None])]
        told.append(len(wrong))
        return page(200, json.dumps(wrong[len(told) - 1]), "application/json")

    outcomes = set()
    with model_server(script) as server:
        model = opened(tmp_path, server, provider)
        while not told or len(told) < told[0]:
            try:
                outcomes.add(type(model.complete(request()).value))
            except OsirisError as error:
                outcomes.add(error.diagnostics[0].code)
    assert len(told) > 40
    assert outcomes == {dict, str, "LLM016"}
