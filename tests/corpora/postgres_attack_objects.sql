-- What the statements of postgres_attacks.jsonl act upon, beside postgres_tables.sql: run by a superuser
-- in a database called osiris.
-- Each statement has "why" and "class"; "server" names the only server, version, setting or plugin that it is for;
-- with "needs": "catalogue" only who knows the columns can tell it from a query. All are to be refused, but for three
-- classes of which a checker may accept some: limits (a limit of time, memory or size ends it, and there is always a
-- verdict), rewritten (the text written anew from the tree changes nothing), blind (the server's read-only transaction
-- stops it).
CREATE TABLE touched (at timestamptz DEFAULT now(), by text);
CREATE SEQUENCE order_numbers;
CREATE FUNCTION pwn(text) RETURNS text LANGUAGE sql AS 'INSERT INTO touched (by) VALUES ($1) RETURNING by';
CREATE FUNCTION pwn(orders) RETURNS text LANGUAGE sql AS 'INSERT INTO touched (by) VALUES (''row'') RETURNING by';
CREATE FUNCTION upper(orders) RETURNS text LANGUAGE sql AS 'INSERT INTO touched (by) VALUES (''upper of a row'') RETURNING by';
CREATE FUNCTION "UPPER"(text) RETURNS text LANGUAGE sql AS 'INSERT INTO touched (by) VALUES (''quoted'') RETURNING by';
CREATE FUNCTION public.lower(text) RETURNS text LANGUAGE sql AS 'INSERT INTO touched (by) VALUES (''public'') RETURNING by';
CREATE FUNCTION "count"(orders) RETURNS text LANGUAGE sql AS 'INSERT INTO touched (by) VALUES (''count'') RETURNING by';
CREATE FUNCTION pwn_step(text, text) RETURNS text LANGUAGE sql AS 'INSERT INTO touched (by) VALUES (''aggregate'') RETURNING by';
CREATE AGGREGATE pwn_all(text) (SFUNC = pwn_step, STYPE = text, INITCOND = '');
CREATE FUNCTION pwn_check(text) RETURNS boolean LANGUAGE sql AS 'INSERT INTO touched (by) VALUES (''domain'') RETURNING true';
CREATE DOMAIN trusted_text AS text CHECK (pwn_check(VALUE));
CREATE FUNCTION pwn_cast(orders) RETURNS integer LANGUAGE sql AS 'INSERT INTO touched (by) VALUES (''cast'') RETURNING 1';
CREATE CAST (orders AS integer) WITH FUNCTION pwn_cast(orders);
CREATE FUNCTION pwn_operator(text, text) RETURNS boolean LANGUAGE sql AS 'INSERT INTO touched (by) VALUES (''operator'') RETURNING true';
CREATE OPERATOR ### (LEFTARG = text, RIGHTARG = text, FUNCTION = pwn_operator);
CREATE OPERATOR + (LEFTARG = text, RIGHTARG = text, FUNCTION = pwn_operator);
CREATE PROCEDURE tidy() LANGUAGE sql AS 'DELETE FROM orders';
CREATE MATERIALIZED VIEW totals AS SELECT customer_id, sum(amount) AS total FROM orders GROUP BY 1;
CREATE ROLE auditor;
CREATE EXTENSION dblink;
CREATE EXTENSION tablefunc;
CREATE EXTENSION xml2;
CREATE EXTENSION adminpack;
CREATE EXTENSION pgrowlocks;
CREATE EXTENSION pg_prewarm;
CREATE EXTENSION pageinspect;
CREATE EXTENSION file_fdw;
CREATE EXTENSION postgres_fdw;
CREATE EXTENSION pgstattuple;
CREATE EXTENSION lo;
CREATE EXTENSION pg_trgm;
CREATE INDEX orders_placed ON orders USING brin (placed_at);
CREATE INDEX orders_tags ON orders USING gin (tags);
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE SERVER remote FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '1');
CREATE USER MAPPING FOR PUBLIC SERVER remote OPTIONS (user 'x', password 'y');
SELECT lo_from_bytea(4244, 'x');
CREATE VIEW innocent AS SELECT pwn('view') AS a;
