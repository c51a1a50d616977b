"""The one table of codes: title, message, hint and exit code of everything that can be said.

Prefix = the room that says it. A code is never reused; a retired one stays with its title.
Messages and hints are format strings filled by the raise site.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Code:
    """One row: a short title for the reference, the message and hint templates, the exit code, and the severity."""

    title: str
    message: str
    hint: str | None = None
    exit_code: int = 2
    severity: Literal["error", "warning", "note"] = "error"


def _note(title: str, message: str, hint: str | None = None) -> Code:
    return Code(title, message, hint, 0, "note")


def _warning(title: str, message: str, hint: str | None = None) -> Code:
    return Code(title, message, hint, 0, "warning")


CODES: dict[str, Code] = {
    # --- PRJ: project folder, configuration, command line ---------------------------------------------------------
    "PRJ001": Code("No project here", "no osiris.yaml in {start} or above", "run 'osiris init' or pass -C DIR"),
    "PRJ002": Code("Unknown configuration key", "unknown key '{key}'"),
    "PRJ003": _warning("Key of an earlier version", "'{key}' means nothing here and is not used", "remove it"),
    "PRJ004": Code("Bad configuration value", "'{key}' must be {expected}, found {found}"),
    "PRJ005": Code("Folder not empty", "{path} already holds a project", "choose another folder, or remove {path}"),
    "PRJ006": Code("Cannot write", "cannot write {path}: {reason}", "check its owner, its permissions and free space"),
    "PRJ007": Code("Earlier spelling", "'{old}' is spelled differently here", "use '{new}'"),
    "PRJ008": Code("Usage", "{problem}"),
    "PRJ009": Code("File not found", "{path} does not exist"),
    "PRJ010": Code("Not available", "'{what}' is not part of this version", "{instead}"),
    "PRJ011": Code("Bad configuration file", "{problem}"),
    "PRJ012": Code("Interrupted", "interrupted by {signal}", exit_code=130),
    "PRJ013": Code("Warnings", "there are warnings ({count}), and --strict allows none"),
    "PRJ014": Code("File exists", "{path} exists already", "choose another place, or remove it"),
    "PRJ018": _warning(
        "Keys of an earlier version",
        "{count} keys mean nothing here and are not used ('osiris config explain' tells of each): {keys}",
    ),
    "PRJ015": _note("File kept", "{path} exists and stays as it is; {instead}"),
    # --- OML: the text of a pipeline ------------------------------------------------------------------------------
    "OML001": Code("Not YAML", "{problem}"),
    "OML002": Code("Unknown key", "unknown key '{key}' in {where}"),
    "OML003": Code("Missing key", "'{key}' is required in {where}"),
    "OML004": Code("Forbidden key", "'{key}' is not allowed in OML {version}", "{instead}"),
    "OML005": Code("Not one of", "{value} is not one of {allowed}"),
    "OML006": Code("Wrong type", "'{key}' must be {expected}, found {found}"),
    "OML007": Code("Duplicate key", "key '{key}' appears twice; first on line {first}", "keep one of them"),
    "OML008": Code("YAML feature not allowed", "{feature} is not allowed here", "write the value out"),
    "OML009": Code("Too large", "{what} is larger than the limit of {limit}", "split the file"),
    "OML010": Code("Ambiguous value", "'{value}' means different things in YAML 1.1 and 1.2", "write {quoted}"),
    "OML011": Code("Unquoted reference", "a reference that begins with '@' must be quoted", "write {quoted}"),
    "OML012": Code("Unknown OML version", "oml_version {found} is not supported", 'write oml_version: "0.1.0"'),
    "OML013": Code("Duplicate step id", "step id '{id}' appears twice; first on line {first}"),
    "OML014": Code("Bad name", "{what} '{value}' must match {pattern}"),
    "OML015": Code("Unknown step", "step '{step}' needs '{needed}', which does not exist"),
    "OML016": Code("Step needs itself", "step '{step}' needs itself", "remove it from needs"),
    "OML017": Code("Cycle", "steps need each other in a circle: {cycle}", "remove one of these needs"),
    "OML018": Code("Bad input reference", 'input \'{name}\' must be "@step" or "${{step.df}}", found {found}'),
    "OML019": Code("Undeclared parameter", "parameter '{name}' is not declared under params"),
    "OML020": Code("Bad parameter declaration", "parameter '{name}': {problem}"),
    "OML021": Code("Bad parameter value", "parameter '{name}' must be {expected}, found {found}"),
    "OML022": Code("Parameter without a value", "parameter '{name}' has no value", "pass --param {name}=VALUE"),
    "OML023": Code(
        "Unknown profile",
        "profile '{name}' is declared neither here nor in osiris.yaml",
        "declare it under 'profiles' in the pipeline or in osiris.yaml, or name another one",
    ),
    "OML024": Code("Unknown placeholder", "'{placeholder}' is not a placeholder of OML"),
    "OML025": Code("Sensitive parameter misplaced", "sensitive parameter '{name}' {problem}", "{instead}"),
    "OML026": Code("Unreadable file", "{path}: {reason}"),
    "OML027": Code("No steps", "'steps' must list at least one step"),
    "OML028": Code("Bad value", "'{key}' {problem}"),
    "OML029": Code("Earlier spelling", "'{old}' is spelled '{new}' here", "rename it to '{new}'"),
    "OML030": _note(
        "Implied order",
        "step '{step}' has no needs, so it waits for '{previous}'",
        "write needs: [] to let it start at once",
    ),
    "OML031": _note("Normalised", "'{old}' is read as '{new}'", "write '{new}'"),
    "OML032": _note("Means something else here", "{what}"),
    "OML033": Code("Not in canonical form", "this is not in the canonical form", "run 'osiris fmt'", exit_code=1),
    "OML035": Code("Key of a later version", "'{key}' is part of OML {needed}", 'write oml_version: "{needed}"'),
    # --- CMP: the plan --------------------------------------------------------------------------------------------
    "CMP001": Code("Unknown component", "component '{name}' is not installed"),
    "CMP002": Code("Component not offered", "component '{name}' is not offered here: {reason}", "{instead}"),
    "CMP003": Code("Mode not offered", "component '{component}' has no mode '{mode}'", "its modes: {modes}"),
    "CMP004": Code(
        "Step without input",
        "step '{step}' ({component}) needs an input, and no step that it needs has an output",
        "name one in inputs or needs",
    ),
    "CMP005": Code("Unwanted input", "step '{step}' ({component}) takes {takes}, and gets {gets}"),
    "CMP006": Code(
        "Secret in the text",
        "{where} looks like a secret ({kind})",
        "move it to an environment variable and refer to it from osiris_connections.yaml",
    ),
    "CMP007": Code("Pipeline name taken", "pipeline '{name}' is also the name of {other}", "rename one of them"),
    "CMP008": Code("Wrong connection family", "step '{step}' needs a connection of family '{family}', found '{found}'"),
    "CMP009": Code("Same target twice", "steps '{first}' and '{step}' both write {target}", "give each its own target"),
    "CMP010": Code(
        "Input names clash",
        "the inputs of step '{step}' have the same name '{name}': {inputs}",
        "rename one of the steps",
    ),
    "CMP012": Code(
        "Type cannot be carried",
        "step '{step}' cannot write column '{column}' of type {type}: {reason}",
        "cast '{column}' in the step's config, or make another type of it in a SQL step before",
    ),
    "CMP013": _note(
        "Outside the project", "step '{step}' uses {path}, outside the project; remote targets will refuse it"
    ),
    "CMP015": _note("Nobody reads it", "the output of step '{step}' is read by no step"),
    "CMP017": Code(
        "Reads its own output",
        "step '{step}' reads {path}, which step '{writer}' of the same run writes",
        "write another file, or let '{step}' wait: needs: [{writer}]",
    ),
    "CMP018": Code(
        "Rows cannot be set aside",
        "component '{component}' cannot set aside rows that do not fit",
        "remove on_reject; these can: {able}",
    ),
    "CMP020": Code("Manifest unreadable", "{path} is not a manifest: {reason}", "compile the OML again", 4),
    "CMP021": Code(
        "Manifest not canonical",
        "{path} was changed after it was compiled: only its layout differs, first at byte {offset}",
        "compile the OML again",
        4,
    ),
    "CMP022": Code("Manifest changed", "{path} was changed after it was compiled: {leaf}", "compile the OML again", 4),
    "CMP023": Code(
        "Component changed",
        "component '{component}' is not the one this plan was compiled with ({what})",
        "compile the OML again",
        4,
    ),
    "CMP024": Code(
        "Engine changed",
        "{engine} is {found} here, and the plan was compiled with {pinned}",
        "compile again, or pass --allow-engine-drift",
        4,
    ),
    "CMP025": Code(
        "Manifest of an earlier version", "{path} was made by the earlier implementation", "compile the OML again", 4
    ),
    "CMP026": Code(
        "Plan has changes", "compiling {file} would change the plan: {change}", "run 'osiris compile {file}'", 5
    ),
    "CMP027": Code("No such plan", "no plan {what}", "run 'osiris compile FILE' first"),
    "CMP028": _warning(
        "Columns in names of folders",
        "step '{step}' does not give {columns}, which only names of folders such as {folder} tell",
        "write such columns into the files; or list 'columns', which says that no others are meant",
    ),
    "CMP040": _warning("Plan missing or out of date", "{file}: {problem}", "run 'osiris compile {file}'"),
    "CMP047": Code(
        "Another plan",
        "{path} holds plan {found}, not {asked}",
        "compile the OML again",
        4,
    ),
    "CMP048": _note("Fingerprint completed", "{asked} is plan {found}"),
    "CMP049": Code(
        "Fingerprint incomplete", "'{asked}' has {count} of the 64 digits of a fingerprint", "give {needed}"
    ),
    "CMP050": Code(
        "Connection of a plan changed",
        "connection {connection} of the plan is not that of osiris_connections.yaml: {what}",
        "compile the OML again",
        4,
    ),
    "CMP041": Code("Source that no plan reads", "no plan reads {what}"),
    "CMP042": Code("Unknown step of a plan", "plan {plan} has no step '{step}'"),
    # --- LCK: the pinned schemas of sources -----------------------------------------------------------------------
    "LCK001": Code(
        "Lock not understood",
        "osiris.lock: {problem}",
        "restore it, or remove it and compile again",
        4,
    ),
    "LCK002": Code(
        "Lock has a merge conflict",
        "osiris.lock holds both sides of a merge",
        "take either side, then run 'osiris compile FILE --refresh' for the pipelines that were changed",
        4,
    ),
    "LCK003": Code(
        "Lock was changed by hand",
        "the entry of {source} in osiris.lock is not what was pinned",
        "restore it, or remove the entry and compile again",
        4,
    ),
    "LCK004": Code(
        "Lock of another version",
        "osiris.lock has version {found}, and this version reads only {known}",
        "use the version that wrote it, or remove it and compile again",
    ),
    "LCK005": Code(
        "Source is pinned twice",
        "{source} stands twice in osiris.lock; first on line {first}",
        "remove one of the entries",
        4,
    ),
    "LCK006": _note("Source has changed", "step '{step}' reads {source}: {change}"),
    # --- REG: components ------------------------------------------------------------------------------------------
    "REG001": Code("Bad component spec", "component '{name}': {problem}"),
    "REG002": Code("Component does not load", "component '{name}' cannot be loaded: {reason}", exit_code=2),
    "REG003": Code(
        "Component registered twice",
        "component '{name}' is registered by {first} and {second}",
        "uninstall one of them",
    ),
    "REG004": Code("Spec and driver differ", "component '{name}': {problem}"),
    "REG005": Code("Component misbehaves", "component '{name}' {behaviour}: no, {problem}", exit_code=1),
    "REG006": _note(
        "Behaviour not tried",
        "component '{name}' was not tried in this: {behaviours}",
        "tell the suite how with osiris.testing.Case",
    ),
    # --- CON: connections -----------------------------------------------------------------------------------------
    "CON001": Code("Bad connections file", "{problem}", exit_code=2),
    "CON002": Code("Unknown family", "there is no connection of family '{family}'", exit_code=3),
    "CON003": Code("Unknown alias", "there is no connection '@{family}.{alias}'", exit_code=3),
    "CON004": Code("No default connection", "family '{family}' has no default connection", "name one of: {aliases}", 3),
    "CON005": Code(
        "Variable not set",
        "environment variable {variable} is not set (for '{field}' of @{family}.{alias})",
        "export {variable}, or put it into .env",
        3,
    ),
    "CON006": Code("Bad connection reference", "{text} is not a connection reference", 'write "@family.alias"'),
    "CON007": Code(
        "Secret in the connections file",
        "'{field}' of @{family}.{alias} holds a literal secret",
        "write ${{{variable}}} and set that variable",
    ),
    "CON008": Code("Unknown connection field", "@{family}.{alias} has the unknown field '{field}'"),
    "CON009": Code("Bad connection field", "'{field}' of @{family}.{alias} must be {expected}"),
    "CON010": Code("Bad line in .env", "line {line} of {file} is not NAME=value", "quote the value, or begin with #"),
    "CON011": Code(
        "Server not reached",
        "{where} cannot be reached: {reason}",
        "check host and port, that the server runs, and that it lets this machine in",
        3,
    ),
    "CON012": Code(
        "Login refused", "{where} does not let '{user}' in: {reason}", "check user and password of the connection", 3
    ),
    "CON013": Code("No such database", "{where} is not there: {reason}", "check 'database' of the connection", 3),
    "CON014": Code(
        "Connection lost", "the connection to {where} ended: {reason}", "run the same command again: it continues", 3
    ),
    "CON015": Code(
        "Server silent",
        "{where} did not answer within {seconds}",
        "check the network in between; connect_timeout and read_timeout of the connection are the limits",
        3,
    ),
    "CON016": Code("Connection incomplete", "the connection cannot be used: {problem}"),
    "CON017": Code(
        "Encryption not possible",
        "the connection to {where} cannot be encrypted as asked: {reason}",
        "check sslmode and sslrootcert of the connection",
        3,
    ),
    "CON018": _warning(
        "Role too powerful",
        "'{user}' of {connection} may do more than any step needs: {reasons}",
        "give Osiris a role of its own: 'osiris connections doctor {connection} --grants' prints how",
    ),
    "CON019": _warning(
        "Reader that may write",
        "pipelines only read from {connection}, and '{user}' may write: {reasons}",
        "give it a role that may only read: 'osiris connections doctor {connection} --grants' prints how",
    ),
    "CON020": _warning(
        "Writer that may only read",
        "pipelines write to {connection}, and it may only be read",
        "grant it what 'osiris connections doctor {connection} --grants' prints, or make the file writable",
    ),
    "CON021": _warning(
        "Connection not protected",
        "others may listen in on {where}, or stand in for it: {problem}",
        "set sslmode to verify-full, and sslrootcert where the server's authority is not a public one",
    ),
    "CON022": _warning(
        "Clocks differ",
        "the clock of {where} is {seconds} {direction} the one here",
        "let both follow the same time server",
    ),
    "CON023": _note("Not tried", "{connection} was not tried: {reason}"),
    "CON024": Code(
        "Key refused",
        "{where} does not accept the key: {reason}",
        "check key and url of the connection: they must be of one project, and the key neither expired nor revoked",
        3,
    ),
    "CON025": Code(
        "Too many requests", "{where} has too many requests: try again {wait}", "run the same command again later", 3
    ),
    "CON026": Code(
        "Server not available",
        "{where} answers with status {status}: {reason}",
        "run the same command again; a project that is paused must be restored first",
        3,
    ),
    "CON027": Code(
        "No REST interface",
        "{where} does not answer as the REST interface of a database: {problem}",
        "check url of the connection, and proxies on the way",
        3,
    ),
    "CON028": _warning(
        "Rows may be hidden",
        "{connection} shows no rows of {tables} to role '{role}': there are none, or row level security hides them",
        "make a policy that lets the role SELECT them, or use a key that it does not bind",
    ),
    "CON030": _warning(
        "Role that may do nothing",
        "'{user}' of {connection} may do nothing there: {lacks}",
        "grant it what 'osiris connections doctor {connection} --grants' prints",
    ),
    "CON039": Code(
        "Store not reached",
        "{where} cannot be reached: {reason}",
        "check endpoint and region of the connection, and the network in between",
        3,
    ),
    "CON040": Code(
        "Key refused by the store",
        "{where} does not accept the key: {reason}",
        "check the key of the connection: it may be misspelt, expired or revoked",
        3,
    ),
    "CON041": Code(
        "No such bucket", "{where} has no bucket or container '{bucket}'", "check its name, or make it there", 3
    ),
    "CON042": Code("Store not available", "{where} did not do as asked with {path}: {reason}", "run it again later", 3),
    "CON043": _note(
        "Not part of a statement",
        "step '{step}' reads {path} by itself: statements that come after it do not read from stores",
        "copy to a local file first what many statements read",
    ),
    "CON044": Code(
        "Secret file not read",
        "'{field}' of {connection} cannot be used: {problem}",
        "name a file in the project's folder; one whose name begins with a dot is kept from agents",
        3,
    ),
    "CON029": _note(
        "Databases open to everybody",
        "everybody who logs in to {where} may change {databases}, as it was installed",
        "mariadb-secure-installation takes them away, where nobody needs them",
    ),
    "CON065": Code(
        "Schema of Supabase",
        "{where}: schema '{schema}' is one in which Supabase keeps its own data, such as users, keys and files",
        "to use it all the same, list it in the connection: schemas: [{schema}]",
        3,
    ),
    "CON066": Code(
        "Operators not trusted",
        "{where}: column '{column}' of '{table}' has the type {schema}.{type}, whose operators are in the schema "
        "'{schema}', where others than its owner may create functions",
        "run REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC; or, if you trust everybody who may create there, list it in "
        "the connection: trusted_schemas: [{schema}]",
        3,
    ),
    # --- SQL: what may run ----------------------------------------------------------------------------------------
    "SQL001": Code("SQL not understood", "{problem}"),
    "SQL002": Code("Several statements", "only one statement is allowed", "keep the first and remove the rest"),
    "SQL003": Code("Not a query", "{what} is not a query", "write SELECT … or WITH … SELECT …"),
    "SQL004": Code("Not allowed in SQL", "{what} is not allowed"),
    "SQL005": Code("Function not allowed", "function '{name}' is not allowed"),
    "SQL006": Code("Relation not allowed", "'{name}' is not a relation this statement may read"),
    "SQL007": Code("Text not allowed in SQL", "{what} is not allowed in SQL"),
    "SQL008": Code("SQL too large", "the statement has more than {limit} {unit}", "split it into several steps"),
    "SQL009": Code("SQL does not fit its inputs", "{problem}"),
    "SQL010": Code("Unknown dialect", "'{dialect}' is not a known dialect", "one of: {known}"),
    "SQL011": Code("SQL failed", "{problem}", exit_code=1),
    "SQL020": _warning("Time of the run", "{what} gives another time in every run", "write ${{run.started_at}}"),
    "SQL021": _warning("Chance", "{what} gives other values in every run", "make them from a key: md5(key), hash(key)"),
    "SQL022": _warning(
        "Rows cut without an order",
        "{what} keeps other rows when they come in another order",
        "add an ORDER BY that tells all rows apart",
    ),
    "SQL023": _note(
        "Ties cut in an inner query",
        "{what}: rows that ORDER BY finds equal may be kept or not",
        "end that ORDER BY with columns that tell all rows apart",
    ),
    "SQL024": _warning(
        "Window without an order",
        "{what} follows the order in which rows come, and nothing fixes it",
        "write OVER (… ORDER BY …)",
    ),
    "SQL025": _warning(
        "Aggregate without an order",
        "{what} depends on the order in which rows come, and nothing fixes it",
        "put an ORDER BY into its parentheses, or take min or max",
    ),
    "SQL026": _warning("Approximation", "{what} approximates, with another answer when rows come in another order"),
    "SQL027": _warning(
        "Floats added up",
        "{what} rounds floating-point numbers in the order in which they come",
        "put an ORDER BY into its parentheses; a sum or mean may be cast to DECIMAL instead",
    ),
    "SQL028": _warning(
        "One text for several",
        "{what}: any of the texts that it finds equal may stand for all",
        "compare lower(…) instead",
    ),
    "SQL029": _warning(
        "Rows paired by position", "{what} pairs other rows when they come in another order", "join on a key"
    ),
    "SQL030": _note(
        "Ties in an order",
        "{what}: rows that its ORDER BY finds equal may come in either order",
        "add a column that makes the order total, as in ORDER BY b, id",
    ),
    "SQL031": Code(
        "Digits would be rounded away",
        "{what} is {found}, and becomes {type} here: its last digits would be rounded away",
        "CAST it, or what it stands beside, to the type that is meant",
    ),
    "SQL032": Code(
        "Function of the server's own",
        "'{name}' is a function of the server's own, and the connection lists another of that name",
        "remove it from 'functions' of the connection",
    ),
    # --- DAT: types and data --------------------------------------------------------------------------------------
    "DAT001": Code(
        "Value does not fit its column",
        "column '{column}': {value} is not {type}",
        "if it stands for NULL, list it in na_values; if the column is text, give it dtype utf8; if its type was taken "
        "from other rows, run 'osiris compile FILE --refresh'",
        1,
    ),
    "DAT002": Code("Row of another width", "{found} fields where the header has {expected}", exit_code=1),
    "DAT003": Code("Not in that encoding", "{file}: byte {offset} is not {encoding}", "set encoding", 1),
    "DAT004": Code("Bad header", "{file}: {problem}", exit_code=1),
    "DAT005": Code("Unknown column", "column '{column}' does not exist in {where}", exit_code=2),
    "DAT006": Code("Type not supported", "column '{column}' has type {type}: {reason}", exit_code=2),
    "DAT007": Code(
        "Cell too large",
        "a value is larger than {limit}",
        "is a quote left open there?",
        1,
    ),
    "DAT008": Code("Rows do not add up", "step '{step}': {problem}", exit_code=1),
    "DAT009": Code("Not comparable", "{problem}", exit_code=2),
    "DAT010": Code("Data differs", "{what}", exit_code=1),
    "DAT011": Code("Source changed", "step '{step}': {problem}", "compile the pipeline again with --refresh", 6),
    "DAT012": Code("Unknown type", "'{type}' is not a type", exit_code=2),
    "DAT013": Code("Not a file of that kind", "{file}: {problem}", exit_code=1),
    "DAT014": Code(
        "Cast would change a value",
        "step '{step}', column '{column}': not exact as {type}: {reason}",
        "cast to a type that holds every value, or convert in SQL",
        1,
    ),
    "DAT015": Code(
        "Value cannot be written",
        "step '{step}', column '{column}': {value} cannot be written: {reason}",
        "change the value or the column, or leave such rows out; nothing was written",
        1,
    ),
    "DAT016": Code("Rows of another schema", "rows are not as declared: {problem}", "tell the component's author", 1),
    "DAT017": Code("Stream read twice", "a stream of rows was read twice; rows flow once", exit_code=70),
    "DAT028": Code(
        "Key not unique",
        "step '{step}': the key {key} {problem}",
        "make the rows unique by their key before, for instance in SQL",
        1,
    ),
    "DAT029": Code(
        "Target does not fit",
        "step '{step}': table '{table}' does not fit: {problem}",
        "change the table, or cast or select other columns; if a source has other columns or types than before, run "
        "'osiris compile FILE --refresh'",
        6,
    ),
    "DAT030": Code(
        "Check failed",
        "step '{step}': check '{check}' found {found}",
        "fix the data (first rows: 'osiris logs show --rows'), or the check; nothing that reads this was written",
        6,
    ),
    "DAT031": Code(
        "Value cannot be carried",
        "column '{column}', row {row}: {value}; {reason}",
        "leave such rows out, or give them another value, in the query",
        1,
    ),
    "DAT032": Code(
        "Row refused",
        "step '{step}': table '{table}' refuses a row: {problem}",
        "mend or leave out such rows before, or set them aside with on_reject: quarantine; nothing was written",
        1,
    ),
    "DAT033": Code(
        "Values lost on the server",
        "{where} cut off, changed or dropped values: {problem}",
        "write the query so that each value fits: a longer text, another type, or without the rows that do not",
        1,
    ),
    "DAT034": Code("Too large at once", "{where}: {problem}", "give the connection the database's address", 1),
    "DAT035": Code(
        "Row refused on the way",
        "step '{step}': table '{table}' refuses rows: {problem}; {done} rows before them are written",
        "mend or leave out such rows, then run it again; rows that are there already stay one with upsert",
        1,
    ),
    "DAT036": _warning(
        "Pinned as it no longer is",
        "osiris.lock pins {source} as run {session} no longer found it: {problem}",
        "run 'osiris compile {file} --refresh' to look at it",
    ),
    "DAT045": Code(
        "Not a manifest",
        "{file} cannot be the manifest of a folder: {problem}",
        "have the folder written again, in another place",
        1,
    ),
    "DAT046": Code(
        "Folder not whole",
        "{file} names {problem}",
        "run again what writes the folder",
        1,
    ),
    "DAT047": Code(
        "No name for a folder",
        "a value of column '{column}' cannot name a folder: {problem}",
        "partition by another column",
        1,
    ),
    "DAT055": Code(
        "Counted twice, with two results",
        "{file} declares {declared} rows, and {counted} were read",
        "nothing was written: run it again if the file was changed meanwhile; otherwise it is damaged",
        1,
    ),
    "DAT020": Code("Not a JSON row", "{problem}", exit_code=1),
    # --- RUN: running ---------------------------------------------------------------------------------------------
    "RUN001": Code(
        "Worker died", "the worker ended with {status} during {during}", "run the same command again: it continues", 1
    ),
    "RUN002": Code("Timeout", "step '{step}' took longer than {timeout}", "raise timeout", 1),
    "RUN003": Code("Cancelled", "the run was cancelled by {signal}", "run the same command again: it continues", 1),
    "RUN004": Code(
        "Project is busy",
        "{holder} is running in this project{waited}",
        "run it again later, or wait longer (--wait, run.wait)",
        75,
    ),
    "RUN005": Code("Nothing compiled yet", "nothing was compiled in this project", "run 'osiris compile FILE' first"),
    "RUN006": Code("Nothing to resume", "{problem}", "run it anew"),
    "RUN007": Code("Worker not understood", "the worker broke the protocol: {problem}", exit_code=1),
    "RUN008": Code(
        "Run was lost", "the process of run {session} is gone", "run the same command again: it continues", 1
    ),
    "RUN009": _note("Already done", "run id '{run_id}' is already finished ({session}); nothing was done"),
    "RUN010": Code("No such session", "no session '{session}'"),
    "RUN050": Code(
        "Nothing to explain",
        "'{what}' is no code, no plan and no session",
        "explain takes a code (OML002), a plan (a file or fingerprint) or a session ('osiris logs list')",
    ),
    "RUN011": _note("Continuing", "continuing run {session}, which ended as {status}", "pass --new-run to start over"),
    "RUN012": _note(
        "Not continued",
        "run {session} ended as {status} and is not continued: {reason}",
        "pass --resume {session} to continue it",
    ),
    "RUN013": Code(
        "Out of memory", "step '{step}' needs more than the limit of {limit}", "raise run.memory in osiris.yaml", 1
    ),
    "RUN045": Code(
        "Out of memory", "'{job}' needs more than the limit of {limit}", "raise run.memory in osiris.yaml", 1
    ),
    "RUN014": Code("Bad run id", "'{run_id}' is not a run id", "use letters, digits, '.', '_' and '-' (at most 128)"),
    "RUN015": _warning("Engine drift", "{engine} is {found} here; the plan was compiled with {pinned}"),
    "RUN016": Code("Run id is taken", "run id '{run_id}' was finished by another plan ({session})", "use another id"),
    "RUN018": Code(
        "Spools too large",
        "step '{step}': outputs that are kept on disk take more than the limit of {limit}",
        "raise run.spool_limit in osiris.yaml",
        1,
    ),
    "RUN019": _note(
        "Kept output damaged", "what run {session} kept of step '{step}' is damaged, so the step runs again"
    ),
    "RUN020": _warning(
        "Source changed on the way",
        "the {what} changed since run {session}; what {delivered} delivered is of before",
        "run it under another id where both are to be of one state",
    ),
    "RUN021": Code("Replay differs", "the replay of run {session} differs: {what}", "{why}", 1),
    "RUN022": Code("Cannot be replayed", "run {session} cannot be replayed: {problem}"),
    "RUN023": _warning("Component changed", "component '{component}' is not the one that ran: {what}"),
    "RUN030": Code(
        "Session damaged",
        "session {session} cannot be read: run.json: {problem}",
        "restore logs/{session}/run.json, or remove the folder",
    ),
    "RUN031": _warning(
        "Session damaged",
        "session {session} is damaged (run.json: {problem}); targets are asked what it delivered",
        "restore logs/{session}/run.json, or remove the folder when you know what the run wrote",
    ),
    "RUN032": _note(
        "Finished before",
        "run {session} had finished when its process was killed, before it could say so; nothing was done now",
        "run the same command again to start a new run",
    ),
    "RUN033": _warning(
        "Session damaged",
        "session {session} is damaged and left out (run.json: {problem})",
        "restore logs/{session}/run.json, or remove the folder",
    ),
    "RUN034": _note(
        "Kept output of another state",
        "the source of step '{source}' changed, so what run {session} kept of step '{step}' is not used: it runs again",
    ),
    "RUN035": Code(
        "Unfinished run of another version",
        "run {session} of this pipeline ended as {status}; its plan was compiled with other versions of {what}",
        "'osiris explain {session}' shows what it delivered; --new-run starts a new run",
        4,
    ),
    "RUN056": _warning(
        "Rows of an unfinished run stay",
        "run {session} ended as {status} and had added rows already: {steps}; this run adds its own beside them",
        "if they are the same rows, remove the earlier ones; write_mode upsert or replace adds none twice",
    ),
    "RUN057": _note(
        "Kept output may be of an earlier state",
        "the output of step '{step}' that run {session} kept is used; source '{source}' cannot tell whether it changed",
        "run without --resume to read it again",
    ),
    # --- SBX: where a run runs ------------------------------------------------------------------------------------
    "SBX001": Code(
        "No bubblewrap",
        "a run in a sandbox of this machine needs the program bwrap",
        "install the package bubblewrap, or leave --target bwrap out",
    ),
    "SBX002": Code(
        "No sandbox",
        "bubblewrap could not make a sandbox: {reason}",
        "allow user namespaces on this machine, or leave --target bwrap out",
        1,
    ),
    "SBX003": Code(
        "Network not allowed",
        "the sandbox has no network, and the plan uses {connections}",
        "set run.bwrap.network to allow, or run it without --target bwrap",
    ),
    "SBX004": Code(
        "Nothing to hide behind", "a step writes into {path}, which holds all of this machine", "write into a folder"
    ),
    "SBX030": Code(
        "Folder of the project in the sandbox",
        "a step writes into {path}, which holds the project, and code of others would write there too",
        "write into a folder of its own, such as output/",
    ),
    "SBX010": Code(
        "Path stays here",
        "{path} is not a relative path inside the project, and a run on {target} takes only a copy of that",
        "move it into the project and name it by a relative path, or run it locally",
    ),
    "SBX011": Code(
        "Too much to send",
        "the files that steps read have {size} bytes, and no more than {limit} are sent",
        "raise run.remote.upload_limit in osiris.yaml, or read them from where the sandbox can reach them",
    ),
    "SBX012": Code(
        "Too much to fetch",
        "{what} stayed in the sandbox and is lost with it: {size} bytes, and no more than {limit} are fetched in a run",
        "raise run.remote.fetch_limit in osiris.yaml",
        1,
    ),
    "SBX013": Code("Not what was sent", "{path} is not what was sent, {where}", "run it again", 1),
    "SBX014": Code(
        "Changed on both sides",
        "{path} was changed here while the sandbox changed its copy, which is lost",
        "let nothing else write it meanwhile, and run it again",
        1,
    ),
    "SBX015": Code("Connection lost", "{what} could not be {done}: {reason}", "run it again", 3),
    "SBX016": Code(
        "Other engine in the sandbox",
        "the sandbox has {engine} {found}, and the plan is made for {planned}",
        "build the template anew, or allow it with --allow-engine-drift",
        4,
    ),
    "SBX020": Code("E2B not installed", "runs on E2B need the package 'e2b'", "install it: {command}"),
    "SBX021": Code("No key for E2B", "E2B_API_KEY is not set", "export E2B_API_KEY, or write it into .env", 3),
    "SBX022": Code("E2B refused", "E2B could not {what}: {reason}", None, 3),
    "SBX023": Code(
        "No template",
        "E2B has no template '{name}'",
        "build it: osiris sandboxes build{again}, or name another with --e2b-template",
    ),
    "SBX024": Code(
        "Packages missing",
        "the sandbox cannot start a worker: {missing} is missing there",
        "build a template with 'osiris sandboxes build', or install what is missing with --e2b-install-deps",
    ),
    "SBX025": Code(
        "Packages not installed",
        "the sandbox could not install what a worker needs ({missing}): {reason}",
        "build a template with 'osiris sandboxes build', which has it",
        3,
    ),
    "SBX026": Code(
        "Packages do not fit",
        "the sandbox has {found}, and the packages of this version are for {planned}",
        "name another template with --e2b-template, or build one with 'osiris sandboxes build'",
    ),
    "SBX027": Code(
        "Packages too large to send",
        "the packages that the sandbox lacks have {size} bytes, and no more than {limit} are sent",
        "raise run.remote.upload_limit in osiris.yaml, or build a template with 'osiris sandboxes build'",
    ),
    "SBX028": _warning(
        "Brought back in part",
        "of what step '{step}' wrote, {fetched} came back, and {lost} stayed in the sandbox and is lost with it",
        "run it again: all of it is written anew",
    ),
    "SBX029": Code(
        "Life of the sandbox is over",
        "the sandbox reached its end of life (--e2b-timeout {life})",
        "raise --e2b-timeout, or run.e2b.timeout in osiris.yaml, and run it again",
        1,
    ),
    "SBX031": _warning(
        "Installed for this run only",
        "E2B could not keep the sandbox with its packages for later runs: {reason}",
        "the next run installs them again; 'osiris sandboxes build' makes a template that has them",
    ),
    # --- DRV: raised by drivers -----------------------------------------------------------------------------------
    "DRV000": Code(
        "Driver failed",
        "component '{component}' failed unexpectedly: {reason}",
        "see artifacts/{step}/traceback.txt of the session",
        1,
    ),
    "DRV001": Code("File not found", "{path} does not exist", exit_code=1),
    "DRV003": Code(
        "No permission", "{path}: {reason}", "give the user who runs osiris access to it: ls -ld shows its owner", 1
    ),
    "DRV004": Code(
        "No space",
        "no space left while writing {path} ({bytes} bytes written)",
        "free some space and run the same command again",
        1,
    ),
    "DRV005": Code("Not a regular file", "{path} is {kind}", exit_code=1),
    "DRV006": Code("Input/output error", "{path}: {reason}", exit_code=1),
    "DRV007": Code("Bad path", "{path}: {problem}"),
    "DRV010": Code("Not a database", "{path} cannot be read as a {kind} database: {reason}", exit_code=1),
    "DRV011": Code("Database in use", "others use {path}; it was not free for {seconds}", "try again later", 3),
    "DRV012": Code("No such table", "there is no table '{table}' in {path}", exit_code=1),
    "DRV013": Code("Database refused", "{path}: {problem}", exit_code=1),
    "DRV014": Code(
        "Delivered by another plan",
        "step '{step}' of run '{run_key}' was delivered to {path} by another plan",
        "use another --run-id, or --new-run to deliver again",
        1,
    ),
    "DRV015": Code(
        "Rows lost",
        "step '{step}': table '{table}' of {path} was given {given} rows and took {taken}; nothing was written",
        "look for triggers of the table that drop or add rows",
        1,
    ),
    "DRV020": Code(
        "Not granted",
        "{where}: '{user}' may not do this: {reason}",
        "let its owner GRANT it to the user",
        1,
    ),
    "DRV021": Code(
        "Statement ended by the server",
        "{where} ended the statement: {reason}",
        "raise statement_timeout of the connection, or that of the role",
        1,
    ),
    "DRV022": Code("No space on the server", "{where} has no space left: {reason}", "free some space there", 1),
    "DRV023": Code(
        "Columns not told",
        "{where} does not tell role '{role}' the columns of {what}",
        "give the connection a key of role service_role",
        1,
    ),
    "DRV024": Code(
        "Not over this connection",
        "step '{step}': {what} cannot be used here: {why}",
        "give the connection the database's address: dsn, or host, user and password",
    ),
    "DRV025": Code(
        "Not readable in pages",
        "table '{table}' cannot be read in pages: {problem}",
        "name the columns that tell its rows apart in primary_key, or give the connection the database's address",
        1,
    ),
    "DRV026": Code(
        "Rows do not add up over REST",
        "step '{step}': table '{table}' of {where}: {problem}",
        "give the connection the database's address: there it is one transaction",
        1,
    ),
    "DRV037": Code(
        "Not allowed in the store",
        "{path}: the key of the connection may not do this: {reason}",
        "let the owner of the bucket grant it to the key",
        1,
    ),
    "DRV038": Code("Object changed", "{path} was changed while it was read", "run the same command again", 1),
    "DRV045": Code(
        "Folder with other files",
        "{path} has files that Osiris did not write, {example} among them, and no manifest",
        "write into a folder of its own, or move away what lies there",
        1,
    ),
    "DRV046": Code(
        "Folder written by another",
        "another run has published {path} since this one began; what this one made is not shown",
        "run the same command again, and one at a time",
        1,
    ),
    "DRV047": Code("Folder needed", "'{key}' makes several files, and {path} is one", "let the path end with '/'"),
    "DRV048": Code(
        "Too many files",
        "a folder has at most {limit} files, and these rows need more",
        "partition by columns with fewer values, or let files be larger",
        1,
    ),
    "DRV049": Code(
        "Kept back from steps",
        "no step may use {path}: {why}",
        "name another file; data lies well in data/ and output/",
    ),
    "DRV059": Code(
        "Outside the project",
        "{path} lies outside the project, and {key} in osiris.yaml does not list it",
        "move it into the project, or {verb} this line in osiris.yaml:  {line}",
    ),
    "DRV060": Code(
        "Suffix of another format",
        "the name of {path} must end with {suffixes}: files that other programs run are not written",
        "give it such a name",
    ),
    "DRV061": Code(
        "File of another program", "no step may write {path}: {why}", "give it another name, or write below output/"
    ),
    "DRV062": Code(
        "Not data",
        "no step may use {path}: the operating system shows itself there",
        "name a file with data; what lies below /proc, /sys and /dev is never used",
    ),
    "DRV063": Code(
        "Changed while opened", "{path} became a link, or another file, while it was opened", "run it again", 1
    ),
    "DRV064": Code(
        "Transaction ended for another one",
        "{path} ended the transaction because of another one: {reason}; nothing was written",
        "run the same command again: it continues; 'retry' of the step has it run again by itself",
        3,
    ),
    "DRV070": Code(
        "File where a folder is needed",
        "{path} is a file, and a folder is needed there",
        "move it away, or write to another folder",
    ),
    # --- DSC: discovery -------------------------------------------------------------------------------------------
    "DSC001": Code(
        "Cannot be discovered",
        "{source} cannot be discovered: the family '{family}' tells nothing of its sources",
        "name the table or file in the step's config",
    ),
    "DSC002": _warning(
        "Cache set aside",
        "what was known of sources is damaged, and now lies in {path}; sources were looked at anew",
        "remove {path}",
    ),
    "DSC003": Code(
        "Too much to profile",
        "rows of {count} tables would be read, and of no more than {most} they are",
        "name some with --table",
    ),
    "DSC004": _warning(
        "Not profiled in time",
        "table '{table}' was not profiled: it took longer than {seconds}",
        "name some of its columns with --column",
    ),
    "DSC005": _warning("Not profiled", "'{table}' was not profiled: {reason}", "name its other columns with --column"),
    "DSC006": _warning(
        "No column to profile",
        "table '{table}' has no column that can be read and was asked for",
        "'osiris discover' without --profile shows why",
    ),
    "DSC007": _note(
        "Not looked at",
        "step '{step}': the schema of {source} is that which 'osiris discover' saw at {when}",
        "--refresh looks at it",
    ),
    "DSC008": Code(
        "Discovery took too long",
        "{source} was not told of within {seconds}",
        "ask for some of its tables with --table",
        3,
    ),
    # --- AIO: what is told of runs ------------------------------------------------------------------------------
    "AIO001": _warning(
        "No package",
        "run {session} has no package: {reason}",
        "the run itself is as it says; 'osiris logs aiop {session}' makes the package",
    ),
    "AIO002": _warning(
        "Package cut",
        "the package of run {session} leaves {count} items out to stay within {limit} bytes: {names}",
        "raise aiop.max_core_bytes; --policy annex writes everything beside it",
    ),
    "AIO003": Code("Package cut, and --strict", "{problem}", "raise --max-core-bytes, or leave --strict out", 1),
    "AIO004": _warning(
        "Limit below the answer",
        "the package of run {session} has {size} bytes, and {limit} were asked for: its answer is never cut",
    ),
    "AIO005": _note("Still running", "run {session} has not ended; this tells how far it has come"),
    "AIO010": _warning(
        "Lineage not delivered",
        "{count} OpenLineage events did not reach {where}: {reason}",
        "'osiris lineage {session} --format openlineage' prints them",
    ),
    "AIO011": _warning(
        "Lineage not written",
        "OpenLineage events could not be added to {path}: {reason}",
        "'osiris lineage {session} --format openlineage' prints them",
    ),
    "AIO012": Code("Session under way", "session {session} has not ended", "pack it when it has"),
    "AIO013": Code(
        "Session not removed", "session {session} could not be removed: {reason}", "check who owns its files", 1
    ),
    "AIO014": Code("No lineage of its own", "session {session} is a replay, which writes to no target", "name its run"),
    "AIO021": Code("No lineage", "session {session} could not start: it read and wrote nothing", "name another run"),
    "AIO020": _warning("No browser", "no browser could be started to show {path}", "open the file yourself"),
    # --- CHT: conversations -----------------------------------------------------------------------------------
    "CHT001": Code("Request of another form", "the request, or the answer of a model, does not fit: {problem}"),
    "CHT020": Code("Conversations out of reach", "{path} cannot be used: {reason}", "check its owner and free space"),
    "CHT021": Code("No such conversation", "there is no conversation {wanted}", "see 'osiris logs list'"),
    "CHT022": _warning(
        "Conversations were damaged",
        "{path} was damaged and is set aside as {aside}; {kept} conversations with {rows} entries are whole",
        "what came after the damage has to be said again",
    ),
    "CHT023": Code("Conversation in use", "another process has conversation {conversation}", "end it there first"),
    "CHT024": Code(
        "Recorded otherwise",
        "entry {number} of the conversation is '{recorded}', and now '{asked}' is asked",
        "another version of Osiris or other prompts recorded it: begin a new conversation",
    ),
    "CHT025": Code("Nothing to replay", "conversation {conversation} never came to a pipeline"),
    "CHT026": Code("No editor", "the draft could not be edited: {reason}", "set EDITOR, or say the change in words"),
    "CHT027": Code("Waiting for an answer", "the conversation waits: {question}", "answer it", 1),
    "CHT028": Code("Run failed", "run {session} failed", "say how to mend it, or see 'osiris logs show {session}'", 1),
    "CHT029": Code(
        "A conversation is no run",
        "session {session} is a conversation",
        "'osiris logs show {session}' names its runs",
    ),
    "CHT030": Code(
        "Conversation ended", "conversation {conversation} has ended", "begin a new one: osiris chat, without --resume"
    ),
    "CHT031": Code(
        "No place for pipelines",
        "pipelines cannot be saved in '{folder}'",
        "name output/, pipelines/ or a folder below one of them",
    ),
    "CHT032": Code(
        "Too many words", "{count} characters were said at once; at most {most} are heard", "say what matters of it"
    ),
    "CHT033": _warning(
        "A secret was said",
        "what looks like a secret in your words is neither kept nor sent",
        "declare it in osiris_connections.yaml as ${{NAME}}, and name the connection",
    ),
    "CHT034": Code("Cannot be done", "nothing was made of these words: {reason}", "say something else", 1),
    "CHT041": Code("Request that cannot be carried out", "the request does not fit: {problem}"),
    "CHT042": Code("Flag that cannot be carried out", "{flag}: {problem}"),
    "CHT043": Code("Plan not accepted", "nothing was written or run: the plan was not accepted", "add --yes", 1),
    "CHT044": Code("Not accepted by --yes", "{problem}; --yes alone does not accept this"),
    "CHT045": Code("Other pipeline there", "{file} is another pipeline", "give this one another name: --name NAME"),
    "CHT046": Code(
        "Plan changed since it was accepted",
        "{file} is saved, but its plan is not the one that was accepted; nothing was run",
        "look at it: osiris compile {file}",
        1,
    ),
    "CHT051": Code("Waiting for an answer", "the guide waits: {question}", "answer it: osiris new --resume", 1),
    "CHT052": Code(
        "Conversation of another command",
        "conversation {conversation} was begun with another command",
        "continue it there: {command}",
    ),
    "CHT053": Code("Nobody to ask", "the guide is interactive: it cannot be used with --json"),
    "CHT056": Code(
        "No choices for this pipeline",
        "the guide cannot express everything that {file} has, for example a comment",
        "edit the file",
    ),
    "CHT055": Code("No such answer", "{problem}", "continue with another answer: osiris new --resume"),
    "CHT065": Code(
        "No model",
        "free text needs a model, and none is configured",
        "run 'osiris new', which asks with choices; or set chat.provider to openai, anthropic, gemini or compatible",
    ),
    "CHT066": Code(
        "Conversation of an earlier version",
        "conversation {conversation} was held by an earlier version, whose answers are no longer read",
        "'osiris chat --replay {conversation}' prints its pipeline; run 'osiris new' for a new one",
    ),
    "CHT067": Code("Not confirmed", "{question} --yes does not answer this"),
    # --- LLM: models ----------------------------------------------------------------------------------------------
    "LLM001": Code("No such provider", "'{name}' is no provider"),
    "LLM002": Code(
        "Models not installed",
        "provider '{provider}' needs the package 'pydantic-ai-slim'",
        "install it: {command}; or run 'osiris new', which needs no model",
    ),
    "LLM003": Code(
        "Key missing",
        "provider '{provider}' needs a key, and {variable} is not set",
        "put it into .env, or name its variable as chat.api_key; 'osiris new' needs none",
        3,
    ),
    "LLM004": Code("No model named", "no model of provider '{provider}' is named", "pass --model, or set chat.model"),
    "LLM005": Code(
        "No address",
        "provider '{provider}' has no address of its own",
        "set chat.base_url, for example to http://localhost:11434/v1",
    ),
    "LLM006": Code(
        "Tokens used up",
        "this conversation has used {used} tokens, the next request takes about {needed}, and "
        "chat.max_tokens_per_conversation is {limit}",
        "raise chat.max_tokens_per_conversation, or begin a new conversation",
    ),
    "LLM007": Code(
        "Money used up",
        "this conversation has cost {used} US dollars, and chat.max_cost is {limit}",
        "raise chat.max_cost, or begin a new conversation",
    ),
    "LLM008": Code(
        "Price unknown",
        "the price of model '{model}' is not known, so chat.max_cost cannot be kept",
        "remove chat.max_cost: chat.max_tokens_per_conversation is a limit as well",
    ),
    "LLM009": Code(
        "Not a key",
        "the value of {variable} cannot be a key: it has blanks, line breaks or characters that no header can have",
        "copy it again",
        3,
    ),
    "LLM010": Code(
        "Too many requests",
        "{model} takes no more requests now: {reason}",
        "try again later, or set chat.requests_per_minute or chat.tokens_per_minute to what your account allows",
        3,
    ),
    "LLM011": Code("Service failed", "the service of {model} fails: {reason}", "try again later", 3),
    "LLM012": Code(
        "Service out of reach",
        "the connection to the service of {model} failed: {reason}",
        "check the network and chat.base_url",
        3,
    ),
    "LLM013": Code(
        "No answer in time", "{model} gave no answer within {reason} seconds", "try again, or raise chat.timeout", 3
    ),
    "LLM014": Code("Key refused", "the service of {model} refuses the key: {reason}", "check chat.api_key", 3),
    "LLM015": Code(
        "Request refused",
        "the service does not take the request to {model}: {reason}",
        "check the name of the model; where it is right, try chat.answers: tool, or json",
    ),
    "LLM016": Code(
        "Not an answer",
        "what came back from {model} is no answer of such a service: {reason}",
        "check chat.base_url, and whether something stands between you and the service",
        3,
    ),
    "LLM017": Code(
        "Answer too large", "the answer of {model} has more than {limit} bytes, or is compressed", "try again", 3
    ),
    "LLM018": Code("Answer cut off", "the answer of {model} ended at its limit of tokens", "ask for less at once", 1),
    "LLM019": Code(
        "Strange call", "{model} calls '{tool}', which it was not offered", "try again, or choose another model", 1
    ),
    "LLM020": Code(
        "Account used up", "the account of {model} allows no more: {reason}", "check plan and billing there", 3
    ),
    "LLM021": Code("Request too long", "the request is too long for {model}: {reason}", "lower chat.context_tokens"),
    "LLM030": Code("Unknown place", "there is no place '{name}' in this prompt"),
    "LLM031": Code(
        "Place missing",
        "this prompt must have the place '{name}'",
        "'osiris prompts dump --dir DIR' shows where it belongs",
    ),
    "LLM032": Code(
        "Prompt unreadable", "{path} cannot be read: {reason}", "write the prompts with 'osiris prompts dump --force'"
    ),
    # --- MCP: what agents ask ----------------------------------------------------------------------------------
    "MCP001": Code(
        "Running not allowed",
        "this server runs nothing: it was started without --allow-run",
        "a person may start it with 'osiris mcp --allow-run', or run 'osiris run {fingerprint}'",
    ),
    "MCP002": Code("Out of reach", "{path} is out of reach of agents", "name a path below the project's folder"),
    "MCP003": Code("File differs", "{path} exists and is another text", "to replace it, pass replaces: {digest}"),
    "MCP004": Code("No such tool", "there is no {what} '{name}'"),
    "MCP005": Code("Bad argument", "{problem}"),
    "MCP006": Code("MCP not installed", "'osiris mcp' needs the package 'mcp'", "install it: {command}"),
    # --- INT: ourselves -------------------------------------------------------------------------------------------
    "INT000": Code("Internal error", "unexpected {kind}: {reason}", "this is a mistake of ours; please report it", 70),
}
