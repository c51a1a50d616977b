"""The text of a notification, as people read it."""

from osiris.notify.message import text_of, title_of

BODY = {
    "events": ["failure", "drift"],
    "project": "shop",
    "pipeline": "orders",
    "text": "Step load failed: CON014 the server closed the connection",
    "cause": {"remedy": "check the log of the server"},
    "written": [
        {"step": "a", "target": "output/a.csv", "rows": 1, "state": "written"},
        {"step": "b", "target": None, "rows": 1234, "state": "kept"},
        {"step": "c", "target": "sales in @postgres.wh", "rows": None, "state": "unknown"},
        {"step": "d", "target": "output/d\u202e\n.csv", "rows": 0, "state": "nothing"},
    ],
    "safe_to_retry": None,
    "retry": "Part of the rows of c may already be written and would be sent again.",
    "next": ["osiris explain CON014"],
}
TEXT = """\
Step load failed: CON014 the server closed the connection
Remedy: check the log of the server
output/a.csv: 1 row written
b: 1,234 rows written, on record as delivered
sales in @postgres.wh: it is not certain whether rows were written
output/d .csv: nothing written
A retry may write rows twice. Part of the rows of c may already be written and would be sent again.
Next:
  osiris explain CON014"""


def test_a_text_has_cause_what_was_written_and_what_to_do():
    assert title_of(BODY) == "orders failed: its source changed (shop)"
    assert " ".join(text_of(BODY, 5_000).split()) == " ".join(TEXT.split())
    assert text_of(BODY, 5_000).count("\n") == TEXT.count("\n")


def test_a_long_text_is_cut():
    assert text_of(BODY, 100) == text_of(BODY, 5_000)[:99] + "…"
    assert len(title_of(BODY | {"project": "x" * 1_000})) == 150
