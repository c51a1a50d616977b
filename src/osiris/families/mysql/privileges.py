"""What a user of MySQL must be allowed before it writes a table; what is missing is told with the GRANT that gives it.

The server looks at rights when a statement is prepared, and nothing is done then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.families.mysql.session import every_table, fail_grant, may, qualified, quote_name, relations
from osiris.families.sql.database import LEDGER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.families.mysql.session import Session
    from osiris.families.sql.database import Delivery


def expect_rights(session: Session, delivery: Delivery, *, there: bool) -> None:
    """Fail with DRV020 for rights that the user lacks to write a table's columns, or to make it if it is not there."""
    name, mode, listed = delivery.quoted, delivery.mode, [quote_name(field.name) for field in delivery.schema]
    places = ", ".join("?" for _ in listed)
    asked = {} if there else _making(name)
    asked["INSERT"] = f"INSERT INTO {name} ({', '.join(listed)}) VALUES ({places})"
    asked["SELECT"] = f"SELECT {', '.join(listed) if mode == 'upsert' else 1} FROM {name}"
    if mode == "replace":
        asked["DELETE"] = f"DELETE FROM {name}"
    if mode == "upsert":
        asked["UPDATE"] = f"UPDATE {name} SET {', '.join(f'{each} = ?' for each in listed)}"
    _expect(session, asked, name, f"table '{delivery.table}'")
    if mode == "upsert":
        database = session.target.database
        asked = {"CREATE TEMPORARY TABLES": "CREATE TEMPORARY TABLE _osiris_rows (a INT)"}
        _expect(
            session, asked, every_table(database), f"database '{database}': an upsert goes by way of a temporary table"
        )


def expect_rights_to_ledger(session: Session, delivery: Delivery) -> None:
    """Fail with DRV020 if the ledger may not be written, made where it is absent, or corrected if rows are rejected."""
    ledger = qualified(session, LEDGER)
    asked = {} if LEDGER in relations(session) else _making(ledger)
    asked["INSERT"], asked["SELECT"] = f"INSERT INTO {ledger} VALUES ()", f"SELECT * FROM {ledger}"
    if delivery.ctx.on_reject == "quarantine":
        asked["UPDATE"] = f"UPDATE {ledger} SET `rows` = ?"
    _expect(session, asked, ledger, f"table '{LEDGER}'")


def _making(name: str) -> dict[str, str]:
    return {"CREATE": f"CREATE TABLE {name} (a INT)"}


def _expect(session: Session, asked: Mapping[str, str], place: str, shown: str) -> None:
    """Fail with DRV020 for each right without which its statement is refused."""
    missing = [right for right, statement in asked.items() if not may(session, statement)]
    if missing:
        fail_grant(session, missing, place, shown)
