"""A suggested fix never changes what a pipeline reads or writes, for any input and any number of fixes.

What a text reads and writes is determined here from its raw YAML: the direction that words suggest, and the names,
connections and queries as written.
"""

import re
import shutil
from itertools import islice
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.golden.mutation.corpus import cases, lay_out
from tests.golden.mutation.mutant import OPERATORS
from tests.golden.mutation.score import KINDS

from osiris.api.opening import open_project
from osiris.api.pipelines import validate_file
from osiris.errors import has_errors
from osiris.oml.fix import apply_fix

ROUNDS = 8
ALONE = 4
"""The number of fixes of one text that are applied alone."""
LEGACY = Path(__file__).parents[1] / "golden" / "legacy"
MUTATED = Path(__file__).parents[1] / "golden" / "mutated"
DIRECTIONS = {
    "read": {"extractor", "extract", "reader", "read", "source", "input"},
    "write": {"writer", "write", "load", "loader", "sink", "target", "destination", "output"},
    "transform": {"processor", "transform", "transformer", "transformation"},
}
NAMING = ("path", "table", "query", "schema", "connection", "write_mode", "primary_key", "filter", "limit", "columns")
"""Options of which each value says what is read or written."""
OTHER_NAMES = {
    "path": ("file", "filename", "file_path", "filepath", "uri"),
    "table": ("table_name", "relation", "target_table", "source_table", "from_table"),
    "query": ("sql", "statement", "transformation", "select"),
    "write_mode": ("mode",),
    "primary_key": ("upsert_keys",),
    "columns": ("usecols", "fields"),
}
SAME_VALUES = {"overwrite": "replace", "truncate": "replace", "insert": "append", "merge": "upsert"}
WORD = re.compile(r"\w+|\S")
PLACEHOLDER = re.compile(r"(?:\$?\{{1,2}|\$|:)\s*(?:[\w ]+\.)*\s*(\w+)\s*\}{0,2}")
"""A parameter in any form that people write."""
assert KINDS  # the modules that register the operators


def slips(word):
    """Return all words that one typo makes of a word: a letter swapped with the next, left out, or doubled."""
    for at in range(len(word)):
        yield word[:at] + word[at + 1 :]
        yield word[: at + 1] + word[at:]
        yield word[:at] + word[at + 1 : at + 2] + word[at] + word[at + 2 :]


def alike(one, two):
    one, two = (re.sub("[-_]", "", each).lower() for each in (one, two))
    return one == two or two in set(slips(one)) or one in set(slips(two))


def directions(text):
    """Return the directions that the words of a component's name or of a mode suggest."""
    words = re.findall("[a-z]+", text.lower())
    return {name for name, known in DIRECTIONS.items() for word in words[-1:] for each in known if alike(word, each)}


def scalars(node):
    if isinstance(node, dict):
        return [each for key, value in node.items() for each in (str(key), *scalars(value))]
    if isinstance(node, list):
        return [each for value in node for each in scalars(value)]
    return [str(node).strip()]


def options(step):
    """Return the options of a step that name something, wherever in the step they are."""
    config = step.get("with") or next((value for key, value in step.items() if alike(key, "config")), {})
    found = {}
    for key, value in [*step.items(), *(config.items() if isinstance(config, dict) else ())]:
        for name in NAMING:
            is_config = isinstance(config, dict) and config.get(key) == value
            if (alike(key, name) or key in OTHER_NAMES.get(name, ())) and (key != "mode" or is_config):
                found[name] = value
    return found


def reference(text):
    return text.lstrip("@").split(".")


def words(query):
    """Return the words and signs of a query; a placeholder counts as the last part of its name."""
    return [part for each in scalars(query) for part in WORD.findall(PLACEHOLDER.sub(r" @ \1 ", each))]


def is_same(name, before, after):
    """Return whether an option means the same in two texts."""
    if name == "query":
        return words(before) == words(after)
    if name == "connection":
        one, two = reference(str(before)), reference(str(after))
        return one[-1] == two[-1] and (len(one) == 1 or alike(one[0], two[0]))
    one, two = scalars(before), scalars(after)
    one = [SAME_VALUES.get(each, each) for each in one]
    two = [SAME_VALUES.get(each, each) for each in two]
    if name in ("columns", "primary_key"):
        one, two = (re.findall(r"\w+", " ".join(each)) for each in (one, two))
    return one == two or (name == "write_mode" and alike(one[0], two[0])) or one == two[:1] == []


def changes(before, after):
    """Yield the differences in reading and writing between a valid text and the text it was made of."""
    old, new = before.get("steps", before.get("tasks")), after["steps"]
    old = [{"id": key, **value} for key, value in old.items()] if isinstance(old, dict) else old
    if len(old) != len(new):
        return
    for was, step in zip(old, new, strict=True):
        if not isinstance(was, dict):
            continue
        (now,) = directions(step["component"])
        kinds = [str(was.get(key)) for key in ("component", "type", "uses", "kind", "mode") if was.get(key)]
        told = {each for text in kinds for each in directions(text)}
        if told - {now}:
            yield f"{step['id']}: {kinds} became {step['component']}"
        said, does = options(was), options({key: value for key, value in step.items() if not key.startswith("x-")})
        if "write_mode" in said and re.fullmatch(r"filesystem\.\w+_writer", step["component"]):
            does.setdefault("write_mode", "replace")  # a file is always replaced as a whole
        for name in {*said, *does} - {key for key in does if key not in step.get("config", {}) and key not in said}:
            if said.get(name) in (None, "") and does.get(name) in (None, ""):
                continue
            if name not in said or name not in does:
                yield f"{step['id']}: {name} was {said.get(name)!r} and is {does.get(name)!r}"
            elif not is_same(name, said[name], does[name]):
                yield f"{step['id']}: {name} was {said[name]!r} and is {does[name]!r}"


def raw(text):
    try:
        found = yaml.load(text.replace(": @", ": "), yaml.BaseLoader)
    except yaml.YAMLError:
        return None
    return found if isinstance(found, dict) else None


class Bench:
    def __init__(self, folder, connections="connections: {}\n"):
        self.folder = folder
        (folder / "osiris.yaml").touch()
        self.connect(connections)
        self.workspace = open_project(folder, {})

    def connect(self, connections):
        (self.folder / "osiris_connections.yaml").write_text(connections, "utf-8")

    def check(self, text):
        return validate_file(self.workspace, self.folder / "pipeline.yaml", params={}, text=text).diagnostics

    def _mendable(self, text):
        return [each for each in self.check(text) if each.fix and each.location.file == "pipeline.yaml"]

    def mended(self, text):
        """Yield every valid text that fixes make of a text: each alone, and all of them until nothing changes."""
        found = self._mendable(text)
        for each in found[:ALONE]:
            yield from self._valid(put_in(text, [each]))
        for _ in range(ROUNDS):
            before, text = text, put_in(text, found)
            yield from self._valid(text)
            found = self._mendable(text)
            if before == text or not found:
                return

    def _valid(self, text):
        if not has_errors(self.check(text)):
            yield text

    def harm(self, text, truth=None):
        """Return where any fixed text reads or writes something else than the original, or than `truth`."""
        said = raw(text) or truth
        if said is None or not isinstance(said.get("steps", said.get("tasks")), (list, dict)):
            said = truth
        return self.against(text, said) if said else []

    def against(self, text, said):
        return [change for made in self.mended(text) for change in changes(said, raw(made))]


def put_in(text, found):
    for each in found:
        try:
            text = apply_fix(text, each)
        except LookupError:
            continue
    return text


KEPT = {
    *("alias", "alias_of_an_option", "anchor", "duplicate_key", "lost_dash", "no_colon", "no_space_after_the_colon"),
    *("step_that_is_a_word", "two_documents"),
}
"""Mistakes after which raw YAML does not say what was meant: the text without the mistake does."""


UNSAID = {"unquoted_pattern", "backslashes_in_double_quotes"}
"""Mistakes that change a name and leave invalid YAML: its raw meaning is unknown."""


def mutants(most):
    """Yield some mutants of every operator, from all over the corpus, each with its case."""
    corpus = list(cases(whole=most is None))
    corpus = corpus if most is None else [corpus[0], *corpus[-10:]]
    for number, operator in enumerate(
        each for each in OPERATORS.values() if each.stage == "validate" and each.name not in UNSAID
    ):
        turned = corpus[number % len(corpus) :] + corpus[: number % len(corpus)]
        found = ((case, operator, mutant) for case in turned for mutant in islice(operator.mutants(case), most))
        yield from islice(
            ((case, operator, mutant) for case, operator, mutant in found if not mutant.connections), most
        )


@pytest.mark.parametrize("most", [1, pytest.param(None, marks=pytest.mark.long)])
def test_no_fix_of_a_mutant_changes_what_is_read_or_written(most, tmp_path):
    benches, harm, count = {}, [], 0
    for case, operator, mutant in mutants(most):
        if case.name not in benches:
            folder = lay_out(case, tmp_path / str(len(benches)))
            benches[case.name] = Bench(folder, case.connections)
        is_open = operator.name in KEPT or raw(mutant.text) is None
        truth = raw(case.text)
        said = mutant.text if not is_open else None
        found = benches[case.name].harm(said, truth) if said else benches[case.name].against(mutant.text, truth)
        harm += [(operator.name, case.name, each) for each in found]
        count += 1
    assert count >= 80
    assert not harm, "\n".join(map(repr, harm))


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    folder = tmp_path_factory.mktemp("earlier")
    shutil.copytree(MUTATED / "data", folder / "data")
    names = {family: {"main": {}, "other": {}} for family in ("mysql", "postgres", "supabase", "duckdb", "filesystem")}
    names["mysql"]["main"] = {"default": True, "host": "h", "database": "d", "user": "u", "password": "${P}"}
    names["mysql"]["other"] = {"host": "h", "database": "other", "user": "u", "password": "${P}"}
    names["duckdb"]["main"] = {"path": "a.duckdb", "default": True}
    names["duckdb"]["other"] = {"path": "b.duckdb"}
    names["filesystem"] = {"main": {"base_dir": "data", "default": True}, "other": {"base_dir": "other"}}
    return Bench(folder, yaml.safe_dump({"connections": names}))


KEPT_FILES = sorted([*LEGACY.glob("*.yaml"), *MUTATED.glob("*.yaml")])
REST = [pytest.param(file, marks=pytest.mark.long) for number, file in enumerate(KEPT_FILES) if number % 10]


@pytest.mark.parametrize("file", [*KEPT_FILES[::10], *REST], ids=lambda file: file.stem)
def test_no_fix_of_a_kept_file_changes_what_is_read_or_written(file, earlier):
    assert earlier.harm(file.read_text("utf-8")) == []


COMPONENTS = st.builds(
    "{}{}{}".format,
    st.sampled_from(["mysql", "postgres", "duckdb", "filesystem", "csv", "myqsl", "supabase", "sqlite"]),
    st.sampled_from([".", "_", "-", ".csv_"]),
    st.sampled_from([
        *("reader", "writer", "extractor", "extract", "source", "sink", "target", "loader", "load", "read", "write"),
        *("transform", "processor", "transformer", "writter", "extracter", "csv_reader", "csv_writer", "output"),
    ]),
)  # fmt: skip
MODES = st.sampled_from([None, "", "read", "write", "transform", "extract", "load", "Read", "writ", "sink", "[x]"])
VALUES = {
    "connection": ["@mysql.other", "@duckdb.other", "other", "@other", "@mysql.mian", "@mysql", "", "mysql.other"],
    "table": ["orders", "ordres", "5", ""],
    "query": ["SELECT id FROM ordres ORDER BY id", "SELECT id, FROM orders;", "SELECT a,, b FROM input_df"],
    "path": ["output/x.csv", "data/rows.csv", "2024", ""],
    "write_mode": ["append", "apend", "insert", "update", "replace", "overwrite"],
    "mode": ["append", "overwrite"],
    "filter": ["id > 5"],
    "limit": ["-5", '"10"', "ten"],
    "columns": ["[id]", "id"],
    "primary_key": ["id", "[id]"],
    "schema": ["sales"],
}
PLACES = st.sampled_from(["config", "step", "x"])


@st.composite
def texts(draw):
    """Generate a pipeline as written by people who know another tool: keys in other places, with other names."""
    lines = ['oml_version: "0.1.0"', "name: x", "steps:"]
    for number in range(draw(st.integers(1, 3))):
        chosen = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=4, unique=True))
        entries = []
        for key in chosen:
            name = draw(st.sampled_from([key, *OTHER_NAMES.get(key, ()), *islice(slips(key), 3, 5)]))
            value = draw(st.sampled_from(VALUES[key]))
            value = value if value[:1] in ("[", '"', "-") or not value else yaml.safe_dump(value).split("\n")[0]
            entries.append((draw(st.booleans()), f"{name}: {value}"))
        lines += [
            f"  - id: s{number}",
            f"    {draw(st.sampled_from(['component', 'type', 'uses']))}: {draw(COMPONENTS)}",
        ]
        if (mode := draw(MODES)) is not None:
            lines.append(f"    mode: {mode}")
        outer = {line.partition(":")[0]: line for is_outer, line in entries if is_outer}
        lines += [f"    {line}" for key, line in outer.items() if key != "mode"]
        inner = {line.partition(":")[0]: line for is_outer, line in entries if not is_outer}
        lines += ["    config:"] * bool(inner) + [f"      {line}" for line in inner.values()]
        if draw(st.booleans()):
            lines.append(f"    needs: {draw(st.sampled_from(['[]', '[s0]', '[s00]', 's0', '[nobody]']))}")
    return "\n".join(lines) + "\n"


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(text=texts())
def test_no_fix_of_a_text_by_another_tools_user_changes_what_is_read_or_written(text, earlier):
    assert earlier.harm(text) == []


ONES = (
    ("component: mysql.reader, mode: read, config: {connection: '@mysql.other', table: a}", "mysql.extractor"),
    ("component: mysql.reader, config: {connection: '@mysql.other', table: a}", "mysql.extractor"),
    ("component: mysql.extractor, mode: read, connection: '@mysql.other', config: {table: a}", "mysql.extractor"),
    ("component: mysql.extractor, mode: read, connection: '@mysql.other', table: a", "mysql.extractor"),
    ("component: mysql.reader, mode: write, config: {connection: '@mysql.other', table: a}", None),
    ("component: mysql.extractor, mode: write, config: {connection: '@mysql.other', table: a}", None),
    ("component: mysql.writer, mode: read, config: {connection: '@mysql.other', table: a}", None),
    ("component: mysql.extractor, mode: read, config: {connection: '@mysql.mian', table: a}", None),
    ("component: mysql.extractor, mode: read, config: {connection: '@duckdb.other', table: a}", None),
    ("component: mysql.extractor, mode: read, config: {table: a, filter: 'b > 1'}", None),
    ("component: mysql.extractor, mode: read, colour: red, config: {table: a}", None),
)


@pytest.mark.parametrize(("step", "becomes"), ONES)
def test_what_is_sure_is_mended_and_what_is_not_is_left(step, becomes, earlier):
    write = "{id: w, component: filesystem.csv_writer, mode: write, config: {path: output/x.csv}}"
    text = f'oml_version: "0.1.0"\nname: x\nsteps:\n  - {{id: a, {step}}}\n  - {write}\n'
    made = [raw(each)["steps"][0] for each in earlier.mended(text)]
    assert [each["component"] for each in made[-1:]] == ([becomes] if becomes else [])
    for each in made:
        assert not [key for key in each if key.startswith("x-")]
        assert each["config"] == {"connection": "@mysql.other", "table": "a"}
