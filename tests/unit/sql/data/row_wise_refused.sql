SELECT count(*) AS n FROM df
SELECT count(*) AS n FROM input_df AS t
SELECT sum(x) AS t FROM df
SELECT max(x) AS m, min(x) AS n FROM df
SELECT avg(x) AS a FROM df
SELECT count(DISTINCT s) AS n FROM df
SELECT list(x ORDER BY x) AS l FROM df
SELECT string_agg(s, ',' ORDER BY s) AS l FROM df
SELECT any_value(id) IS NULL AS a FROM df
SELECT bool_or(x > 2) AS b FROM df
SELECT sum(x) FILTER (WHERE x > 1) AS t FROM df
SELECT median(x) AS m FROM df
SELECT quantile_cont(x, 0.5) AS q FROM df
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) AS q FROM df
SELECT arg_max(id, x) IS NULL AS a FROM df
SELECT histogram(x) AS h FROM df
SELECT sum(x) + 1 AS t FROM df
SELECT coalesce(sum(x), 0) AS t FROM df
SELECT CASE WHEN count(*) > 3 THEN 'many' ELSE 'few' END AS c FROM df
SELECT max(COLUMNS(c -> c IN ('id', 'x'))) FROM df
SELECT reservoir_quantile(x, 0.5) IS NULL AS q FROM df
SELECT approx_count_distinct(s) AS n FROM df
SELECT s, count(*) AS n FROM df GROUP BY s
SELECT s, sum(x) AS t FROM df GROUP BY ALL
SELECT s FROM df GROUP BY s
SELECT s, x, count(*) AS n FROM df GROUP BY ROLLUP (s, x)
SELECT s, x, count(*) AS n FROM df GROUP BY CUBE (s, x)
SELECT s, count(*) AS n FROM df GROUP BY GROUPING SETS ((s), ())
SELECT s FROM df GROUP BY s HAVING count(*) > 1
SELECT count(*) AS n FROM df HAVING count(*) > 2
SELECT 1 AS one FROM df HAVING count(*) > 2
SELECT 1 AS one FROM df ORDER BY count(*)
SELECT DISTINCT s FROM df
SELECT DISTINCT * FROM df
SELECT DISTINCT ON (s) s, id FROM df ORDER BY s, id, x
SELECT id, row_number() OVER (ORDER BY id, x, s) AS n FROM df
SELECT id, rank() OVER (ORDER BY x) AS n FROM df
SELECT id, sum(x) OVER () AS t FROM df
SELECT id, count(*) OVER (PARTITION BY s) AS n FROM df
SELECT id, lag(x) OVER (ORDER BY id, x) AS p FROM df
SELECT id, first_value(x) OVER (ORDER BY x DESC) AS f FROM df
SELECT id, sum(x) OVER win AS t FROM df WINDOW win AS (PARTITION BY s)
SELECT id, x - avg(x) OVER () AS d FROM df
SELECT id FROM df QUALIFY row_number() OVER (PARTITION BY s ORDER BY id, x) = 1
SELECT id, count(*) OVER (PARTITION BY s) AS n FROM df QUALIFY n > 1
SELECT id FROM df ORDER BY row_number() OVER (ORDER BY x) -- holds: only orders
SELECT id FROM df ORDER BY id LIMIT 2
SELECT id FROM df ORDER BY id, x LIMIT 1 OFFSET 1
SELECT id FROM df ORDER BY id OFFSET 2
SELECT id FROM df ORDER BY id FETCH FIRST 2 ROWS ONLY
SELECT id FROM df ORDER BY id LIMIT 50%
SELECT id FROM df LIMIT 0 -- holds: no rows at all
SELECT id FROM df LIMIT ALL -- holds: LIMIT ALL leaves out nothing
SELECT id FROM df ORDER BY id LIMIT (SELECT count(*) FROM w)
(SELECT id FROM df) ORDER BY id LIMIT 1
(SELECT id FROM df ORDER BY id) LIMIT 1
SELECT id FROM df UNION SELECT id FROM w
SELECT id FROM df UNION ALL SELECT id FROM w
SELECT id FROM w UNION ALL SELECT id FROM df
SELECT id FROM df UNION ALL BY NAME SELECT id FROM w
SELECT id FROM df INTERSECT SELECT id FROM w
SELECT id FROM df EXCEPT SELECT id FROM w
SELECT id FROM w EXCEPT SELECT id FROM df
SELECT id FROM df INTERSECT ALL SELECT id FROM w
SELECT id FROM df EXCEPT ALL SELECT id FROM w
SELECT id FROM df UNION ALL SELECT x FROM df -- holds: each branch is row-wise; a read of one time is simpler to prove
SELECT id FROM df UNION SELECT x FROM df
SELECT a.id FROM df AS a JOIN df AS b ON a.x = b.id
SELECT a.id FROM df AS a JOIN input_df AS b ON a.id = b.id
SELECT a.id, b.x FROM df AS a LEFT JOIN df AS b ON a.x = b.id
SELECT a.id FROM df AS a, df AS b
SELECT a.id FROM df AS a SEMI JOIN df AS b ON a.x = b.id
SELECT a.id FROM df AS a ANTI JOIN df AS b ON a.x = b.id
SELECT id FROM df WHERE x = (SELECT max(x) FROM df)
SELECT id FROM df WHERE id IN (SELECT x FROM df)
SELECT id FROM df WHERE id NOT IN (SELECT x FROM df WHERE x IS NOT NULL)
SELECT id FROM df AS a WHERE EXISTS (SELECT 1 FROM df AS b WHERE b.x = a.id)
SELECT id FROM df AS a WHERE NOT EXISTS (SELECT 1 FROM df AS b WHERE b.id < a.id)
SELECT id, (SELECT count(*) FROM df) AS n FROM df
SELECT id, (SELECT max(b.x) FROM df AS b WHERE b.id = a.id) AS n FROM df AS a
SELECT w.id FROM w WHERE w.id IN (SELECT id FROM df)
SELECT w.id FROM w WHERE w.id NOT IN (SELECT id FROM df)
SELECT w.id FROM w WHERE EXISTS (SELECT 1 FROM df WHERE df.id = w.id)
SELECT w.id FROM w WHERE NOT EXISTS (SELECT 1 FROM df WHERE df.id = w.id)
SELECT w.id, (SELECT max(x) FROM df WHERE df.id = w.id) AS m FROM w
SELECT w.id, (SELECT count(*) FROM df) AS m FROM w
SELECT (SELECT count(*) FROM df) AS n
SELECT ARRAY(SELECT id FROM df ORDER BY id) AS ids
SELECT w.id FROM w WHERE w.v > (SELECT count(*) FROM df)
SELECT w.id FROM w WHERE w.id = ANY (SELECT id FROM df)
SELECT w.id FROM w WHERE w.id > ALL (SELECT id FROM df)
SELECT w.id FROM w ORDER BY (SELECT count(*) FROM df)
SELECT w.id, q.id FROM w JOIN w AS q ON q.id = w.id AND q.v IN (SELECT x FROM df)
SELECT w.id, t.x FROM w LEFT JOIN df AS t ON t.id = w.id
SELECT w.id, t.x FROM df AS t RIGHT JOIN w ON t.id = w.id
SELECT w.id, t.x FROM df AS t FULL JOIN w ON t.id = w.id
SELECT w.id, t.x FROM w FULL OUTER JOIN df AS t ON t.id = w.id
SELECT w.id FROM w SEMI JOIN df AS t ON t.id = w.id
SELECT w.id FROM w ANTI JOIN df AS t ON t.id = w.id
SELECT * FROM w NATURAL LEFT JOIN df
SELECT * FROM df NATURAL FULL JOIN w
SELECT r.rate, t.id FROM rates AS r ASOF JOIN df AS t ON r.since >= t.d
SELECT r.rate, t.id FROM rates AS r ASOF LEFT JOIN df AS t ON r.since >= t.d
SELECT r.rate, t.id FROM df AS t ASOF RIGHT JOIN rates AS r ON t.d >= r.since
SELECT a.id, t.x, b.v FROM w AS a LEFT JOIN df AS t ON t.id = a.id JOIN w AS b ON b.id = a.id
SELECT a.id, q.x FROM w AS a LEFT JOIN (df AS q JOIN rates AS r ON r.cur = q.s) ON q.id = a.id
SELECT a.id, q.x FROM w AS a LEFT JOIN (SELECT * FROM df) AS q ON q.id = a.id
SELECT t.id, r.rate FROM df AS t JOIN w ON w.id = t.id RIGHT JOIN rates AS r ON r.cur = t.s
SELECT t.id, r.rate FROM df AS t JOIN w ON w.id = t.id FULL JOIN rates AS r ON r.cur = t.s
SELECT t.id, r.rate FROM (df AS t JOIN w ON w.id = t.id) RIGHT JOIN rates AS r ON r.cur = t.s
SELECT w.id, q.x FROM w, LATERAL (SELECT x FROM df WHERE df.id = w.id) AS q -- holds: joins one row of each; reading inside LATERAL is not needed
SELECT w.id, q.x FROM w LEFT JOIN LATERAL (SELECT x FROM df WHERE df.id = w.id) AS q ON true
SELECT w.id, q.n FROM w, LATERAL (SELECT count(*) AS n FROM df WHERE df.id = w.id) AS q
SELECT w.id, q.x FROM w, LATERAL (SELECT x FROM df ORDER BY x, id LIMIT 1) AS q
WITH a AS (SELECT * FROM df) SELECT x.id FROM a AS x JOIN a AS y ON x.x = y.id
WITH a AS (SELECT * FROM df) SELECT id FROM a WHERE x = (SELECT max(x) FROM a)
WITH a AS (SELECT id FROM df), b AS (SELECT id FROM a) SELECT a.id FROM a JOIN b USING (id)
WITH a AS (SELECT id FROM df) SELECT id FROM a UNION SELECT id FROM a
WITH a AS (SELECT s, count(*) AS n FROM df GROUP BY s) SELECT * FROM a
WITH a AS (SELECT DISTINCT s FROM df) SELECT s FROM a
WITH a AS (SELECT * FROM df) SELECT count(*) AS n FROM a
WITH a AS (SELECT id FROM df ORDER BY id LIMIT 2) SELECT * FROM a
WITH a AS (SELECT * FROM df) SELECT w.id FROM w
WITH a AS (SELECT * FROM df) SELECT w.id, a.x FROM w LEFT JOIN a ON a.id = w.id
WITH RECURSIVE r AS (SELECT id AS n FROM df UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT n FROM r -- holds: starts once for each row; recursion over new rows is not proved
WITH RECURSIVE r AS (SELECT id AS n FROM df UNION SELECT n + 1 FROM r WHERE n < 3) SELECT n FROM r
WITH RECURSIVE r AS (SELECT 1 AS n UNION SELECT df.x FROM r JOIN df ON df.id = r.n) SELECT n FROM r
WITH a AS (SELECT id FROM df UNION ALL SELECT id FROM w) SELECT * FROM a
SELECT * FROM (SELECT DISTINCT s FROM df) AS q
SELECT * FROM (SELECT s, count(*) AS n FROM df GROUP BY s) AS q
SELECT * FROM (SELECT id, row_number() OVER (ORDER BY id, x) AS n FROM df) AS q WHERE n = 1
SELECT * FROM (SELECT id FROM df ORDER BY id LIMIT 1) AS q
SELECT q.n, w.v FROM w JOIN (SELECT id, count(*) AS n FROM df GROUP BY id) AS q USING (id)
SELECT * FROM (SELECT id FROM df UNION ALL SELECT id FROM w) AS q
SELECT w.id FROM w
SELECT 1 AS one
SELECT max(v) AS v FROM w
SELECT r.cur, w.id FROM rates AS r JOIN w ON w.name = r.cur
SELECT (SELECT sum(t.x)) AS t FROM df AS t
SELECT (SELECT max(t.x) FROM (SELECT 1) AS q) AS t FROM df AS t
SELECT (SELECT max(x) FROM (SELECT 1) AS q) AS t FROM df
SELECT (SELECT max(t.x)) AS m, 1 AS n FROM df AS t
SELECT 1 AS one FROM df AS t ORDER BY (SELECT sum(t.x))
SELECT coalesce((SELECT (SELECT sum(t.x))), 0) AS t FROM df AS t
SELECT (SELECT max(t.x) FROM (SELECT 1) AS q HAVING max(t.x) > 1) AS t FROM df AS t
SELECT w.id, s.m FROM w, (SELECT w.v, (SELECT max(d.x)) AS m FROM df AS d) AS s
SELECT (SELECT max(w.v) FROM w) AS top FROM df -- holds: nothing tells it from an aggregate of the outer SELECT
SELECT s.m FROM (SELECT (SELECT count(d.x)) AS m FROM df AS d) AS s
WITH a AS (SELECT (SELECT sum(d.x)) AS m FROM df AS d) SELECT a.m, w.id FROM a, w
SELECT id, sum(sum(x)) OVER () AS t FROM df GROUP BY id
SELECT x, count(*) AS n FROM df WHERE x > 1 GROUP BY x ORDER BY n
SELECT date_trunc('month', d) AS m, sum(x) AS t FROM df GROUP BY 1
SELECT DISTINCT t.id FROM df AS t JOIN w USING (id)
SELECT t.id, sum(w.v) AS v FROM df AS t JOIN w USING (id) GROUP BY t.id
SELECT bit_xor(x) AS b FROM df
SELECT wavg(x, 1) AS a FROM df
SELECT stddev(x) AS a FROM df
SELECT first(x ORDER BY x, id) IS NULL AS a FROM df
SELECT sum(DISTINCT x) AS a FROM df
SELECT [e + 1 FOR e IN [1, 2]] AS l, (SELECT max(t.x)) AS m FROM df AS t
SELECT [e + i FOR e, i IN [1, 2]] AS l, (SELECT max(t.x)) AS m FROM df AS t
SELECT [t.a FOR t IN [{'a': 1}]] AS l, (SELECT max(q.x) FROM (SELECT 1) AS o) AS m FROM df AS q
