"""The statements that a MariaDB receives, from its general log."""

from contextlib import contextmanager

NO_STATEMENTS = ("Connect", "Quit", "Init DB", "Close stmt", "Ping")


@contextmanager
def logged(server):
    """Yield a list that, after the block, has the statements of all other connections in order."""
    found = []
    with server.connect("mysql") as client, client.cursor() as cursor:
        cursor.execute("SET SESSION sql_select_limit = 1000000")
        cursor.execute("SET GLOBAL log_output = 'TABLE', general_log = 1")
        try:
            yield found
        finally:
            cursor.execute("SET GLOBAL general_log = 0, log_output = 'FILE'")
            cursor.execute(
                "SELECT CONVERT(argument USING utf8mb4) FROM general_log "
                "WHERE thread_id <> CONNECTION_ID() AND command_type NOT IN %s",
                (NO_STATEMENTS,),
            )
            found += [text.strip() for (text,) in cursor.fetchall()]
            cursor.execute("TRUNCATE TABLE general_log")
