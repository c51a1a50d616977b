"""The guide through the command: a person at a terminal, and lines from a pipe; results compared with plain Python."""

import contextlib
import os
import shlex
import shutil
import signal
import socket
import sqlite3
from collections import defaultdict

import pyarrow.parquet
import pytest
from tests.terminal import Terminal

from osiris import api

ANSWERS = [
    "data/flights.parquet",
    "Group and measure",
    "carrier, month of time_hour",
    "number of rows, average of dep_delay",
    "Write the result",
    "Parquet file",
    "Yes, save it and run it",
]
WRITTEN = "output/flights_by_carrier_time_hour_month.parquet"


@pytest.fixture(scope="module")
def demo_data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "flights"
    api.lay_out("demo", folder)
    return folder / "data"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "osiris.yaml").write_text("{}\n")
    return tmp_path


@pytest.fixture
def demo(folder, demo_data):
    shutil.copytree(demo_data, folder / "data")
    return folder


def truth(folder):
    """Return flights and mean delay by carrier and month, computed from the rows."""
    delays = defaultdict(list)
    for row in pyarrow.parquet.read_table(folder / "data/flights.parquet").to_pylist():
        delays[row["carrier"], row["time_hour"].date().replace(day=1)].append(row["dep_delay"])
    means = {key: [each for each in found if each is not None] for key, found in delays.items()}
    return {key: (len(found), sum(means[key]) / len(means[key])) for key, found in delays.items()}


def written(folder):
    rows = pyarrow.parquet.read_table(folder / WRITTEN).to_pylist()
    return {(row["carrier"], row["time_hour_month"]): (row["rows"], row["average_dep_delay"]) for row in rows}


def has_right_numbers(folder):
    expected, found = truth(folder), written(folder)
    return found.keys() == expected.keys() and all(found[key] == pytest.approx(expected[key]) for key in found)


def files(folder):
    """Return the files of a project, except the record of conversations and the discovery cache."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in found if path.parts[0] not in ("logs", ".osiris", "data")}


def piped(osiris, folder, *lines, code, args=()):
    done = osiris("new", *args, cwd=folder, stdin="".join(f"{line}\n" for line in lines))
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_lines_of_a_pipe_become_a_pipeline_with_the_right_numbers(osiris, demo):
    shown = piped(osiris, demo, *ANSWERS, code=0).stderr
    assert has_right_numbers(demo)
    assert "one row per flights.carrier and time_hour_month" in shown
    assert "result: 27,004 rows in, 27 rows out" in shown
    command = next(line for line in shown.splitlines() if "as a command: " in line).partition("as a command: ")[2]
    assert command == (
        "osiris new --from data/flights.parquet --group carrier --group 'month(time_hour) as time_hour_month' "
        f"--avg dep_delay --count --to {WRITTEN}"
    )


@pytest.mark.long
def test_the_command_that_is_shown_does_the_same(osiris, demo):
    shown = piped(osiris, demo, *ANSWERS[:-1], code=1).stderr
    command = next(line for line in shown.splitlines() if "as a command: " in line).partition("as a command: ")[2]
    done = osiris(*shlex.split(command)[1:], "--yes", cwd=demo)
    assert done.returncode == 0, done.stderr
    assert has_right_numbers(demo)
    assert (demo / "pipelines/flights_by_carrier_time_hour_month.yaml").exists()


def test_a_person_at_a_terminal_gets_the_right_numbers(demo):
    terminal = Terminal(demo).until("What do you want to read?")
    terminal.choose("flights", then="What next?").choose("group", then="Group by")
    terminal.choose("carrier", "month of time_hour", then="Measure what")
    terminal.choose("number of rows", "average of dep_delay", then="What next?")
    terminal.choose("write the result", then="Where does it go?").choose("parquet", then="save and run it?")
    assert files(demo) == {"osiris.yaml"}
    terminal.choose("yes", then="complete")
    assert terminal.end() == 0
    assert has_right_numbers(demo)


def test_nothing_is_written_before_a_yes_and_answers_are_kept(osiris, demo):
    done = piped(osiris, demo, *ANSWERS[:-1], code=1)
    assert "CHT051" in done.stderr
    assert files(demo) == {"osiris.yaml"}
    piped(osiris, demo, ANSWERS[-1], code=0, args=["--resume"])
    assert has_right_numbers(demo)


def test_a_conversation_is_replayed_and_continued_by_its_own_command(osiris, demo):
    piped(osiris, demo, *ANSWERS[:-1], "Save it, do not run it", code=0)
    (session,) = (path.name for path in (demo / "logs").iterdir())
    oml = osiris("chat", "--replay", session, cwd=demo).stdout
    assert oml == (demo / "pipelines/flights_by_carrier_time_hour_month.yaml").read_text()
    piped(osiris, demo, *ANSWERS[:2], code=1)
    refused = osiris("chat", "--resume", max(path.name for path in (demo / "logs").iterdir()), cwd=demo)
    assert (refused.returncode, "CHT052" in refused.stderr) == (2, True)


def test_an_edit_keeps_everything_else(osiris, demo):
    piped(osiris, demo, *ANSWERS[:-1], "Save it, do not run it", code=0)
    (file,) = (demo / "pipelines").iterdir()
    before = file.read_text()
    answers = ["Sort, first N rows", "rows (largest first)", "3", "Write the result", "Yes, save it and run it"]
    piped(osiris, demo, *answers, code=0, args=["--edit", str(file)])
    assert [path.name for path in (demo / "pipelines").iterdir()] == [file.name]
    changed = set(file.read_text().splitlines()) ^ set(before.splitlines())
    assert {line.split()[0] for line in changed} <= {"ORDER", "LIMIT", "GROUP", "rows"}
    most = sorted((rows for rows, _ in truth(demo).values()), reverse=True)[:3]
    assert sorted((rows for rows, _ in written(demo).values()), reverse=True) == most


def test_an_edit_that_is_interrupted_is_resumed_as_an_edit(osiris, folder):
    (folder / "a.csv").write_text("id\n1\n2\n")
    piped(osiris, folder, "a.csv", "Write the result", "CSV file", "Save it, do not run it", code=0)
    piped(osiris, folder, "Keep some rows", "id", "more than …", code=1, args=["--edit", "pipelines/a.yaml"])
    piped(osiris, folder, "1", "Write the result", "Yes, save it and run it", code=0, args=["--resume"])
    assert [path.name for path in (folder / "pipelines").iterdir()] == ["a.yaml"]
    assert (folder / "output" / "a.csv").read_text() == "id\n2\n"


def test_a_pipeline_that_choices_cannot_express_is_not_edited(osiris, folder):
    (folder / "pipelines").mkdir()
    (folder / "pipelines/x.yaml").write_text("name: x\n")
    done = piped(osiris, folder, code=2, args=["--edit", "pipelines/x.yaml"])
    assert "CHT056" in done.stderr


def test_the_guide_has_nobody_to_ask_with_json(osiris, folder):
    done = osiris("new", "--json", cwd=folder)
    assert (done.returncode, "CHT053" in done.stdout) == (2, True)


def test_an_answer_that_is_none_is_refused_and_no_line_answers_another_question(osiris, demo):
    done = piped(osiris, demo, *ANSWERS[:2], "carrier, airline", *ANSWERS[3:], code=2)
    assert "CHT055" in done.stderr
    assert files(demo) == {"osiris.yaml"}
    piped(osiris, demo, *ANSWERS[2:], code=0, args=["--resume"])
    assert has_right_numbers(demo)


def test_a_sentence_gets_one_honest_answer(osiris, demo):
    done = piped(osiris, demo, "flights per carrier and month with the average delay", code=2)
    assert "Free text needs a model" in done.stderr
    assert "osiris.yaml" in done.stderr


def test_a_project_without_data_says_so(osiris, folder):
    done = piped(osiris, folder, "data/orders.csv", code=1)
    assert "There are no sources" in done.stderr


def test_a_file_that_is_overwritten_is_confirmed_by_itself(osiris, folder):
    (folder / "a.csv").write_text("id,name\n1,x\n")
    (folder / "output").mkdir()
    (folder / "output/a.csv").write_text("mine\n")
    answers = ["a.csv", "Write the result", "CSV file", "Yes, save it and run it"]
    done = piped(osiris, folder, *answers, code=1)
    assert "will be overwritten" in done.stderr
    assert (folder / "output/a.csv").read_text() == "mine\n"
    piped(osiris, folder, "yes", code=0, args=["--resume"])
    assert (folder / "output/a.csv").read_text() == "id,name\n1,x\n"


def test_a_plan_that_changed_before_the_yes_is_not_run(osiris, folder):
    (folder / "a.csv").write_text("id,name\n1,x\n")
    piped(osiris, folder, "a.csv", "Write the result", "output/a.csv", code=1)
    (folder / "a.csv").write_text("id,name,more\n1,x,2\n")
    done = piped(osiris, folder, "Yes, save it and run it", code=1, args=["--resume"])
    assert "CHT046" in done.stderr
    assert not (folder / "output").exists()


def test_the_command_that_is_shown_confirms_what_the_person_is_asked_to(osiris, folder):
    (folder / "a.csv").write_text("id,n\n1,x\n2,y\n")
    (folder / "b.csv").write_text("id,m\n1,p\n1,q\n2,r\n")
    (folder / "output").mkdir()
    (folder / "output/x.csv").write_text("mine\n")
    answers = ["a.csv", "Join another table", "b.csv", "id", "yes, rows may become more"]
    answers += ["Write the result", "output/x.csv"]
    shown = piped(osiris, folder, *answers, code=1).stderr
    command = next(line for line in shown.splitlines() if "as a command: " in line).partition("as a command: ")[2]
    assert {"--multiplies", "--mode"} <= {*command.split()}
    done = osiris(*shlex.split(command)[1:], "--yes", cwd=folder)
    assert done.returncode == 0, done.stderr
    rows = sorted((folder / "output/x.csv").read_text().splitlines()[1:])
    assert rows == ["1,x,p", "1,x,q", "2,y,r"]


def test_flags_are_typed_in_a_terminal(demo):
    terminal = Terminal(demo).until("What do you want to read?").choose("flights", then="What next?")
    terminal.choose("--group carrier, month(time_hour) as time_hour_month --count --avg dep_delay", then="group by")
    terminal.choose(f"--to {WRITTEN}", then="run it?").choose("yes", then="complete")
    assert terminal.end() == 0
    assert has_right_numbers(demo)


def test_a_line_of_flags_is_an_answer_in_a_pipe(osiris, demo):
    line = f"--group carrier, month(time_hour) as time_hour_month --count --avg dep_delay --to {WRITTEN}"
    piped(osiris, demo, "data/flights.parquet", line, "Yes, save it and run it", code=0)
    assert has_right_numbers(demo)


@pytest.mark.long
def test_a_terminal_of_40_columns(demo):
    terminal = Terminal(demo, columns=40).until("What do you want to read?")
    terminal.choose("flights", then="What next?").choose("group", then="Group by")
    terminal.choose("carrier", "month of time_hour", then="Measure what")
    terminal.choose("number of rows", "average of dep_delay", then="What next?")
    terminal.choose("write the result", then="Where does it go?").choose("parquet", then="run it?")
    terminal.choose("yes", then="complete")
    assert terminal.end() == 0
    assert has_right_numbers(demo)


@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL, "ctrl-c"])
def test_what_is_interrupted_is_resumed_where_it_was(demo, how):
    terminal = Terminal(demo).until("What do you want to read?")
    terminal.choose("flights", then="What next?").choose("group", then="Group by")
    terminal.choose("carrier", "month of time_hour", then="Measure what")
    if how == "ctrl-c":
        terminal.process.send("\x03")
    else:
        os.kill(terminal.process.pid, how)
    assert terminal.end() != 0
    assert ("osirisnew--resume" in "".join(terminal.shown().split())) == (how != signal.SIGKILL)
    assert files(demo) == {"osiris.yaml"}
    terminal = Terminal(demo, "--resume").until("Measure what")
    terminal.choose("number of rows", "average of dep_delay", then="What next?")
    terminal.choose("write the result", then="Where does it go?").choose("parquet", then="run it?")
    terminal.choose("yes", then="complete")
    assert terminal.end() == 0
    assert has_right_numbers(demo)


@pytest.mark.long
def test_killed_at_every_step_it_is_resumed_where_it_was(osiris, demo):
    """Each answer goes to a process that is killed while it waits for the next one."""
    for number, answer in enumerate(ANSWERS[:-1]):
        terminal = Terminal(demo, "--plain", *(["--resume"] if number else []))
        terminal.until(":quit)")
        terminal.process.send(f"{answer}\r")
        terminal.until(answer).until(":quit)", times=2)
        terminal.process.kill(signal.SIGKILL)
        terminal.end()
        assert files(demo) == {"osiris.yaml"}
    piped(osiris, demo, ANSWERS[-1], code=0, args=["--resume"])
    assert has_right_numbers(demo)


@pytest.mark.long
def test_back_and_rows_at_a_terminal(demo):
    terminal = Terminal(demo).until("What do you want to read?")
    terminal.choose("airlines", then="What next?")
    terminal.process.send("\x0c")
    terminal.until("Endeavor Air").until("What next?")
    terminal.process.send("\x1b")
    terminal.until("(back)").until("What do you want to read? ▏")
    terminal.process.send("\x04")
    terminal.until("(quit)")
    assert terminal.end() == 0
    assert files(demo) == {"osiris.yaml"}


def test_a_name_that_another_pipeline_has_is_asked_for_before_the_yes(osiris, folder):
    (folder / "a.csv").write_text("id\n1\n")
    answers = ["a.csv", "Write the result", "CSV file"]
    piped(osiris, folder, *answers, "Save it, do not run it", code=0)
    answers[-1] = "output/again.csv"
    shown = piped(osiris, folder, *answers, "b", "Yes, save it and run it", code=0).stderr
    assert "pipeline name 'a' is already used by pipelines/a.yaml" in shown
    assert {path.name for path in (folder / "pipelines").iterdir()} == {"a.yaml", "b.yaml"}
    assert (folder / "output" / "again.csv").read_text() == "id\n1\n"


def test_a_text_becomes_a_date_that_is_compared_and_values_become_columns(osiris, folder):
    (folder / "a.csv").write_text("born,kind\n06.08.2022,x\n31.12.1939,y\n01.02.1939,x\n")
    answers = ["a.csv", "Compute a column", "read a text as a date", "born"]
    answers += ["Keep some rows", "born_date", "less than …", "1940-01-01", "Columns from values", "kind", "x, y"]
    answers += ["year of born_date", "number of rows", "Write the result", "output/x.csv", "Yes, save it and run it"]
    piped(osiris, folder, *answers, code=0)
    assert (folder / "output" / "x.csv").read_text() == "born_date_year,x,y\n1939-01-01,1,1\n"


def test_numbers_and_dates_that_are_spelled_in_two_ways_and_minutes(osiris, folder):
    lines = ["n;cost;day;begun;ended", "1;1.234,50;31.12.1939;2025-01-01 10:00:59;2025-01-01 11:01:00"]
    (folder / "a.csv").write_text("\n".join([*lines, "2;7,05;2025-12-17;2025-01-02 00:00:00;2025-01-01 23:59:00"]))
    answers = ["a.csv", "Compute a column", "read a text as a number", "cost"]
    answers += ["two decimal places, as 1.234,50", "read a text as a date", "day"]
    answers += ["minutes between two times", "begun", "ended"]
    answers += ["--columns n, cost_number as euro, day_date as on, begun_minutes_between_ended as took --sort n"]
    piped(osiris, folder, *answers, "Write the result", "output/x.csv", "Yes, save it and run it", code=0)
    assert (
        folder / "output" / "x.csv"
    ).read_text() == "n,euro,on,took\n1,1234.50,1939-12-31,60\n2,7.05,2025-12-17,-1\n"


@pytest.mark.parametrize("value", ["'x'", "= x", "!= x"])
def test_a_value_as_sql_has_it_is_refused(osiris, folder, value):
    (folder / "a.csv").write_text("kind\nx\n")
    assert "type only the value" in piped(osiris, folder, "a.csv", "Keep some rows", "kind", value, code=2).stderr


NAMES = ['say "hi"', "a b", "€uro", "ünï", "select", "x" * 150, "with,comma", "2", ":back"]


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_hostile_names_of_columns(osiris, folder, name):
    quoted = '"' + name.replace('"', '""') + '"'
    (folder / "a.csv").write_text(f"id,{quoted}\n1,x\n2,y\n3,x\n", encoding="utf-8")
    answers = ["a.csv", "Group and measure", name, "number of rows", "Write the result", "Parquet file"]
    piped(osiris, folder, *answers, "Yes, save it and run it", code=0)
    (path,) = (folder / "output").glob("*.parquet")
    rows = pyarrow.parquet.read_table(path).to_pylist()
    assert {row[name]: row["rows"] for row in rows} == {"x": 2, "y": 1}


@pytest.mark.long
def test_names_that_a_terminal_would_act_upon_are_shown_as_escapes(osiris, folder):
    with contextlib.closing(sqlite3.connect(folder / "a.sqlite")) as file, file:
        file.execute('CREATE TABLE "t\x1b[2J" (id INTEGER)')
        file.execute('CREATE TABLE good (id INTEGER, "c\x1b[31m\nd" TEXT)')
    (folder / "osiris_connections.yaml").write_text("connections:\n  sqlite:\n    a: {path: a.sqlite}\n")
    done = piped(osiris, folder, "@sqlite.a/good", "Choose columns", code=1)
    assert "\x1b" not in done.stderr


@pytest.mark.long
def test_three_thousand_tables(folder):
    with contextlib.closing(sqlite3.connect(folder / "a.sqlite")) as file, file:
        for number in range(3000):
            file.execute(f"CREATE TABLE table_{number:04} (id INTEGER, name TEXT)")
        file.execute("INSERT INTO table_2718 VALUES (1, 'e')")
    (folder / "osiris_connections.yaml").write_text("connections:\n  sqlite:\n    a: {path: a.sqlite}\n")
    terminal = Terminal(folder).until("of 3,000")
    terminal.choose("2718", then="What next?").choose("write the result", then="Where").choose("csv", then="run it?")
    terminal.choose("yes", then="complete")
    assert terminal.end() == 0
    assert (folder / "output/table_2718.csv").read_text() == "id,name\n1,e\n"


@pytest.mark.long
def test_a_server_that_does_not_answer_holds_nothing_up(folder):
    (folder / "a.csv").write_text("id\n1\n")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        fields = f"host: 127.0.0.1, port: {silent.getsockname()[1]}, database: d, user: u, password: '${{PASSWORD}}'"
        (folder / "osiris_connections.yaml").write_text(f"connections:\n  postgres:\n    slow: {{{fields}}}\n")
        (folder / ".env").write_text("PASSWORD=x1\n")
        terminal = Terminal(folder).until("listing @postgres.slow")
        terminal.choose("a.csv", then="What next?").choose("write the result", then="Where").choose(
            "csv", then="run it?"
        )
        terminal.choose("yes", then="complete")
        assert terminal.end() == 0
    assert (folder / "output/a.csv").read_text() == "id\n1\n"


@pytest.mark.long
def test_rows_go_into_a_table_that_is_chosen_from_those_that_are_there(osiris, folder):
    with contextlib.closing(sqlite3.connect(folder / "a.sqlite")) as file, file:
        file.execute("CREATE TABLE source (id INTEGER PRIMARY KEY, name TEXT)")
        file.execute("INSERT INTO source VALUES (1, 'x'), (2, 'y')")
        file.execute("CREATE TABLE target (id INTEGER PRIMARY KEY, name TEXT)")
        file.execute("INSERT INTO target VALUES (2, 'old'), (3, 'z')")
    (folder / "osiris_connections.yaml").write_text("connections:\n  sqlite:\n    a: {path: a.sqlite}\n")
    answers = ["@sqlite.a/source", "Write the result", "table of @sqlite.a", "target", "upsert", "id"]
    piped(osiris, folder, *answers, "Yes, save it and run it", code=0)
    with contextlib.closing(sqlite3.connect(folder / "a.sqlite")) as file:
        assert file.execute("SELECT * FROM target ORDER BY id").fetchall() == [(1, "x"), (2, "y"), (3, "z")]


@pytest.mark.long
def test_nine_hundred_columns(osiris, folder):
    names = [f"column_{number:03}" for number in range(900)]
    (folder / "wide.csv").write_text(f"{','.join(names)}\n{','.join('7' for _ in names)}\n")
    answers = ["wide.csv", "Group and measure", ":more", "column_123", "sum of column_456", "Write the result"]
    piped(osiris, folder, *answers, "CSV file", "Yes, save it and run it", code=0)
    assert (folder / "output/wide_by_column_123.csv").read_text() == "column_123,sum_column_456\n7,7\n"


@pytest.mark.long
def test_a_source_that_disappears(folder):
    (folder / "a.csv").write_text("id\n1\n")
    (folder / "b.csv").write_text("id\n1\n")
    terminal = Terminal(folder).until("What do you want to read?")
    (folder / "a.csv").unlink()
    terminal.choose("a.csv", then="cannot be read").until("What do you want to read? ▏")
    terminal.choose("b.csv", then="What next?")
    terminal.process.send("\x04")
    assert terminal.end() == 0


@pytest.mark.parametrize(("column", "condition", "bad", "good"), [("id", "at least …", "1_000", "2")])
def test_a_value_that_cannot_be_compared_is_refused_where_it_is_typed(osiris, folder, column, condition, bad, good):
    (folder / "a.csv").write_text("id,name\n1,x\n2,y\n")
    answers = ["a.csv", "Keep some rows", column, condition]
    done = piped(osiris, folder, *answers, bad, code=2)
    assert "CHT055" in done.stderr
    after = ["Write the result", "CSV file", "Yes, save it and run it"]
    done = piped(osiris, folder, good, "Write the result", "output/${x}.csv", *after, code=2, args=["--resume"])
    assert "This does not work yet" in done.stderr
    assert not (folder / "output").exists()
    piped(osiris, folder, *after, code=0, args=["--resume"])
    assert (folder / "output/a.csv").read_text() == "id,name\n2,y\n"


def test_what_is_typed_goes_with_what_is_marked(demo):
    terminal = Terminal(demo).until("What do you want to read?")
    terminal.choose("flights", then="What next?").choose("group", then="Group by")
    terminal.process.send("carrier")
    terminal.until("carrier▏").process.send("\t")
    terminal.until("marked: carrier").process.send("nowhere")
    terminal.until("nowhere▏").process.send("\r")
    terminal.until("is not one of the choices").process.send("\x7f" * len("nowhere"))
    terminal.until("Group by which columns? ▏").choose("month of time_hour", then="Measure what")
    assert "Groupbywhichcolumns?carrier,monthoftime_hour" in terminal.shown()


@pytest.mark.parametrize("words", [["flights per carrier"], ["--yes"], ["--mode", "append"]])
def test_words_for_a_model_are_not_dropped_where_there_is_none(demo, words):
    terminal = Terminal(demo, *words, command="chat").until("CHT065")
    assert terminal.end() == 2


def test_the_guide_that_chat_starts_saves_where_it_is_told(demo):
    terminal = Terminal(demo, "--out", "pipelines/mine", command="chat").until("What do you want to read?")
    terminal.choose("flights", then="What next?").choose("write the result", then="Where does it go?")
    terminal.choose("parquet", then="save and run it?").choose("save it, do not", then="saved")
    terminal.end()
    assert "pipelines/mine/flights.yaml" in files(demo)


def test_keys_are_found_by_their_values_where_names_say_nothing(osiris, folder):
    teams = [f"T{n:03}" for n in range(40)]
    (folder / "games.csv").write_text("game,local\n" + "".join(f"{n},{team}\n" for n, team in enumerate(teams)))
    (folder / "clubs.csv").write_text("cod,seats\n" + "".join(f"{team},{n * 100}\n" for n, team in enumerate(teams)))
    answers = [
        "games.csv",
        "Join another table",
        "clubs.csv",
        "local = cod",
        "--to output/x.csv",
        "Save it, do not run it",
    ]
    done = piped(osiris, folder, *answers, code=0)
    assert "40 of 40 values match" in done.stderr
    assert "All 40 values match." in done.stderr


def test_mixed_dates_are_read_without_a_question(osiris, folder):
    days = ["2025-01-31", "28.02.2025", "15.03.2025"] * 10
    (folder / "a.csv").write_text("id,day\n" + "".join(f"{n},{day}\n" for n, day in enumerate(days)))
    answers = ["a.csv", "read a text as a date", "day", "first characters of a text or date", "day_date", "7"]
    answers += ["--group day_date_first_characters as month --count", "--to output/x.csv", "Yes, save it and run it"]
    piped(osiris, folder, *answers, code=0)
    rows = sorted((folder / "output/x.csv").read_text().splitlines()[1:])
    assert rows == ["2025-01,10", "2025-02,10", "2025-03,10"]


def test_a_line_of_flags_that_is_refused_ends_a_pipe_and_nothing_is_written(osiris, folder):
    (folder / "a.csv").write_text("name,status\nAda,paid\nBob,open\n")
    lines = ["--where staus = paid", "--group name --count --to output/x.csv", "Yes, save it and run it"]
    done = piped(osiris, folder, "a.csv", *lines, code=2)
    assert "CHT055" in done.stderr
    assert not (folder / "output").exists()
    lines = ["--where status = paid", *lines[1:]]
    piped(osiris, folder, *lines, code=0, args=["--resume"])
    assert (folder / "output/x.csv").read_text() == "name,rows\nAda,1\n"


@pytest.mark.parametrize("words", ["group", "round"])
def test_a_part_of_a_name_is_asked_about_at_the_menu(osiris, folder, words):
    (folder / "a.csv").write_text("id,name\n1,Ada\n")
    assert "may mean one of these" in piped(osiris, folder, "a.csv", words, code=2).stderr
