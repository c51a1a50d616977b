"""Every question of the guide in a pipe: an invalid answer ends it, with the question, the answer and the choices."""

import contextlib
import sqlite3

import pytest
from tests.e2e.test_guide import folder, piped
from tests.terminal import Terminal

__all__ = ["folder"]

WRONG = ("nowhere at all", "", "999")
NO_NUMBER = ("nowhere at all", "", "1_000")
READ = ["orders.csv"]
KEEP = [*READ, "Keep some rows"]
PIVOT = [*READ, "Columns from values", "status", "paid", "customer"]
FIRST = [*READ, "First N rows per group", "customer", "amount (largest first)"]
JOIN = [*READ, "Join another table"]
OTHER = [*JOIN, "customers.csv", "other columns …"]
TABLE = [*READ, "Write the result", "table of @sqlite.a"]
ACCEPT = [*READ, "Write the result", "output/x.csv"]

# Each question: the lines before it, its answers that are none, and words of what can be answered.
QUESTIONS = {
    "What do you want to read?": ([], WRONG, "choose from"),
    "What next?": (READ, (*WRONG, "--limit"), "Write the result"),
    "Keep rows by which column, or which values?": (KEEP, WRONG, "customer"),
    "Keep rows where amount is …": ([*KEEP, "amount"], NO_NUMBER, "or type a whole number"),
    "Keep rows where day is …": ([*KEEP, "day"], WRONG, "or type a date"),
    "Keep rows where begun is …": ([*KEEP, "begun"], WRONG, "or type a date or timestamp"),
    "Keep rows where status is …": ([*KEEP, "status"], ("", "'paid'", "= paid", "#999", "paid, nowhere"), "open, paid"),
    "amount >= which value?": ([*KEEP, "amount", "at least …"], NO_NUMBER, "type a whole number"),
    "amount from which value?": ([*KEEP, "amount", "between … and …"], NO_NUMBER, "type a whole number"),
    "amount > which column?": ([*KEEP, "amount", "more than another column …"], WRONG, "id"),
    "amount is not …": ([*KEEP, "amount", "is not …"], NO_NUMBER, "type a whole number"),
    "Which value is meant by PAID?": ([*KEEP, "status", "PAID"], WRONG, "choose from paid, PAID"),
    "Group by which columns?": ([*READ, "Group and measure"], (*WRONG, "customer, nowhere"), "customer"),
    "Measure what of each group?": ([*READ, "Group and measure", "customer"], WRONG, "number of rows"),
    "The values of which column become columns?": (PIVOT[:2], WRONG, "status"),
    "Which values? These are the most frequent. Typed ones have commas between them.": (
        PIVOT[:3],
        ("", "#999", "paid, nowhere"),
        "paid",
    ),
    "One row for each …?": (PIVOT[:4], WRONG, "customer"),
    "What is in the columns?": (PIVOT, WRONG, "number of rows"),
    "Compute what?": ([*READ, "Compute a column"], WRONG, "round a number"),
    "Round a number: of which column?": ([*READ, "round a number"], WRONG, "amount"),
    "To how many decimal places?": ([*READ, "round a number", "amount"], (*NO_NUMBER, "-1"), "a whole number from 0"),
    "How many characters?": (
        [*READ, "first characters of a text or date", "status"],
        (*NO_NUMBER, "0", "-1"),
        "a whole number from 1",
    ),
    "Replace which text?": ([*READ, "replace a part of a text", "status"], ("",), "type a text"),
    "By which text?": ([*READ, "replace a part of a text", "status", "paid"], ("#2",), "nothing"),
    "Subtract which column or value from amount?": (
        [*READ, "subtract two numbers", "amount"],
        NO_NUMBER,
        "or type a number",
    ),
    "Join text: customer and which column?": ([*READ, "join two texts", "customer"], WRONG, "status"),
    "What goes between them?": ([*READ, "join two texts", "customer", "status"], ("", "#3"), "a blank"),
    "One row of each …?": ([*READ, "One row per group"], WRONG, "customer"),
    "Which one?": ([*READ, "One row per group", "customer"], WRONG, "amount (largest first)"),
    "First rows of each …?": (FIRST[:2], WRONG, "customer"),
    "Which rows are the first?": (FIRST[:3], WRONG, "amount (largest first)"),
    "How many of each?": (FIRST, (*NO_NUMBER, "0", "-3", "9" * 30, "9" * 5000), "a whole number from 1"),
    "Which columns?": ([*READ, "Choose columns"], WRONG, "customer"),
    "Sort by what?": ([*READ, "Sort"], WRONG, "id (largest first)"),
    "How many rows?": ([*READ, "Sort, first N rows", "id (largest first)"], (*NO_NUMBER, "0", "-3"), "from 1"),
    "Join which table or file?": (JOIN, WRONG, "customers.csv"),
    "By which key is lines.csv joined?": ([*JOIN, "lines.csv"], ("id", *WRONG), "'id, drop rows without a match'"),
    "By which key is customers.csv joined?": ([*JOIN, "customers.csv"], WRONG, "other columns"),
    "Which column so far?": (OTHER, WRONG, "customer"),
    "customer equals which column of it?": ([*OTHER, "customer"], WRONG, "name"),
    "Keep rows without a match?": ([*OTHER, "customer", "name"], WRONG, "keep them, drop them"),
    "Join it all the same?": ([*JOIN, "lines.csv", "1"], WRONG, "no, do not join lines.csv"),
    "How does spelled spell dates?": ([*READ, "read a text as a date", "spelled"], WRONG, "day/month/year"),
    "How does cost spell numbers?": ([*READ, "read a text as a number", "cost"], WRONG, "two decimal places"),
    "Where does it go?": ([*READ, "Write the result"], (*WRONG, "output/x", "output/x.txt"), "Parquet file"),
    "Which table of @sqlite.a?": (TABLE, ("", "#999"), "target"),
    "What should happen to the existing rows of target?": ([*TABLE, "target"], WRONG, "append"),
    "Which columns identify a row?": ([*TABLE, "target", "upsert"], WRONG, "id"),
    "save and run it?": (ACCEPT, WRONG, "Yes, save it and run it"),
    "Name of the pipeline?": ([*ACCEPT, "Another name"], ("", "#9"), "or type a name"),
    "Is that meant?": ([*READ, "Write the result", "output/kept.csv", "yes"], WRONG, "no, choose another target"),
}
SOME = ("What next?", "Keep rows where status is …", "How many of each?", "Where does it go?")


@pytest.fixture
def shop(folder):
    """Return a project with orders, two files to join them with, a database, and a file that is there already."""
    rows = [
        f"{n},c{n},{('paid', 'open')[n % 2]},{n * 5},2025-01-{n:02},{n % 12 + 1:02}/02/2025,{n:03},2025-01-01 10:00:00"
        for n in range(1, 31)
    ]
    header = "id,customer,status,amount,day,spelled,cost,begun"
    (folder / "orders.csv").write_text("\n".join([header, *rows]) + "\n")
    (folder / "customers.csv").write_text("code,name\nc1,Ada\nx2,c2\n")
    (folder / "lines.csv").write_text("id,item\n1,p\n1,q\n2,r\n3,s\n")
    with contextlib.closing(sqlite3.connect(folder / "a.sqlite")) as file, file:
        file.execute("CREATE TABLE target (id INTEGER PRIMARY KEY, name TEXT)")
    (folder / "osiris_connections.yaml").write_text("connections:\n  sqlite:\n    a: {path: a.sqlite}\n")
    (folder / "output").mkdir()
    (folder / "output/kept.csv").write_text("mine\n")
    return folder


def last(text):
    """Return the diagnostic at the end of an output, on one line."""
    return " ".join(text[text.rindex("CHT05") :].split())


@pytest.mark.parametrize(
    "question", [pytest.param(each, marks=[] if each in SOME else [pytest.mark.long]) for each in QUESTIONS]
)
def test_an_answer_that_is_none_ends_a_pipe_with_the_question_the_answer_and_the_choices(osiris, shop, question):
    lines, answers, offered = QUESTIONS[question]
    waiting = last(piped(osiris, shop, *lines, code=1).stderr)
    assert waiting.startswith("CHT051 the guide is waiting: ")
    assert question in waiting
    assert offered in waiting
    for answer in answers:
        ended = last(piped(osiris, shop, answer, "CSV file", "yes", code=2, args=["--resume"]).stderr)
        assert ended.startswith(f"CHT055 '{answer[:30]}" if answer else "CHT055 an empty line")
        assert f"{question}': " in ended
        assert offered in ended or "--limit" in ended
        assert ended.endswith("continue: osiris new --resume")
    assert sorted(path.name for path in (shop / "output").iterdir()) == ["kept.csv"]
    assert not (shop / "pipelines").exists()


# What is typed may mean one choice: it names that choice, which is not taken.
NEAR = {
    "measure": (READ, "type Group and measure"),
    "cust": ([*READ, "Group and measure"], "type one of these: customer, "),
    "parq": ([*READ, "Write the result"], "type Parquet file"),
    "amo": ([*READ, "round a number"], "type amount"),
    "most": ([*KEEP, "amount"], "type at most …"),
    "orders": ([], "type orders.csv"),
}


@pytest.mark.parametrize("typed", NEAR)
def test_a_part_of_a_name_ends_a_pipe_and_the_name_is_said(osiris, shop, typed):
    lines, instead = NEAR[typed]
    ended = last(piped(osiris, shop, *lines, typed, "yes", code=2).stderr)
    assert ended.startswith(f"CHT055 '{typed}' does not answer ")
    assert instead in ended


@pytest.mark.parametrize(("answer", "echoed"), [("yes", "orders.csv"), ("no", None), ("", None)])
def test_a_part_of_one_name_is_asked_about_in_a_terminal(shop, answer, echoed):
    terminal = Terminal(shop, "--plain").until(":quit)")
    terminal.process.send("order\r")
    terminal.until("'order' may mean 'orders.csv'. Is that meant? (yes, no)")
    terminal.process.send(f"{answer}\r")
    if echoed:
        terminal.until(f"What do you want to read? {echoed}").until("What next?")
    else:
        terminal.process.send("lines.csv\r")
        terminal.until("What do you want to read? lines.csv").until("What next?")
    terminal.process.send(":quit\r")
    assert terminal.end() == 0


@pytest.mark.parametrize(
    ("lines", "echoed"),
    [
        (["ORDERS.CSV"], "What do you want to read? orders.csv"),
        ([*READ, "SORT"], "What next? Sort"),
        ([*KEEP, "amount", "at least"], "Keep rows where amount is … at least …"),
        ([*KEEP, "status", "Contains"], "Keep rows where status is … contains …"),
        ([*READ, "subtract two numbers", "amount", "ID"], "Subtract which column or value from amount? id"),
        ([*TABLE, "TARGET"], "Which table of @sqlite.a? target"),
    ],
)
def test_a_name_in_another_case_is_taken_and_echoed(osiris, shop, lines, echoed):
    assert echoed in piped(osiris, shop, *lines, code=1).stderr


def test_two_words_are_not_one_choice(osiris, shop):
    ended = last(piped(osiris, shop, *READ, "Choose columns", "status, STATUS", code=2).stderr)
    assert "'STATUS' is 'status', chosen twice" in ended


# An answer that the question takes, and that has no effect: what follows is meant for another question.
WITHOUT_EFFECT = {
    "Choose one column, or values": [*KEEP, "id, status is paid"],
    "Choose values, or one condition": [*KEEP, "status", "paid, is empty"],
    "Choose one column, or two": [
        *READ,
        "add two numbers",
        "id, amount",
        "add two numbers",
        "id, amount, id_add_amount",
    ],
    "No usual way to spell dates fits": [*READ, "read a text as a date", "status"],
    "are not spelled like": [*READ, "read a text as a date and time", "status"],
    "No usual way to spell numbers fits": [*READ, "read a text as a number", "status"],
    "This does not work yet": [*READ, "Write the result", "output/${x}.csv"],
    "there is nothing to choose": ["names.csv", "Columns from values", "name", "a", "x"],
}


@pytest.mark.parametrize("problem", WITHOUT_EFFECT)
def test_an_answer_without_effect_ends_a_pipe(osiris, shop, problem):
    (shop / "names.csv").write_text("name\na\n")
    ended = last(piped(osiris, shop, *WITHOUT_EFFECT[problem], "Write a CSV file", "yes", code=2).stderr)
    assert ended.startswith("CHT055")
    assert problem in ended
    assert not (shop / "pipelines").exists()
    assert "is waiting" in last(piped(osiris, shop, code=1, args=["--resume"]).stderr)


def test_a_question_without_choices_is_left_by_going_back(osiris, folder):
    (folder / "a.csv").write_text("name\na\nb\n")
    lines = ["a.csv", "Columns from values", "name", "a", ":back", ":back", ":back"]
    piped(osiris, folder, *lines, "Write a CSV file", "yes", code=0)
    assert (folder / "output/a.csv").read_text() == "name\na\nb\n"
