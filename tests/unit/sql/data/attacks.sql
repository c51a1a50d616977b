DELETE FROM orders
INSERT INTO orders SELECT * FROM orders
UPDATE orders SET amount = 0
TRUNCATE orders
MERGE INTO orders USING customers ON true WHEN MATCHED THEN DELETE
DROP TABLE orders
DROP TABLE IF EXISTS orders CASCADE
CREATE TABLE t AS SELECT * FROM orders
CREATE OR REPLACE TABLE orders AS SELECT 1 AS id
CREATE TEMP VIEW v AS SELECT 1
CREATE MACRO f(x) AS x + 1
CREATE FUNCTION f(x) AS TABLE SELECT * FROM read_text(x)
CREATE SCHEMA s
CREATE SEQUENCE s
CREATE INDEX i ON orders (id)
CREATE TYPE mood AS ENUM ('a', 'b')
CREATE SECRET s (TYPE s3, KEY_ID 'x', SECRET 'y')
CREATE PERSISTENT SECRET s (TYPE s3)
DROP SECRET s
ALTER TABLE orders ADD COLUMN x INT
ALTER TABLE orders RENAME TO o
COMMENT ON TABLE orders IS 'x'
COPY orders TO 'out.csv'
COPY (SELECT * FROM orders) TO '/dev/stdout'
COPY orders FROM '/etc/passwd'
EXPORT DATABASE '/tmp/x'
IMPORT DATABASE '/tmp/x'
ATTACH 'x.db'
ATTACH ':memory:' AS m
ATTACH 'https://example.org/x.db' AS m
DETACH memory
USE memory
INSTALL httpfs
LOAD httpfs
FORCE INSTALL httpfs FROM 'http://example.org'
UPDATE EXTENSIONS
SET threads = 1
SET GLOBAL enable_external_access = true
SET VARIABLE x = 1
RESET threads
RESET VARIABLE x
PRAGMA threads = 1
PRAGMA database_list
PRAGMA enable_profiling
CALL pragma_version()
CALL duckdb_settings()
EXPLAIN SELECT 1
EXPLAIN ANALYZE SELECT * FROM orders
DESCRIBE orders
DESCRIBE SELECT * FROM orders
SHOW TABLES
SHOW ALL TABLES
SUMMARIZE orders
CHECKPOINT
FORCE CHECKPOINT
VACUUM
ANALYZE orders
BEGIN
BEGIN TRANSACTION
COMMIT
ROLLBACK
PREPARE p AS SELECT 1
EXECUTE p
DEALLOCATE p
SELECT 1; SELECT 2
SELECT 1; DROP TABLE orders
SELECT 1;; DELETE FROM orders
SELECT ';' ; DELETE FROM orders
SELECT 1 /* ; */; DELETE FROM orders
; DELETE FROM orders
WITH d AS (DELETE FROM orders RETURNING *) SELECT * FROM d
WITH d AS (INSERT INTO orders VALUES (1) RETURNING id) SELECT * FROM d
WITH d AS (UPDATE orders SET id = 1 RETURNING *) SELECT count(*) FROM d
WITH d AS (SELECT 1) DELETE FROM orders
WITH d AS (SELECT 1) INSERT INTO orders SELECT * FROM d
WITH a AS (SELECT 1), d AS MATERIALIZED (DELETE FROM orders RETURNING *) SELECT * FROM a
SELECT * FROM (DELETE FROM orders RETURNING *)
SELECT * INTO copy FROM orders
SELECT * FROM orders FOR UPDATE
SELECT * FROM orders FOR SHARE
SELECT * FROM read_csv('/etc/passwd')
SELECT * FROM read_csv_auto('/etc/passwd')
SELECT * FROM READ_CSV('/etc/passwd')
SELECT * FROM "read_csv"('/etc/passwd')
SELECT * FROM "ReAd_CsV"('/etc/passwd')
SELECT * FROM read_parquet('x.parquet')
SELECT * FROM parquet_scan('x.parquet')
SELECT * FROM parquet_metadata('x.parquet')
SELECT * FROM parquet_schema('x.parquet')
SELECT * FROM read_json('x.json')
SELECT * FROM read_json_objects('x.json')
SELECT * FROM read_ndjson_auto('x.json')
SELECT * FROM read_text('/etc/passwd')
SELECT * FROM read_blob('/etc/passwd')
SELECT * FROM read_duckdb('x.db')
SELECT * FROM glob('/*')
SELECT * FROM sniff_csv('/etc/passwd')
SELECT * FROM query('SELECT 1')
SELECT * FROM query_table('orders')
SELECT * FROM query_table(['orders', 'customers'])
SELECT * FROM histogram('orders', id)
SELECT * FROM histogram_values('orders', id)
SELECT * FROM summary(orders)
SELECT * FROM json_execute_serialized_sql('{}')
SELECT * FROM duckdb_settings()
SELECT * FROM duckdb_secrets()
SELECT * FROM duckdb_tables()
SELECT * FROM duckdb_columns()
SELECT * FROM duckdb_variables()
SELECT * FROM duckdb_extensions()
SELECT * FROM duckdb_functions()
SELECT * FROM duckdb_logs()
SELECT * FROM duckdb_memory()
SELECT * FROM duckdb_temporary_files()
SELECT * FROM pragma_database_list
SELECT * FROM pragma_table_info('orders')
SELECT * FROM pragma_version()
SELECT * FROM pragma_platform()
SELECT * FROM pragma_user_agent()
SELECT * FROM pragma_storage_info('orders')
SELECT * FROM which_secret('x', 's3')
SELECT * FROM test_all_types()
SELECT * FROM repeat_row(1, num_rows = 10)
SELECT * FROM enable_logging()
SELECT * FROM enable_profiling()
SELECT * FROM truncate_duckdb_logs()
SELECT * FROM checkpoint()
SELECT * FROM force_checkpoint()
SELECT * FROM arrow_scan(1, 2, 3)
SELECT * FROM python_arrow_scan(1)
SELECT * FROM pandas_scan(1)
SELECT * FROM seq_scan('orders')
SELECT * FROM register_external_resource('x')
SELECT * FROM orders, LATERAL read_text('/etc/passwd')
SELECT * FROM orders JOIN read_text('/etc/passwd') ON true
SELECT * FROM orders WHERE id IN (SELECT size FROM read_text('/etc/passwd'))
SELECT (SELECT content FROM read_text('/etc/passwd'))
WITH x AS (SELECT * FROM read_text('/etc/passwd')) SELECT * FROM x
WITH read_text AS (SELECT 1 AS x) SELECT * FROM read_text('/etc/passwd')
SELECT id AS read_text FROM orders, read_text('/etc/passwd')
SELECT * FROM read_text AS read_text('/etc/passwd')
SELECT * FROM '/etc/passwd'
SELECT * FROM 'orders.csv'
SELECT * FROM "orders.parquet"
SELECT * FROM './orders'
SELECT * FROM 'https://example.org/x.csv'
SELECT * FROM 's3://bucket/x.parquet'
FROM 'x.csv'
FROM "x.csv" SELECT *
SELECT * FROM file('x.csv')
SELECT * FROM orders_x
SELECT * FROM main.orders
SELECT * FROM memory.main.orders
SELECT * FROM temp.orders
SELECT * FROM system.main.duckdb_settings
SELECT * FROM information_schema.tables
SELECT * FROM pg_catalog.pg_class
SELECT * FROM pg_class
SELECT * FROM duckdb_tables
SELECT * FROM sqlite_master
SELECT * FROM sqlite_schema
SELECT * FROM osiris_loading
TABLE pg_tables
SELECT getenv('HOME')
SELECT getvariable('x')
SELECT current_setting('secret_directory')
SELECT "current_setting"('threads')
SELECT current_user
SELECT session_user
SELECT current_role
SELECT current_catalog
SELECT current_schema
SELECT current_schema()
SELECT current_schemas(true)
SELECT current_database()
SELECT current_query()
SELECT current_query_id()
SELECT current_connection_id()
SELECT current_transaction_id()
SELECT txid_current()
SELECT version()
SELECT in_search_path('a', 'b')
SELECT nextval('s')
SELECT currval('s')
SELECT setval('s', 1)
SELECT setseed(0.5)
SELECT sleep_ms(1000)
SELECT pg_sleep(1)
SELECT write_log('x')
SELECT parse_duckdb_log_message('a', 'b')
SELECT json_serialize_sql('SELECT 1')
SELECT json_deserialize_sql('{}')
SELECT json_serialize_plan('SELECT 1')
SELECT pg_get_viewdef(1)
SELECT has_table_privilege('orders', 'select')
SELECT inet_server_addr()
SELECT obj_description(1, 'x')
SELECT get_block_size('memory')
SELECT hive_partition_component('a', 'b')
SELECT __internal_compress_string_hugeint('x')
SELECT create_sort_key('x', 'ASC')
SELECT invoke(lambda x: x, 1)
SELECT icu_sort_key('x', 'de')
SELECT collate_de('x')
SELECT stats(1)
SELECT vector_type(1)
SELECT unknown_function(1)
SELECT a.b.unknown(1) FROM orders AS a
SELECT system.main.current_setting('threads')
SELECT main.getvariable('x')
SELECT 'threads'.current_setting()
SELECT id.current_setting() FROM orders
SELECT list_transform(['threads'], lambda x: current_setting(x))
SELECT list_transform(['threads'], x -> current_setting(x))
SELECT [current_setting(x) for x in ['threads']]
SELECT CASE WHEN sleep_ms(1) THEN 1 END
SELECT sum(id) FILTER (WHERE sleep_ms(1) IS NULL) FROM orders
SELECT sum(id) OVER (ORDER BY sleep_ms(1)) FROM orders
SELECT * FROM orders ORDER BY getvariable('x')
SELECT * FROM orders GROUP BY getvariable('x')
SELECT * FROM orders LIMIT getvariable('x')
SELECT * FROM orders LIMIT 1 OFFSET getvariable('x')
SELECT * FROM orders QUALIFY getvariable('x')
SELECT * REPLACE (getvariable('x') AS id) FROM orders
SELECT COLUMNS(lambda c: getvariable('x')) FROM orders
SELECT {'a': getvariable('x')}
SELECT map {'a': getvariable('x')}
SELECT interval (getvariable('x')) day
SELECT EXTRACT(year FROM getvariable('x'))
SELECT CAST(getvariable('x') AS INT)
SELECT getvariable('x')::INT
SELECT substring(getvariable('x'), 1)
SELECT trim(getvariable('x'))
SELECT position('a' IN getvariable('x'))
SELECT x.getvariable FROM (SELECT getvariable('x')) AS x
SELECT * FROM (VALUES (getvariable('x')))
VALUES (getvariable('x'))
SELECT * FROM range(getvariable('x'))
SELECT * FROM unnest([getvariable('x')])
SELECT DISTINCT ON (getvariable('x')) id FROM orders
SELECT id FROM orders WINDOW w AS (PARTITION BY getvariable('x'))
SELECT 1 UNION SELECT getvariable('x')
(SELECT getvariable('x'))
SELECT * FROM orders TABLESAMPLE 10%
SELECT * FROM orders USING SAMPLE 10 ROWS
PIVOT orders ON customer_id USING sum(amount)
SELECT * FROM orders PIVOT (sum(amount) FOR customer_id IN (1, 2))
SELECT * FROM (PIVOT orders ON customer_id USING sum(amount))
UNPIVOT orders ON id, amount
SELECT * FROM orders UNPIVOT (v FOR n IN (id, amount))
SELECT * FROM orders AT (VERSION => 1)
SELECT ?
SELECT $1
SELECT $other
SELECT @x := 1
SELECT 1 /*!50000 INTO OUTFILE '/tmp/x' */
/*!50000 DELETE FROM orders */
SELECT /*+ MAX_EXECUTION_TIME(1) */ 1
SELECT 1 /*M!100100 + 1 */
SELECT 'unclosed
SELECT "unclosed
SELECT $$unclosed
SELECT 1 /* unclosed
SELECT
SELECT FROM WHERE
nonsense
SELECT * FROM a.b.c.orders
SELECT * FROM orders.orders.orders.orders
SELECT * FROM orders('x.csv')
SELECT * FROM orders AS ('x.csv')
SELECT * FROM (SHOW TABLES)
SELECT * FROM (PRAGMA version)
SELECT * FROM (TABLE 'x.csv')
SELECT {{ name }} AS a
FROM orders |> WHERE id > 1
ſELECT 1 AS a
SELECT 1 Aſ a
SELECT coalesce(*COLUMNS('id')) FROM orders
SELECT @x := 1
SELECT id FROM orders ORDER BY id FETCH FIRST 5 ROWS WITH TIES
SELECT * FROM orders LEFT JOIN customers
SELECT * FROM orders OUTER APPLY (SELECT 1 AS b) AS x
SELECT * FROM orders CROSS APPLY (SELECT 1 AS b) AS x
SELECT id FROM orders ORDER BY id FETCH FIRST 5 PERCENT ROWS ONLY
