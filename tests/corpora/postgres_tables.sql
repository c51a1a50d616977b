-- The tables that postgres_queries.jsonl reads.
CREATE TABLE customers (id integer PRIMARY KEY, name text NOT NULL, email text, country char(2), born date, joined timestamptz NOT NULL, vip boolean NOT NULL DEFAULT false, profile jsonb);
INSERT INTO customers VALUES
 (1, 'Anna Bell', 'anna@example.com', 'CZ', '1980-02-29', '2023-01-05 08:00:00+00', true, '{"age": 44, "langs": ["cs", "en"], "address": {"city": "Praha", "zip": "11000"}}'),
 (2, 'bob', 'bob@Example.com', 'DE', '1995-07-01', '2023-06-30 22:30:00+00', false, '{"age": 29, "langs": [], "address": {"city": "Berlin"}}'),
 (3, 'Žofie O''Hara', 'zofie@test.org', 'CZ', NULL, '2024-01-01 00:00:00+01', false, NULL),
 (4, '100% real_name', NULL, NULL, '2001-12-31', '2024-02-29 12:00:00+00', false, '{}');
CREATE TABLE products (sku text PRIMARY KEY, title text NOT NULL, category text, price numeric(10,2) NOT NULL, weight real, attributes jsonb, released date);
INSERT INTO products VALUES
 ('A-1', 'Blue kettle', 'kitchen', 39.90, 1.2, '{"colour": "blue", "sizes": [1, 2, 3]}', '2022-05-01'),
 ('A-2', 'Red kettle', 'kitchen', 42.00, 1.3, '{"colour": "red", "sizes": []}', '2023-05-01'),
 ('B-1', 'Desk lamp', 'light', 15.50, 0.8, '{"watts": 9.5}', '2021-11-11'),
 ('C-9', 'Gift card', NULL, 100.00, NULL, NULL, NULL);
CREATE TABLE orders (id bigint PRIMARY KEY, customer_id integer, amount numeric(12,2) NOT NULL, discount double precision, status text NOT NULL, tags text[], payload json, placed_at timestamp NOT NULL, shipped_on date, "order" integer, note varchar(200));
INSERT INTO orders VALUES
 (1, 1, 120.50, 0.1, 'paid', '{new,web}', '{"items": [{"sku": "A-1", "n": 2}], "total": 120.5}', '2024-01-03 10:15:00', '2024-01-05', 1, 'fragile; handle -- with care'),
 (2, 1, 80.00, NULL, 'open', '{web}', '{"items": []}', '2024-01-20 23:59:59', NULL, 2, NULL),
 (3, 2, 45.25, 0, 'paid', '{}', '{"items": null}', '2024-02-01 00:00:00', '2024-02-03', 3, 'it''s /* fine */'),
 (4, 3, 200.00, 0.25, 'paid', NULL, NULL, '2023-12-31 08:30:00', '2024-01-02', 4, ''),
 (5, 9, 99.99, NULL, 'void', '{x,new}', '{"a": [1, 2]}', '2024-02-29 12:00:00', NULL, 5, E'two\nlines');
CREATE TABLE items (order_id bigint, line integer, sku text, quantity integer NOT NULL, unit_price numeric(10,2), PRIMARY KEY (order_id, line));
INSERT INTO items VALUES (1, 1, 'A-1', 2, 39.90), (1, 2, 'B-1', 1, 15.50), (2, 1, 'A-2', 1, 42.00), (3, 1, 'B-1', 3, 15.50), (4, 1, 'C-9', 2, 100.00), (5, 1, 'Z-0', 1, NULL);
CREATE TABLE employees (id integer PRIMARY KEY, name text NOT NULL, manager_id integer, department text, salary numeric(10,2), hired date);
INSERT INTO employees VALUES (1, 'Eva', NULL, 'it', 5000, '2015-03-01'), (2, 'Ivo', 1, 'it', 4000, '2018-07-15'), (3, 'Jan', 2, 'ops', 900, '2020-01-01'), (4, 'Kim', 1, 'ops', 4000, '2021-10-31'), (5, 'Lea', 4, NULL, NULL, NULL);
CREATE TABLE events (id bigint PRIMARY KEY, user_id integer, kind text, at timestamptz, session uuid, address inet, data jsonb);
INSERT INTO events VALUES
 (1, 1, 'view', '2024-01-01 10:00:00+00', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '10.0.0.1', '{"page": "/home", "ms": 12}'),
 (2, 1, 'cart', '2024-01-01 10:05:00+00', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '10.0.0.1', '{"page": "/cart", "ms": 30, "ab": {"v": "b"}}'),
 (3, 1, 'buy', '2024-01-02 10:00:00+00', 'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '192.168.1.7', NULL),
 (4, 2, 'view', '2024-01-02 00:00:00+00', NULL, '2001:db8::1', '{"page": "/sale?x=1&y=2"}'),
 (5, 3, 'view', '2024-01-09 12:34:56.789+00', NULL, NULL, '[]');
CREATE TABLE metrics (name text, day date, value numeric(9,1), PRIMARY KEY (name, day));
INSERT INTO metrics VALUES ('visits', '2024-01-01', 10.0), ('visits', '2024-01-02', 12.0), ('visits', '2024-01-09', 0.0), ('sales', '2024-01-01', 3.0), ('sales', '2024-01-02', NULL);
CREATE TABLE bookings (id integer PRIMARY KEY, room integer, during tsrange, nights int4range);
INSERT INTO bookings VALUES (1, 101, '[2024-01-01 14:00,2024-01-03 10:00)', '[1,3)'), (2, 101, '[2024-01-02 14:00,2024-01-04 10:00)', '[2,4)'), (3, 102, 'empty', NULL);
CREATE SCHEMA sales;
CREATE TABLE sales.targets (region text, year integer, quarter integer, goal numeric);
INSERT INTO sales.targets VALUES ('north', 2024, 1, 100), ('north', 2024, 2, 150.5), ('south', 2024, 1, 'NaN'), ('south', 2023, 4, 90);
CREATE TABLE "Order Details" ("Order ID" bigint, "Größe" text, "select" integer, "a""b" integer);
INSERT INTO "Order Details" VALUES (1, 'XL', 1, 2), (2, NULL, 3, 4);
