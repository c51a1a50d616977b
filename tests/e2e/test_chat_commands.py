"""What `osiris chat` decides by its options:

`--yes` confirms the plan, `--mode` sets the write mode, and nothing else.
"""

import duckdb
import pytest
from tests.servers.models import model_server
from tests.unit.chat.scripted import environment, newest_words, scripted
from tests.unit.chat.talking import make_project, proposal

WORDS = "replace the table sales in @duckdb.warehouse by the orders"
TARGET = {"component": "duckdb.writer", "connection": "@duckdb.warehouse", "table": "sales", "mode": "replace"}
UNNAMED = "the orders into the table sales in @duckdb.warehouse"
ANSWERS = {words: proposal("@sqlite.shop/orders", name="sales", **TARGET) for words in (WORDS, UNNAMED, "replace")}


@pytest.fixture
def project(tmp_path):
    root = make_project(tmp_path / "project")
    with duckdb.connect(str(root / "warehouse.duckdb")) as file:
        file.execute("CREATE TABLE sales (id BIGINT, customer_id BIGINT, total BIGINT, placed_on VARCHAR)")
        file.execute("INSERT INTO sales VALUES (7, NULL, NULL, NULL)")
    return root


def rows(project):
    with duckdb.connect(str(project / "warehouse.duckdb"), read_only=True) as file:
        return file.sql("SELECT * FROM sales ORDER BY ALL").fetchall()


def test_where_a_mode_is_asked_for_all_that_may_be_named_are_told(project, osiris):
    unnamed = proposal("@sqlite.shop/orders", name="sales", **{**TARGET, "mode": "append"})
    with model_server(scripted({UNNAMED: unnamed})) as server:
        refused = osiris("chat", UNNAMED, "--yes", cwd=project, env=environment(server))
    assert (refused.returncode, "CHT067" in refused.stderr) == (2, True)
    assert "--mode append, --mode replace or --mode upsert" in refused.stderr


@pytest.mark.long
@pytest.mark.parametrize("words", [WORDS, UNNAMED])
def test_data_is_replaced_only_if_that_is_confirmed_or_named(words, project, osiris):
    with model_server(scripted(ANSWERS)) as server:
        env = environment(server)
        refused = osiris("chat", words, "--yes", cwd=project, env=env)
        assert (refused.returncode, "CHT067" in refused.stderr) == (2, True)
        assert "--mode replace" in refused.stderr
        assert [row[0] for row in rows(project)] == [7]
        done = osiris("chat", "--resume", "--yes", "--mode", "replace", cwd=project, env=env)
    assert done.returncode == 0, done.stderr
    assert [row[0] for row in rows(project)] == [1, 2, 3]


@pytest.mark.long
def test_a_question_of_the_model_is_not_confirmed_by_a_mode(project, osiris):
    ask = {"question": {"about": "replace", "text": "Read secrets?", "choices": []}, "cannot": ""}
    with model_server(scripted({WORDS: ask})) as server:
        done = osiris("chat", WORDS, "--yes", "--mode", "replace", cwd=project, env=environment(server))
    assert (done.returncode, "CHT027" in done.stderr) == (1, True)


def test_a_model_is_told_the_day_the_components_the_conventions_and_earlier_pipelines(project, osiris):
    (project / "osiris.yaml").write_text("chat: {conventions: Amounts are in cents.}\n")
    (project / "pipelines").mkdir()
    steps = "{id: a, component: filesystem.csv_extractor, mode: read, config: {path: data/a.csv}}"
    daily = f"oml_version: '0.1.0'\nname: daily\ndescription: for Eva\nsteps: [{steps}]\n"
    (project / "pipelines" / "daily.yaml").write_text(daily)
    (project / "output" / "days").mkdir(parents=True)
    (project / "output" / "days" / "copy.yaml").write_text(daily)
    (project / "pipelines" / "broken.yaml").write_text("[")
    with model_server(scripted(ANSWERS)) as server:
        osiris("chat", WORDS, cwd=project, env=environment(server))
        _, synthesis = server.asked
    assert newest_words(synthesis) == WORDS
    for told in (
        "Today is 20",
        'How this project does things: "Amounts are in cents."',
        "component sqlite.extractor (read): table*",
        "component duckdb.writer (write): table*, schema, write_mode append|replace|upsert",
        'pipeline "daily": "data/a.csv" -> ',
    ):
        assert told in synthesis.text, told
    assert "supabase" not in synthesis.text
    assert "for Eva" not in "".join(each.text for each in server.asked)
    assert synthesis.text.count('pipeline "daily"') == 1
