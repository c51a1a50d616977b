"""The receivers of webhooks keep what arrives, and refuse what Slack refuses."""

import json
import urllib.parse

import httpx
import pytest
from tests.patience import SOON, wait_until
from tests.servers.hooks import REFUSALS, redirect, start_slack
from tests.servers.http_double import Answer


def test_requests_are_kept(hooks):
    assert httpx.post(hooks.url + "/a%20b?c=d", json={"e": "ü"}, headers={"X-One": "1"}).text == "ok"
    assert httpx.put(hooks.url, content=iter([b"chunk", b"ed"])).status_code == 200
    first, second = hooks.requests
    assert (first.method, first.path, first.query, first.json()) == ("POST", "/a b", {"c": "d"}, {"e": "ü"})
    assert first.headers["x-one"] == "1"
    assert (second.method, second.body) == ("PUT", b"chunked")


def test_any_answer(hooks):
    hooks.script.extend([Answer(503, "later", {"Retry-After": "2"}), redirect(hooks.url + "/there", 307)])
    refused = httpx.post(hooks.url)
    assert (refused.status_code, refused.text, refused.headers["retry-after"]) == (503, "later", "2")
    assert httpx.post(hooks.url, content=b"x", follow_redirects=True).status_code == 200
    assert [(one.path, one.body) for one in hooks.requests[1:]] == [("/", b"x"), ("/there", b"x")]
    hooks.always = Answer(204)
    with httpx.Client() as client:
        assert [client.post(hooks.url).status_code for _ in range(3)] == [204, 204, 204]


def test_faults(hooks):
    hooks.faults.drop = True
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.post(hooks.url)
    hooks.faults.drop, hooks.faults.hang = False, True
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(hooks.url, timeout=httpx.Timeout(SOON, read=0.2))
    wait_until(lambda: len(hooks.requests) == 2)


def section(text):
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


GOOD = [
    {"text": "hello"},
    {"blocks": [section("x" * 3000)] * 50},
    {"blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x" * 150}}, {"type": "divider"}]},
    {"blocks": [{"type": "context", "elements": [{"type": "mrkdwn", "text": "x"}] * 10}]},
    {"blocks": [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2000}] * 10}]},
    {"attachments": [{"text": "x"}] * 100},
]
BAD = [
    ("no_text", {}),
    ("no_text", {"text": ""}),
    ("no_text", {"text": " \n"}),
    ("invalid_payload", []),
    ("invalid_payload", {"text": 1}),
    ("invalid_blocks_format", {"blocks": "x"}),
    ("invalid_blocks", {"blocks": [section("x")] * 51}),
    ("invalid_blocks", {"text": "also", "blocks": [section("x" * 3001)]}),
    ("invalid_blocks", {"blocks": [section("")]}),
    ("invalid_blocks", {"blocks": [{"type": "section"}]}),
    ("invalid_blocks", {"blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}]}),
    ("invalid_blocks", {"blocks": [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]}),
    ("invalid_blocks", {"blocks": [{"type": "context", "elements": [{"type": "mrkdwn", "text": "x"}] * 11}]}),
    ("invalid_blocks", {"blocks": [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2001}]}]}),
    ("invalid_blocks", {"blocks": [{"type": "unknown"}]}),
    ("too_many_attachments", {"attachments": [{"text": "x"}] * 101}),
]


def test_slack_accepts(slack):
    for message in GOOD:
        answer = httpx.post(slack.url, json=message)
        assert (answer.status_code, answer.text) == (200, "ok")
    form = urllib.parse.urlencode({"payload": json.dumps({"text": "form"})})
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    assert httpx.post(slack.url, content=form, headers=kind).text == "ok"
    assert [message["text"] for message in slack.messages] == ["hello", "", "", "", "", "", "form"]
    assert httpx.post(slack.url, json={"text": "x" * 50_000}).text == "ok"
    assert len(slack.messages[-1]["text"]) == 40_000


@pytest.mark.parametrize(("name", "message"), BAD)
def test_slack_refuses(slack, name, message):
    answer = httpx.post(slack.url, json=message)
    assert (answer.status_code, answer.text) == (400, name)
    assert slack.messages == []


def test_slack_refuses_addresses(slack):
    start, team, service, secret = slack.url.rsplit("/", 3)
    for at, status, name in (
        (f"T1/{service}/{secret}", 404, "no_team"),
        (f"{team}/B1/{secret}", 404, "no_service"),
        (f"{team}/{service}/wrong", 403, "invalid_token"),
        (f"{team}/{service}", 404, "no_team"),
    ):
        answer = httpx.post(f"{start}/{at}", json={"text": "x"})
        assert (answer.status_code, answer.text) == (status, name)
    assert httpx.post(slack.url, content=b"{").text == "invalid_payload"
    assert httpx.get(slack.url).status_code == 405


def test_slack_refuses_what_a_test_says(slack):
    for name, status in REFUSALS.items():
        slack.refuse(name)
        answer = httpx.post(slack.url, json={"text": "x"})
        assert (answer.status_code, answer.text) == (status, name)
        assert (answer.headers.get("retry-after") == "1") is (status == 429)
    slack.refuse(None)
    assert httpx.post(slack.url, json={"text": "x"}).text == "ok"
    with pytest.raises(ValueError, match="none"):
        slack.refuse("none")


def test_slack_by_https():
    with start_slack(tls=True) as slack:
        assert slack.url.startswith("https://127.0.0.1:")
        assert httpx.post(slack.url, json={"text": "x"}, verify=False).text == "ok"
