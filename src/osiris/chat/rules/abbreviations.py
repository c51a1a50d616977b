"""What names are short for, and what is known of them, as data."""

from __future__ import annotations

from osiris.chat.rules.vocabulary import word_set

ABBREVIATIONS = {
    "qty": "quantity",
    "amt": "amount",
    "dt": "date",
    "nm": "name",
    "nr": "number",
    "num": "number",
    "no": "number",
    "cust": "customer",
    "supp": "supplier",
    "vend": "vendor",
    "whse": "warehouse",
    "txn": "transaction",
    "trx": "transaction",
    "appt": "appointment",
    "pymt": "payment",
    "stmt": "statement",
    "dept": "department",
    "emp": "employee",
    "addr": "address",
    "desc": "description",
    "descr": "description",
    "dep": "departure",
    "arr": "arrival",
    "sched": "scheduled",
    "dest": "destination",
    "pct": "percent",
    "ts": "timestamp",
    "cd": "code",
    "tel": "phone",
    "ph": "phone",
    "cnt": "count",
    "yr": "year",
    "mth": "month",
    "wt": "weight",
    "cat": "category",
    "ctg": "category",
    "prod": "product",
    "org": "organisation",
    "mgr": "manager",
    "lat": "latitude",
    "alt": "altitude",
    "lon": "longitude",
    "lng": "longitude",
    "temp": "temperature",
    "dur": "duration",
    "dob": "birthdate",
    "fname": "firstname",
    "lname": "lastname",
    "acct": "account",
    "curr": "currency",
    "inv": "invoice",
    "ord": "order",
    "pmt": "payment",
    "sal": "salary",
    "grp": "group",
    "mfr": "manufacturer",
    "pos": "position",
    "max": "maximum",
    "min": "minimum",
    "avg": "average",
    "acctbal": "account balance",
    "extendedprice": "extended price",
    "orderpriority": "order priority",
    "mktsegment": "market segment",
    "tailnum": "tail number",
    "organization": "organisation",
    "color": "colour",
    "center": "centre",
    "license": "licence",
    "canceled": "cancelled",
    "zip": "postcode",
}
"""What parts of names are short for; also American spellings by their British ones."""


OPPOSITES = (
    ("dep", "arr"),
    ("departure", "arrival"),
    ("start", "end"),
    ("from", "to"),
    ("origin", "destination"),
    ("pickup", "dropoff"),
)
"""The two ends of one thing: both are given where neither is named."""


PREFIXES = word_set("dim fact fct tbl stg raw v vw t tb is has")


SECRET_TABLES = word_set(
    "token tokens secret secrets password passwords credential credentials session sessions key keys auth"
)


COUNTRIES = word_set("""
    argentina australia austria belgium brazil canada chile china colombia croatia czechia denmark egypt england
    estonia finland france germany greece hungary iceland india indonesia ireland israel italy japan kenya
    latvia lithuania luxembourg mexico morocco netherlands nigeria norway peru philippines poland portugal
    romania russia scotland serbia singapore slovakia slovenia spain sweden switzerland thailand turkey ukraine
    vietnam wales usa uk
    """) | {
    "united states",
    "united kingdom",
    "south africa",
    "south korea",
    "new zealand",
    "czech republic",
    "saudi arabia",
}
"""Names of countries, for requests that name one and not its column."""
