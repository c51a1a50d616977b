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
SELECT (j->>'b') < 'z' AS a, 'x' || (j->>'b') AS b, 'x' || j->>'b' AS c FROM docs ORDER BY id
SELECT id FROM docs WHERE j->>'b' = 'x' AND id > 0
