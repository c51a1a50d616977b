"""The words of the grammar, as data: what they mean does not depend on any schema."""

from __future__ import annotations


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


EMPTY = word_set(
    """
    a an the this these those that which who please pls plz thanks thank you kindly hi hello hey ok okay so just
    simply can could would will shall should may might must i we me us my our your want wants need needs like d ll
    ve m re lets let to of for from at on in into with and as is are be been being was were has have had having do
    does did it its their them they there here now then get give gives make build create produce generate prepare
    show shows display list lists export exports exporting extract pull fetch grab dump write output save store
    put load copy read take copies copied exported saved stored written loaded loads loading saves saving reading
    select find retrieve return send compute calculate out tell know see look contain containing contains
    include includes including plus along together also too well some data dataset rows row records record entries
    entry table tables file files database db result results report overview summary info information details
    detail values value column columns field fields content contents format formatted named called whole entire
    complete full each all any one ones s pipeline query using use used via what whats where whose when while if
    possible straight directly quick quickly everything only respectively available instead rather actually change
    switch again else really basically convert transform turn transfer import ingest bring deliver snapshot
    extracts set sheet corresponding belonging associated related respective held add adding built join joined
    joining combine combined living located based residing placed made taken happened dated issued summarise
    summarize summarised summarized
    """
)
"""Words that carry nothing by themselves, where no rule has a use for them."""

LINKING = word_set(
    """
    live lives living lived reside resides residing dwell dwells come comes came coming originate originates stem
    stems belong belongs belonging work works working worked stay stays staying sit sits listing
    """
)
"""Words that only tie what they speak of to what follows; they are passed over before a preposition alone."""

LINKED = word_set("in from at of for on within inside outside with as to")
"""What follows a linking word."""

_PHRASES = """
somebody wants, somebody needs, someone wants, someone needs, could somebody, could someone, can somebody, can someone,
somebody asked for, someone asked for, hand me, hand us, would you mind, i was wondering if, work out, work it out,
took place, take place, takes place, taking place, still, currently, got, supply, provide
"""
PHRASES: dict[tuple[str, ...], bool] = dict.fromkeys((tuple(each.split()) for each in _PHRASES.split(",")), True)
"""Turns of speech without a meaning of their own."""

REFUSED = {
    "send messages": ("email emails mail emailing sms notify notification slack whatsapp telegram post tweet fax"),
    "delete or change data where it is": (
        "delete deletes deleting purge erase wipe truncate alter grant revoke destroy "
        "overwrites edit modify correct fix backfill"
    ),
    "predict": (
        "predict predicts prediction forecast forecasts forecasting train cluster classify "
        "regression extrapolate anomaly anomalies outlier outliers sentiment recommend "
        "recommendation"
    ),
    "schedule runs": ("schedule scheduled cron nightly hourly recurring periodically automatically midnight"),
    "draw": (
        "chart charts plot plots graph graphs visualise visualize dashboard histogram diagram heatmap powerpoint slides"
    ),
    "compute that": (
        "percentage percentages percent share shares ratio ratios proportion running "
        "cumulative rank ranking ranked rolling moving pivot unpivot transpose growth "
        "variance stddev deviation correlation percentile quartile quantile previous lag lead "
        "consecutive"
    ),
    "write that": (
        "excel xlsx xls pdf xml html word docx yaml avro orc feather bigquery snowflake "
        "redshift s3 gcs ftp sftp kafka gsheet gsheets sheets spreadsheet mongodb "
        "elasticsearch oracle clipboard printer print"
    ),
    "do that": (
        "translate anonymise anonymize mask encrypt hash decrypt scrape crawl upload publish "
        "explain compare sample random impute interpolate hack guess password passwords "
        "restart index"
    ),
}
"""What is not done, and the words that ask for it."""

SCHEDULES = word_set(
    "day night morning evening hour week month monday tuesday wednesday thursday friday saturday sunday minute"
)

FORMATS = {
    "csv": "csv",
    "comma-separated": "csv",
    "parquet": "parquet",
    "pq": "parquet",
    "json": "json",
    "jsonl": "json",
    "ndjson": "json",
    "jsonlines": "json",
}
FAMILIES = {
    "sqlite": "sqlite",
    "sqlite3": "sqlite",
    "duckdb": "duckdb",
    "duck": "duckdb",
    "postgres": "postgres",
    "postgresql": "postgres",
    "pg": "postgres",
    "mysql": "mysql",
    "mariadb": "mysql",
    "supabase": "supabase",
}

MODES = {
    "append": "append appends appending appended add adding insert inserting",
    "replace": "replace replaces replacing replaced overwrite overwriting overwritten reload refresh rebuild recreate",
    "upsert": "upsert upserts upserting upserted merge merging",
}
MODE_OF = {word: mode for mode, words in MODES.items() for word in words.split()}

FUNCTIONS = {
    "sum": "total sum totals sums totalled summed overall summing",
    "avg": "average avg mean averages averaged averaging typical",
    "min": "minimum min lowest smallest earliest least cheapest shortest oldest fewest slowest",
    "max": "maximum max highest largest latest biggest greatest newest longest recent priciest",
    "median": "median",
}
FUNCTION_OF = {word: function for function, words in FUNCTIONS.items() for word in words.split()}
COUNTS = word_set("number count counts counting numbers amount quantity tally")
"""Words of a count; the last ones only before `of` and the name of a table."""

DISTINCT = word_set("distinct unique different deduplicated")

UNITS = {
    "day": "day days daily",
    "week": "week weeks weekly",
    "month": "month months monthly",
    "quarter": "quarter quarters quarterly",
    "year": "year years yearly annually annual annum",
    "weekday": "weekday weekdays",
    "hour": "hour hours hourly",
}
UNIT_OF = {word: unit for unit, words in UNITS.items() for word in words.split()}
PARTS = {
    ("day", "of", "month"): "monthday",
    ("day", "of", "the", "month"): "monthday",
    ("day", "of", "week"): "weekday",
    ("day", "of", "the", "week"): "weekday",
    ("hour", "of", "day"): "hour",
    ("hour", "of", "the", "day"): "hour",
}
"""Units that take several words."""

DAILY = word_set("daily weekly monthly quarterly yearly annual annually")

MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan",
            "february feb",
            "march mar",
            "april apr",
            "may",
            "june jun",
            "july jul",
            "august aug",
            "september sep sept",
            "october oct",
            "november nov",
            "december dec",
        ),
        1,
    )
    for name in names.split()
}
RELATIVE = word_set("today yesterday tomorrow current this last past next recent recently ago")

NUMBERS = {
    word: number
    for number, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
            "twenty",
        ]
    )
} | {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90, "dozen": 12}
SCALES = {"hundred": 100, "thousand": 1000, "million": 1_000_000, "billion": 1_000_000_000, "dozen": 12}
NUMBERS |= {word: size for word, size in SCALES.items() if word in ("hundred", "thousand", "million")}
