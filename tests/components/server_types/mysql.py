"""Every type of MySQL and MariaDB with difficult values; the texts are those of their documentation."""

from __future__ import annotations

from tests.components.server_types.samples import TEXTS, Refused, Sample, Value, quoted, same


def plain(kind: str, form: str, *texts: str, what: str = "") -> Sample:
    """Return a sample whose SQL values equal their texts."""
    return Sample(kind, form, same(*texts, backslashes=True), what=what)


def paired(kind: str, form: str, *pairs: tuple[str, str], what: str = "") -> Sample:
    """Return a sample whose values are pairs of SQL and text."""
    return Sample(kind, form, tuple(Value(*pair) for pair in pairs), what=what)


def moments(kind: str, form: str, *texts: str, what: str = "") -> Sample:
    """Return a sample of timestamps, written with a T and, if they are in UTC, a Z."""
    return paired(kind, form, *((quoted(text.replace("T", " ").rstrip("Z")), text) for text in texts), what=what)


OBJECTS: tuple[str, ...] = ()
"""What the types below need, made by the owner of the database."""

NUMBERS = (
    plain("TINYINT", "int8", "-128", "-1", "0", "127"),
    plain("TINYINT UNSIGNED", "uint8", "0", "255"),
    plain("BOOLEAN", "int8", "0", "1", "7"),
    plain("SMALLINT", "int16", "-32768", "0", "32767"),
    plain("SMALLINT UNSIGNED", "uint16", "0", "65535"),
    plain("MEDIUMINT", "int32", "-8388608", "0", "8388607"),
    plain("MEDIUMINT UNSIGNED", "uint32", "0", "16777215"),
    plain("INT", "int32", "-2147483648", "0", "2147483647"),
    plain("INT UNSIGNED", "uint32", "0", "4294967295"),
    plain("INT(6) ZEROFILL", "uint32", "42", "4294967295"),
    plain("BIGINT", "int64", "-9223372036854775808", "-1", "0", "9007199254740993", "9223372036854775807"),
    plain("BIGINT UNSIGNED", "uint64", "0", "9223372036854775808", "18446744073709551615"),
    Sample("BIGINT GENERATED ALWAYS AS (-7) STORED", "int64", (), Value("DEFAULT", "-7")),
    Sample("INT GENERATED ALWAYS AS (8) VIRTUAL", "int32", (), Value("DEFAULT", "8")),
    Sample("INT INVISIBLE", "int32", same("5")),
    plain("DECIMAL", "decimal", "-9999999999", "0"),
    plain("DECIMAL(1)", "decimal", "-9", "9"),
    plain("DECIMAL(5,2)", "decimal", "-999.99", "0.00", "0.01", "999.99"),
    plain("DECIMAL(9,3) UNSIGNED", "decimal", "0.001", "999999.999"),
    plain("DECIMAL(18,18)", "decimal", "-0." + "9" * 18, "0." + "0" * 17 + "1"),
    plain("DECIMAL(38,10)", "decimal", "-" + "9" * 28 + "." + "9" * 10, "0.0000000001"),
    plain("DECIMAL(65,0)", "decimal", "-" + "9" * 65, "0"),
    plain("DECIMAL(65,30)", "decimal", "-" + "9" * 35 + "." + "9" * 30, "0." + "0" * 29 + "1"),
    plain("DECIMAL(65,0) UNSIGNED", "decimal", "9" * 65),
    plain("FLOAT", "float32", "1e-45", "1.1754944e-38", "0.1", "-2.5", "16777217", "3.40282346e38"),
    plain("FLOAT UNSIGNED", "float32", "1.2345678"),
    paired("FLOAT(7,3)", "float32", ("1.2346", "1.235")),
    plain("DOUBLE", "float64", "5e-324", "2.2250738585072014e-308", "0.1", "0.30000000000000004", "1e22"),
    plain("DOUBLE PRECISION", "float64", "-1.7976931348623157e308", "1.7976931348623157e308", "9007199254740993"),
    paired("DOUBLE(20,2)", "float64", ("0.126", "0.13"), ("1e17", "1e17")),
    paired("BIT(1)", "bool", ("b'0'", "false"), ("b'1'", "true")),
    paired("BIT(8)", "uint8", ("b'0'", "0"), ("255", "255")),
    paired("BIT(9)", "uint16", ("b'100000001'", "257")),
    paired("BIT(64)", "uint64", ("0", "0"), ("18446744073709551615", "18446744073709551615")),
    plain("YEAR", "uint16", "1901", "2155", "0000"),
)
WORDS = (
    plain("VARCHAR(300)", "utf8", *TEXTS),
    plain("VARCHAR(20) CHARACTER SET latin1", "utf8", "é ß €"),
    plain("VARCHAR(20) CHARACTER SET utf16", "utf8", "žluť 😀"),
    plain("VARCHAR(20) CHARACTER SET cp1250", "utf8", "žluť"),
    plain("VARCHAR(3) COMPRESSED", "utf8", "žlu"),
    plain("CHAR(0)", "utf8", ""),
    plain("CHAR(5)", "utf8", "", "ab", "žluť😀"),
    plain("NATIONAL CHAR(3)", "utf8", "žlu"),
    plain("TINYTEXT", "utf8", "", "žluť 😀"),
    plain("TEXT", "utf8", "", "x" * 65_535),
    plain("MEDIUMTEXT", "utf8", "", "é" * 70_000),
    plain("LONGTEXT", "utf8", *TEXTS),
    plain("ENUM('so so', 'žádný 😀')", "utf8", "so so", "žádný 😀"),
    plain("SET('x', 'y z')", "utf8", "", "x", "x,y z"),
    paired("BINARY", "binary", ("''", "00"), ("x'ff'", "ff")),
    paired("BINARY(4)", "binary", ("x'00ff'", "00ff0000"), ("''", "00000000")),
    paired("VARBINARY(300)", "binary", ("''", ""), ("x'00ff27225c0d0a'", "00ff27225c0d0a")),
    paired("TINYBLOB", "binary", ("''", ""), ("x'fb'", "fb")),
    paired("BLOB", "binary", ("''", ""), ("x'00'", "00")),
    paired("MEDIUMBLOB", "binary", ("''", ""), ("REPEAT(x'00ff', 40000)", "00ff" * 40_000)),
    paired("LONGBLOB", "binary", ("''", ""), ("x'00fffe'", "00fffe")),
    paired("VECTOR(2)", "binary", ("VEC_FromText('[1,-2.5]')", "0000803f000020c0")),
    plain("UUID", "uuid", "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    plain("INET4", "utf8", "0.0.0.0", "255.255.255.255"),
    plain("INET6", "utf8", "::", "::ffff:1.2.3.4", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    plain("JSON", "json", '{"b": 1,  "a": [1.0, null]}', "[]", '"ž😀"', "1e2", "1" + "0" * 30, " { } "),
)
TIMES = (
    plain("DATE", "date", "0001-01-01", "1582-10-10", "1969-12-31", "1970-01-01", "2000-02-29", "9999-12-31"),
    plain("TIME", "time", "00:00:00", "23:59:59"),
    plain("TIME(6)", "time", "00:00:00.000001", "23:59:59.999999"),
    moments("DATETIME", "timestamp", "0001-01-01T00:00:00", "9999-12-31T23:59:59"),
    moments("DATETIME(3)", "timestamp", "2024-03-31T02:30:00.001"),
    moments(
        "DATETIME(6)",
        "timestamp",
        *("0001-01-01T00:00:00", "1969-12-31T23:59:59.999999", "2024-03-31T02:30:00.000001"),
        "9999-12-31T23:59:59.999999",
    ),
    moments("TIMESTAMP(6) NULL", "utc", "1970-01-01T00:00:01Z", "2038-01-19T03:14:07.999999Z"),
    moments("TIMESTAMP NULL", "utc", "1970-01-01T00:00:01Z", "2106-02-07T06:28:15Z"),
)
SAMPLES = (*NUMBERS, *WORDS, *TIMES)

RARE = (
    paired("VARCHAR(9)", "utf8", (r"'a\0b'", "a\0b"), what="with a NUL character"),
    plain("ENUM('a')", "utf8", "", what="not in the list"),
    plain("JSON", "json", "null", what="the document null"),
    plain("JSON", "json", '{"b": 1, "b": 2}', what="a key that comes twice"),
)
"""Values that some targets cannot hold."""

UNREAD = (
    *(
        plain(kind, "", text + rest, what=text + rest)
        for kind, rest in (("DATE", ""), ("DATETIME", " 00:00:00"))
        for text in ("0000-00-00", "2024-00-10", "2024-02-00", "0000-01-01")
    ),
    plain("TIMESTAMP NULL", "", "0000-00-00 00:00:00", what="0000-00-00 00:00:00"),
    *(plain("TIME(6)", "", text, what=text) for text in ("24:00:00", "838:59:59.999999", "-00:00:00.000001")),
)
"""Values that no column of ours can hold: the step that reads them fails with DAT031."""

REFUSED = tuple(
    Refused(kind, "it is geometry")
    for kind in (
        *("GEOMETRY", "POINT", "LINESTRING", "POLYGON", "MULTIPOINT", "MULTILINESTRING", "MULTIPOLYGON"),
        "GEOMETRYCOLLECTION",
    )
)

NO_TYPES = frozenset(
    (
        *("AUTO_INCREMENT", "BLOB and TEXT Data Types", "Floating-point Accuracy", "Numeric Data Type Overview"),
        *("CHAR BYTE", "ROW"),
    )
)
"""Pages on types in the server's own manual that are not about column types; CHAR BYTE is a synonym of BINARY."""
