CREATE TABLE orders AS SELECT * FROM (VALUES
 (1, 1, 120.50::DECIMAL(12,2), 2, 'paid', TIMESTAMP '2024-01-03 10:15:00', DATE '2024-01-03', 'north', ['new', 'web'], '{"name": "A", "total": 1.5, "items": [{"sku": "x"}]}', 0.1::DOUBLE),
 (2, 1, 80.00, 1, 'open', TIMESTAMP '2024-01-20 23:59:59', DATE '2024-01-20', 'south', ['web'], '{"name": "B", "total": 2, "items": []}', NULL),
 (3, 2, 45.25, 5, 'paid', TIMESTAMP '2024-02-01 00:00:00', DATE '2024-02-01', 'north', [], '{"name": null}', 0.0),
 (4, 3, 200.00, 3, 'paid', TIMESTAMP '2023-12-31 08:30:00', DATE '2023-12-31', 'west', NULL, NULL, 0.25),
 (5, 9, 99.99, 4, 'void', TIMESTAMP '2024-02-29 12:00:00', DATE '2024-02-29', 'South', ['x', 'new'], '{"a": [1, 2]}', NULL))
 AS t(id, customer_id, amount, quantity, status, created_at, order_date, region, tags, payload, discount);
CREATE VIEW input_df AS FROM orders;
CREATE TABLE customers AS SELECT * FROM (VALUES (1, 'Anna Bell', 'anna@example.com', 'CZ'), (2, 'bob', 'bob@Example.com', 'DE'), (3, 'Žofie', 'zofie@test.org', 'CZ'), (4, '100% real', 'x.y@test.org', NULL)) AS t(id, name, email, country);
CREATE TABLE items AS SELECT * FROM (VALUES (1, 1, 'x', 2), (2, 1, 'y', 1), (3, 3, 'x', 7)) AS t(id, order_id, sku, qty);
CREATE TABLE trades AS SELECT * FROM (VALUES ('A', TIMESTAMP '2024-01-01 10:00:05', 10), ('A', TIMESTAMP '2024-01-01 09:00:00', 1), ('B', TIMESTAMP '2024-01-01 11:00:00', 5)) AS t(symbol, ts, qty);
CREATE TABLE prices AS SELECT * FROM (VALUES ('A', TIMESTAMP '2024-01-01 10:00:00', 1.5), ('A', TIMESTAMP '2024-01-01 10:00:04', 1.6), ('B', TIMESTAMP '2024-01-01 10:30:00', 9.0)) AS t(symbol, ts, price);
CREATE TABLE employees AS SELECT * FROM (VALUES (1, 'Eva', NULL, 5000, 'it'), (2, 'Ivo', 1, 4000, 'it'), (3, 'Jan', 2, 900, 'ops'), (4, 'Kim', 1, 4000, 'ops')) AS t(id, name, manager_id, salary, department);
CREATE TABLE metrics AS SELECT * FROM (VALUES ('visits', DATE '2024-01-01', 10.0::DECIMAL(9,1)), ('visits', DATE '2024-01-02', 12.0), ('visits', DATE '2024-01-09', 0.0), ('sales', DATE '2024-01-01', 3.0), ('sales', DATE '2024-01-02', NULL)) AS t(metric, day, value);
CREATE TABLE events AS SELECT * FROM (VALUES (1, 'view', TIMESTAMP '2024-01-01 10:00:00'), (1, 'cart', TIMESTAMP '2024-01-01 10:05:00'), (1, 'buy', TIMESTAMP '2024-01-02 10:00:00'), (2, 'view', TIMESTAMP '2024-01-02 00:00:00')) AS t(user_id, event, ts);
CREATE TABLE oddly AS SELECT DATE '2024-01-01' AS date, TIME '10:00' AS "time", 1 AS value, 2 AS "order";
CREATE TABLE keywords AS SELECT 2024 AS year, 1 AS month, 2 AS day, 'n' AS name, 't' AS type, 'k' AS key, 3 AS count, 'x' AS text;
