"""Words of comparisons, as data."""

from __future__ import annotations

from fractions import Fraction

from osiris.chat.rules.vocabulary import word_set

COMPARISONS = {
    ("is", "greater", "than"): ">",
    ("greater", "than", "or", "equal", "to"): ">=",
    ("less", "than", "or", "equal", "to"): "<=",
    ("greater", "than"): ">",
    ("larger", "than"): ">",
    ("bigger", "than"): ">",
    ("higher", "than"): ">",
    ("more", "than"): ">",
    ("longer", "than"): ">",
    ("later", "than"): ">",
    ("in", "excess", "of"): ">",
    ("over",): ">",
    ("above",): ">",
    ("exceeding",): ">",
    ("exceeds",): ">",
    ("exceed",): ">",
    ("beyond",): ">",
    ("less", "than"): "<",
    ("fewer", "than"): "<",
    ("smaller", "than"): "<",
    ("lower", "than"): "<",
    ("shorter", "than"): "<",
    ("under",): "<",
    ("below",): "<",
    ("at", "least"): ">=",
    ("no", "less", "than"): ">=",
    ("not", "less", "than"): ">=",
    ("no", "fewer", "than"): ">=",
    ("minimum", "of"): ">=",
    ("a", "minimum", "of"): ">=",
    ("at", "most"): "<=",
    ("up", "to"): "<=",
    ("no", "more", "than"): "<=",
    ("not", "more", "than"): "<=",
    ("maximum", "of"): "<=",
    ("a", "maximum", "of"): "<=",
    ("exactly",): "=",
    ("equal", "to"): "=",
    ("equals",): "=",
    ("equal",): "=",
    (">=",): ">=",
    ("<=",): "<=",
    ("≥",): ">=",
    ("≤",): "<=",
    (">",): ">",
    ("<",): "<",
    ("==",): "=",
    ("=",): "=",
    ("!=",): "<>",
    ("<>",): "<>",
    ("not", "equal", "to"): "<>",
    ("other", "than"): "<>",
    ("contains",): "contains",
    ("contain",): "contains",
    ("containing",): "contains",
    ("includes",): "contains",
    ("starts", "with"): "starts",
    ("starting", "with"): "starts",
    ("start", "with"): "starts",
    ("begins", "with"): "starts",
    ("begin", "with"): "starts",
    ("beginning", "with"): "starts",
    ("ends", "with"): "ends",
    ("ending", "with"): "ends",
    ("end", "with"): "ends",
    ("ending", "in"): "ends",
    ("ends", "in"): "ends",
}
"""Spellings of comparisons, the longest first among those that begin alike."""


ADJECTIVES = {
    "cheaper": ("<", "price cost"),
    "pricier": (">", "price cost"),
    "costing": ("", "price cost"),
    "cost": ("", "price cost"),
    "costs": ("", "price cost"),
    "weigh": ("", "weight mass"),
    "weighs": ("", "weight mass"),
    "priced": ("", "price"),
    "worth": ("", "total amount value price"),
    "older": (">", "age"),
    "younger": ("<", "age"),
    "heavier": (">", "weight mass"),
    "lighter": ("<", "weight mass"),
    "longer": (">", "length duration minutes milliseconds seconds"),
    "shorter": ("<", "length duration minutes milliseconds seconds"),
    "lasting": ("", "duration minutes milliseconds seconds length"),
    "lasted": ("", "duration minutes milliseconds seconds length"),
    "lasts": ("", "duration minutes milliseconds seconds length"),
    "last": ("", "duration minutes milliseconds seconds length"),
    "took": ("", "duration minutes milliseconds seconds length"),
    "take": ("", "duration minutes milliseconds seconds length"),
    "takes": ("", "duration minutes milliseconds seconds length"),
    "taking": ("", "duration minutes milliseconds seconds length"),
    "taller": (">", "height"),
    "higher": (">", "height altitude elevation"),
    "weighing": ("", "weight mass"),
    "earning": ("", "salary wage pay"),
}
"""Words that compare, and the columns that they speak of: `cheaper than 5`, `priced above 5`."""


MONEY = word_set("dollar dollars usd euro euros eur bucks gbp pounds")


_SPELLED = {
    "time": {
        "ms millisecond milliseconds millis": "1",
        "s sec secs second seconds": "1000",
        "min mins minute minutes": "60000",
        "h hr hrs hour hours": "3600000",
        "day days": "86400000",
    },
    "length": {
        "mm millimeter millimeters millimetre millimetres": "1",
        "cm centimeter centimeters centimetre centimetres": "10",
        "m meter meters metre metres": "1000",
        "km kilometer kilometers kilometre kilometres": "1000000",
        "mile miles": "1609344",
    },
    "weight": {"mg milligram milligrams": "1", "g gram grams": "1000", "kg kilogram kilograms kilo kilos": "1000000"},
}
MEASURES = {
    word: (kind, Fraction(size))
    for kind, sizes in _SPELLED.items()
    for words, size in sizes.items()
    for word in words.split()
}
"""Units: what they measure, and how much of the least one there is in each."""

MEASURED = {
    "high": "height altitude elevation",
    "tall": "height",
    "long": "length duration minutes milliseconds seconds",
    "wide": "width",
    "deep": "depth",
}
"""Words behind a number and its unit, and the columns that they speak of: `50 meters high`."""

MEASURED_BY = {"time": MEASURED["long"], "length": "length distance height width depth", "weight": "weight mass"}
"""Columns that units speak of by themselves."""


MONEY_COLUMNS = word_set("price cost amount total salary fee revenue budget fare balance value wage charge payment")
