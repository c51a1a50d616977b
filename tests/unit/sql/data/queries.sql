SELECT 1 AS one
SELECT * FROM orders
FROM orders
FROM orders SELECT id, amount
SELECT o.* FROM orders AS o
SELECT o.id, c.name FROM orders o JOIN customers c ON o.customer_id = c.id
SELECT o.id, c.name FROM orders o LEFT JOIN customers c ON o.customer_id = c.id ORDER BY 1, 2
SELECT o.id, c.name FROM orders o RIGHT OUTER JOIN customers c ON o.customer_id = c.id ORDER BY 1 NULLS FIRST, 2
SELECT o.id, c.name FROM orders o FULL OUTER JOIN customers c ON o.customer_id = c.id ORDER BY ALL
SELECT count(*) FROM orders CROSS JOIN customers
SELECT count(*) FROM orders, customers WHERE orders.customer_id = customers.id
SELECT id, name FROM customers c SEMI JOIN orders o ON o.customer_id = c.id ORDER BY 1
SELECT id, name FROM customers c ANTI JOIN orders o ON o.customer_id = c.id ORDER BY 1
SELECT o.id, c.id AS c FROM orders o POSITIONAL JOIN customers c ORDER BY 1
SELECT id, label FROM orders JOIN (SELECT id, 'x' AS label FROM orders) USING (id) ORDER BY id
SELECT * FROM orders NATURAL JOIN (SELECT id FROM orders WHERE id < 3) ORDER BY id
SELECT o.id, p.price FROM orders o ASOF JOIN prices p ON o.placed >= p.since ORDER BY o.id
SELECT o.id, x.m FROM orders o, LATERAL (SELECT max(p.price) AS m FROM prices p WHERE p.since <= o.placed) x ORDER BY 1
SELECT region, sum(amount) AS total FROM orders JOIN customers ON customer_id = customers.id GROUP BY region ORDER BY total DESC NULLS LAST, region
SELECT region, count(*) FROM customers GROUP BY ALL ORDER BY ALL
SELECT region, name, count(*) AS n FROM customers GROUP BY ROLLUP (region, name) ORDER BY ALL
SELECT region, name, count(*) AS n FROM customers GROUP BY CUBE (region, name) ORDER BY ALL
SELECT region, name, count(*) AS n, grouping(region) AS g FROM customers GROUP BY GROUPING SETS ((region), (name), ()) ORDER BY ALL
SELECT customer_id, sum(amount) FILTER (WHERE amount > 10) AS big FROM orders GROUP BY customer_id HAVING count(*) > 1 ORDER BY 1
SELECT DISTINCT region FROM customers ORDER BY region
SELECT DISTINCT ON (customer_id) customer_id, id FROM orders ORDER BY customer_id, amount DESC, id
SELECT id FROM orders ORDER BY amount DESC, id LIMIT 3 OFFSET 1
SELECT id FROM orders ORDER BY id LIMIT 50%
SELECT id, row_number() OVER (PARTITION BY customer_id ORDER BY placed DESC, id) AS rn FROM orders QUALIFY rn = 1 ORDER BY id
SELECT id, sum(amount) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM orders ORDER BY id
SELECT id, sum(amount) OVER w AS s, lag(id, 1, 0) OVER w AS p FROM orders WINDOW w AS (ORDER BY id ROWS UNBOUNDED PRECEDING) ORDER BY id
SELECT id, count(*) OVER (ORDER BY placed RANGE BETWEEN INTERVAL 3 DAYS PRECEDING AND CURRENT ROW) AS c FROM orders ORDER BY id
SELECT id, last_value(amount IGNORE NULLS) OVER (ORDER BY id) AS l FROM orders ORDER BY id
SELECT id, first_value(amount) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING EXCLUDE CURRENT ROW) AS f FROM orders ORDER BY id
SELECT id, sum(amount) OVER (ORDER BY placed GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS g FROM orders ORDER BY id
SELECT id, ntile(2) OVER (ORDER BY id) AS q, percent_rank() OVER (ORDER BY id) AS pr, rank() OVER (ORDER BY amount) AS r FROM orders ORDER BY id
WITH big AS (SELECT * FROM orders WHERE amount > 10) SELECT count(*) FROM big
WITH a AS MATERIALIZED (SELECT id FROM orders), b AS NOT MATERIALIZED (SELECT id + 1 AS id FROM a) SELECT a.id FROM a JOIN b USING (id) ORDER BY 1
WITH t(x, y) AS (SELECT id, amount FROM orders) SELECT x, y FROM t ORDER BY x
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT i FROM n ORDER BY i
WITH RECURSIVE tree AS (SELECT id, parent, name FROM staff WHERE parent IS NULL UNION ALL SELECT s.id, s.parent, s.name FROM staff s JOIN tree t ON s.parent = t.id) SELECT * FROM tree ORDER BY id
WITH orders AS (SELECT id FROM customers) SELECT id FROM orders ORDER BY id
SELECT id FROM orders UNION SELECT id FROM customers ORDER BY id
SELECT id FROM orders UNION ALL SELECT id FROM customers ORDER BY id DESC LIMIT 4
SELECT id, amount FROM orders UNION ALL BY NAME SELECT name, id FROM customers ORDER BY ALL
SELECT id FROM orders INTERSECT SELECT id FROM customers ORDER BY 1
SELECT id FROM orders EXCEPT SELECT id FROM customers ORDER BY 1
SELECT id FROM orders EXCEPT ALL SELECT id FROM customers ORDER BY 1
(SELECT id FROM orders ORDER BY id LIMIT 1) UNION ALL (SELECT id FROM customers ORDER BY id LIMIT 1) ORDER BY 1
SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v(n, s) ORDER BY n
VALUES (1, 'a'), (2, 'b')
SELECT * FROM (SELECT id FROM orders) ORDER BY id
SELECT id FROM orders WHERE customer_id IN (SELECT id FROM customers WHERE region = 'north') ORDER BY id
SELECT id FROM orders WHERE customer_id NOT IN (1, 2) ORDER BY id
SELECT id FROM orders o WHERE EXISTS (SELECT 1 FROM customers c WHERE c.id = o.customer_id) ORDER BY id
SELECT id FROM orders o WHERE NOT EXISTS (SELECT 1 FROM customers c WHERE c.id = o.customer_id) ORDER BY id
SELECT id, (SELECT max(price) FROM prices p WHERE p.since <= o.placed) AS price FROM orders o ORDER BY id
SELECT id FROM orders WHERE amount > ALL (SELECT price FROM prices WHERE price < 10) ORDER BY id
SELECT id FROM orders WHERE customer_id = ANY (SELECT id FROM customers) ORDER BY id
SELECT id FROM orders WHERE (id, customer_id) IN (SELECT id, id FROM customers) ORDER BY id
SELECT CASE WHEN amount > 100 THEN 'big' WHEN amount IS NULL THEN 'none' ELSE 'small' END AS size, count(*) AS n FROM orders GROUP BY 1 ORDER BY 1
SELECT CASE region WHEN 'north' THEN 1 ELSE 0 END AS north FROM customers ORDER BY ALL
SELECT amount::int AS a, CAST(orders.id AS VARCHAR) AS b, TRY_CAST(name AS DOUBLE) AS c FROM orders JOIN customers ON customer_id = customers.id ORDER BY ALL
SELECT coalesce(amount, 0) AS a, nullif(id, 1) AS b, ifnull(amount, -1) AS c, if(id > 2, 'x', 'y') AS d FROM orders ORDER BY ALL
SELECT id FROM orders WHERE amount BETWEEN 5 AND 50 ORDER BY id
SELECT id FROM orders WHERE amount NOT BETWEEN 5 AND 50 ORDER BY id
SELECT name FROM customers WHERE name LIKE 'A%' OR name ILIKE '%B%' OR name NOT LIKE 'x_' ESCAPE 'x' ORDER BY 1
SELECT name FROM customers WHERE name SIMILAR TO '[A-C].*' OR name ~ 'nn' OR regexp_matches(name, 'é') ORDER BY 1
SELECT name FROM customers WHERE name GLOB 'A*' ORDER BY 1
SELECT name FROM customers WHERE starts_with(name, 'A') OR name ^@ 'B' ORDER BY 1
SELECT id FROM orders WHERE amount IS DISTINCT FROM 10 AND amount IS NOT DISTINCT FROM amount ORDER BY id
SELECT id FROM orders WHERE (amount > 1) IS TRUE OR (amount > 1) IS NOT TRUE OR amount ISNULL ORDER BY id
SELECT id FROM orders WHERE NOT (amount > 10 AND customer_id = 1 OR id = 2) ORDER BY id
SELECT 7 // 2 AS a, 7 / 2 AS b, 7 % 2 AS c, 2 ** 3 AS d, 2 ^ 3 AS e, -7 // 2 AS f, -(-3) AS g, 1 - -1 AS h, +5 AS i
SELECT 6 & 3 AS a, 6 | 3 AS b, xor(6, 3) AS c, 1 << 3 AS d, 8 >> 1 AS e, ~5 AS f, @(-5) AS g, factorial(4) AS h
SELECT 1 + 2 * 3 - (4 - 5) - 6 / (7 / 8) AS a, (1 + 2) * 3 AS b, 2 - (3 - 4) AS c, NOT true = false AS d, -2 ** 2 AS e
SELECT 'it''s' AS a, 'a' || 'b' || NULL AS b, concat('a', NULL, 1) AS c, e'tab\there\\' AS d, $$dollar 'quoted'$$ AS e, '%' AS f, 'back\slash' AS g, '/*+ not a hint */ -- nor a comment' AS h
SELECT 1_000_000 AS a, 1e3 AS b, 1.50 AS c, 0.5 AS d, 12345678901234567890 AS e, true AS f, NULL AS g
SELECT date '2024-02-29' AS a, timestamp '2024-02-29 12:00:00' AS b, time '12:00:00' AS c, timestamptz '2024-02-29 12:00:00+02' AS d
SELECT interval '1' month AS a, interval 3 day AS b, interval '1 year 2 months' AS c, INTERVAL (id) DAY AS d FROM orders ORDER BY id
SELECT date '2024-01-31' + interval 1 month AS a, timestamp '2024-01-01' - interval '2 hours' AS b, date '2024-01-31' - date '2024-01-01' AS c, date '2024-01-01' + 3 AS d
SELECT date_trunc('month', placed) AS m, count(*) AS n FROM orders GROUP BY 1 ORDER BY 1
SELECT extract(year FROM placed) AS y, date_part('dow', placed) AS d, year(placed) AS y2, strftime(placed, '%Y-%m') AS ym, dayname(placed) AS dn FROM orders ORDER BY id
SELECT date_diff('day', date '2024-01-01', placed::date) AS a, date_sub('month', date '2024-01-01', placed::date) AS b, age(placed, timestamp '2024-01-01') AS c, placed AT TIME ZONE 'Europe/Prague' AS d FROM orders ORDER BY id
SELECT strptime('05.03.2024', '%d.%m.%Y') AS a, try_strptime('x', '%Y') AS b, epoch(timestamp '2024-01-01') AS c, to_timestamp(0) AS d, make_date(2024, 1, 2) AS e, last_day(date '2024-02-01') AS f
SELECT [1, 2, 3] AS a, [1, 2, 3][1] AS b, [1, 2, 3][-1] AS c, [1, 2, 3][1:2] AS d, 'hello'[2:3] AS e, [] AS f, [[1], [2, 3]] AS g, ['a', NULL] AS h
SELECT {'a': 1, 'b': {'c': 'x'}} AS s, {'a': 1}.a AS t, {'a': {'b': 2}}['a']['b'] AS u, struct_pack(k := 1, v := 'x') AS w, row(1, 'a') AS r
SELECT map {'a': 1, 'b': 2} AS m, map {'a': 1}['a'] AS v, map_keys(map {'a': 1}) AS k, map(['x'], [1]) AS n
SELECT list_transform([1, 2, 3], lambda x: x + 1) AS a, list_filter([1, 2, 3], lambda x: x > 1 AND x < 3) AS b, list_reduce([1, 2, 3], lambda a, b: a + b) AS c, [x * 2 for x in [1, 2, 3] if x > 1] AS d
SELECT unnest([1, 2, 3]) AS u
SELECT id, u FROM orders, unnest([1, 2]) AS t(u) ORDER BY 1, 2
SELECT unnest({'a': 1, 'b': 2})
SELECT * FROM range(3)
SELECT i FROM generate_series(1, 10, 3) AS t(i) ORDER BY i
SELECT d::date AS d FROM generate_series(date '2024-01-01', date '2024-01-03', interval 1 day) AS t(d) ORDER BY d
SELECT j->'a' AS a, j->>'b' AS b, j->'$.c[0]' AS c, j->>'$.c[1]' AS d, json_extract(j, '$.a') AS e, json_extract_string(j, 'b') AS f FROM docs ORDER BY id
SELECT (j->>'b') = 'x' AS same, j->>'b' || 'z' AS glued, json_array_length(j, '$.c') AS n, json_valid('{') AS v FROM docs ORDER BY id
SELECT e.key, e.value FROM docs, json_each(docs.j) AS e ORDER BY docs.id, e.key
SELECT json_object('a', id) AS o, to_json([id]) AS l FROM docs ORDER BY id
SELECT string_agg(name, ', ' ORDER BY name DESC) AS names, list(id ORDER BY id) AS ids, array_agg(DISTINCT region ORDER BY region) AS regions, count(DISTINCT region) AS n FROM customers
SELECT arg_max(name, id) AS a, max_by(name, id) AS b, min(name) AS c, max(id, 2) AS d, mode(region) AS e, median(id) AS f, quantile_cont(id, 0.25) AS g, quantile_disc(id, [0.25, 0.5]) AS h, first(name ORDER BY id) AS i FROM customers
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY amount) AS p, stddev_samp(amount) AS s, corr(amount, id) AS c, bool_and(amount > 0) AS b, product(id) AS q, any_value(customer_id ORDER BY id) AS v FROM orders
SELECT upper(name) AS u, length(name) AS n, substring(name, 1, 2) AS s, substring(name FROM 2 FOR 2) AS t, left(name, 1) AS l, trim('  x ') AS m, trim(BOTH 'x' FROM 'xax') AS o, position('n' IN name) AS p, replace(name, 'n', 'N') AS r, split_part('a-b', '-', 2) AS q, lpad('7', 3, '0') AS z, printf('%05d', 7) AS f, format('{:.2f}', 1.5) AS g FROM customers ORDER BY id
SELECT name.upper() AS u, 'a,b'.split(',') AS l, name.substring(1, 2).lower() AS s FROM customers ORDER BY id
SELECT regexp_replace(name, '[aeiou]', '_', 'g') AS a, regexp_extract(name, '(.)(.)', 2) AS b, regexp_extract_all('a1b2', '[a-z](\d)', 1) AS c, regexp_split_to_array('a b', ' ') AS d FROM customers ORDER BY id
SELECT greatest(1, 2, NULL) AS a, least(1, 2) AS b, round(2.567, 2) AS c, floor(2.5) AS d, ceil(2.1) AS e, trunc(2.9) AS f, log(100) AS g, ln(1) AS h, power(2, 3) AS i, sqrt(4) AS j, mod(7, 3) AS k, log(2, 8) AS l, log2(8) AS m, sign(-3) AS n
SELECT * EXCLUDE (amount) FROM orders ORDER BY id
SELECT * REPLACE (amount * 2 AS amount) FROM orders ORDER BY id
SELECT * RENAME (id AS key) FROM orders ORDER BY key
SELECT COLUMNS('i.*') FROM orders ORDER BY id
SELECT min(COLUMNS(*)) FROM orders
SELECT COLUMNS(lambda c: c LIKE 'a%') FROM orders ORDER BY id
SELECT #1, #2 FROM orders ORDER BY 1
SELECT id AS "Order Id", "amount" AS "select", customer_id "weird ""quoted"" name" FROM orders ORDER BY "Order Id"
SELECT "ID", Amount FROM Orders ORDER BY iD
SELECT total: sum(amount), n: count(*) FROM orders
SELECT count() AS a, count(*) AS b, count(amount) AS c FROM orders
SELECT id FROM orders ORDER BY amount + id DESC NULLS FIRST, id ASC NULLS LAST
SELECT id, amount FROM orders ORDER BY ALL DESC
SELECT name COLLATE nocase AS n FROM customers ORDER BY name COLLATE nocase
SELECT id FROM orders WHERE id IN [1, 2] OR list_contains([3], id) ORDER BY id
SELECT id IN (1, 2) AS a, id = 1 AND amount > 0 OR id = 2 AS b, (id = 1) = (amount > 0) AS c FROM orders ORDER BY id
SELECT id FROM orders WHERE amount > (SELECT avg(amount) FROM orders) ORDER BY id
SELECT id FROM orders WHERE true AND NOT false AND 1 = 1 AND 1 <> 2 AND 1 != 2 AND 1 <= 2 AND 2 >= 1 ORDER BY id
SELECT try(1 / 0) AS a, hash(1) IS NOT NULL AS b, typeof(1) AS c, md5('a') AS d
SELECT 1 AS a UNION ALL SELECT 2 UNION ALL SELECT 3 ORDER BY a DESC
SELECT (SELECT count(*) FROM orders) AS o, (SELECT count(*) FROM customers) AS c
SELECT c.id, t.n FROM customers c JOIN LATERAL (SELECT count(*) AS n FROM orders o WHERE o.customer_id = c.id) AS t ON true ORDER BY c.id
SELECT 1::DECIMAL(10, 2) AS a, 1::DECIMAL AS b, 1::HUGEINT AS c, 1::UBIGINT AS d, 1::REAL AS e, '1'::TEXT AS f, 1::BIGINT AS g, 1::TINYINT AS h, [1]::BIGINT[] AS i, {'a': 1}::STRUCT(a BIGINT) AS j, [1, 2]::INT[2] AS k, 'x'::BLOB AS l, '2024-01-01'::TIMESTAMP_NS AS m, '00000000-0000-0000-0000-000000000000'::UUID AS n, '{}'::JSON AS o, 'a'::ENUM('a', 'b') AS p, 1::BOOL AS q, '2024-01-01'::DATETIME AS r, '12:00'::TIME AS s, '2024-01-01'::TIMESTAMP_S AS t, '2024-01-01'::TIMESTAMP WITH TIME ZONE AS u, 1.5::FLOAT4 AS v, 1.5::FLOAT8 AS w, 1::INT8 AS x, 1::SIGNED AS y, map {'a': 1}::MAP(VARCHAR, BIGINT) AS z
SELECT bitstring_agg(id) AS b, histogram(id) AS h FROM orders
SELECT sum(amount) AS s, sum(id) AS i, avg(amount) AS a, sum(DISTINCT customer_id) AS d FROM orders
SELECT j->'a.b' AS a, j->'/c/0' AS b, j->'$."a"' AS c, j->'c'->0 AS d, j->>'c'->>1 AS e, (j->'$.c[1]') IS NULL AS f, (j->'c') IS NOT NULL AS g FROM docs ORDER BY id
SELECT id, lead(amount IGNORE NULLS) OVER (ORDER BY id) AS l, nth_value(amount, 2 RESPECT NULLS) OVER (ORDER BY id) AS n FROM orders ORDER BY id
SELECT list_filter(['a'], lambda x, i: i > 0) AS b, list_transform([[1]], lambda l: list_transform(l, lambda x: x * 2)) AS c
SELECT id & 1 AS a, (id << 2) | 1 AS b, id::bigint >> 1 AS c, id << 1 AS d FROM orders WHERE id > 0 ORDER BY id
SELECT trim('xax', 'x') AS a, ltrim(' a') AS b, rtrim('a ') AS c, trim(LEADING FROM ' a') AS d, trim(TRAILING 'y' FROM 'xyy') AS e
SELECT DISTINCT ON (region) region, name FROM customers ORDER BY region NULLS FIRST, name
SELECT current_date IS NOT NULL AS a, current_timestamp IS NOT NULL AS b, now() IS NOT NULL AS c, localtimestamp IS NOT NULL AS d
SELECT CAST(amount AS DECIMAL(18, 4)) AS a, amount * 1.1 AS b, amount / 3 AS c, amount % 3 AS d, round(amount, 1) AS e, -amount AS f FROM orders ORDER BY id
SELECT a.id FROM (orders AS a JOIN customers AS b ON a.customer_id = b.id) LEFT JOIN prices ON true ORDER BY 1
SELECT count(*) FILTER (amount > 10) AS a, sum(amount) FILTER (WHERE id > 1) AS b FROM orders
SELECT id FROM orders WHERE amount > 5 AND (customer_id = 1 OR customer_id = 2) AND id NOT IN (SELECT id FROM customers WHERE region IS NULL) ORDER BY id DESC
SELECT make_timestamp(2024, 1, 2, 3, 4, 5.5) AS a, time_bucket(interval '2 days', placed) AS b, date_part('epoch', placed) AS c, date_part(['year', 'month'], placed) AS d FROM orders ORDER BY id
SELECT x.a, x.b FROM (SELECT {'a': id, 'b': amount} AS x FROM orders) ORDER BY 1
SELECT id, unnest([amount, 0]) AS v FROM orders ORDER BY 1, 2
SELECT jaro_winkler_similarity('ab', 'AB') AS a, levenshtein('ab', 'b') AS b, time_bucket(interval 1 month, timestamptz '2024-03-05 10:11:12+02', 'Europe/Prague') AS c
SELECT j->>'b' LIKE 'x%' AS a FROM docs ORDER BY id
SELECT j->>'b' IN ('x', 'y') AS a FROM docs ORDER BY id
SELECT (j->>'b') < 'z' AS a, 'x' || (j->>'b') AS b FROM docs ORDER BY id
SELECT id FROM docs WHERE j->>'b' = 'x' AND id > 0
SELECT * FROM unnest([3,4]) WITH ORDINALITY
SELECT * FROM range(3) WITH ORDINALITY
WITH RECURSIVE t(a, b) USING KEY (a) AS (SELECT 1, 1 UNION SELECT a, b + 1 FROM t WHERE b < 3) SELECT * FROM t
SELECT id FROM orders ORDER BY id OFFSET 2 ROWS
SELECT id FROM orders ORDER BY id LIMIT ALL
SELECT id FROM orders ORDER BY id LIMIT NULL
SELECT id FROM orders ORDER BY id LIMIT 1 + 1
SELECT id FROM orders ORDER BY id LIMIT (SELECT 2)
SELECT count(DISTINCT (id, customer_id)) FROM orders
SELECT * FROM orders o(a, b) ORDER BY a
SELECT * FROM orders AS o(a, b, c, d) ORDER BY a
SELECT sum(id) FROM orders GROUP BY ()
SELECT id FROM orders WHERE id IN (1) = true ORDER BY 1
SELECT NOT id = 1 FROM orders ORDER BY 1
SELECT id = 1 IS TRUE FROM orders ORDER BY 1
SELECT - 5 % 3, (-5) % 3, -5 // 2, 5 - - 3
SELECT 2 ^ 3 ^ 2, 2 ** 3 ** 2, -2 ^ 2
SELECT 1 || 2 || 3, 1 + 2 || 3, 'a' || 1 + 2
SELECT 5 & 3 + 1, 5 | 2 & 3, 1 << 2 + 1, 8 >> 1 << 2
SELECT true OR false AND false, NOT true OR true, NOT (true AND false)
SELECT 1 BETWEEN 0 AND 2 AND true, 1 BETWEEN 0 AND 2 OR false
SELECT 'a' LIKE 'A' OR 'a' ILIKE 'A', NOT 'a' LIKE 'b', 'a' NOT ILIKE 'b'
SELECT 1 IS NULL, NOT 1 IS NULL, 1 NOTNULL, NULL IS NOT NULL
SELECT CASE 1 WHEN 1 THEN 'a' WHEN 2 THEN 'b' END, CASE WHEN NULL THEN 1 ELSE 2 END
SELECT 'a'::VARCHAR(3), 'abc'::CHAR(2), 1::NUMERIC(5), 1::NUMERIC, 1.567::DEC(4,2), 1::LONG, 1::SHORT, 1::INTEGER, 1::INT4, 1::INT2, 1::INT1, 1::LOGICAL, 'x'::STRING, 'x'::BPCHAR, 'x'::BYTEA, 'x'::VARBINARY, 1::DOUBLE PRECISION, '10:00'::TIMETZ, '2020-01-01'::TIMESTAMP WITHOUT TIME ZONE, '2020-01-01'::TIMESTAMP_MS, '101'::BIT, 1::UHUGEINT, 5::OID
SELECT TRY_CAST('x' AS DATE), '2020-01-01'::DATE + 1
SELECT to_days(1), 2 * INTERVAL 1 DAY, INTERVAL 1 DAY * 2, -INTERVAL 1 DAY
SELECT EXTRACT('year' FROM DATE '2020-01-01'), EXTRACT(epoch FROM TIMESTAMP '2020-01-01'), EXTRACT(isodow FROM DATE '2020-01-05'), EXTRACT(week FROM DATE '2020-01-05'), EXTRACT(DOY FROM DATE '2020-02-05'), EXTRACT(milliseconds FROM TIME '10:00:01.5'), EXTRACT(quarter FROM DATE '2020-05-05'), EXTRACT(timezone FROM TIMESTAMPTZ '2020-01-01')
SELECT date_trunc('week', DATE '2020-01-05'), date_trunc('DAY', TIMESTAMP '2020-01-05 10:00:00'), date_trunc('quarter', DATE '2020-05-05')
SELECT [1,2,3][2:], [1,2,3][:2], [1,2,3][-2:], [1,2,3][1:3:2], [1,2,3][0], [1,2,3][:-1:1]
SELECT 'abc'[1], 'abc'[-1], ('abc')[2:], ([1,2])[1]
SELECT row(1, 2), (1, 2), (1, 'a') = (1, 'a'), ROW(1)
SELECT MAP {1: 'a'}[1], MAP([1], ['a']), MAP {}, MAP {'k': {'a': 1}}
SELECT [x + 1 for x in [1,2]], [x for x, i in [5,6] if i > 1]
SELECT list_reduce([1,2,3], lambda a, b, i: a + b * i), list_transform([1], lambda x: {'a': x})
SELECT list_sort([3,1,NULL,2], 'DESC', 'NULLS LAST'), list_reverse_sort([1,2]), list_sort([1,2])
SELECT array_agg(id ORDER BY id DESC NULLS LAST), string_agg(id::VARCHAR, '-' ORDER BY id), list(DISTINCT customer_id ORDER BY customer_id), array_agg(id ORDER BY id) FILTER (WHERE id > 2) FROM orders
SELECT first(id ORDER BY amount DESC), last(id ORDER BY id), any_value(id ORDER BY id), arg_max(id, amount), arg_min(id, amount, 2), max(id, 2), min_by(id, amount) FROM orders
SELECT quantile_cont(amount, [0.25, 0.75]), quantile_disc(id, 0.5), approx_quantile(id, 0.5), median(id), mode(customer_id) FROM orders
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY id DESC), mode() WITHIN GROUP (ORDER BY customer_id) FROM orders
SELECT count(*) FILTER (id > 1), count(*) FILTER (WHERE id > 1) FROM orders
SELECT sum(id) OVER (), sum(id) OVER (PARTITION BY customer_id), row_number() OVER (ORDER BY id DESC), lag(id, 1, -1) OVER (ORDER BY id), ntile(3) OVER (ORDER BY id), sum(DISTINCT customer_id) OVER () FROM orders ORDER BY id
SELECT sum(id) OVER (ORDER BY id RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING), sum(id) OVER (ORDER BY id ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING), sum(id) OVER (ORDER BY id GROUPS 1 PRECEDING), sum(id) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING EXCLUDE TIES) FROM orders ORDER BY id
SELECT sum(id) OVER (w ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM orders WINDOW w AS (ORDER BY id)
SELECT rank(ORDER BY amount) OVER (ORDER BY id) FROM orders ORDER BY 1
SELECT trim(' a '), trim('xa', 'x'), ltrim('xa', 'x'), trim(BOTH FROM ' a '), trim(BOTH ' ' FROM ' a '), trim(LEADING 'x' FROM 'xax'), trim('x' FROM 'xax')
SELECT substring('hello', 2), substring('hello', 2, 2), substring('hello' FROM 2), substring('hello' FROM 2 FOR 2), substring('hello', -2), substr('hello', 0, 2), substring('hello' FOR 2)
SELECT position('l' IN 'hello'), strpos('hello', 'l'), instr('hello', 'l')
SELECT e'a\nb', e'\x41', e'\u0041', 'a\nb', E'it\'s', 'multi''quote', $$a'b$$, $x$y$x$
SELECT 1e10, 1E-5, 1., 100_000, 123456789012345678901234567890123456789, 1.0, 0.10
SELECT "a""b" FROM (SELECT 1 AS "a""b")
SELECT id AS "select", id "from" FROM orders ORDER BY id
SELECT orders.id, orders.* FROM orders ORDER BY 1
SELECT o.* EXCLUDE (id) REPLACE (amount + 1 AS amount) FROM orders o ORDER BY 1
SELECT * EXCLUDE id FROM orders ORDER BY 1
SELECT * LIKE 'a%' FROM orders ORDER BY 1
SELECT COLUMNS('(i)d') AS 'x_\1' FROM orders ORDER BY 1
SELECT COLUMNS(['id', 'amount']) + 1 FROM orders ORDER BY 1
SELECT COLUMNS(* EXCLUDE (id)) FROM orders ORDER BY 1
SELECT id FROM orders UNION ALL (SELECT id FROM customers UNION SELECT 7) ORDER BY id
(SELECT id FROM orders UNION ALL SELECT id FROM customers) INTERSECT SELECT 1
SELECT id FROM orders UNION SELECT id FROM customers INTERSECT SELECT 1 ORDER BY 1
SELECT id FROM orders EXCEPT SELECT 1 UNION ALL SELECT 1 ORDER BY 1
(SELECT 1 AS a ORDER BY a LIMIT 1)
((SELECT 1 AS a))
SELECT * FROM ((SELECT 1 AS a) UNION ALL (SELECT 2)) ORDER BY 1
SELECT * FROM (orders JOIN customers ON orders.customer_id = customers.id) ORDER BY ALL
SELECT o.id FROM orders o JOIN customers c ON o.customer_id = c.id AND c.region = 'north' LEFT JOIN prices p ON p.price > o.amount ORDER BY ALL
SELECT o.id FROM orders o JOIN (customers c JOIN staff s ON c.id = s.id) ON o.customer_id = c.id ORDER BY ALL
SELECT o.id FROM orders o LEFT JOIN customers c JOIN staff s ON c.id = s.id ON o.customer_id = c.id ORDER BY ALL
SELECT * FROM orders ASOF LEFT JOIN prices ON placed >= since ORDER BY id
SELECT o.id FROM orders o JOIN customers USING (id) ORDER BY id
SELECT count(*) FROM orders o, customers c JOIN staff s ON s.id = c.id
SELECT a.id FROM orders a LEFT JOIN LATERAL (SELECT a.id + 1 AS j) b ON b.j > 3 ORDER BY ALL
SELECT a.id, b FROM orders a, UNNEST([a.id, a.customer_id]) AS t(b) ORDER BY ALL
SELECT a.id, t.b FROM orders a CROSS JOIN UNNEST([a.id]) t(b) ORDER BY ALL
SELECT unnest([{'a': 1}, {'a': 2}], recursive := true)
SELECT unnest([[1, 2], [3]], max_depth := 2)
SELECT j.a, j.c[1] FROM docs ORDER BY id
SELECT j->'$.a'->>'$', json_extract(j, ['a', 'b']), j->>['a', 'b'] FROM docs ORDER BY id
SELECT * FROM json_each('{"a": 1}')
SELECT json_transform('{"a": 1}', '{"a": "INTEGER"}'), from_json('[1]', '["INT"]')
SELECT try_strptime('2020', ['%Y', '%m']), strftime(DATE '2020-01-01', '%d/%m/%Y'), strftime('%Y', DATE '2020-01-01')
SELECT now()::DATE = current_date, today() = current_date, current_timestamp = now(), CURRENT_TIME IS NOT NULL, LOCALTIME IS NOT NULL
SELECT id FROM orders WHERE amount = (SELECT max(amount) FROM orders) OR amount > SOME (SELECT price FROM prices) ORDER BY 1
SELECT id FROM orders WHERE id = ANY ([1, 2]) ORDER BY 1
SELECT id FROM orders WHERE (id, amount) > (2, 5) ORDER BY 1
SELECT ARRAY[1, 2], ARRAY(SELECT id FROM orders ORDER BY id), [id FOR id IN [1]]
SELECT 1 AS a, a + 1 AS b, b * 2 AS c
SELECT id AS x FROM orders WHERE x > 2 GROUP BY x HAVING x < 5 ORDER BY x
SELECT count(*) AS n, region FROM customers GROUP BY 2 ORDER BY 1 DESC, 2 NULLS FIRST
SELECT region, count(*) FROM customers GROUP BY ALL HAVING count(*) > 0 ORDER BY ALL DESC NULLS FIRST
SELECT customer_id, region, sum(amount) FROM orders JOIN customers ON customer_id = customers.id GROUP BY GROUPING SETS (customer_id, (customer_id, region), ()) ORDER BY ALL
SELECT grouping(customer_id), grouping_id(customer_id) FROM orders GROUP BY ROLLUP (customer_id) ORDER BY ALL
SELECT DISTINCT ON (1) customer_id, id FROM orders ORDER BY 1, 2
SELECT DISTINCT customer_id + 0 FROM orders ORDER BY ALL
SELECT 'é' = 'é' COLLATE NOACCENT, 'a' < 'B' COLLATE NOCASE, 'x' COLLATE NOCASE.NOACCENT
SELECT timezone('Europe/Prague', TIMESTAMP '2020-01-01'), TIMESTAMP '2020-01-01' AT TIME ZONE 'UTC' AT TIME ZONE 'Europe/Prague'
SELECT regexp_matches('a', 'A', 'i'), 'abc' ~ 'b', 'abc' !~ 'b', 'abc' SIMILAR TO 'a.c', 'abc' NOT SIMILAR TO 'x', regexp_replace('aaa', 'a', 'b', 'g'), 'abc' GLOB 'a*', 'a' ~~ 'a', 'a' !~~ 'b', 'A' ~~* 'a', 'abc' ~~~ 'a*'
SELECT [1, 2] && [2], [1, 2] @> [1], [1] <@ [1, 2], [1] || [2], list_concat([1], [2])
SELECT 'a' IS DISTINCT FROM NULL, NULL IS NOT DISTINCT FROM NULL, NULL == NULL, 1 == 1
SELECT 5 // 2, 5 / 2, 5.0 // 2, mod(5, 2), 5 % 2, divide(5, 2), fdiv(5, 2), fmod(5, 2)
SELECT max(id) FROM orders HAVING max(id) > 3
SELECT id FROM orders QUALIFY count(*) OVER (PARTITION BY customer_id) > 1 ORDER BY 1
SELECT printf('%d %s', 1, 'a'), format('{} {}', 1, 'a'), concat_ws('-', 'a', NULL, 'b'), 'a' || NULL
FROM orders SELECT customer_id, sum(amount) GROUP BY ALL ORDER BY 1
FROM orders WHERE id > 3
FROM (SELECT 1 AS a) t SELECT t.a
WITH a AS (SELECT 1 AS x), b AS (SELECT x + 1 AS x FROM a) FROM a, b SELECT a.x, b.x
WITH a(x) AS (VALUES (1), (2)) SELECT sum(x) FROM a
SELECT (WITH a AS (SELECT 2 AS x) SELECT x FROM a), (SELECT max(id) FROM orders)
WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3), s AS (SELECT * FROM r) SELECT sum(n) FROM s
SELECT * FROM (VALUES (1), (2)) ORDER BY 1
SELECT * FROM VALUES (1, 'a') AS t(n, s)
TABLE orders ORDER BY id
SELECT 1 WHERE EXISTS (FROM orders)
SELECT ALL id FROM orders ORDER BY 1
SELECT id, FROM orders ORDER BY 1
SELECT x.y FROM (SELECT {'y': 1} AS x)
SELECT t FROM (SELECT 1 AS a, 2 AS b) t
SELECT (t).a, t.* FROM (SELECT 1 AS a) t
SELECT struct_pack(a := 1, b := 'x').a
SELECT date_diff('month', DATE '2020-01-31', DATE '2020-03-01'), datediff('day', DATE '2020-01-31', DATE '2020-03-01'), date_sub('month', DATE '2020-01-31', DATE '2020-03-01')
SELECT 1 as "A", 2 AS b ORDER BY "A"
SELECT hash(1) = hash(1), md5('a'), sha256('a'), base64('a'::BLOB), from_base64('YQ=='), hex('a'), unhex('61')
SELECT TIMESTAMP '2020-01-01' - TIMESTAMP '2019-01-01', DATE '2020-01-01' - INTERVAL 1 MONTH, age(TIMESTAMP '2020-01-01', TIMESTAMP '2019-01-01')
SELECT strptime('2020-01-01', '%Y-%m-%d')::DATE, make_timestamp(1577836800000000), epoch_ms(0), to_timestamp(0), epoch(INTERVAL 1 DAY)
SELECT nullif(a, b) FROM (SELECT 1 AS a, 2 AS b)
SELECT interval FROM (SELECT 1 AS interval)
SELECT year(date), max(value), min(key) AS "group" FROM (SELECT DATE '2020-01-01' AS date, 1 AS value, 2 AS key) GROUP BY date
SELECT desc_, asc_ FROM (SELECT 1 AS desc_, 2 AS asc_) ORDER BY asc_ DESC
SELECT 'family 👨‍👩‍👧' AS a, 'ž' AS größe
SELECT id FROM orders ORDER BY id FETCH FIRST 2 ROWS ONLY
SELECT string_agg(DISTINCT region, ',') AS r FROM customers WHERE region = 'north'
SELECT quantile_cont(DISTINCT amount, 0.5) AS q, arg_max(DISTINCT id, amount) AS a, max(DISTINCT id, 2) AS m FROM orders
