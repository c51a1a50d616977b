-- What the statements of mysql_attacks.jsonl act upon, beside mysql_tables.sql: run by a user with all rights
-- in a database called osiris. One statement a line.
-- Each statement has "why" and "class"; "server" names the only server, version, setting or plugin that it is for;
-- with "needs": "catalogue" only who knows the columns can tell it from a query. All are to be refused, but for three
-- classes of which a checker may accept some: limits (a limit of time, memory or size ends it, and there is always a
-- verdict), rewritten (the text written anew from the tree changes nothing), blind (the server's read-only transaction
-- stops it).
CREATE TABLE touched (at timestamp DEFAULT CURRENT_TIMESTAMP, note varchar(100));
CREATE FUNCTION pwn(x text) RETURNS text MODIFIES SQL DATA BEGIN INSERT INTO touched (note) VALUES (x); RETURN x; END;
CREATE FUNCTION `now`() RETURNS text MODIFIES SQL DATA BEGIN INSERT INTO touched (note) VALUES ('now'); RETURN 'now'; END;
CREATE FUNCTION `upper`(x text) RETURNS text MODIFIES SQL DATA BEGIN INSERT INTO touched (note) VALUES ('upper'); RETURN x; END;
CREATE FUNCTION `max`(x int) RETURNS int MODIFIES SQL DATA BEGIN INSERT INTO touched (note) VALUES ('max'); RETURN x; END;
CREATE FUNCTION `substr`(x text, y int) RETURNS text MODIFIES SQL DATA BEGIN INSERT INTO touched (note) VALUES ('substr'); RETURN x; END;
CREATE PROCEDURE tidy() DELETE FROM orders;
CREATE ROLE auditor;
CREATE VIEW innocent AS SELECT pwn('view') AS a;
-- MariaDB alone has sequences.
CREATE SEQUENCE order_numbers;
