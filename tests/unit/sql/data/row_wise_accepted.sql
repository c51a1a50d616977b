SELECT * FROM df
SELECT id FROM df
SELECT df.* FROM df
SELECT x AS a, s AS b FROM input_df AS t
SELECT t.id, t.x + 1 AS y FROM df AS t
SELECT * EXCLUDE (l) FROM df
SELECT * REPLACE (upper(s) AS s) FROM df
SELECT COLUMNS(c -> c LIKE 'i%') FROM df
SELECT id, x FROM df WHERE x > 2
SELECT id FROM df WHERE x IS NULL OR s = 'a'
SELECT id FROM df WHERE x BETWEEN 1 AND 3
SELECT id FROM df WHERE s IN ('a', 'b')
SELECT id FROM df WHERE s NOT IN ('a', 'b')
SELECT id FROM df WHERE s LIKE 'a%'
SELECT id FROM df WHERE s ILIKE 'A%' AND NOT x = 3
SELECT id FROM df WHERE x IN [1, 2, NULL]
SELECT id FROM df WHERE s SIMILAR TO '[ab]'
SELECT id FROM df WHERE regexp_matches(s, '^a')
SELECT id FROM df WHERE x IS DISTINCT FROM 2
SELECT id FROM df WHERE (id, x) = (1, 2)
SELECT CASE WHEN x > 2 THEN 'big' WHEN x IS NULL THEN 'none' ELSE 'small' END AS size FROM df
SELECT CASE x WHEN 1 THEN 'one' END AS word, id FROM df
SELECT coalesce(x, 0) AS x, nullif(s, 'a') AS s FROM df
SELECT if(x > 1, 1, 0) AS f FROM df
SELECT CAST(x AS VARCHAR) AS t, TRY_CAST(s AS INTEGER) AS n FROM df
SELECT x::DOUBLE / 2 AS h, x // 2 AS q, x % 2 AS r FROM df
SELECT -x AS n, +x AS p, x ** 2 AS w FROM df
SELECT x & 1 AS a, x | 2 AS o, ~x AS n, x << 1 AS l FROM df
SELECT s || '-' || id AS k FROM df
SELECT upper(s) AS u, length(s) AS n, substring(s, 1, 1) AS f, trim(s) AS t FROM df
SELECT md5(s) AS h, hash(id, x) AS g FROM df
SELECT date_trunc('month', d) AS m, extract(year FROM d) AS y FROM df
SELECT d + INTERVAL 1 DAY AS n, d - INTERVAL 1 MONTH AS p FROM df
SELECT strftime(d, '%Y-%m') AS m FROM df
SELECT (d AT TIME ZONE 'Europe/Prague') AS z FROM df
SELECT DATE '2024-01-01' AS d, id FROM df
SELECT 1 AS one FROM df
SELECT NULL AS n, true AS t, 'x' AS x FROM df
SELECT l[1] AS f, l[1:2] AS p, len(l) AS n FROM df
SELECT list_sum(l) AS t, list_sort(l) AS o, list_distinct(l) AS u FROM df
SELECT list_transform(l, e -> e + x) AS l FROM df
SELECT list_filter(l, e -> e > 1) AS l FROM df
SELECT [e * 2 FOR e IN l IF e > 1] AS l FROM df
SELECT list_reduce(l, (a, b) -> a + b, 0) AS t FROM df
SELECT list_aggregate(l, 'sum') AS t FROM df
SELECT {'id': id, 'x': x} AS st FROM df
SELECT MAP {'a': x} AS m FROM df
SELECT struct_pack(a := id, b := s) AS st FROM df
SELECT (id, x) AS pair FROM df
SELECT df AS whole_row FROM df
SELECT j ->> '$.a' AS a, j -> '$.b' AS b FROM df
SELECT json_extract_string(j, '$.a') AS a FROM df
SELECT greatest(x, id) AS g, least(x, id) AS l FROM df
SELECT x > ANY (l) AS a FROM df
SELECT id, x AS y, y + 1 AS z FROM df
SELECT id FROM df ORDER BY x DESC NULLS LAST, id
SELECT * FROM df ORDER BY ALL
SELECT id, unnest(l) AS e FROM df
SELECT unnest(l) AS e FROM df
SELECT unnest(l) AS e, unnest([1, 2]) AS f FROM df
SELECT id, unnest(range(id)) AS n FROM df
SELECT df.id, u.e FROM df, UNNEST(df.l) AS u(e)
SELECT t.id, u.e FROM df AS t CROSS JOIN UNNEST(t.l) AS u(e)
SELECT t.id, u.e FROM df AS t LEFT JOIN LATERAL (SELECT unnest(t.l) AS e) AS u ON true
SELECT t.id, g.n FROM df AS t, generate_series(1, t.id) AS g(n)
SELECT t.id, u.e, u.p FROM df AS t, UNNEST(t.l) WITH ORDINALITY AS u(e, p)
SELECT t.id, w.v FROM df AS t JOIN w ON t.id = w.id
SELECT t.id, w.v FROM df AS t INNER JOIN w USING (id)
SELECT t.id, w.v FROM df AS t LEFT JOIN w ON t.id = w.id
SELECT t.id, w.v FROM df AS t LEFT OUTER JOIN w USING (id)
SELECT t.id, w.v FROM w JOIN df AS t ON t.id = w.id
SELECT t.id, w.v FROM w RIGHT JOIN df AS t ON t.id = w.id
SELECT t.id, w.v FROM w RIGHT OUTER JOIN df AS t USING (id)
SELECT t.id, w.v FROM df AS t CROSS JOIN w
SELECT t.id, w.v FROM w CROSS JOIN df AS t
SELECT t.id, w.v FROM df AS t, w
SELECT t.id, w.v FROM w, df AS t WHERE w.id < t.id
SELECT t.id, w.v FROM df AS t JOIN w ON w.id < t.id
SELECT t.id FROM df AS t SEMI JOIN w ON t.id = w.id
SELECT t.id FROM df AS t ANTI JOIN w ON t.id = w.id
SELECT t.id FROM df AS t SEMI JOIN w USING (id)
SELECT * FROM df NATURAL JOIN w
SELECT * FROM df NATURAL LEFT JOIN w
SELECT t.id, r.rate FROM df AS t ASOF JOIN rates AS r ON t.d >= r.since
SELECT t.id, r.rate FROM df AS t ASOF LEFT JOIN rates AS r ON t.s = r.cur AND t.d >= r.since
SELECT t.id, w.v, r.rate FROM df AS t LEFT JOIN w USING (id) LEFT JOIN rates AS r ON r.cur = t.s
SELECT t.id, w.v, r.rate FROM w LEFT JOIN rates AS r ON r.cur = w.name JOIN df AS t ON t.id = w.id
SELECT t.id, a.v FROM w AS a FULL JOIN w AS b ON a.id = b.v JOIN df AS t ON t.id = a.id
SELECT t.id, q.v FROM df AS t LEFT JOIN (w AS q JOIN rates AS r ON q.name = r.cur) ON q.id = t.id
SELECT t.id, q.v FROM (df AS t JOIN w AS q ON q.id = t.id)
SELECT t.id, r.rate FROM (df AS t LEFT JOIN w AS q ON q.id = t.id) LEFT JOIN rates AS r ON r.cur = q.name
SELECT t.id, q.n FROM df AS t LEFT JOIN (SELECT id, count(*) AS n FROM w GROUP BY id) AS q USING (id)
SELECT t.id, q.v FROM df AS t JOIN (SELECT DISTINCT id, v FROM w) AS q USING (id)
SELECT t.id, q.v FROM df AS t JOIN (SELECT * FROM w QUALIFY row_number() OVER (PARTITION BY id ORDER BY v) = 1) AS q USING (id)
SELECT t.id, q.v FROM df AS t JOIN (SELECT * FROM w ORDER BY v, id, name LIMIT 2) AS q ON true
SELECT t.id, q.id FROM df AS t JOIN (SELECT id FROM w UNION SELECT v FROM w) AS q ON q.id >= t.id
SELECT t.id, q.k FROM df AS t JOIN (VALUES (1, 'a'), (2, 'b')) AS q(n, k) ON q.n = t.id
SELECT t.id, q.v FROM df AS t, LATERAL (SELECT v FROM w WHERE w.id = t.id) AS q
SELECT t.id, q.v FROM df AS t LEFT JOIN LATERAL (SELECT max(v) AS v FROM w WHERE w.id = t.id) AS q ON true
SELECT t.id, q.v FROM df AS t, LATERAL (SELECT v FROM w WHERE w.id >= t.id ORDER BY v, id, name LIMIT 1) AS q
SELECT t.id, q.v FROM df AS t, (SELECT v FROM w WHERE w.id = t.id) AS q
SELECT id, (SELECT max(v) FROM w) AS top FROM df
SELECT id, (SELECT max(v) FROM w WHERE w.id = df.id) AS top FROM df
SELECT t.id, (SELECT count(*) FROM w WHERE w.v > t.x) AS n FROM df AS t
SELECT t.id, (SELECT max(t.x + w.v) FROM w) AS n FROM df AS t
SELECT t.*, (SELECT sum(v) FROM w WHERE w.id = t.id) AS n FROM df AS t
SELECT t.id, (SELECT count(DISTINCT name) FROM w WHERE w.id <= t.id) AS n FROM df AS t
SELECT t.id, ARRAY(SELECT v FROM w WHERE w.id = t.id ORDER BY v) AS vs FROM df AS t
SELECT t.id, (SELECT list(y ORDER BY y) FROM (SELECT t.x + w.v AS y FROM w) AS q) AS ys FROM df AS t
SELECT count_of.n + id AS n FROM df, (SELECT count(*) AS n FROM w) AS count_of
SELECT id FROM df WHERE id IN (SELECT id FROM w)
SELECT id FROM df WHERE id NOT IN (SELECT id FROM w WHERE id IS NOT NULL)
SELECT id FROM df WHERE (id, x) IN (SELECT id, v FROM w)
SELECT id FROM df WHERE EXISTS (SELECT 1 FROM w WHERE w.id = df.id)
SELECT id FROM df WHERE NOT EXISTS (SELECT 1 FROM w WHERE w.id = df.id AND w.v > df.x)
SELECT id FROM df WHERE x > (SELECT min(v) FROM w)
SELECT id FROM df WHERE x > ALL (SELECT id FROM w WHERE id IS NOT NULL)
SELECT id FROM df WHERE x = ANY (SELECT v FROM w)
SELECT id FROM df WHERE id IN (SELECT id FROM w GROUP BY id HAVING count(*) > 1)
SELECT id FROM df WHERE id IN (SELECT id FROM w UNION ALL SELECT v FROM w)
SELECT id FROM df WHERE x >= (SELECT v FROM w ORDER BY v NULLS LAST LIMIT 1)
SELECT id FROM df ORDER BY (SELECT max(v) FROM w WHERE w.id = df.id), id
WITH a AS (SELECT id, x FROM df) SELECT * FROM a
WITH a AS (SELECT * FROM df WHERE x > 1), b AS (SELECT id FROM a) SELECT * FROM b
WITH df AS (SELECT id, s FROM df) SELECT * FROM df
WITH a AS MATERIALIZED (SELECT id FROM df) SELECT a.id, w.v FROM a JOIN w USING (id)
WITH a(k) AS (SELECT id FROM df) SELECT k + 1 AS k FROM a
WITH m AS (SELECT id, max(v) AS v FROM w GROUP BY id) SELECT t.id, m.v FROM df AS t LEFT JOIN m USING (id)
WITH m AS (SELECT * FROM w) SELECT t.id, a.v, b.v AS bv FROM df AS t JOIN m AS a USING (id) LEFT JOIN m AS b ON b.id = t.x
WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT t.id, r.n FROM df AS t JOIN r ON r.n <= t.id
WITH m AS (SELECT max(v) AS v FROM w) SELECT id FROM df WHERE x <= (SELECT v FROM m)
WITH a AS (SELECT t.id, w.v FROM df AS t JOIN w USING (id)) SELECT a.id, r.rate FROM a LEFT JOIN rates AS r ON r.rate > a.v
SELECT * FROM (SELECT id, x FROM df) AS q
SELECT q.id FROM (SELECT id, x FROM df WHERE x > 1) AS q JOIN w USING (id)
SELECT * FROM (SELECT * FROM (SELECT id FROM df) AS a) AS b
SELECT q.a FROM (SELECT id FROM df) AS q(a)
(SELECT id FROM df)
(SELECT id FROM df) ORDER BY id
SELECT q.id, w.v FROM w JOIN (SELECT * FROM df) AS q ON q.id = w.id
SELECT w.id, q.x FROM w, (SELECT x FROM df) AS q
SELECT q.id, q.e FROM (SELECT id, unnest(l) AS e FROM df) AS q WHERE q.e > 1
FROM df SELECT id, x
FROM df
FROM df WHERE x = 1
SELECT DF.ID FROM DF
SELECT "id" FROM "df"
SELECT id FROM df WHERE x > (SELECT count(*) FROM (SELECT DISTINCT name FROM w) AS q)
SELECT t.id FROM df AS t JOIN w ON w.id = t.id AND w.v = (SELECT max(v) FROM w AS i WHERE i.id = t.id)
SELECT t.id, (SELECT row_number() OVER (ORDER BY w.v, w.id, w.name) FROM w ORDER BY 1 LIMIT 1) AS n FROM df AS t
SELECT (SELECT v FROM w WHERE w.id = t.id ORDER BY v, name LIMIT 1) AS v FROM df AS t
SELECT a.id, b.v, c.v AS cv FROM df AS a JOIN w AS b ON a.id = b.id ANTI JOIN rates AS r ON r.cur = b.name JOIN w AS c ON c.id = a.id
SELECT id, x FROM df WHERE id % 2 = 0 AND s IS NOT NULL
SELECT printf('%d-%s', id, s) AS k, concat_ws('/', s, id) AS p FROM df
SELECT round(x / 3, 2) AS r, abs(x) AS a, sqrt(abs(x)) AS q FROM df
SELECT make_date(2024, 1, 1 + id % 20) AS d FROM df
SELECT epoch_ms(d) AS e, dayname(d) AS n FROM df
SELECT struct_extract({'a': x}, 'a') AS a FROM df
SELECT [t.x + e FOR e IN [1]] AS l, (SELECT max(w.v + t.x) FROM w) AS m FROM df AS t
