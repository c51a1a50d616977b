"""Names that break formats which take them as text: shells, crontab, systemd, YAML, Python, Jinja, GitHub, Kubernetes.

For project folders, pipeline files, profiles, parameter values, zones of schedules and environment variables. Each has
what it breaks, and how:

    from tests.corpora.hostile_names import FILE_NAMES, each

    @pytest.mark.parametrize("name", each(FILE_NAMES))
    def test_…(name): …

`FILE_NAMES` can be the name of a file on Linux, also with `.yaml` behind it; all are UTF-8. `NOT_UTF8` can be one,
too, and are not. `NOT_FILE_NAMES` are values only: no file can have them. `ZONES` and `VARIABLES` are neither zones nor
variables, and must be refused. `EXPANSIONS` are the texts that come out if somebody evaluates a name: if one of them is
in the output where the name should be, something was evaluated.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest


class Hostile(NamedTuple):
    """A name, what reads it wrongly, and what happens then."""

    name: str
    reader: str
    breaks: str


def each(names):
    """Return the names as parameters of a test, with ids that are plain."""
    return [pytest.param(one.name, id=f"{one.reader}-{number}") for number, one in enumerate(names)]


FILE_NAMES = (
    Hostile("two words", "shell", "is two arguments"),
    Hostile("  spaces around  ", "shell", "loses spaces at both ends, also in YAML"),
    Hostile("a;touch PWNED", "shell", "runs a second command"),
    Hostile("a&&touch PWNED", "shell", "runs a second command"),
    Hostile("a|tee PWNED", "shell", "pipes into another command"),
    Hostile("a&", "shell", "goes into the background"),
    Hostile("a>PWNED", "shell", "writes a file"),
    Hostile("a<b", "shell", "reads a file; a tag in HTML"),
    Hostile("$(touch PWNED)", "shell", "runs a command, also inside double quotes"),
    Hostile("`touch PWNED`", "shell", "runs a command, also inside double quotes"),
    Hostile("$HOME", "shell", "becomes a variable, also in systemd and Docker"),
    Hostile("${HOME}", "shell", "becomes a variable, also in systemd and in configuration"),
    Hostile("${IFS}x", "shell", "becomes blanks, which then separate arguments"),
    Hostile("~", "shell", "becomes the home folder"),
    Hostile("*", "shell", "becomes all files; an alias in YAML; every minute in crontab"),
    Hostile("[a-z]?", "shell", "matches other files; a list in YAML"),
    Hostile("{a,b}", "shell", "becomes two words in bash; a map in YAML"),
    Hostile("!!", "shell", "becomes the last command in an interactive bash; a tag in YAML"),
    Hostile("it's", "shell", "ends a single quotation"),
    Hostile("'; touch PWNED; '", "shell", "leaves a single quotation and runs a command"),
    Hostile('say "hi"', "shell", "ends a double quotation, also in JSON and systemd"),
    Hostile("'\"'\"'", "shell", "is how shells quote a quote: quoted twice it falls apart"),
    Hostile("#comment", "shell", "is a comment, also in YAML, crontab and .env files"),
    Hostile("-rf", "argument", "is taken for options"),
    Hostile("--help", "argument", "is taken for an option"),
    Hostile("--", "argument", "ends the options"),
    Hostile("-", "argument", "means standard input to many commands; a list in YAML"),
    Hostile("@file", "argument", "is a file of arguments to curl and argparse; a reserved indicator in YAML"),
    Hostile("a=b", "argument", "is an assignment before a command, and splits `name=value` twice"),
    Hostile("50%", "crontab", "ends the command: the rest is its standard input"),
    Hostile("a%touch PWNED", "crontab", "feeds the rest to the command as input"),
    Hostile("a\\%b", "crontab", "keeps its backslash in some crons and loses it in others"),
    Hostile("@reboot", "crontab", "is a time of its own at the begin of a line"),
    Hostile("MAILTO=root", "crontab", "is a setting at the begin of a line"),
    Hostile("%n", "systemd", "becomes the name of the unit"),
    Hostile("%i%%h", "systemd", "becomes the instance, and one percent sign"),
    Hostile("%Q", "systemd", "is an unknown specifier, and the unit is not loaded"),
    Hostile("$$", "systemd", "becomes one dollar sign; the process id in a shell"),
    Hostile("ends with \\", "systemd", "continues the line: the next setting is a part of it"),
    Hostile("a\\x20b\\t\\s", "systemd", "has escapes, which become blanks"),
    Hostile("; comment", "systemd", "is a comment at the begin of a line, and separates commands in ExecStart"),
    Hostile("[Service]", "systemd", "begins a section; a list in YAML; a section or an array in TOML"),
    Hostile("@-:+!", "systemd", "is a row of prefixes of a command in ExecStart"),
    Hostile("a: b", "YAML", "is a map"),
    Hostile("a:", "YAML", "is a map with an empty value"),
    Hostile("a #b", "YAML", "loses what follows the blank"),
    Hostile("- a", "YAML", "is a list"),
    Hostile("? a", "YAML", "is the key of a map"),
    Hostile("&anchor a", "YAML", "defines an anchor"),
    Hostile("*anchor", "YAML", "is an alias of an unknown anchor"),
    Hostile("!!python,object", "YAML", "is a tag"),
    Hostile("!tag x", "YAML", "is a tag"),
    Hostile("| ", "YAML", "begins a block of text; a pipe in a shell"),
    Hostile("> x", "YAML", "begins a folded text"),
    Hostile("%YAML 1.2", "YAML", "is a directive"),
    Hostile("---", "YAML", "begins a document"),
    Hostile("...", "YAML", "ends a document"),
    Hostile("<<", "YAML", "merges a map as a key"),
    Hostile("yes", "YAML", "is true in YAML 1.1"),
    Hostile("no", "YAML", "is false in YAML 1.1"),
    Hostile("on", "YAML", "is true in YAML 1.1, also as the key of a GitHub workflow"),
    Hostile("null", "YAML", "is nothing"),
    Hostile("0o7", "YAML", "is 7 in YAML 1.2"),
    Hostile("010", "YAML", "is 8 in YAML 1.1, and loses its zero as a number"),
    Hostile("1e3", "YAML", "is 1000.0 in YAML 1.2"),
    Hostile("1_000", "YAML", "is 1000 in YAML 1.1, and in Python"),
    Hostile("12:34:56", "YAML", "is 45296 in YAML 1.1, to the base of 60"),
    Hostile("2024-01-01", "YAML", "is a date"),
    Hostile(".inf", "YAML", "is a number; a hidden file"),
    Hostile("1.10", "YAML", "is 1.1"),
    Hostile("0x1F", "YAML", "is 31"),
    Hostile('"', "Python", "ends a string"),
    Hostile('"""', "Python", "ends a docstring"),
    Hostile("'''", "Python", "ends a long string"),
    Hostile('""" + __import__("os").system("touch PWNED") + """', "Python", "runs code"),
    Hostile("\\N{DIGIT ONE}", "Python", "becomes 1 in a string, and an unknown name does not parse"),
    Hostile("\\Users\\new", "Python", "is half an escape \\U, which does not parse, and a line end"),
    Hostile("\\", "Python", "escapes the quote that follows"),
    Hostile("{x}", "Python", "is replaced in an f-string and by str.format"),
    Hostile("{0.__class__}", "Python", "reads attributes in str.format"),
    Hostile("%(x)s %s", "Python", "is replaced by % formatting; by configparser"),
    Hostile("{{x}}", "Python", "becomes single braces in str.format; a value in Jinja"),
    Hostile("}", "Python", "does not parse in str.format"),
    Hostile("class", "Python", "is a keyword, and cannot be the name of a function"),
    Hostile("1st", "Python", "begins with a digit, and cannot be the name of a function"),
    Hostile("None", "Python", "is nothing"),
    Hostile("{{ 7*7 }}", "Jinja", "becomes 49; Airflow renders the arguments of BashOperator"),
    Hostile("{{ ds }}", "Jinja", "becomes a date in Airflow"),
    Hostile("{% raw %}", "Jinja", "is a block that does not end"),
    Hostile("{% endraw %}{{ 7*7 }}", "Jinja", "leaves a raw block"),
    Hostile("{# comment #}", "Jinja", "is dropped"),
    Hostile("script.sh", "Jinja", "is read as the file of a template by Airflow, because of its end"),
    Hostile("${{ secrets.X }}", "GitHub", "becomes a secret, before the shell reads the line"),
    Hostile("${{ github.event.number }}", "GitHub", "becomes an expression's value"),
    Hostile("::set-output name=a::b", "GitHub", "is a command of a workflow in the log"),
    Hostile("$(HOME)", "Kubernetes", "becomes a variable in command, args and env; a command in a shell"),
    Hostile("$$(HOME)", "Kubernetes", "becomes $(HOME): the escape is taken off"),
    Hostile("UPPER_case", "Kubernetes", "is no DNS label: metadata.name refuses it"),
    Hostile("a" * 64, "Kubernetes", "is longer than a DNS label, and than a CronJob's name by twelve"),
    Hostile("-edge-", "Kubernetes", "begins and ends with a hyphen, which a label must not"),
    Hostile("two\nlines", "line", "is two lines in crontab, systemd, .env files and logs"),
    Hostile("a\n* * * * * touch PWNED", "line", "adds a job to crontab"),
    Hostile("a\nExecStartPre=touch PWNED\n", "line", "adds a setting to a systemd unit"),
    Hostile("a\nrun: touch PWNED", "line", "adds a key to YAML"),
    Hostile("carriage\rreturn", "line", "overwrites its begin in a terminal, and becomes a line end in YAML"),
    Hostile("a\r\nX-Injected: 1", "line", "adds a header to HTTP and to a mail"),
    Hostile("tab\there", "line", "separates fields in crontab, and must not indent YAML"),
    Hostile("\n", "line", "is an empty line"),
    Hostile("bell\a\x1b[31mred", "terminal", "rings and changes colours; is forbidden in YAML and XML"),
    Hostile("\x7f", "terminal", "deletes; is forbidden in YAML unless escaped"),
    Hostile("next\x85line", "Unicode", "is a line end in YAML 1.1 and for str.splitlines"),
    Hostile("line\u2028separator", "Unicode", "is a line end in JavaScript and for str.splitlines"),
    Hostile("\ufeffbom", "Unicode", "loses its begin where a byte order mark is dropped"),
    Hostile("no\u00a0break", "Unicode", "has a blank for str.split, and none for a shell"),
    Hostile("zero\u200bwidth", "Unicode", "looks like another name"),
    Hostile("příliš žluťoučký", "Unicode", "fails where ASCII is taken for granted: LANG=C, headers of HTTP"),
    Hostile("u\u0308ber", "Unicode", "is equal to über only after normalization; macOS changes it"),
    Hostile("数据", "Unicode", "has no letters that a label may have"),
    Hostile("🚀", "Unicode", "is beyond 16 bits: two \\u escapes in JSON"),
    Hostile("\u202egnp.yaml", "Unicode", "is shown from right to left, and looks like another file type"),
    Hostile("\u200f\u05e2\u05d1\u05e8\u05d9\u05ea\u200e", "Unicode", "has marks of direction, which turn what follows"),
    Hostile("İstanbul", "Unicode", "gets longer by lower()"),
    Hostile("x" * 250, "length", "is as long as a file name with .yaml can be; too long for units, labels and columns"),
    Hostile("ü" * 125, "length", "has 125 letters and 250 bytes"),
    Hostile("<script>alert(1)</script>".replace("/", "\u2215"), "HTML", "runs in a page"),
    Hostile("&amp;", "HTML", "becomes &; sends to the background in a shell"),
    Hostile("<!channel> <@U1|x>", "Slack", "notifies a whole channel"),
    Hostile("*bold* _it_ [x](y) `c`", "Markdown", "is formatted"),
    Hostile("a|b", "Markdown", "is two cells of a table"),
    Hostile("@everyone", "Markdown", "mentions people"),
    Hostile("=1+1", "CSV", "is a formula in a spreadsheet"),
    Hostile("a,b", "CSV", "is two fields; two arguments where lists are split"),
    Hostile("..hidden", "path", "begins like the folder above"),
    Hostile("a..b", "path", "is refused by crude checks for `..`"),
    Hostile("C:", "path", "is a drive; a map in YAML"),
    Hostile("CON", "path", "is a device on Windows"),
    Hostile("trailing.", "path", "loses its dot on Windows"),
    Hostile("a%2Fb", "URL", "becomes a path when it is decoded"),
    Hostile("a?b=c&d#e", "URL", "has a query and a fragment"),
    Hostile("a+b", "URL", "becomes a blank in a form"),
    Hostile("user:pass@host", "URL", "is a login; looks like a secret to redaction"),
)

NOT_UTF8 = (
    Hostile("latin\udcfc1", "bytes", "is one byte FC: cannot be printed, hashed or written as UTF-8"),
    Hostile("\udcff\udcfe", "bytes", "is a byte order mark of UTF-16"),
    Hostile("cut\udcc3", "bytes", "is the first half of a letter"),
)
"""As `os.fsdecode` gives them."""

NOT_FILE_NAMES = (
    Hostile("", "empty", "is no argument where it is not quoted; null in YAML"),
    Hostile(".", "path", "is the folder itself"),
    Hostile("..", "path", "is the folder above"),
    Hostile("../../etc/passwd", "path", "leaves the project"),
    Hostile("/etc/passwd", "path", "is absolute: joined to a folder it replaces it"),
    Hostile("//host/share", "path", "is a host on Windows, and in URLs"),
    Hostile("a/", "path", "is a folder"),
    Hostile("nul\0inside", "bytes", "ends the name in C, and cannot be an argument or a variable"),
    Hostile("x" * 300, "length", "is longer than a file name can be"),
    Hostile("x" * 200_000, "length", "is longer than one argument of a process can be"),
    Hostile("!!python/object/apply:os.system ['touch PWNED']", "YAML", "runs code in an unsafe loader"),
    Hostile("</script><script>alert(1)</script>", "HTML", "runs in a page"),
    Hostile("\ud800", "Unicode", "is half a pair, which is no text: it cannot be encoded"),
    Hostile("*/5 * * * *", "crontab", "is a time"),
    Hostile("http://127.0.0.1/?a=b", "URL", "is fetched by whoever opens it"),
)

ZONES = (
    Hostile("", "zone", "is the zone of the machine for some libraries"),
    Hostile("localtime", "zone", "is a file among the zones on some systems, of the machine"),
    Hostile("../../../etc/passwd", "zone", "leaves the folder of zones"),
    Hostile("/etc/localtime", "zone", "is an absolute path"),
    Hostile("Europe", "zone", "is a folder among the zones"),
    Hostile("Europe/", "zone", "is a folder"),
    Hostile("europe/prague", "zone", "is a zone only where file names ignore case"),
    Hostile("Europe/Prague\n", "zone", "is a zone after strip(), and two lines in crontab"),
    Hostile(" Europe/Prague", "zone", "is a zone after strip()"),
    Hostile("Europe/Prague; touch PWNED", "zone", "runs a command in a shell"),
    Hostile("Europe/Pra\0gue", "zone", "is cut in C, and raises ValueError instead of what a missing zone does"),
    Hostile("CET-1CEST,M3.5.0,M10.5.0/3", "zone", "is a rule for TZ, not a name"),
    Hostile("+02:00", "zone", "is an offset, not a zone"),
    Hostile("tzdata.zi", "zone", "is a file among the zones which is no zone"),
    Hostile("Mars/Olympus_Mons", "zone", "does not exist"),
    Hostile("x" * 5000, "zone", "is longer than a path can be, and raises OSError"),
)
"""None of them may be accepted as a time zone."""

VARIABLES = (
    Hostile("", "variable", "is empty"),
    Hostile("A=B", "variable", "has an equals sign: the name ends there"),
    Hostile("A B", "variable", "has a blank"),
    Hostile("1A", "variable", "begins with a digit"),
    Hostile("A-B", "variable", "has a hyphen: `${A-B}` is A, or B if that is not set"),
    Hostile("A:-B", "variable", "is a default in `${A:-B}`"),
    Hostile("A.B", "variable", "has a dot, which shells refuse"),
    Hostile("Ä", "variable", "is a letter for str.isidentifier, and none for a shell"),
    Hostile("A\nB=1", "variable", "is two lines in an .env file"),
    Hostile("A\0B", "variable", "cannot be a variable"),
    Hostile("$(touch PWNED)", "variable", "runs a command"),
    Hostile("A}", "variable", "ends `${…}`"),
    Hostile("A;touch PWNED", "variable", "runs a command behind `export`"),
)
"""None of them is the name of an environment variable."""

VALID_BUT_DANGEROUS = (
    Hostile("PATH", "variable", "decides which programs run"),
    Hostile("LD_PRELOAD", "variable", "loads code into every program"),
    Hostile("PYTHONPATH", "variable", "loads code into Python"),
    Hostile("PYTHONSTARTUP", "variable", "runs a file"),
    Hostile("BASH_ENV", "variable", "runs a file in every script of bash"),
    Hostile("GIT_SSH_COMMAND", "variable", "runs a command"),
    Hostile("IFS", "variable", "changes how a shell splits"),
    Hostile("_", "variable", "is set again by a shell at each command"),
)
"""Names of environment variables that do more than hold a value."""

EXPANSIONS = ("PWNED", "49")
"""Files that exist, or texts that appear, only if a name was evaluated: PWNED as a file, 49 instead of `{{ 7*7 }}`."""
