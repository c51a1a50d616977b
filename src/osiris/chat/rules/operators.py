"""Words of comparisons, as data."""

from __future__ import annotations

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
    "weighing": ("", "weight mass"),
    "earning": ("", "salary wage pay"),
}
"""Words that compare, and the columns that they speak of: `cheaper than 5`, `priced above 5`."""


MONEY = word_set("dollar dollars usd euro euros eur bucks gbp pounds")


MEASURES = word_set(
    """
    minutes minute mins seconds second secs hours hour days day kg kilograms km kilometers miles meters ms milliseconds
    """
)


MONEY_COLUMNS = word_set("price cost amount total salary fee revenue budget fare balance value wage charge payment")
