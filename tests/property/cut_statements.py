"""Random statements of many shapes over the inputs of the corpus; some are none that DuckDB accepts.

A column is its name and its type in one letter: of an integer, a text, or something else.
"""

from __future__ import annotations

from tests.unit.sql.cut_corpus import COLUMNS

TYPES = {"int32": "i", "utf8": "t"}
SIDES = ["JOIN", "JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "SEMI JOIN", "ANTI JOIN"]
AGGREGATES = {
    "i": [
        ("sum({})", "i"), ("sum(DISTINCT {})", "i"), ("max({} + 1)", "i"), ("avg({})", "o"), ("median({})", "o"),
        ("min({})", "i"), ("list({0} ORDER BY {0})", "o"), ("any_value({})", "i"),
    ],
    "t": [("min({})", "t"), ("max(upper({}))", "t"), ("string_agg({0}, ',' ORDER BY {0})", "t")],
    "o": [("count({})", "i"), ("max({})", "o"), ("count(DISTINCT {})", "i")],
    "": [("count(*)", "i"), ("count({})", "i"), ("count(*) FILTER (WHERE {} IS NOT NULL)", "i")],
}  # fmt: skip
WINDOWS = [("count(*)", "i"), ("rank()", "i"), ("dense_rank()", "i"), ("row_number()", "i"), ("count({})", "i")]
VALUES = {
    "i": [("{} + 1", "i"), ("{} % 2", "i"), ("CAST({} AS VARCHAR)", "t"), ("{} > 1", "o"), ("{} / 2", "o")],
    "t": [("upper({})", "t"), ("length({})", "i"), ("{} || 'a'", "t")],
    "o": [("{} IS NULL", "o")],
}  # fmt: skip
CONDITIONS = {
    "i": [
        "{} > 1", "{} IN (SELECT id FROM w)", "{} > (SELECT min(v) FROM w)", "{} NOT IN (SELECT v FROM w)",
        "EXISTS (SELECT * FROM other AS o WHERE o.id = {})", "NOT EXISTS (SELECT 1 FROM w AS e WHERE e.v = {})",
    ],
    "t": ["{} = 'a'", "{} IN (SELECT name FROM w)", "upper({}) <> 'B'"],
    "o": ["{} IS NOT NULL"],
}  # fmt: skip
WORDS = ["id", "s", "x", "k", "n", "v", "f"]
SHAPES = ["plain", "group", "group", "group", "distinct", "window", "window", "star"]


class Maker:
    """Makes statements from one source of chance."""

    def __init__(self, chance):
        self.chance, self.ctes, self.number = chance, [], 0

    def one(self, several):
        return self.chance.choice(several)

    def often(self, share):
        return self.chance.random() < share

    def column(self, names):
        """Choose a column, seldom one that is no integer or text."""
        plain = [each for each in names if each[1] != "o"]
        return self.one(plain if plain and self.often(0.93) else names)

    def formed(self, forms, column):
        form, kind = self.one(forms)
        return form.format(column[0]), kind

    def statement(self):
        self.ctes = []
        text, outputs = self.select(self.one([0, 1, 1, 2]))
        names = [name for name, _ in outputs]
        if self.often(0.3):
            keys = self.chance.sample(names, self.chance.randint(1, len(names)))
            text += " ORDER BY " + ", ".join(self.one([key, f"{key} DESC", str(names.index(key) + 1)]) for key in keys)
            text += self.one(["", " LIMIT 3", " LIMIT 4 OFFSET 1"])
        ctes = ", ".join(f"{name} AS ({query})" for name, query in self.ctes)
        return f"WITH {ctes} {text}" if ctes else text

    def source(self, depth):
        """Return an item of FROM, its alias, and its columns."""
        self.number += 1
        alias = f"t{self.number}"
        if depth and self.often(0.6):
            text, columns = self.select(depth - 1)
            if self.often(0.3):
                self.ctes.append((f"c{self.number}", text))
                return f"c{self.number} AS {alias}", alias, columns
            if self.often(0.15):
                return f"({text}) AS {alias}(k)", alias, [("k", columns[0][1]), *columns[1:]]
            return f"({text}) AS {alias}", alias, columns
        name = self.one(["df", "df", "df", "w", "w", "other", "rates"])
        columns = next(each for key, each in COLUMNS.items() if key.lower() == name)
        return (
            f"{name} AS {alias}",
            alias,
            [(key, TYPES.get(kind, "o")) for key, (kind, _) in columns.items() if " " not in key],
        )

    def sources(self, depth):
        """Return a FROM, and the references to its columns."""
        text, alias, columns = self.source(depth)
        names, shown = [(f"{alias}.{name}", kind) for name, kind in columns], [*columns]
        for _ in range(self.one([0, 0, 1])):
            other, other_alias, more = self.source(depth)
            side, common = self.one(SIDES), sorted({*columns} & {*more} - {("f", "o")})
            pairs = [(mine, its) for mine in columns for its in more if mine[1] == its[1] != "o"]
            if not pairs or self.often(0.1):
                side, on = "CROSS JOIN", ""
            elif common and self.often(0.5):
                on = f" USING ({self.one(common)[0]})"
            else:
                mine, its = self.one(pairs)
                on = f" ON {alias}.{mine[0]} = {other_alias}.{its[0]}"
            text += f" {side} {other}{on}"
            if side not in ("SEMI JOIN", "ANTI JOIN"):
                names += [(f"{other_alias}.{name}", kind) for name, kind in more]
                using = on.startswith(" USING")
                twice = {name for name, _ in shown} & {name for name, _ in more}
                hidden = set() if using and self.often(0.5) else twice
                shown = [each for each in [*shown, *more] if each[0] not in hidden]
        return text, names + shown * 2

    def select(self, depth):
        """Return a SELECT, and the columns that it outputs."""
        source, names = self.sources(depth)
        column = self.column(names)
        tail = f" WHERE {self.one(CONDITIONS[column[1]]).format(column[0])}" if self.often(0.3) else ""
        return getattr(self, f"_{self.one(SHAPES)}")(source, names, tail)

    def named(self, values):
        """Return outputs with names, which may be those of columns, and what they output."""
        taken, texts = [], []
        for value, kind in values:
            own = value.rpartition(".")[2]
            name = own if own.isidentifier() and self.often(0.7) else self.one(WORDS)
            name = name if name not in dict(taken) else f"{name}{len(taken)}"
            texts.append(value if name == own else f"{value} AS {name}")
            taken.append((name, kind))
        return ", ".join(texts), taken

    def values(self, names):
        columns = [self.column(names) for _ in range(self.chance.randint(1, 3))]
        return [self.formed(VALUES[each[1]], each) if self.often(0.3) else each for each in columns]

    def _plain(self, source, names, tail):
        texts, outputs = self.named(self.values(names))
        return f"SELECT {texts} FROM {source}{tail}", outputs

    def _distinct(self, source, names, tail):
        text, outputs = self._plain(source, names, tail)
        return text.replace("SELECT", "SELECT DISTINCT", 1), outputs

    def _star(self, source, names, tail):
        inside = sorted({each for each in names if "." not in each[0]}) or [("id", "i")]
        aliases = sorted({name.partition(".")[0] for name, _ in names if "." in name})
        stars = ", ".join(f"{each}.*" for each in self.chance.sample(aliases, len(aliases)))
        column, name = self.column(names), self.one(WORDS)
        added = f"{column[0]} AS {name}"
        shown = self.one(["*", "*", "DISTINCT *", stars, f"{stars}, {added}", f"{added}, {stars}", f"*, {added}"])
        return f"SELECT {shown} FROM {source}{tail}", [*inside, (name, column[1])] if added in shown else inside

    def _group(self, source, names, tail):
        keys, calls = self.values(names), []
        for _ in range(self.one([0, 1, 1, 2])):
            column = self.column(names)
            calls.append(self.formed(AGGREGATES[self.one([column[1], ""])], column))
        texts, outputs = self.named([*keys, *calls])
        listed = [value for value, _ in keys]
        places = [str(place) for place, _ in enumerate(keys, 1)]
        aliases = [name for name, _ in outputs[: len(keys)]]
        by = self.one([", ".join(listed), ", ".join(listed), ", ".join(places), "ALL", ", ".join(aliases)])
        having = f" HAVING {self.one(['count(*) > 1', 'max(1) = 1'])}" if self.often(0.2) else ""
        if self.often(0.1):
            texts, outputs = self.named(calls or [("count(*)", "i")])
        distinct = "DISTINCT " if self.often(0.1) else ""
        return f"SELECT {distinct}{texts} FROM {source}{tail} GROUP BY {by}{having}", outputs

    def _window(self, source, names, tail):
        values, sample = self.values(names), [name for name, kind in names if kind != "o" or self.often(0.1)]
        by = ", ".join(self.chance.sample(sample, min(len(sample), self.one([1, 1, 2])))) or "1"
        order = (
            f" ORDER BY {', '.join(self.chance.sample(sample, min(len(sample), 2)))}"
            if self.often(0.7) and sample
            else ""
        )
        over = f" OVER (PARTITION BY {by}{order})"
        for _ in range(self.one([1, 1, 2])):
            column = self.column(names)
            call, kind = self.formed([*WINDOWS, *(AGGREGATES[column[1]][:1])], column)
            values.append((call + over, kind))
        texts, outputs = self.named(values)
        qualify = f" QUALIFY {self.one([outputs[-1][0], 'rank()' + over])} = 1" if self.often(0.3) else ""
        return f"SELECT {texts} FROM {source}{tail}{qualify}", outputs
