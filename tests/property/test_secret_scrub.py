"""The scrubber finds every secret, however it is written."""

import base64
import csv
import html
import io
import json
import shlex
import urllib.parse

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osiris.secret import Scrubber, Secret


def as_csv(value):
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL).writerow([value])
    return out.getvalue()


ENCODINGS = {
    "raw": lambda v: v,
    "reversed": lambda v: v[::-1],
    "upper": str.upper,
    "lower": str.lower,
    "url": lambda v: urllib.parse.quote(v, safe=""),
    "url path": urllib.parse.quote,
    "url plus": urllib.parse.quote_plus,
    "url twice": lambda v: urllib.parse.quote(urllib.parse.quote(v, safe=""), safe=""),
    "url form": lambda v: urllib.parse.urlencode({"password": v}),
    "json": json.dumps,
    "json utf-8": lambda v: json.dumps(v, ensure_ascii=False),
    "json slash": lambda v: json.dumps(v).replace("/", "\\/"),
    "json twice": lambda v: json.dumps(json.dumps({"p": v})),
    "html": html.escape,
    "html soft": lambda v: html.escape(v, quote=False),
    "sql": lambda v: "'" + v.replace("'", "''") + "'",
    "mysql": lambda v: v.replace("\\", "\\\\").replace("'", "\\'"),
    "identifier": lambda v: '"' + v.replace('"', '""') + '"',
    "csv": as_csv,
    "repr": repr,
    "ascii": ascii,
    "bytes": lambda v: repr(v.encode()),
    "shell": shlex.quote,
    "hex": lambda v: v.encode().hex(),
    "hex upper": lambda v: v.encode().hex().upper(),
    "utf-16": lambda v: v.encode("utf-16-le").decode("latin-1"),
    "truncated": lambda v: v[: max(12, len(v) // 2)] if len(v) >= 12 else v,
}

secrets = st.text(st.characters(codec="utf-8"), min_size=8, max_size=60).filter(lambda v: len(v.strip()) >= 8)
around = st.text(max_size=20)


@pytest.mark.long
@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(deadline=None)
@given(secret=secrets, before=around, after=around)
def test_no_encoding_hides_a_secret(encoding, secret, before, after):
    written = ENCODINGS[encoding](secret)
    clean = Scrubber([Secret(secret)]).text(f"{before} {written} {after}")
    assert secret not in clean
    assert encoding == "truncated" or written.strip("'\"\r\n") not in clean or "*" in secret


@settings(deadline=None)
@given(secret=secrets, before=st.binary(max_size=9), after=st.binary(max_size=9), safe=st.booleans())
def test_base64_at_any_alignment_hides_no_secret(secret, before, after, safe):
    encode = base64.urlsafe_b64encode if safe else base64.b64encode
    inner = Scrubber([Secret(secret)]).text(encode(before + secret.encode() + after).decode())
    assert "***" in inner


@settings(deadline=None)
@given(
    secret=secrets, value=st.recursive(st.text() | st.integers() | st.booleans() | st.none(), st.lists, max_leaves=9)
)
def test_a_line_stays_json_and_holds_no_secret(secret, value):
    line = json.dumps({"event": "x", "value": value, "message": f"login {secret} failed"}).encode() + b"\n"
    clean = json.loads(Scrubber([Secret(secret)]).line(line))
    assert clean["event"] == "x"
    assert secret not in clean["message"]
    assert set(clean) == {"event", "value", "message"}


@settings(deadline=None)
@given(secrets=st.lists(secrets, min_size=1, max_size=4), text=st.text(max_size=200))
def test_a_clean_text_is_not_changed(secrets, text):
    scrubber = Scrubber(map(Secret, secrets))
    once = scrubber.text(text)
    assert scrubber.text(once) == once or any("*" in secret for secret in secrets)
