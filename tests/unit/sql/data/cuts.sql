SELECT * FROM df -- split df
SELECT id, x + 1 AS y FROM df WHERE f > 1 -- split df
SELECT id, s FROM df ORDER BY s, id -- split df, merged
SELECT id, s FROM df ORDER BY 2 DESC NULLS LAST, 1 LIMIT 3 -- split df, merged
SELECT id, s AS label FROM df ORDER BY label, id LIMIT 2 OFFSET 1 -- split df, merged
SELECT * FROM df ORDER BY ALL LIMIT 4 -- split df, merged
SELECT * FROM df ORDER BY s, id OFFSET 2 -- split df, merged
SELECT t.id, t.s FROM df AS t ORDER BY t.s, t.id -- split df, merged
SELECT t.id, -t.x AS x FROM df AS t ORDER BY x, id -- split df, merged
(SELECT id FROM df) ORDER BY id LIMIT 2 -- split df, merged
WITH a AS (SELECT id, x FROM df) SELECT * FROM a ORDER BY x, id -- split df, merged
SELECT t.id, w.v FROM df AS t JOIN w ON w.id = t.id -- split df
SELECT t.id, w.v FROM w RIGHT JOIN df AS t ON t.id = w.id -- split df
SELECT w.id, t.x FROM w LEFT JOIN df AS t ON t.id = w.id -- split w
SELECT w.id FROM w WHERE EXISTS (SELECT * FROM df WHERE df.id = w.id) -- split w
SELECT w.id FROM w WHERE w.id NOT IN (SELECT id FROM df) -- split w
SELECT w.id, (SELECT count(*) FROM df WHERE df.id = w.id) AS n FROM w -- split w
SELECT w.id FROM w SEMI JOIN df AS t ON t.id = w.id -- split w
SELECT w.id FROM w ANTI JOIN df AS t ON t.id = w.id -- split w
SELECT w.id, q.n FROM w, LATERAL (SELECT count(*) AS n FROM df WHERE df.id = w.id) AS q -- split w
SELECT w.id, q.n FROM w JOIN (SELECT id, count(*) AS n FROM df GROUP BY id) AS q USING (id) -- bucket df id
SELECT df.id, u.e FROM df, UNNEST(df.l) AS u(e) -- split df
SELECT df.id, u.e FROM df, UNNEST(df.g) AS u(e) -- split df
SELECT id, count(*) AS n FROM df GROUP BY id -- bucket df id
SELECT id, sum(x) AS t, avg(x) AS a, min(s) AS m, max(d) AS h, bool_or(x > 1) AS b FROM df GROUP BY id -- bucket df id
SELECT id, s, sum(amt) AS t FROM df GROUP BY id, s -- bucket df id, s
SELECT id, s, sum(amt) AS t FROM df GROUP BY ALL -- bucket df id, s
SELECT id, s, sum(amt) AS t FROM df GROUP BY 1, 2 -- bucket df id, s
SELECT id, date_trunc('month', d) AS m, count(*) AS n FROM df GROUP BY id, m -- bucket df id
SELECT id, CASE WHEN x > 2 THEN 'big' ELSE 'small' END AS size, count(*) AS n FROM df GROUP BY 1, 2 -- bucket df id
SELECT s, count(f) AS n, count(DISTINCT f) AS k FROM df GROUP BY s -- bucket df s
SELECT amt, count(*) AS n FROM df GROUP BY amt -- bucket df amt
SELECT d, count(*) AS n FROM df GROUP BY d -- bucket df d
SELECT "Mixed Name", count(*) AS n FROM df GROUP BY "mixed name" -- bucket df Mixed Name
SELECT MIXED.s, count(*) AS n FROM DF AS Mixed GROUP BY mixed.S -- bucket df s
SELECT id, count(*) AS n FROM df GROUP BY id HAVING count(*) > 1 -- bucket df id
SELECT id, count(*) FILTER (WHERE f > 0) AS n FROM df GROUP BY id -- bucket df id
SELECT id, string_agg(s, ',' ORDER BY s) AS l, list(x ORDER BY x) AS xs FROM df GROUP BY id -- bucket df id
SELECT id, sum(DISTINCT x) AS t, median(x) AS m, quantile_cont(amt, 0.5) AS q FROM df GROUP BY id -- bucket df id
SELECT id, percentile_cont(0.5) WITHIN GROUP (ORDER BY x) AS q FROM df GROUP BY id -- bucket df id
SELECT id FROM df GROUP BY id -- bucket df id
SELECT count(*) AS n FROM df GROUP BY id -- bucket df id
SELECT id, count(*) AS n FROM df GROUP BY id ORDER BY n DESC, id LIMIT 3 -- bucket df id, merged
SELECT t.id, count(*) AS n FROM df AS t GROUP BY t.id ORDER BY t.id -- bucket df id, merged
SELECT id, sum(x) AS x FROM df GROUP BY id ORDER BY x, id -- bucket df id, merged
SELECT id, sum(x) AS x FROM df GROUP BY id HAVING sum(x) > 2 -- bucket df id
SELECT id AS id, count(*) AS n FROM df GROUP BY id -- bucket df id
SELECT DISTINCT id, s FROM df -- bucket df id, s
SELECT DISTINCT s AS label FROM df -- bucket df s
SELECT DISTINCT s FROM df ORDER BY s LIMIT 2 -- bucket df s, merged
SELECT DISTINCT * FROM w -- bucket w id, v, name
SELECT DISTINCT t.* FROM w AS t -- bucket w id, v, name
SELECT DISTINCT id, x % 2 AS odd FROM df -- bucket df id
SELECT DISTINCT id FROM df WHERE f IS NOT NULL -- bucket df id
SELECT DISTINCT t.id FROM df AS t JOIN w USING (id) -- bucket df id
SELECT DISTINCT t.id, w.v FROM df AS t LEFT JOIN w ON w.id = t.id -- bucket df id
SELECT id, x, rank() OVER (PARTITION BY id ORDER BY x) AS r FROM df -- bucket df id
SELECT *, count(*) OVER (PARTITION BY s) AS n FROM df -- bucket df s
SELECT id, sum(x) OVER (PARTITION BY s, id) AS t, count(*) OVER (PARTITION BY s) AS n FROM df -- bucket df s
SELECT id, sum(x) OVER win AS t FROM df WINDOW win AS (PARTITION BY s) -- bucket df s
SELECT id, rank() OVER (win ORDER BY x) AS t FROM df WINDOW win AS (PARTITION BY s) -- bucket df s
SELECT id, x FROM df QUALIFY rank() OVER (PARTITION BY s ORDER BY x DESC) = 1 -- bucket df s
SELECT id, x, dense_rank() OVER (PARTITION BY s ORDER BY d) AS r FROM df QUALIFY r = 1 ORDER BY id, x -- bucket df s, merged
SELECT id, name, row_number() OVER (PARTITION BY id ORDER BY v, name) AS r FROM w -- bucket w id
SELECT id, max(x) OVER (PARTITION BY id ORDER BY d RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS m FROM df -- bucket df id
SELECT id, sum(sum(x)) OVER (PARTITION BY id) AS t FROM df GROUP BY id, s -- bucket df id
SELECT id, count(*) AS n FROM (SELECT * FROM df WHERE x > 1) AS q GROUP BY id -- bucket df id
SELECT k, count(*) AS n FROM (SELECT id AS k, s FROM df) AS q GROUP BY k -- bucket df id
SELECT q.k, count(*) AS n FROM (SELECT id, s FROM df) AS q(k) GROUP BY q.k -- bucket df id
SELECT t.k, count(*) AS n FROM df AS t(k) GROUP BY t.k -- bucket df id
WITH a AS (SELECT id, s, sum(x) AS t FROM df GROUP BY id, s) SELECT id, max(t) AS m FROM a GROUP BY id -- bucket df id
WITH a(k, t) AS (SELECT id, sum(x) FROM df GROUP BY id) SELECT a.k, a.t, w.v FROM a LEFT JOIN w ON w.id = a.k -- bucket df id
WITH df AS (SELECT id, s FROM df) SELECT id, count(*) AS n FROM df GROUP BY id -- bucket df id
WITH a AS (SELECT DISTINCT id, s FROM df), b AS (SELECT s, count(*) AS n FROM a GROUP BY s) SELECT * FROM b -- bucket df s
SELECT t.id, sum(w.v) AS v FROM df AS t JOIN w USING (id) GROUP BY t.id -- bucket df id
SELECT id, sum(w.v) AS v FROM df AS t JOIN w USING (id) GROUP BY id -- bucket df id
SELECT id, sum(v) AS v FROM df AS t LEFT JOIN w USING (id) GROUP BY id -- bucket df id
SELECT id, sum(v) AS v FROM df NATURAL JOIN w GROUP BY id -- bucket df id
SELECT t.id, count(w.v) AS v FROM w RIGHT JOIN df AS t USING (id) GROUP BY t.id -- bucket df id
SELECT w.id, count(t.x) AS n FROM w LEFT JOIN df AS t ON t.id = w.id GROUP BY w.id -- bucket w id
SELECT w.name, sum(t.x) AS n FROM df AS t JOIN w ON t.id = w.id GROUP BY w.name -- bucket w name
SELECT t.id, count(*) AS n FROM (df AS t JOIN w ON w.id = t.id) GROUP BY t.id -- bucket df id
SELECT id, count(*) AS n FROM df WHERE x > (SELECT min(v) FROM w) GROUP BY id -- bucket df id
SELECT id, (SELECT max(v) FROM w WHERE w.id = t.id) AS m, count(*) AS n FROM df AS t GROUP BY id -- bucket df id
SELECT id, unnest(range(count(*))) AS n FROM df GROUP BY id -- bucket df id
SELECT s, list_sort(list(x ORDER BY x)) AS l FROM df GROUP BY s -- bucket df s
SELECT u.id, count(*) AS n FROM (SELECT id, unnest(l) AS e FROM df) AS u GROUP BY u.id -- one: equal values of a key of GROUP BY may differ
SELECT f, count(*) AS n FROM df GROUP BY f -- one: equal values of a key of GROUP BY may differ
SELECT id, f, count(*) AS n FROM df GROUP BY id, f -- one: equal values of a key of GROUP BY may differ
SELECT id, g, count(*) AS n FROM df GROUP BY id, g -- one: equal values of a key of GROUP BY may differ
SELECT id, l, count(*) AS n FROM df GROUP BY id, l -- one: equal values of a key of GROUP BY may differ
SELECT DISTINCT id, f FROM df -- one: equal values of a key of DISTINCT may differ
SELECT DISTINCT * FROM df -- one: equal values of
SELECT DISTINCT id, d - TIMESTAMP '2024-01-01' AS i FROM df -- one: equal values of a key of DISTINCT may differ
SELECT DISTINCT id, age(d, TIMESTAMP '2023-01-01') AS i FROM df -- one: equal values of a key of DISTINCT may differ
SELECT id, max(f) AS m FROM df GROUP BY id -- one: max() of values that may not be exact
SELECT id, max(q) AS m FROM (SELECT id, f AS q FROM df) AS t GROUP BY id -- one: max() of values that may not be exact
SELECT id, max(x / 2) AS m FROM df GROUP BY id -- one: max() of values that may not be exact
SELECT id, max(g[1]) AS m FROM df GROUP BY id -- one: max() of values that may not be exact
SELECT id, max(a) AS m FROM (SELECT id, avg(x) AS a FROM df GROUP BY id, s) AS q GROUP BY id -- one: max() of values that may not be exact
SELECT id, sum(f) AS t FROM df GROUP BY id -- one: sum(…) rounds floating-point numbers
SELECT id, avg(x * 0.5e0) AS t FROM df GROUP BY id -- one: avg(…) rounds floating-point numbers
SELECT id, sum(g[1]) AS t FROM df GROUP BY id -- one: sum() of values that may not be exact
SELECT id, any_value(x) AS t FROM df GROUP BY id -- one: any_value(…)
SELECT id, list(x) AS t FROM df GROUP BY id -- one: list(…)
SELECT id, arg_max(s, x) AS t FROM df GROUP BY id -- one: arg_max(…)
SELECT id, stddev(x) AS t FROM df GROUP BY id -- one: stddev(…)
SELECT id, approx_count_distinct(x) AS t FROM df GROUP BY id -- one: approx_count_distinct() is not known
SELECT id, histogram(x) AS t FROM df GROUP BY id -- one: histogram() is not known
SELECT id, row_number() OVER (PARTITION BY id ORDER BY x) AS r FROM df -- bucket df id
SELECT id, rank() OVER (PARTITION BY id ORDER BY f) AS r FROM df -- one: rank() of values that may not be exact
SELECT id, rank() OVER (ORDER BY x) AS r FROM df -- one: PARTITION BY has no column of 'df'
SELECT id, rank() OVER (PARTITION BY x + 1 ORDER BY s) AS r FROM df -- one: PARTITION BY has no column of 'df'
SELECT id, x + 1 AS s, rank() OVER (PARTITION BY s ORDER BY d) AS r FROM df -- one: PARTITION BY has no column of 'df'
SELECT s AS id, count(*) AS n FROM df GROUP BY id, s -- bucket df s
SELECT id AS k, sum(x) OVER (PARTITION BY id) AS a, sum(x) OVER (PARTITION BY s) AS b FROM df -- one: have no column of 'df' in common
SELECT x % 2 AS odd, count(*) AS n FROM df GROUP BY odd -- one: GROUP BY has no column of 'df'
SELECT s, count(*) AS n FROM (SELECT id, upper(s) AS s FROM df) AS q GROUP BY s -- one: GROUP BY has no column of 'df'
SELECT k, count(*) AS n FROM (SELECT id AS k, x AS k FROM df) AS q GROUP BY k -- one: GROUP BY has no column of 'df'
SELECT s, count(*) AS n FROM (SELECT * REPLACE (upper(s) AS s) FROM df) AS q GROUP BY s -- one: equal values of a key of GROUP BY may differ
SELECT s, count(*) AS n FROM (SELECT * EXCLUDE (x) FROM df) AS q GROUP BY s -- one: equal values of a key of GROUP BY may differ
SELECT s, count(*) AS n FROM (SELECT COLUMNS('s|x') FROM df) AS q GROUP BY s -- one: equal values of a key of GROUP BY may differ
SELECT count(*) AS n FROM df -- one: count() puts rows together
SELECT sum(x) AS t, 1 AS one FROM df -- one: sum() without GROUP BY
SELECT count(*) AS n FROM df HAVING count(*) > 2 -- one: count() puts rows together
SELECT 1 AS one FROM df HAVING count(*) > 2 -- one: without GROUP BY
SELECT id, (SELECT sum(t.x)) AS t FROM df AS t GROUP BY id -- one: sum() in a subquery can belong
SELECT (SELECT sum(t.x)) AS t FROM df AS t -- one: sum() in a subquery can belong
SELECT id, count(*) AS n FROM df GROUP BY ROLLUP (id) -- one: ROLLUP, CUBE and GROUPING SETS
SELECT id, s, count(*) AS n FROM df GROUP BY CUBE (id, s) -- one: ROLLUP, CUBE and GROUPING SETS
SELECT id, count(*) AS n FROM df GROUP BY GROUPING SETS ((id), ()) -- one: ROLLUP, CUBE and GROUPING SETS
SELECT id, s, count(*) AS n FROM df GROUP BY id, ROLLUP (s) -- one: ROLLUP, CUBE and GROUPING SETS
SELECT count(*) AS n FROM df GROUP BY () -- one: GROUP BY
SELECT 'a' AS k, count(*) AS n FROM df GROUP BY k -- one: GROUP BY has no column of 'df'
SELECT DISTINCT ON (id) id, s FROM df ORDER BY id, s -- one: DISTINCT ON
SELECT DISTINCT ON (id) id, x, s FROM df ORDER BY id, x, s -- one: DISTINCT ON
SELECT ARRAY(SELECT id FROM df ORDER BY id) AS ids -- one: ORDER BY in an inner query
SELECT ARRAY(SELECT s FROM w ORDER BY s) AS ids, 1 AS one FROM df GROUP BY id -- bucket df id
SELECT id FROM df UNION SELECT id FROM w -- one: UNION compares or repeats rows
SELECT id FROM df EXCEPT SELECT x FROM df -- one: it reads 'df' twice
SELECT a.id FROM df AS a JOIN df AS b ON a.id = b.id -- one: it reads 'df' twice
WITH a AS (SELECT * FROM df) SELECT a.id FROM a JOIN a AS b ON a.id = b.id -- one: it reads 'a' twice
WITH RECURSIVE r AS (SELECT id AS n FROM df UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT n FROM r -- one: 
SELECT id, count(*) AS n FROM df AS t RIGHT JOIN w USING (id) GROUP BY id -- one: RIGHT JOIN
SELECT id, count(*) AS n FROM df AS t FULL JOIN w USING (id) GROUP BY id -- one: FULL JOIN
SELECT id, sum(v) AS v FROM w JOIN df USING (id) GROUP BY id -- bucket w id
SELECT t.id, r.rate FROM rates AS r ASOF JOIN df AS t ON r.since >= t.d -- one: ASOF JOIN
SELECT t.id, r.rate FROM df AS t POSITIONAL JOIN rates AS r -- one: POSITIONAL JOIN
SELECT id FROM df ORDER BY s -- one: ORDER BY has a key that is no output column
SELECT id, count(*) AS n FROM df GROUP BY id ORDER BY sum(x) -- one: ORDER BY has a key that is no output column
SELECT id, x FROM df ORDER BY -x, id -- one: ORDER BY has a key that is no output column
SELECT t.x AS id, t.id AS y FROM df AS t ORDER BY t.id, t.x -- split df, merged
SELECT t.x AS y FROM df AS t JOIN w USING (id) ORDER BY w.id -- one: ORDER BY has a key that is no output column
SELECT * REPLACE (-x AS x) FROM df ORDER BY x, id -- one: ORDER BY has a key that is no output column
SELECT id, s FROM df ORDER BY id, s LIMIT 50% -- one: LIMIT is more than a number
SELECT id, s FROM df ORDER BY id, s LIMIT (SELECT count(*) FROM w) -- one: LIMIT is more than a number
SELECT id FROM df LIMIT 2 -- one: LIMIT
SELECT id FROM (SELECT id FROM df ORDER BY id LIMIT 2) AS q -- one: ORDER BY in an inner query
SELECT * FROM (SELECT id, s FROM df ORDER BY id) AS q -- one: ORDER BY in an inner query
SELECT id, count(*) AS n FROM (SELECT id FROM df LIMIT 2) AS q GROUP BY id -- one: LIMIT
SELECT id, lower(s COLLATE NOCASE) AS s FROM df -- one: unequal texts are equal under COLLATE
SELECT s COLLATE NOCASE AS s, count(*) AS n FROM df GROUP BY 1 -- one: unequal texts are equal under COLLATE
SELECT id, random() AS r FROM df -- one: random()
SELECT id, now() AS r FROM df -- one: now()
SELECT id, (SELECT max(1 / t.f + w.v) FROM w) AS m FROM df AS t -- one: a subquery reads 'f'
SELECT t.id, q.y FROM df AS t, LATERAL (SELECT 1 / t.f AS y FROM w) AS q -- one: a subquery reads 'f'
SELECT t.id, q.y FROM df AS t, (SELECT 1 / f AS y FROM w) AS q -- one: a subquery reads 'f'
SELECT id, list_transform(list(x ORDER BY x), s -> s + 1) AS l FROM df GROUP BY id -- bucket df id
SELECT id FROM df WHERE x > (SELECT any_value(v) FROM w) -- one: any_value(…)
SELECT 1 AS one -- one: it reads no input
SELECT t.id, t.n, o.x FROM (SELECT id, count(*) AS n FROM df GROUP BY id) AS t JOIN other AS o ON o.id = t.id -- bucket df id
SELECT o.id, o.s, count(*) AS n FROM df AS t JOIN other AS o ON o.id = t.id GROUP BY o.id, o.s -- bucket other id, s
SELECT t.id, o.id AS other_id, count(*) AS n FROM df AS t JOIN other AS o ON o.s = t.s GROUP BY t.id, o.id -- bucket df id
SELECT id, count(*) AS n FROM (SELECT t.id, o.id AS o FROM df AS t JOIN other AS o ON o.x = t.x) AS q GROUP BY id -- bucket df id
SELECT id, count(*) AS n FROM (SELECT t.*, w.v FROM df AS t LEFT JOIN w ON w.id = t.id) AS q GROUP BY id -- bucket df id
SELECT q.id, count(*) AS n FROM (SELECT * FROM df JOIN w USING (id)) AS q GROUP BY q.id -- bucket df id
SELECT id, row_number() OVER (PARTITION BY id ORDER BY x) AS r, s FROM df -- one: row_number()
SELECT id, (SELECT max(t.f)) AS t FROM df AS t GROUP BY id -- one: a subquery reads 'f'
SELECT id, count(*) AS n FROM df AS t GROUP BY id HAVING count(*) > (SELECT min(t.id) FROM w) -- one: min() in a subquery can belong
SELECT id, count(*) AS n FROM df AS t GROUP BY id HAVING count(*) > (SELECT min(v) FROM w) -- bucket df id
SELECT v, count(*) AS n FROM (SELECT w.*, t.id AS v FROM df AS t JOIN w ON w.id = t.id) AS q GROUP BY v -- one: GROUP BY has no column of 'df'
SELECT id, count(*) AS n FROM (SELECT w.*, t.* FROM df AS t JOIN w ON w.v = t.x) AS q GROUP BY id -- one: GROUP BY has no column of 'df'
SELECT v, count(*) AS n FROM (SELECT t.id AS k, w.* FROM df AS t JOIN w ON w.id = t.id) AS q GROUP BY v -- bucket w v
SELECT *, rank() OVER (PARTITION BY id ORDER BY x) AS r FROM df ORDER BY r, id -- bucket df id, merged
SELECT t.*, 1 AS one FROM w AS t ORDER BY one, 1, 2, 3 LIMIT 2 -- split w, merged
