"""The default limit on a server's silence."""

from osiris.families.mysql import connect as mysql_connect
from osiris.families.postgres import connect as postgres_connect
from osiris.families.supabase.connect import rest_address
from osiris.secret import Secret

MINUTE = 60


def test_a_minute_everywhere():
    server = {"host": "localhost", "database": "d", "user": "u"}
    rest = rest_address({"url": "https://x.supabase.co", "key": Secret("k")})
    found = [mysql_connect.address(server).silence, postgres_connect.address(server).silence, rest.silence]
    assert found == [MINUTE] * 3


def test_a_connection_may_say_otherwise():
    server = {"host": "localhost", "database": "d", "user": "u", "read_timeout": 5}
    assert mysql_connect.address(server).silence == postgres_connect.address(server).silence == 5
