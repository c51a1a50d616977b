"""Rules that detect personal data: values with checksums and formats, and column names."""

import json
from pathlib import Path

import pytest

from osiris.families.pii import are_names, holds_names, kind_by_name, kind_of, kinds_by_name, without_personal

CORPUS = [json.loads(line) for line in Path(__file__).with_name("personal.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.parametrize("row", CORPUS, ids=lambda row: row["value"][:30] or "empty")
def test_values_are_told_by_their_rules(row):
    assert kind_of(row["value"]) == row["kind"]


def test_the_corpus_has_enough_of_both():
    assert sum(row["kind"] is not None for row in CORPUS) >= 50
    assert sum(row["kind"] is None for row in CORPUS) >= 35


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("email", "e-mail"),
        ("contactEmail", "e-mail"),
        ("E-Mail", "e-mail"),
        ("billing_email_2", "e-mail"),
        ("phone", "phone"),
        ("mobile_phone", "phone"),
        ("client_ip", "IP address"),
        ("birth_date", "birth"),
        ("DateOfBirth", "birth"),
        ("first_name", "name"),
        ("LastName", "name"),
        ("prijmeni", "name"),
        ("street", "address"),
        ("shipping_address_line_1", "address"),
        ("zip", "address"),
        ("ssn", "identity number"),
        ("national_id", "identity number"),
        ("rodne_cislo", "identity number"),
        ("card_number", "card or account"),
        ("iban", "card or account"),
        ("latitude", "place"),
        ("salary", "person"),
        ("password", "secret"),
        ("api_key", "secret"),
        ("access_token", "secret"),
        ("LName", "name"),
        ("FName", "name"),
        ("lname", "name"),
        ("CUST_LName", "name"),
        ("custname", "name"),
        ("EmpName", "name"),
        ("userName", "name"),
        ("last_nm", "name"),
        ("LNm", "name"),
        ("fn", "name"),
        ("custlastname", "name"),
        ("CUSTNM", "name"),
        ("note", "free text"),
        ("OrderNote", "free text"),
        ("remarks", "free text"),
        ("poznamka", "free text"),
        ("note_id", None),
        ("notebook", None),
        ("fnumber", None),
        ("PhoneNo", "phone"),
        ("homephone", "phone"),
        ("MobileNumber", "phone"),
        ("EmailAddr", "e-mail"),
        ("bdate", "birth"),
        ("BillAddr1", "address"),
        ("email_verified", None),
        ("filename", None),
        ("ProductName", None),
        ("company_name", None),
        ("table_name", None),
        ("telemetry", None),
        ("cell_count", None),
        ("has_phone", None),
        ("address_id", None),
        ("email_count", None),
        ("status", None),
        ("total", None),
        ("name", None),
        ("country_code", None),
        ("description", None),
        ("shipped", None),
        ("panel", None),
        ("created_at", None),
        ("primary_key", None),
        ("pw_hash", "secret"),
        ("PasswordDigest", "secret"),
        ("pass_md5", "secret"),
        ("token_hash", "secret"),
        ("hashed_password", "secret"),
        ("password_old", "secret"),
        ("user_pw", "secret"),
        ("recovery_codes", "secret"),
        ("file_hash", "hash"),
        ("sha256", "hash"),
        ("salt", "hash"),
        ("password_changed_at", None),
        ("pass_count", None),
        ("spin", None),
    ],
)
def test_columns_are_told_by_their_names(column, kind):
    assert kind_by_name(column) == kind


def test_a_name_beside_a_phone_is_somebodys():
    assert kinds_by_name(["id", "name", "phone"])["name"] == "name"
    assert kinds_by_name(["id", "name", "price"])["name"] is None


@pytest.mark.parametrize("column", ["customer", "Customer", "sales_rep", "created_by", "AssignedTo", "kunde", "owners"])
@pytest.mark.parametrize(
    "values", [["Ann Smith", "Bo Žák"], ["SMITH, ANN"], ["Ann"], ["O'Neil", "Mary-Jane van Dyk", "x"], ["李雷"]]
)
def test_columns_called_after_people_hold_their_names(column, values):
    assert holds_names(column, values)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("customer", ["C-1001", "C-1002"]),
        ("customer", ["retail", "wholesale"]),
        ("user", ["42", "43"]),
        ("region", ["North West", "South"]),
        ("custom", ["Red", "Blue"]),
        ("customer", []),
    ],
)
def test_codes_classes_and_other_columns_hold_none(column, values):
    assert not holds_names(column, values)


@pytest.mark.parametrize(
    "values", [["Anna Nováková", "Petr Dvořák"], ["SMITH, JOHN", "DOE, JANE", "X Y"], ["Ann", "Robert", "Zed"]]
)
def test_given_names_tell_of_people_whatever_their_column_is_called(values):
    assert are_names(values)


@pytest.mark.parametrize(
    "values",
    [["New York", "Los Angeles", "San Jose"], ["North West", "South"], ["paid", "open"], ["Anna sent it back", "no"]],
)
def test_other_texts_are_no_names(values):
    assert not are_names(values)


def test_texts_keep_what_is_not_personal():
    text = "ask bob@corp.example (192.0.2.7, 4111 1111 1111 1111) before 2024-01-31"
    assert without_personal(text) == "ask <e-mail> (<IP address>, <card or account>) before 2024-01-31"
    assert without_personal("orders of 2024") == "orders of 2024"
    assert without_personal("password: hunter2hunter2") == "<secret>"
