"""The local models when they fail, or get requests that the services would reject."""

import http.client
import json
import time

import anthropic
import openai
import pytest
from google import genai
from pydantic_ai import NativeOutput, ToolOutput
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError, UnexpectedModelBehavior, UsageLimitExceeded
from pydantic_ai.usage import UsageLimits
from tests.patience import SOON
from tests.servers.model_clients import HELLO, PLAN, SCHEMA, Plan, by_client, post, run
from tests.servers.models import (
    PROVIDERS,
    big,
    call,
    cut,
    dripping,
    failure,
    last,
    malformed,
    model_server,
    page,
    silent,
    slow,
    text,
    unfinished,
    value,
    zipped,
)

every = pytest.mark.parametrize("provider", PROVIDERS)


@every
@pytest.mark.parametrize("status", [429, 500, 503, 529])
def test_failures_in_the_providers_form(provider, status):
    kinds = {429: "rate_limit_error", 529: "overloaded_error"}
    statuses = {429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE", 529: "UNKNOWN"}
    with model_server(failure(status, retry_after=7)) as server:
        raised = (openai.APIStatusError, anthropic.APIStatusError, genai.errors.APIError)
        with pytest.raises(raised) as error:
            by_client(server, provider)
        with pytest.raises(ModelHTTPError) as wrapped:
            run(server, provider)
        assert wrapped.value.status_code == status
    assert error.value.response.headers["retry-after"] == "7"
    if provider == "anthropic":
        assert (error.value.status_code, error.value.type) == (status, kinds.get(status, "api_error"))
    elif provider == "google":
        assert (error.value.code, error.value.status) == (status, statuses[status])
        assert error.value.details["error"]["details"][0]["retryDelay"] == "7s"
    else:
        assert error.value.status_code == status
        assert error.value.body["code"] == (
            status if provider == "compatible" else {429: "rate_limit_exceeded"}.get(status)
        )


@every
def test_a_service_that_comes_back(provider):
    with model_server([failure(429, retry_after=1), failure(503), text("back")]) as server:
        answers = [post(server, provider, HELLO[provider]) for _ in range(3)]
    assert [answer[0] for answer in answers] == [429, 503, 200]
    assert [answer[1]["Retry-After"] for answer in answers] == ["1", None, None]
    assert [received.status for received in server.received] == [429, 503, 200]


@every
def test_answers_that_are_no_answers(provider):
    with model_server([cut(value(PLAN)), page(), page(200, b'{"choices": 3', "application/json")]) as server:
        with pytest.raises(http.client.IncompleteRead) as error:
            post(server, provider, HELLO[provider])
        with pytest.raises(json.JSONDecodeError):
            json.loads(error.value.partial)
        status, headers, body = post(server, provider, HELLO[provider])
        assert (status, headers["Content-Type"].split(";")[0]) == (200, "text/html")
        assert body.startswith(b"<!DOCTYPE html>")
        assert post(server, provider, HELLO[provider])[2] == b'{"choices": 3'
        for reply in (cut(value(PLAN)), page()):
            server.queue(reply)
            with pytest.raises((ModelAPIError, UnexpectedModelBehavior)):
                run(server, provider, ToolOutput(Plan))


@every
def test_answers_that_are_too_big(provider):
    with model_server([big(text("a")), zipped(big(text("a"))), text("x" * 10_000_000)]) as server:
        plain = post(server, provider, HELLO[provider])[2]
        assert len(plain) == 10_000_000
        assert json.loads(plain)
        _, headers, packed = post(server, provider, HELLO[provider], Accept_Encoding="gzip")
        assert (headers["Content-Encoding"], len(packed) < 20_000) == ("gzip", True)
        assert len(by_client(server, provider)[0]) == 10_000_000


@every
def test_answers_that_come_late_or_never(provider):
    with model_server([silent(), slow(text("late"), 0.2), dripping(text("drop by drop"), 0.002)]) as server:
        begun = time.monotonic()
        with pytest.raises(ModelAPIError):
            run(server, provider, timeout=2)
        assert 2 <= time.monotonic() - begun < SOON
        begun = time.monotonic()
        assert by_client(server, provider)[0] == "late"
        assert time.monotonic() - begun >= 0.2
        begun = time.monotonic()
        assert by_client(server, provider)[0] == "drop by drop"
        assert time.monotonic() - begun >= 0.2
    assert [received.status for received in server.received] == [None, 200, 200]


@every
def test_a_service_that_goes_away(provider):
    with model_server([text("one"), last(text("two")), text("other")]) as server:
        assert [by_client(server, provider)[0] for _ in range(2)] == ["one", "two"]
        with pytest.raises(ConnectionRefusedError):
            post(server, provider, HELLO[provider])
        other = next(name for name in PROVIDERS if name != provider)
        assert by_client(server, other)[0] == "other"
        server.refuse(other)
        with pytest.raises(ConnectionRefusedError):
            post(server, other, HELLO[other])
    assert len(server.received) == 3


@every
def test_a_model_that_never_stops_calling(provider):
    with (
        model_server(call("no_such_tool", {"a": 1})) as server,
        pytest.raises((UsageLimitExceeded, UnexpectedModelBehavior)),
    ):
        run(server, provider, ToolOutput(Plan), retries=50, usage_limits=UsageLimits(request_limit=4))
    assert len(server.asked) == 4
    assert "no_such_tool" in server.asked[-1].messages[-1].text


@every
def test_what_is_no_json_or_stops_half_way(provider):
    with model_server(
        [malformed('{"table": "ord'), unfinished(PLAN), malformed("not json"), unfinished(PLAN)]
    ) as server:
        for output in (ToolOutput, NativeOutput):
            for _ in range(2):
                with pytest.raises(UnexpectedModelBehavior):
                    run(server, provider, output(Plan), retries=0)
    assert [asked.how for asked in server.asked] == ["tool", "tool", "native", "native"]


def test_broken_arguments_leave_anthropic_in_streams_only():
    body = HELLO["anthropic"] | {"tools": [{"name": "plan", "input_schema": SCHEMA}]}
    with model_server(malformed('{"table": oops')) as server:
        assert json.loads(post(server, "anthropic", body)[2])["content"][0]["input"] == {}
        assert b"oops" in post(server, "anthropic", body | {"stream": True})[2]


WRONG = [
    ("openai", {"model": "gpt-5.1"}, 400, "missing_required_parameter"),
    ("openai", {"messages": [{"role": "user", "content": "hi"}]}, 400, "missing_required_parameter"),
    ("openai", HELLO["openai"] | {"what": 1}, 400, "unknown_parameter"),
    ("openai", HELLO["openai"] | {"messages": []}, 400, "invalid_value"),
    ("openai", HELLO["openai"] | {"messages": [{"role": "robot"}]}, 400, "invalid_value"),
    ("openai", HELLO["openai"] | {"model": "no-such-model"}, 404, "model_not_found"),
    ("openai", HELLO["openai"] | {"tool_choice": "required"}, 400, "only allowed when 'tools'"),
    ("openai", HELLO["openai"] | {"response_format": {"type": "json_object"}}, 400, "the word 'json'"),
    ("openai", HELLO["openai"] | {"response_format": {"type": "json_schema"}}, 400, "response_format.json_schema"),
    ("compatible", HELLO["compatible"] | {"model": "no-such-model"}, 404, "NotFoundError"),
    ("compatible", {"model": "qwen3"}, 400, "BadRequestError"),
    ("anthropic", {"model": "claude-opus-5", "messages": []}, 400, "max_tokens: Field required"),
    ("anthropic", HELLO["anthropic"] | {"what": 1}, 400, "what: Extra inputs are not permitted"),
    ("anthropic", HELLO["anthropic"] | {"messages": []}, 400, "invalid_request_error"),
    ("anthropic", HELLO["anthropic"] | {"messages": [{"role": "user", "content": " "}]}, 400, "must be non-empty"),
    ("anthropic", HELLO["anthropic"] | {"messages": [{"role": "assistant", "content": "a"}]}, 400, "prefill"),
    ("anthropic", HELLO["anthropic"] | {"tool_choice": {"type": "any"}}, 400, "while providing tools"),
    ("anthropic", HELLO["anthropic"] | {"model": "no-such-model"}, 404, "not_found_error"),
    ("google", {}, 400, "contents is not specified"),
    ("google", HELLO["google"] | {"what": 1}, 400, 'Unknown name \\"what\\"'),
    ("google", HELLO["google"] | {"contents": []}, 400, "INVALID_ARGUMENT"),
    ("google", {"contents": [{"role": "robot", "parts": [{"text": "hi"}]}]}, 400, "valid role"),
    ("google", HELLO["google"] | {"toolConfig": {"function_calling_config": {"mode": "ANY"}}}, 400, "function_decl"),
]


@pytest.mark.parametrize(("provider", "body", "status", "told"), WRONG)
def test_requests_that_the_services_do_not_take(provider, body, status, told):
    with model_server() as server:
        answer = post(server, provider, body)
    assert answer[0] == status
    assert told in answer[2].decode()
    assert server.asked == []


@every
def test_paths_verbs_and_bodies_that_are_none(provider):
    with model_server() as server:
        assert post(server, provider, HELLO[provider], path="/v2/else")[0] == 404
        assert post(server, provider, HELLO[provider], verb="GET")[0] == 405
        assert post(server, provider, b'{"model": ')[0] == 400
        assert post(server, provider, [])[0] == 400
    assert [received.parsed for received in server.received[-2:]] == [None, []]
    assert server.asked == []


@every
def test_keys_that_are_missing_or_wrong(provider):
    none = {"openai": 401, "compatible": 200, "anthropic": 401, "google": 403}
    wrong = {"google": 400}
    with model_server(text("ok")) as server:
        status, _, body = post(server, provider, HELLO[provider], authorization=None, x_goog_api_key=None)
        assert status == none[provider]
        assert json.loads(body)
        assert post(server, provider, HELLO[provider])[0] == 200
    with model_server(text("ok"), keys=dict.fromkeys(PROVIDERS, "other")) as server:
        assert post(server, provider, HELLO[provider])[0] == wrong.get(provider, 401)
        assert server.asked == []
        right = {"authorization": "Bearer other", "x_goog_api_key": "other"}
        assert post(server, provider, HELLO[provider], **right)[0] == 200


def test_the_version_that_anthropic_wants():
    with model_server() as server:
        status, _, body = post(server, "anthropic", HELLO["anthropic"], anthropic_version=None)
    assert (status, "anthropic-version" in body.decode()) == (400, True)


def test_a_model_that_gemini_does_not_know():
    with model_server(text("ok"), models={"google": ["gemini-9*"]}) as server:
        for name, status in (("gemini-2.5-pro", 404), ("gemini-9-pro", 200)):
            path = f"/v1beta/models/{name}:generateContent"
            assert post(server, "google", HELLO["google"], path=path)[0] == status


def calling(provider, *, called, answered, goes_on=False):
    """A conversation in which a tool was called (or not) and has answered (or not), and the user goes on (or not)."""
    if provider == "google":
        call = {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}
        result = {"role": "user", "parts": [{"function_response": {"name": "f", "response": {"a": 1}}}]}
    elif provider == "anthropic":
        call = {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {}}]}
        result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": '{"a": 1}'}]}
    else:
        used = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        call = {"role": "assistant", "content": None, "tool_calls": [used]}
        result = {"role": "tool", "tool_call_id": "1", "content": '{"a": 1}'}
    field = "contents" if provider == "google" else "messages"
    (said,) = HELLO[provider][field]
    return HELLO[provider] | {field: [said, *[call] * called, *[result] * answered, *[said] * goes_on]}


@every
def test_calls_and_results_belong_together(provider):
    with model_server(text("ok")) as server:
        assert post(server, provider, calling(provider, called=True, answered=True))[0] == 200
        assert post(server, provider, calling(provider, called=True, answered=False))[0] == 400
        assert post(server, provider, calling(provider, called=True, answered=False, goes_on=True))[0] == 400
        assert post(server, provider, calling(provider, called=False, answered=True))[0] == 400
        late = calling(provider, called=True, answered=True)
        turns = late["contents" if provider == "google" else "messages"]
        turns.insert(2, turns[0])
        assert post(server, provider, late)[0] == 400
    (asked,) = server.asked
    assert [tuple(one) for one in asked.messages] == [("user", "hi"), ("assistant", "{}"), ("tool", '{"a": 1}')]


def test_schemas_that_strict_modes_do_not_take():
    loose = {"type": "object", "properties": {"a": {"type": "object", "additionalProperties": False}}, "required": []}
    for schema, good in ((SCHEMA, True), (loose, False), (loose | {"additionalProperties": False}, False)):
        wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
        tool = {"type": "function", "function": {"name": "x", "parameters": schema, "strict": True}}
        with model_server(value({})) as server:
            for more in ({"response_format": wanted}, {"tools": [tool]}):
                status, _, body = post(server, "openai", HELLO["openai"] | more)
                assert (status, b"Invalid schema" in body) == ((200, False) if good else (400, True))
            wanted["json_schema"]["strict"] = tool["function"]["strict"] = False
            for more in ({"response_format": wanted}, {"tools": [tool]}):
                assert post(server, "openai", HELLO["openai"] | more)[0] == 200
    with model_server(value({})) as server:
        for schema, status in ((SCHEMA, 200), (loose, 400)):
            wanted = {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
            assert post(server, "anthropic", HELLO["anthropic"] | wanted)[0] == status


def test_gemini_takes_no_tools_beside_a_format():
    more = {"tools": [{"functionDeclarations": [{"name": "f"}]}]}
    more |= {"generationConfig": {"response_mime_type": "application/json"}}
    with model_server() as server:
        assert post(server, "google", HELLO["google"] | more)[0] == 400


@every
def test_what_no_script_foresees_fails_the_test(provider):
    def broken(asked):
        raise LookupError(asked.provider)

    for script, told in (([], f"request 1, of {provider}, is beyond the script"), (broken, f"LookupError: {provider}")):
        with (
            pytest.raises(AssertionError, match=told),
            model_server(script) as server,
            pytest.raises(http.client.RemoteDisconnected),
        ):
            post(server, provider, HELLO[provider])
