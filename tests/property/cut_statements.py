"""Random statements over the inputs of the corpus, most of them flat, in which names collide.

An alias may be the name of a column, of a relation, or one that DuckDB makes for a second column of one name (`id_1`).
A name may be bare or qualified, an alias, that of a field of a struct, of a row, or of no column of the schema
(`rowid`). Many statements are none that DuckDB accepts.
"""

from __future__ import annotations

from tests.unit.sql.cut_corpus import COLUMNS

KINDS = {"int32": "i", "int64": "i", "utf8": "t"}
RELATIONS = {
    name.lower(): [(column, KINDS.get(kind, "o")) for column, (kind, _) in columns.items() if " " not in column]
    for name, columns in COLUMNS.items()
}
WORDS = ["id", "x", "s", "v", "id_1", "x_1", "k", "n", "st", "w", "df", "rowid", "ID"]
ALIASES = ["t", "t", "t", "st", "id", "x", "w", ""]
JOINS = [
    "JOIN",
    "JOIN",
    "JOIN",
    "LEFT JOIN",
    "LEFT JOIN",
    "INNER JOIN",
    "RIGHT JOIN",
    "FULL JOIN",
    "SEMI JOIN",
    "CROSS",
]
COMPARED = ["=", "=", "=", "=", "<", "IS NOT DISTINCT FROM"]
VALUES = {
    "i": [
        "{} + 1",
        "{} % 2",
        "CAST({} AS VARCHAR)",
        "{} > 1",
        "{} / 2",
        "coalesce({}, 0)",
        "CAST({} AS decimal(9, 2))",
    ],
    "t": ["upper({})", "length({})", "{} || 'a'"],
    "o": ["{} IS NULL"],
}
AGGREGATES = {
    "i": ["sum({})", "sum(DISTINCT {})", "max({} + 1)", "avg({})", "min({})", "count({})", "list({0} ORDER BY {0})"],
    "t": ["min({})", "max(upper({}))", "count(DISTINCT {})"],
    "o": ["count({})", "max({})", "count(DISTINCT {})"],
}
WINDOWS = ["count(*)", "rank()", "dense_rank()", "row_number()", "max({})", "sum({})", "lag({})"]
ODD = ["rowid", "st.id", "st.x", "t.st.id", "df", "t", "#2", "st", "(2)", "(SELECT max(v) FROM w)", "[e FOR e IN l]"]
SHAPES = ["plain", "plain", "group", "group", "group", "distinct", "window", "window"]


class Maker:
    """Makes statements from one source of chance."""

    def __init__(self, chance):
        self.chance, self.words = chance, WORDS

    def one(self, several):
        return self.chance.choice(several)

    def often(self, share):
        return self.chance.random() < share

    def statement(self):
        self.words = self.chance.sample(WORDS, 3)
        text = self.select()
        if self.often(0.06):
            inner = self.one(["SELECT id, x AS id, id_1 FROM df", "SELECT * FROM w, df", "SELECT x, id FROM df"])
            item = self.one([f"({inner}) AS q", f"({inner}) AS q(x)", "df AS q(x)"])
            text = f"SELECT {self.one(WORDS)} AS a, count(*) AS n FROM {item} GROUP BY a"
        if self.often(0.03):
            text = f"WITH w AS (SELECT x AS v, id AS v FROM df) {text}"
        return text

    def sources(self):
        """Return a FROM, and references to its columns with their kinds: qualified ones, and bare ones."""
        text, items = "", []
        for place in range(self.one([1, 1, 1, 2, 2, 3])):
            relation = self.one(["df", "df", "df", "w", "w", "other", "rates"] if place == 0 else [*RELATIONS])
            alias = self.one(ALIASES) + ("2" if place and self.often(0.9) else "")
            name = relation if alias in ("", "2") else f"{relation} AS {alias}"
            mine = [(f"{name.rpartition(' ')[2]}.{column}", kind) for column, kind in RELATIONS[relation]]
            text += f" {self.joined(name, items, mine)}" if place else name
            items.append(mine)
        qualified = [each for item in items for each in item]
        return text, qualified + [(name.rpartition(".")[2], kind) for name, kind in qualified]

    def joined(self, name, items, mine):
        word = self.one(JOINS)
        theirs = {column.rpartition(".")[2] for item in items for column, _ in item}
        common = sorted(theirs & {column.rpartition(".")[2] for column, kind in mine if kind != "o"})
        if word == "CROSS":
            return f"CROSS JOIN {name}"
        if common and self.often(0.5):
            return f"{word} {name} USING ({self.one(common)})"
        left = self.one([column for item in items for column, kind in item if kind == "i"])
        right = [column for column, kind in mine if kind == "i"]
        return f"{word} {name} ON {left} {self.one(COMPARED)} {self.one(right)}{self.further(items, mine)}"

    def further(self, items, mine):
        """Return another condition on integers of a join: of this item and those before, of one of them or of two."""
        if self.often(0.5):
            return ""
        names = [column for item in (*items, mine, mine) for column, kind in item if kind == "i"]
        return f" {self.one(['AND', 'AND', 'OR'])} {self.one(names)} {self.one(COMPARED)} {self.one(names)}"

    def ref(self, names, kinds="it"):
        """Choose a reference, seldom an odd one, an alias, or one that is no integer or text."""
        if self.often(0.04):
            return self.one(ODD), "i"
        if self.often(0.1):
            return self.one(self.words), "i"
        usual = [each for each in names if each[1] in kinds]
        return self.one(usual if usual and self.often(0.93) else names)

    def condition(self, names):
        compared = [f"{self.ref(names, 'i')[0]} {self.one(COMPARED)} {self.ref(names, 'i')[0]}" for _ in range(2)]
        return self.one(
            [f"{self.value(names)} IS NOT NULL", compared[0], " AND ".join(compared), " OR ".join(compared)]
        )

    def value(self, names):
        name, kind = self.ref(names)
        return self.one(VALUES[kind]).format(name) if self.often(0.3) else name

    def named(self, values):
        """Return outputs, some with an alias, which may be a name of something else; and their names."""
        outputs, names = [], []
        for value in values:
            plain = value.rpartition(".")[2]
            alias = self.one([*self.words, f"k{len(names)}", f"k{len(names)}"])
            has_alias = self.often(0.5) if plain.isidentifier() else self.often(0.9)
            outputs.append(f"{value} AS {alias}" if has_alias else value)
            names.append(alias if has_alias else plain)
        return outputs, names

    def select(self):
        source, names = self.sources()
        shape = self.one(SHAPES)
        values = [self.value(names) for _ in range(self.chance.randint(1, 3))]
        keys = list(values)
        if shape == "group":
            values += [self.aggregate(names) for _ in range(self.one([0, 1, 1, 2]))]
        if shape == "window":
            values += [self.window(names, values) for _ in range(self.one([1, 1, 2]))]
        outputs, aliases = self.named(values)
        if shape != "group" and self.often(0.15):
            outputs = self.one([["*"], ["t.*"], ["*", *outputs], [*outputs, "st.*"]])
        where = f" WHERE {self.condition(names)}" if self.often(0.4) else ""
        text = f"SELECT {'DISTINCT ' if shape == 'distinct' else ''}{', '.join(outputs)} FROM {source}{where}"
        if shape == "group":
            text += self.grouped(keys, aliases, names)
        if shape == "window" and self.often(0.3):
            text += f" QUALIFY {self.one([aliases[-1], self.ref(names, 'i')[0], 'rank() OVER (PARTITION BY id)'])} = 1"
        return text + (self.ordered(aliases, names) if self.often(0.4) else "")

    def aggregate(self, names):
        name, kind = self.ref(names)
        call = self.one([*AGGREGATES[kind], "count(*)"]).format(name)
        return call + (f" FILTER (WHERE {self.ref(names)[0]} IS NOT NULL)" if self.often(0.1) else "")

    def window(self, names, values):
        by = [self.ref(names)[0] for _ in range(self.one([1, 1, 2]))]
        order = [self.ref(names)[0] for _ in range(self.one([0, 1, 1, 2]))] if self.often(0.7) else values
        frame = self.one(["", "", "", " ROWS BETWEEN 1 PRECEDING AND CURRENT ROW"]) if order else ""
        over = f"PARTITION BY {', '.join(by)}" + (f" ORDER BY {', '.join(order)}" if order else "") + frame
        return f"{self.one(WINDOWS).format(self.ref(names, 'i')[0])} OVER ({over})"

    def grouped(self, keys, aliases, names):
        places = [str(place) for place, _ in enumerate(keys, 1)]
        mixed = [self.one([key, place, alias]) for key, place, alias in zip(keys, places, aliases, strict=False)]
        by = self.one([keys, keys, places, ["ALL"], aliases[: len(keys)], mixed, [*keys, self.ref(names)[0]]])
        having = [f"{self.one(aliases)} > 1", "count(*) > 1", f"max({self.ref(names)[0]}) IS NOT NULL"]
        return f" GROUP BY {', '.join(by)}" + (f" HAVING {self.one(having)}" if self.often(0.2) else "")

    def ordered(self, aliases, names):
        keys = [
            self.one([alias, alias, str(place), self.ref(names)[0]]) + self.one(["", "", " DESC", " NULLS FIRST"])
            for place, alias in enumerate(aliases, 1)
        ]
        self.chance.shuffle(keys)
        shown = self.one([keys, keys, keys[:1], ["ALL"]])
        return f" ORDER BY {', '.join(shown)}" + self.one(["", " LIMIT 3", " LIMIT 4 OFFSET 1"])


INTEGERS = {"df": ["id", "x", "id_1"], "w": ["id", "v"], "other": ["id", "x", "far"], "rates": ["rate"]}
JOINED = [
    "SELECT {0} AS a, {1} AS b, {2} AS c FROM {3}",
    "SELECT {0} AS a, {1} AS b, count(*) AS n, sum({2}) AS c FROM {3} GROUP BY {0}, {1}",
    "SELECT {0} AS a, count(DISTINCT {1}) AS b, max({2}) AS c FROM {3} GROUP BY {0}",
    "SELECT DISTINCT {0} AS a, {1} AS b FROM {3}",
    "SELECT {0} AS a, {1} AS b, rank() OVER (PARTITION BY {0}, {1} ORDER BY {2}) AS c FROM {3}",
    "SELECT {0} AS a, {1} AS b, count({2}) OVER (PARTITION BY {0}) AS c FROM {3} ORDER BY a, b, c LIMIT 5",
]


def joined_statement(chance, integers=INTEGERS, shapes=JOINED, sizes=(2, 2, 3, 3, 3)):
    """Return a statement over some relations, most of them joined by equal integers; no names collide.

    `integers` has the columns of the relations by name.
    """
    many = min(chance.choice(sizes), len(integers))
    relations = chance.sample([*integers], many) if chance.random() < 0.8 else chance.choices([*integers], k=many)
    columns = [[f"t{place}.{each}" for each in integers[name]] for place, name in enumerate(relations)]
    source, where, used = f"{relations[0]} AS t0", [], []
    for place, name in list(enumerate(relations))[1:]:
        word = chance.choice(["JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", ",", "CROSS JOIN"])
        among = [*columns[:place], *([columns[place]] if chance.random() < 0.1 else [])]
        pairs = [
            (chance.choice(chance.choice(among)), chance.choice(columns[place]))
            for _ in range(chance.choice([1, 1, 2]))
        ]
        compared = [f"{one} {chance.choice(COMPARED)} {other}" for one, other in pairs]
        used += [each for pair in pairs for each in pair]
        condition = f" {chance.choice(['AND', 'AND', 'AND', 'OR'])} ".join(compared)
        is_bare = word in (",", "CROSS JOIN")
        source += f"{word if word == ',' else f' {word}'} {name} AS t{place}{'' if is_bare else f' ON {condition}'}"
        where += [f"({condition})"] if is_bare or chance.random() < 0.1 else []
    outputs = [chance.choice(chance.choice([*([used, used] if used else []), *columns])) for _ in range(3)]
    return chance.choice(shapes).format(*outputs, source + (f" WHERE {' AND '.join(where)}" if where else ""))


NESTED = [
    ("abc", "SELECT {0} AS a, {1} AS b, {2} AS c FROM {3}"),
    ("abnc", "SELECT {0} AS a, {1} AS b, count(*) AS n, sum({2}) AS c FROM {3} GROUP BY {0}, {1}"),
    ("ab", "SELECT {0} AS a, max({1}) - min({2}) AS b FROM {3} GROUP BY {0}"),
    ("ab", "SELECT DISTINCT {0} AS a, {1} AS b FROM {3}"),
    ("abc", "SELECT {0} AS a, {1} AS b, rank() OVER (PARTITION BY {0} ORDER BY {2}) AS c FROM {3}"),
    ("na", "SELECT count(*) AS n, max({0}) AS a FROM {3}"),
    ("ab", "SELECT {0} AS a, count(*) AS b FROM {3} GROUP BY {0} + 0"),
    ("ab", "SELECT {0} AS a, {1} AS b FROM {3} QUALIFY count(*) OVER (PARTITION BY {0}) > 1"),
]
"""The names of the integers of a query, and its text."""


def nested_statement(chance):
    """Return a statement over queries in FROM or WITH, some of which read others, or hide an input."""
    integers, with_, inline = dict(INTEGERS), [], {}

    def inlined(text):
        for name, query in inline.items():
            text = text.replace(f"{name} AS t", f"({query}) AS t")
        return text

    for name in chance.sample(["q", "w", "df", "Sums", "r_1"], chance.choice([1, 2, 2, 3])):
        columns, shape = chance.choice(NESTED)
        text = inlined(joined_statement(chance, integers, [shape], (1, 1, 2, 2, 3)))
        integers.pop(name, None)
        integers = {name: [*columns]} | integers
        if chance.random() < 0.5:
            with_.append(f"{name} AS ({text})")
        else:
            inline[name] = text
    mostly = dict([*integers.items()][: chance.choice([1, 2, 2, 3, 4])])
    text = inlined(joined_statement(chance, mostly, JOINED, (1, 2, 2, 3)))
    return (f"WITH {', '.join(with_)} " if with_ else "") + text
