"""Detection of personal data by rules: checksums and patterns of values, and names of columns.

Only reliable rules are here: a name or a street cannot be recognized by its letters, so such columns are detected by
their names, and free text is not shown at all unless it is requested unmasked.
Rows that agents may see have personal data and secrets masked, and long texts are cut.
"""

from __future__ import annotations

import json
import re
from datetime import date
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING

from osiris.secret import is_secret_name, literal_secret_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from osiris.model import JsonValue, Schema

SECRET = "secret"  # noqa: S105  the word for one, not one
"""The kind of values that are never shown, whatever the request."""

FREE_TEXT = "free text"
"""The kind of text that people write: its values may contain a more sensitive kind."""

_EMAIL = re.compile(r"[A-Za-z0-9._%+'-]+@(?:[\w-]+\.)+[A-Za-z]{2,}")
_PHONES = re.compile(
    r"(?:\+|00)[1-9][0-9]{0,2}[ .()/-]*(?:[0-9][ .()/-]{0,2}){6,12}[0-9]"
    r"|\(?[2-9][0-9]{2}\)[ .-]?[2-9][0-9]{2}[ .-][0-9]{4}|[2-9][0-9]{2}([.-])[2-9][0-9]{2}\1[0-9]{4}"
    r"|[2-9][0-9]{2} [0-9]{3} [0-9]{3}|0[1-9](?:[ .][0-9]{2}){4}|0[1-9][0-9]{1,3}[ /-][0-9]{3,4}[ -]?[0-9]{3,4}"
)
_MAC = re.compile(r"[0-9A-Fa-f]{2}(?:([:-])[0-9A-Fa-f]{2})(?:\1[0-9A-Fa-f]{2}){4}")
_CARD = re.compile(r"[0-9](?:[ -]?[0-9]){12,18}")
_ISSUERS = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})|5[1-5][0-9]{14}|2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)[0-9]{12}"
    r"|3[47][0-9]{13}|(?:6011|65[0-9]{2}|64[4-9][0-9])[0-9]{12,15}|35[0-9]{14}|3(?:0[0-5]|[68][0-9])[0-9]{11}"
    r"|62[0-9]{14,17}|(?:50|5[6-9]|6[37])[0-9]{14}"
)
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}")
_IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI NL",
        19: "SI",
        20: "AT EE LT LU",
        21: "CH HR LI LV",
        22: "BG DE GB IE",
        24: "CZ ES RO SE SK",
        25: "PT",
        26: "IS",
        27: "FR GR IT",
        28: "CY HU PL",
        29: "UA",
        31: "MT",
    }.items()
    for country in countries.split()
}
_YEAR, _MONTH, _DAY = (f"(?P<{part}>[0-9]{{2}})" for part in ("year", "month", "day"))
_CZECH = re.compile(rf"{_YEAR}{_MONTH}{_DAY}(?P<slash>/?)(?P<rest>[0-9]{{3,4}})")
_PESEL = re.compile(rf"{_YEAR}{_MONTH}{_DAY}[0-9]{{5}}")
_NORDIC = re.compile(rf"(?:[0-9]{{2}})?{_YEAR}{_MONTH}{_DAY}[-+][0-9]{{4}}")
_FINNISH = re.compile(rf"{_DAY}{_MONTH}{_YEAR}[-+A-FU-Y](?P<rest>[0-9]{{3}})(?P<check>[0-9A-Y])")
_DANISH = re.compile(rf"{_DAY}{_MONTH}{_YEAR}-[0-9]{{4}}")
_SPANISH = re.compile(r"([XYZ]?)([0-9]{7,8})-?([A-Z])")
_ITALIAN = re.compile(r"[A-Z]{6}[0-9]{2}[A-EHLMPRST][0-9]{2}[A-Z][0-9]{3}[A-Z]")
_FRENCH = re.compile(r"([12]) ?([0-9]{2}) ?([01][0-9]) ?([0-9]{2}) ?([0-9]{3}) ?([0-9]{3}) ?([0-9]{2})")
_AMERICAN = re.compile(r"(?!000|666|9)[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}")
_BRITISH = re.compile(r"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?(?:[0-9]{2} ?){3}[A-D]")
_WEIGHTS = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)
_BRAZILIAN = re.compile(r"([0-9]{3})\.([0-9]{3})\.([0-9]{3})-([0-9]{2})")

_NAMES = {
    "e-mail": "(e_?)?mail(_?addr(ess)?)?",
    "phone": "(home|work|office|business|day|night|cell|mobile)?_?(phone|telephone|tel|mobile|cell|fax|msisdn|whatsapp"
    "|telefon|telefono|handy)(_?(no|nr|num|number))?",
    "IP address": "ip|ip_?addr(ess)?|ipv[46]|remote_addr|mac_address",
    "card or account": "(credit_?|debit_?|payment_?)?card_?(number|no|num)|credit_?card|cc_?num(ber)?|pan|cvv|cvc|iban"
    "|(bank_?)?account_?(number|no)|bank_?account|sort_code|routing_number",
    "birth": "b_?date|birth_?(date|dt|day|year|place)|date_?of_?birth|place_?of_?birth|dob|born(_on)?"
    "|geburtsdatum|datum_narozeni|fecha_nacimiento",
    "identity number": "ssn|social_security(_number|_no)?|national_?(id|insurance)(_?number|_no)?|nino|nhs_?(no|number)"
    "|passport(_?(number|no|id))?|personal_?(id|number|no)|personnummer|rodne_cislo|birth_?number|pesel|dni|nif|cpf"
    "|bsn|codice_fiscale|(tax|fiscal)_?(id|number|payer_id)|id_?card(_?(number|no))?|driv(er|ing)s?_?licen[cs]e\\w*"
    "|licen[cs]e_?plate|id_number",
    "name": "([flm]|first|last|middle|given|family|full|maiden|birth|pers(on)?|contact|cust(omer)?|client|emp(loyee)?"
    "|staff|patient|member|guest|passenger|student|teacher|driver|manager|mgr|rep|owner|holder|cardholder|recipient"
    "|sender|author|display|legal|nick|fore|sur|usr|user)_?(names?|nm)|[flm]n(a?me?)?|[flm]name|login"
    "|\\w*(first|last|full|given|family|middle|maiden|sur)(name|nm)|surn|cust_?nm"
    "|jmeno|prijmeni|vorname|nachname|nombre|apellidos?|prenom|cognome",
    "address": "(street|home|postal|mail(ing)?|bill(ing)?|ship(ping)?|delivery|residential|contact)?_?(address|addr)"
    "(_?(line)?_?[0-9])?|street(_?(name|no|number))?|house_?(no|number)|post_?code|postal_?code|zip(_?code)?|ulice"
    "|adresa|strasse|psc|plz",
    "place": "lat(itude)?|lon(gitude)?|lng|gps\\w*|geo_?location|coordinates",
    "person": "gender|sex|religion|ethnicity|race|marital_status|nationality|diagnosis|salary|wage|income|disability"
    "|sexual_orientation|political\\w*|blood_type",
    FREE_TEXT: "notes?|comments?|remarks?|memos?|messages?|feedback|complaints?|free_?text|anamnesis|observations?"
    "|poznamk[ay]|bemerkung(en)?|anmerkung(en)?|notiz(en)?|kommentar(e)?|nota|notas|commentaires?|remarques?",
}
_BY_NAME = tuple((kind, re.compile(f"(?:\\w*_)?(?:{words})(?:_[0-9]+)?")) for kind, words in _NAMES.items())
_PASSWORD = "pw|pwd|pass|passwd|password|passphrase|passcode|passwort|kennwort|heslo|contrasena|senha"  # noqa: S105  words, and none
_OF_SECRETS = re.compile(
    f"(?:\\w*_)?(?:pw|passwort|kennwort|heslo|contrasena|mot_de_passe|senha|(?:{_PASSWORD}|secret|token|api_?key)_?"
    "(hash|hashed|md5|sha_?[0-9]*|bcrypt|argon2i?d?|scrypt|digest|salt|crypt|enc|encrypted|old|new|prev|previous|plain"
    "|value|hint|[0-9]+)|(?:hash|hashed|md5|sha_?[0-9]*|bcrypt|encrypted|crypted)_?"
    f"(?:{_PASSWORD}|secret|token|api_?key)|security_answer|recovery_codes?|backup_codes?|(?:otp|totp)_?(?:seed)?)"
)
"""Names of columns that hold passwords and tokens, or values derived from them."""
_OF_HASHES = re.compile("(?:\\w*_)?(?:hash|hashed|md5|sha_?(?:1|224|256|384|512)|bcrypt|digest|salt|pin|pin_?code)")

_OF_SOMEBODY = re.compile(
    "(?:\\w*_)?(?:cust(omer)?|client|contact|person|people|employee|staff|worker|colleague|manager|supervisor|agent|rep"
    "|representative|salesperson|salesman|seller|buyer|owner|holder|member|user|subscriber|patient|doctor|physician"
    "|nurse|student|pupil|teacher|professor|instructor|tutor|parent|mother|father|child|spouse|guest|visitor|passenger"
    "|driver|tenant|landlord|guarantor|beneficiary|recipient|sender|author|editor|reviewer|approver|assignee|reporter"
    "|requester|signatory|attendee|participant|applicant|candidate|winner|donor|witness|victim|player|coach|assigned_to"
    "|(created|updated|modified|changed|approved|signed|entered|handled|owned|managed|requested|reported)_by"
    "|kunde|kundin|mitarbeiter(in)?|ansprechpartner|zakaznik|klient(ka)?|zamestnanec|cliente|empleado|usuario"
    "|dipendente|utente|employe|utilisateur|medewerker|klant)s?"
)
"""Columns named after people: they may hold names, numbers or classes of people, which only their values show."""

_GIVEN = """
adam alan albert alejandro alessandro alex alexander alexandra alice ali amanda amy ana andrea andreas andrew andrej
angela ann anna anne antonio barbara ben benjamin bob boris brian carlos carol caroline catherine charles chloe chris
christian christina christine christopher claire clara claudia daniel daniela david deborah diana diego dominik donald
donna edward elena eliska elizabeth ella emily emma eric erik eva fatima felix filip francesco francesca frank franz
gabriela george giulia giuseppe grace greta hana hannah hans harry heather helen helena henry hugo ian igor ingrid irena
isabel ivan ivana jack jakub james jan jana jane jason javier jean jennifer jessica jiri joan johan john jonas jorge
jose josef joseph juan julia julie jurgen karel karen karin karl katarina kate katerina katharina katherine kevin klaus
kristina lars laura lena leonardo leticia lisa lucas lucia lucie luis lukas maja manuel marco marek margaret maria marie
marina mario mark marketa marta martin martina mary matej matthew max mehmet melissa mia michael michal michelle miguel
mikael milan mohamed mohammed monika natalia nicolas nicole nina noah olga oliver olivia oscar pablo patricia patrick
paul pavel pedro peter petr petra philip pierre piotr rachel radek raj rebecca renata richard robert roberto ruth sara
sarah sebastian sergei sofia sophie stefan stephanie stephen steven susan sven tereza teresa thomas tim tom tomas
veronika victor viktor vladimir william wolfgang yusuf yvonne zuzana
"""
_GIVEN_NAMES = frozenset(_GIVEN.split())
"""Common given names, without those that are also common words, months or places."""

_IN_WORDS = frozenset("'.-\u2019")
_MOST_WORDS = 5
_CUT = 60
_OF_PEOPLE = ("e-mail", "phone", "birth", "identity number", "person")
_ABOUT = re.compile(
    r"\w*_(id|ids|count|cnt|flag|verified|confirmed|valid|type|kind|status|state|enabled|opt_?in|at|index|size|len"
    r"|length|version|format|sent|opened|bounced)|(is|has|was|can|num|count|no_of|total)_\w*"
)
"""Columns about such data that contain none: `email_verified`, `address_id`, `has_phone`."""


@lru_cache(maxsize=10_000)
def kind_by_name(column: str) -> str | None:
    """Return the kind of personal data or secret that a column of that name holds; None if the name does not say."""
    if is_secret_name(column):
        return SECRET
    name = _snake_case(column)
    if _OF_SECRETS.fullmatch(name):
        return SECRET
    if _OF_HASHES.fullmatch(name):
        return "hash"
    match = next((kind for kind, words in _BY_NAME if words.fullmatch(name)), None)
    return None if match != "identity number" and _ABOUT.fullmatch(name) else match


def _snake_case(column: str) -> str:
    split = re.sub(r"([a-z0-9])([A-Z])|([A-Z])(?=[A-Z][a-z])", r"\1\3_\2", column)
    return re.sub(r"[^a-z0-9]+", "_", split.lower()).strip("_")


def holds_names(column: str, values: Sequence[str]) -> bool:
    """Return whether a column is named after people, and most of its values may be names."""
    match = _OF_SOMEBODY.fullmatch(_snake_case(column))
    return bool(match) and sum(map(_may_be_name, values)) * 2 > len(values)


def are_names(values: Sequence[str]) -> bool:
    """Return whether values are mostly names of people, by given names in them, whatever the name of the column."""
    named = sum(bool(_GIVEN_NAMES.intersection(re.findall(r"[^\W\d_]+", text.lower()))) for text in values)
    return named * 2 > len(values) and sum(map(_may_be_name, values)) * 2 > len(values)


def _may_be_name(text: str) -> bool:
    """Return whether a text is a few words of letters with a capital among them, or in a script without capitals."""
    words = text.replace(",", " ").split()
    if not 0 < len(words) <= _MOST_WORDS or not all(word[0].isalpha() for word in words):
        return False
    letters = [char for word in words for char in word if char not in _IN_WORDS]
    return all(map(str.isalpha, letters)) and (text != text.lower() or text == text.upper())


def kinds_by_name(columns: Sequence[str]) -> dict[str, str | None]:
    """Return the kinds of all columns of a table; a column `name` is personal if another column is about people."""
    kinds = {column: kind_by_name(column) for column in columns}
    if any(kind in _OF_PEOPLE for kind in kinds.values()):
        kinds |= dict.fromkeys((column for column in columns if column.lower() in ("name", "names")), "name")
    return kinds


def kind_of(text: str, column: str = "") -> str | None:
    """Return the kind of personal data or secret that a value is or contains; None if there is none."""
    if literal_secret_kind(column, text):
        return SECRET
    bare = text.strip()
    return next((kind for kind, is_one in _WHOLE if is_one(bare)), None) or _inside(bare)


def _inside(text: str) -> str | None:
    return next((kind for kind, form, is_one in _PARTS for match in form.finditer(text) if is_one(match[0])), None)


def hidden(kind: str) -> str:
    """Return the mask for a value that is not shown."""
    return f"<{kind}>"


def without_personal(text: str) -> str:
    """Return a free text, such as a comment, with personal data and secrets masked."""
    if literal_secret_kind("", text):
        return hidden(SECRET)
    for kind, form, is_one in _PARTS:
        for piece in {match[0] for match in form.finditer(text)}:
            text = text.replace(piece, hidden(kind)) if is_one(piece) else text
    return text


def masked_rows(
    schema: Schema,
    rows: Sequence[Sequence[JsonValue]],
    made_of: Mapping[str, str | None],
    called: Mapping[str, Sequence[str]],
) -> list[list[JsonValue]]:
    """Return rows with personal data masked, by names of columns, by their source columns, and by values.

    `made_of` has the kind of personal data that each column may contain through its source columns, or None; `called`
    has the names of these source columns.
    """
    kinds = kinds_by_name([column.name for column in schema])
    columns = []
    for index, column in enumerate(schema):
        values = [row[index] for row in rows]
        kind = None if column.type == "bool" else kinds[column.name] or made_of[column.name]
        columns.append(_masked((column.name, *called[column.name]), values, kind))
    return [list(row) for row in zip(*columns, strict=True)]


def _masked(names: Sequence[str], values: Sequence[JsonValue], kind: str | None) -> list[JsonValue]:
    kind = kind or ("name" if _are_called(names, [value for value in values if isinstance(value, str)]) else None)
    return [value if value is None else hidden(kind) if kind else _shown(value, names[0]) for value in values]


def _are_called(columns: Sequence[str], texts: Sequence[str]) -> bool:
    """Return whether texts are names of people, by their values or by the names of their columns."""
    return bool(texts) and (are_names(texts) or any(holds_names(column, texts) for column in columns))


def _shown(value: JsonValue, column: str) -> JsonValue:
    if isinstance(value, bool):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if kind := kind_of(text, column):
        return hidden(kind)
    if isinstance(value, (int, float)):
        return value
    clean = without_personal(text)
    return clean if len(clean) <= _CUT else f"{clean[:_CUT]}…"


def _is_email(text: str) -> bool:
    return bool(_EMAIL.fullmatch(text))


def _is_ip(text: str) -> bool:
    if not re.fullmatch(
        r"[0-9]{1,3}(\.[0-9]{1,3}){3}(/[0-9]{1,2})?|[0-9A-Fa-f:]*::?[0-9A-Fa-f:.]*(/[0-9]{1,3})?", text
    ):
        return bool(_MAC.fullmatch(text))
    try:
        ip_address(text.partition("/")[0])
    except ValueError:
        return bool(_MAC.fullmatch(text))
    return text.strip(":") != ""  # the address of nobody


def _is_phone(text: str) -> bool:
    return bool(_PHONES.fullmatch(text)) and 9 <= sum(c.isdigit() for c in text) <= 17


def _is_card(text: str) -> bool:
    digits = re.sub(r"[ -]", "", text)
    return bool(_CARD.fullmatch(text) and _ISSUERS.fullmatch(digits)) and _luhn(digits)


def _luhn(digits: str) -> bool:
    doubled = [2 * int(digit) for digit in digits[-2::-2]]
    return (sum(map(int, digits[-1::-2])) + sum(each - 9 if each > 9 else each for each in doubled)) % 10 == 0


def _is_iban(text: str) -> bool:
    plain = text.replace(" ", "")
    if not _IBAN.fullmatch(text) or _IBAN_LENGTHS.get(plain[:2], len(plain)) != len(plain):
        return False
    return int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % 97 == 1


def _is_identity(text: str) -> bool:
    matches = ((form.fullmatch(text), is_one) for form, is_one in _IDENTITIES)
    return any(match is not None and is_one(match) for match, is_one in matches)


def _is_czech(match: re.Match[str]) -> bool:
    month = int(match["month"]) % 50  # plus 50 for women, plus 20 when the numbers of a day are used up
    if not _is_day(match, month - 20 if month > 20 else month):
        return False
    if len(match["rest"]) == 3:
        return match["slash"] == "/"
    number = int(match[0].replace("/", ""))
    return number % 11 == 0 or (number // 10 % 11 == 10 and number % 10 == 0)


def _is_polish(match: re.Match[str]) -> bool:
    weighted = (int(digit) * weight for digit, weight in zip(match[0], _WEIGHTS, strict=True))
    return _is_day(match, int(match["month"]) % 20) and sum(weighted) % 10 == 0


def _is_swedish(match: re.Match[str]) -> bool:
    return _is_day(match) and _luhn(re.sub("[-+]", "", match[0])[-10:])


def _is_finnish(match: re.Match[str]) -> bool:
    number = int(match["day"] + match["month"] + match["year"] + match["rest"])
    return _is_day(match) and "0123456789ABCDEFHJKLMNPRSTUVWXY"[number % 31] == match["check"]


def _is_spanish(match: re.Match[str]) -> bool:
    foreign, digits, check = match.groups()
    number = int((str("XYZ".index(foreign)) if foreign else "") + digits)
    return len(digits) == (7 if foreign else 8) and "TRWAGMYFPDXBNJZSQVHLCKE"[number % 23] == check


_ODD = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)


def _is_italian(match: re.Match[str]) -> bool:
    numbers = [int(char) if char.isdigit() else ord(char) - 65 for char in match[0]]
    summed = sum(number if place % 2 else _ODD[number] for place, number in enumerate(numbers[:15]))
    return summed % 26 == numbers[15]


def _is_french(match: re.Match[str]) -> bool:
    return 97 - int("".join(match.groups()[:6])) % 97 == int(match[7])


def _is_brazilian(match: re.Match[str]) -> bool:
    digits = [int(digit) for digit in "".join(match.groups())]
    sums = (sum(digit * (count + 1 - n) for n, digit in enumerate(digits[:count])) for count in (9, 10))
    return len(set(digits)) > 1 and [each * 10 % 11 % 10 for each in sums] == digits[9:]


def _is_day(match: re.Match[str], month: int | None = None) -> bool:
    """Return whether year, month and day of a match are a date in either century; `month` is the decoded month."""
    for century in (1900, 2000):
        try:
            date(century + int(match["year"]), int(match["month"]) if month is None else month, int(match["day"]))
        except ValueError:
            continue
        return True
    return False


def _always(_text: str) -> bool:
    return True


_IDENTITIES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], bool]], ...] = (
    (_CZECH, _is_czech),
    (_PESEL, _is_polish),
    (_NORDIC, _is_swedish),
    (_DANISH, _is_day),
    (_FINNISH, _is_finnish),
    (_SPANISH, _is_spanish),
    (_ITALIAN, _is_italian),
    (_FRENCH, _is_french),
    (_BRAZILIAN, _is_brazilian),
    (_AMERICAN, bool),
    (_BRITISH, bool),
)
_WHOLE: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("e-mail", _is_email),
    ("card or account", lambda text: _is_card(text) or _is_iban(text)),
    ("identity number", _is_identity),
    ("IP address", _is_ip),
    ("phone", _is_phone),
)
_WORD = r"(?<![\w.+-])(?:{})(?![\w-])"
_PARTS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    ("e-mail", _EMAIL, _always),
    ("card or account", re.compile(_WORD.format(_IBAN.pattern)), _is_iban),
    ("card or account", re.compile(_WORD.format(_CARD.pattern)), _is_card),
    ("identity number", re.compile(_WORD.format(r"[0-9]{6}/[0-9]{3,4}")), _is_identity),
    ("identity number", re.compile(_WORD.format(_AMERICAN.pattern)), _always),
    ("IP address", re.compile(_WORD.format(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")), _is_ip),
    ("phone", re.compile(r"(?<![\w.])\+[0-9][0-9 .()/-]{7,18}[0-9](?!\w)"), _is_phone),
)
"""Patterns to search for in longer texts: fewer than for whole values, as chance matches are more likely."""
