SELECT * FROM df -- split df
SELECT id, x + 1 AS y FROM df WHERE f > 1 -- split df
SELECT id, x + 1 FROM df -- split df
SELECT 1 AS one FROM df -- split df
SELECT id, l[1] AS a, {'k': x} AS b, [x, id] AS c, j ->> '$.a' AS e FROM df WHERE s LIKE 'a%' AND x IN (1, 2, 3) -- split df
SELECT id, f / 3 AS y, -f AS z, coalesce(f, 0) AS c, CAST(f AS VARCHAR) AS t FROM df -- split df
SELECT id, s FROM df ORDER BY s, id -- split df, merged
SELECT id, s FROM df ORDER BY 2 DESC NULLS LAST, 1 LIMIT 3 -- split df, merged
SELECT id, s AS label FROM df ORDER BY label, id LIMIT 2 OFFSET 1 -- split df, merged
SELECT * FROM w ORDER BY ALL LIMIT 4 -- split w, merged
SELECT * FROM w ORDER BY ALL DESC LIMIT 4 -- split w, merged
SELECT * FROM w ORDER BY v DESC, 1, 3 OFFSET 2 -- split w, merged
SELECT t.id, t.s FROM df AS t ORDER BY t.s, t.id -- split df, merged
SELECT t.id, -t.x AS x FROM df AS t ORDER BY x, id -- split df, merged
SELECT t.x AS id, t.id AS y FROM df AS t ORDER BY t.id, t.x -- split df, merged
SELECT t.x AS id, t.id AS y FROM df AS t ORDER BY id, y LIMIT 2 -- split df, merged
SELECT t.*, 1 AS one FROM w AS t ORDER BY one, 1, 2, 3 LIMIT 2 -- split w, merged
SELECT u, b, tz, bo, dt, big FROM df ORDER BY ALL LIMIT 7 -- split df, merged
SELECT t.id, w.v FROM df AS t JOIN w ON w.id = t.id -- bucket df id + w id
SELECT w.id, t.x FROM w LEFT JOIN df AS t ON t.id = w.id -- bucket w id + df id
SELECT t.id, r.rate FROM df AS t, rates AS r WHERE r.cur = t.s -- bucket df s + Rates cur
SELECT t.id, a.v AS a, b.v AS b FROM df AS t JOIN w AS a ON a.id = t.id LEFT JOIN w AS b ON b.v = a.v AND t.x > 1 -- split df
SELECT id, count(*) AS n FROM df GROUP BY id -- bucket df id
SELECT id, count(*) FROM df GROUP BY id -- bucket df id
SELECT id, sum(x) AS t, avg(x) AS a, min(s) AS m, max(d) AS h, bool_or(x > 1) AS b FROM df GROUP BY id -- bucket df id
SELECT id, s, sum(amt) AS t FROM df GROUP BY id, s -- bucket df id, s
SELECT id, s, sum(amt) AS t FROM df GROUP BY ALL -- bucket df id, s
SELECT id, s, sum(amt) AS t FROM df GROUP BY 1, 2 -- bucket df id, s
SELECT id, sum(amt * x) AS t, sum(amt + 0.5) AS h, avg(amt) AS a, sum(big) AS b, avg(big) AS c FROM df GROUP BY id -- bucket df id
SELECT id, sum(x > 1) AS t, sum(DISTINCT x) AS d, count_if(x > 1) AS c FROM df GROUP BY id -- bucket df id
SELECT id, date_trunc('month', d) AS m, count(*) AS n FROM df GROUP BY id, m -- bucket df id
SELECT id, CASE WHEN x > 2 THEN 'big' ELSE 'small' END AS size, count(*) AS n FROM df GROUP BY 1, 2 -- bucket df id
SELECT id, max(round(amt, 1)) AS a, min(coalesce(s, 'x')) AS b, max(x % 3) AS c FROM df GROUP BY id -- bucket df id
SELECT s, count(f) AS n, count(DISTINCT f) AS k FROM df GROUP BY s -- bucket df s
SELECT amt, count(*) AS n FROM df GROUP BY amt -- bucket df amt
SELECT d, count(*) AS n FROM df GROUP BY d -- bucket df d
SELECT u, b, tz, bo, dt, big, count(*) AS n FROM df GROUP BY ALL -- bucket df tz, u, b, big, dt, bo
SELECT "Mixed Name", count(*) AS n FROM df GROUP BY "mixed name" -- bucket df Mixed Name
SELECT MIXED.s, count(*) AS n FROM DF AS Mixed GROUP BY mixed.S -- bucket df s
SELECT id, count(*) AS n FROM df GROUP BY id HAVING count(*) > 1 -- bucket df id
SELECT id, count(*) AS n FROM df GROUP BY id HAVING n > 1 AND id > 0 -- bucket df id
SELECT id, count(*) FILTER (WHERE f > 0) AS n FROM df GROUP BY id -- bucket df id
SELECT id FROM df GROUP BY id -- bucket df id
SELECT count(*) AS n FROM df GROUP BY id -- bucket df id
SELECT id, count(*) AS n FROM df GROUP BY id ORDER BY n DESC, id LIMIT 3 -- bucket df id, merged
SELECT t.id, count(*) AS n FROM df AS t GROUP BY t.id ORDER BY t.id, 2 -- bucket df id, merged
SELECT id, sum(x) AS x FROM df GROUP BY id ORDER BY x, id -- bucket df id, merged
SELECT id AS id, count(*) AS n FROM df GROUP BY id -- bucket df id
SELECT id AS k, k + 1 AS m, count(*) AS n FROM df GROUP BY k, 2 -- bucket df id
SELECT DISTINCT id, s FROM df -- bucket df id, s
SELECT DISTINCT s AS label FROM df -- bucket df s
SELECT DISTINCT s FROM df ORDER BY s LIMIT 2 -- bucket df s, merged
SELECT DISTINCT * FROM w -- bucket w id, v, name
SELECT DISTINCT t.* FROM w AS t -- bucket w id, v, name
SELECT DISTINCT id, x % 2 AS odd FROM df -- bucket df id
SELECT DISTINCT id FROM df WHERE f IS NOT NULL -- bucket df id
SELECT DISTINCT t.id FROM df AS t JOIN w USING (id) -- bucket df id + w id
SELECT DISTINCT t.id, w.v FROM df AS t LEFT JOIN w ON w.id = t.id -- bucket df id + w id
SELECT id, x, rank() OVER (PARTITION BY id ORDER BY x) AS r FROM df -- bucket df id
SELECT id, f, rank() OVER (PARTITION BY id ORDER BY x DESC NULLS LAST) AS r FROM df -- bucket df id
SELECT *, count(*) OVER (PARTITION BY s) AS n FROM df -- bucket df s
SELECT id, sum(x) OVER (PARTITION BY s, id) AS t, count(*) OVER (PARTITION BY s) AS n FROM df -- bucket df s
SELECT id, f, sum(x) OVER (PARTITION BY s ORDER BY d) AS t FROM df -- bucket df s
SELECT id, count(*) FILTER (WHERE x > 1) OVER (PARTITION BY s) AS t FROM df -- bucket df s
SELECT id, x FROM df QUALIFY rank() OVER (PARTITION BY s ORDER BY x DESC) = 1 -- bucket df s
SELECT id, x, dense_rank() OVER (PARTITION BY s ORDER BY d) AS r FROM df QUALIFY r = 1 ORDER BY id, x, r -- bucket df s, merged
SELECT id, name, row_number() OVER (PARTITION BY id ORDER BY v, name) AS r FROM w -- bucket w id
SELECT id, row_number() OVER (PARTITION BY id ORDER BY x) AS r FROM df -- bucket df id
SELECT id, x, lag(x) OVER (PARTITION BY id ORDER BY x) AS r, ntile(2) OVER (PARTITION BY id ORDER BY x) AS t FROM df -- bucket df id
SELECT id, sum(x) OVER (PARTITION BY id ORDER BY x ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS t FROM df -- bucket df id
SELECT *, rank() OVER (PARTITION BY id ORDER BY v) AS r FROM w ORDER BY r, 1, 2, 3 -- bucket w id, merged
SELECT id, x + 1 AS s, rank() OVER (PARTITION BY s ORDER BY d) AS r FROM df -- bucket df s
SELECT s AS id, count(*) AS n FROM df GROUP BY id, s -- bucket df id, s
SELECT min(id) AS x, count(*) AS n FROM df GROUP BY x -- bucket df x
SELECT x + 1 AS id, id + 1 AS y FROM df WHERE id = 1 -- split df
SELECT x AS id, count(*) FILTER (WHERE id > 1) AS n FROM df GROUP BY x -- bucket df x
SELECT t.id, sum(w.v) AS v FROM df AS t JOIN w USING (id) GROUP BY t.id -- bucket df id + w id
SELECT id, sum(w.v) AS v FROM df AS t JOIN w USING (id) GROUP BY id -- bucket df id + w id
SELECT id, sum(v) AS v FROM df AS t LEFT JOIN w USING (id) GROUP BY id -- bucket df id + w id
SELECT id, sum(v) AS v FROM w JOIN df USING (id) GROUP BY id -- bucket w id + df id
SELECT w.id, count(t.x) AS n FROM w LEFT JOIN df AS t ON t.id = w.id GROUP BY w.id -- bucket w id + df id
SELECT w.name, sum(t.x) AS n FROM df AS t JOIN w ON t.id = w.id GROUP BY w.name -- bucket w name
SELECT o.id, o.s, count(*) AS n FROM df AS t JOIN other AS o ON o.id = t.id GROUP BY o.id, o.s -- bucket other id + df id
SELECT t.id, o.id AS other_id, count(*) AS n FROM df AS t JOIN other AS o ON o.s = t.s GROUP BY t.id, o.id -- bucket df id
SELECT st.id AS k, st.x, count(*) AS n FROM other AS st JOIN df ON df.id = st.id GROUP BY st.id, st.x -- bucket other id + df id
SELECT x, count(*) AS n FROM df AS x GROUP BY x -- bucket df x
SELECT x.x AS y, count(*) AS n FROM df AS x GROUP BY x.x -- bucket df x
SELECT f, count(*) AS n FROM df GROUP BY f -- one: Equal values of a key of GROUP BY are not known
SELECT id, f, count(*) AS n FROM df GROUP BY id, f -- one: Equal values of a key of GROUP BY are not known
SELECT id, l, count(*) AS n FROM df GROUP BY id, l -- one: Equal values of a key of GROUP BY are not known
SELECT id, st, count(*) AS n FROM df GROUP BY id, st -- one: Equal values of a key of GROUP BY are not known
SELECT id, j, count(*) AS n FROM df GROUP BY id, j -- one: Equal values of a key of GROUP BY are not known
SELECT DISTINCT id, f FROM df -- one: Equal values of a key of DISTINCT are not known
SELECT DISTINCT * FROM df -- one: Equal values of a key of DISTINCT are not known
SELECT DISTINCT id, d - TIMESTAMP '2024-01-01' AS i FROM df -- one: Equal values of a key of DISTINCT are not known
SELECT DISTINCT id, age(d, TIMESTAMP '2023-01-01') AS i FROM df -- one: Equal values of a key of DISTINCT are not known
SELECT id, max(f) AS m FROM df GROUP BY id -- one: Equal values of an argument of max() are not known
SELECT id, max(x / 2) AS m FROM df GROUP BY id -- one: Equal values of an argument of max() are not known
SELECT id, max(g[1]) AS m FROM df GROUP BY id -- one: Equal values of an argument of max() are not known
SELECT id, sum(g[1]) AS t FROM df GROUP BY id -- one: Equal values of an argument of sum() are not known
SELECT id, max(x, 2) AS t FROM df GROUP BY id -- one: max() of several arguments
SELECT id, avg(d) AS t FROM df GROUP BY id -- one: avg() of what is no number
SELECT id, sum(f) AS t FROM df GROUP BY id -- one: sum(…) rounds floating-point numbers
SELECT id, avg(x * 0.5e0) AS t FROM df GROUP BY id -- one: avg(…) rounds floating-point numbers
SELECT id, any_value(x) AS t FROM df GROUP BY id -- one: any_value(…)
SELECT id, list(x) AS t FROM df GROUP BY id -- one: list(…)
SELECT id, arg_max(s, x) AS t FROM df GROUP BY id -- one: arg_max(…)
SELECT id, stddev(x) AS t FROM df GROUP BY id -- one: stddev(…)
SELECT id, approx_count_distinct(x) AS t FROM df GROUP BY id -- one: approx_count_distinct() is not known
SELECT id, histogram(x) AS t FROM df GROUP BY id -- one: histogram() is not known
SELECT id, median(x) AS t FROM df GROUP BY id -- one: median() is not known
SELECT id, string_agg(s, ',' ORDER BY s) AS l FROM df GROUP BY id -- one: string_agg() is not known
SELECT id, sum(x ORDER BY s) AS l FROM df GROUP BY id -- one: ORDER BY in a call
SELECT id, percentile_cont(0.5) WITHIN GROUP (ORDER BY x) AS q FROM df GROUP BY id -- one: WITHIN GROUP
SELECT id, unnest(range(count(*))) AS n FROM df GROUP BY id -- one: unnest() is not known
SELECT id, grouping(id) AS n FROM df GROUP BY id -- one: grouping() is not known
SELECT id, rank() OVER (PARTITION BY id ORDER BY f) AS r FROM df -- one: Equal values of a key of ORDER BY are not known
SELECT id, rank() OVER (ORDER BY x) AS r FROM df -- one: The keys of PARTITION BY have no column of 'df'.
SELECT id, rank() OVER (PARTITION BY x + 1 ORDER BY s) AS r FROM df -- one: The keys of PARTITION BY have no column of 'df'.
SELECT id AS k, sum(x) OVER (PARTITION BY id) AS a, sum(x) OVER (PARTITION BY s) AS b FROM df -- one: no column of 'df' that all of them have.
SELECT id, row_number() OVER (PARTITION BY id ORDER BY x) AS r, s FROM df -- one: row_number()
SELECT id, sum(x) OVER (PARTITION BY id ORDER BY d ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS t FROM df -- one: sum(…)
SELECT id, s, max(x) OVER (PARTITION BY id ORDER BY x RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) AS m FROM df -- one: A frame depends
SELECT id, sum(x) OVER win AS t FROM df WINDOW win AS (PARTITION BY s) -- one: WINDOW is not known
SELECT id, s FROM df WINDOW y AS (PARTITION BY f) -- one: WINDOW is not known
SELECT id, lag(x IGNORE NULLS) OVER (PARTITION BY id ORDER BY x) AS t FROM df -- one: IGNORENULLS is not known
SELECT id, sum(sum(x)) OVER (PARTITION BY id) AS t FROM df GROUP BY id, s -- one: Rows meet in two ways
SELECT DISTINCT id, count(*) AS n FROM df GROUP BY id -- one: Rows meet in two ways
SELECT x % 2 AS odd, count(*) AS n FROM df GROUP BY odd -- one: The keys of GROUP BY have no column of 'df'.
SELECT 'a' AS k, count(*) AS n FROM df GROUP BY k -- one: The keys of GROUP BY have no column of 'df'.
SELECT count(*) AS n FROM df -- one: count() without GROUP BY puts all rows together.
SELECT sum(x) AS t, 1 AS one FROM df -- one: sum() without GROUP BY
SELECT count(*) AS n FROM df HAVING count(*) > 2 -- one: HAVING without GROUP BY
SELECT 1 AS one FROM df HAVING 1 > 2 -- one: HAVING without GROUP BY
SELECT id, count(*) AS n FROM df GROUP BY ROLLUP (id) -- one: ROLLUP is not known
SELECT id, s, count(*) AS n FROM df GROUP BY CUBE (id, s) -- one: CUBE is not known
SELECT id, count(*) AS n FROM df GROUP BY GROUPING SETS ((id), ()) -- one: GROUPING SETS is not known
SELECT id, s, count(*) AS n FROM df GROUP BY id, ROLLUP (s) -- one: ROLLUP is not known
SELECT count(*) AS n FROM df GROUP BY () -- one: GROUP BY has a key without a column
SELECT *, 1 AS one FROM w GROUP BY ALL -- one: GROUP BY with *
SELECT DISTINCT ON (id) id, s FROM df ORDER BY id, s -- one: DISTINCT ON
SELECT id FROM df UNION SELECT id FROM w -- one: It is no single SELECT.
SELECT id FROM df EXCEPT SELECT x FROM df -- one: It is no single SELECT.
(SELECT id FROM df) ORDER BY id LIMIT 2 -- one: It is no single SELECT.
SELECT a.id FROM df AS a JOIN df AS b ON a.id = b.id -- one: It reads 'df' twice
SELECT a.id FROM df AS a JOIN input_df AS b ON a.id = b.id -- one: It reads 'df' twice
WITH a AS (SELECT id FROM df) SELECT a.id FROM a -- split a < a: split df
WITH df AS (SELECT id, s FROM df) SELECT id, count(*) AS n FROM df GROUP BY id -- bucket df_2 id < df_2: split df
WITH RECURSIVE r AS (SELECT id AS n FROM df UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT n FROM r -- one: WITH RECURSIVE is not known
SELECT t.id, count(*) AS n FROM (df AS t JOIN w ON w.id = t.id) GROUP BY t.id -- one: A subquery is not known
SELECT df.id FROM df JOIN w JOIN other AS o ON o.id = w.id ON df.id = w.id -- one: A join in parentheses
SELECT w.id FROM w WHERE EXISTS (SELECT * FROM df WHERE df.id = w.id) -- one: A subquery is not known
SELECT w.id FROM w WHERE w.id NOT IN (SELECT id FROM df) -- one: A subquery is not known
SELECT w.id, (SELECT count(*) FROM df WHERE df.id = w.id) AS n FROM w -- one: A subquery is not known
SELECT ARRAY(SELECT id FROM df ORDER BY id) AS ids -- one: A subquery is not known
SELECT (SELECT sum(t.x)) AS t FROM df AS t -- one: A subquery is not known
SELECT id FROM df WHERE x > (SELECT any_value(v) FROM w) -- one: any_value(…)
SELECT w.id FROM w SEMI JOIN df AS t ON t.id = w.id -- one: SEMI JOIN is not known
SELECT w.id FROM w ANTI JOIN df AS t ON t.id = w.id -- one: ANTI JOIN is not known
SELECT w.id, q.n FROM w, LATERAL (SELECT count(*) AS n FROM df WHERE df.id = w.id) AS q -- one: LATERAL is not known
SELECT df.id, u.e FROM df, UNNEST(df.l) AS u(e) -- one: UNNEST is not known
SELECT id, sum(v) AS v FROM df NATURAL JOIN w GROUP BY id -- one: NATURAL JOIN is not known
SELECT id, count(*) AS n FROM df AS t RIGHT JOIN w USING (id) GROUP BY id -- one: RIGHT JOIN is not known
SELECT id, count(*) AS n FROM df AS t FULL JOIN w USING (id) GROUP BY id -- one: FULL JOIN is not known
SELECT t.x, count(w.v) AS n FROM w LEFT JOIN df AS t ON t.id = w.id GROUP BY t.x -- one: 'df' is on the optional side of a join
SELECT t.id, r.rate FROM rates AS r ASOF JOIN df AS t ON r.since >= t.d -- one: ASOF JOIN
SELECT t.id, r.rate FROM df AS t POSITIONAL JOIN rates AS r -- one: POSITIONAL JOIN
SELECT * FROM df JOIN w USING (id) -- one: * with USING leaves columns out.
SELECT * FROM df JOIN w ON w.id = df.id -- one: 'id' is the name of two outputs.
SELECT * REPLACE (-x AS x) FROM df -- one: REPLACE is not known
SELECT * EXCLUDE (x) FROM df -- one: EXCEPT is not known
SELECT COLUMNS('s|x') FROM df -- one: columns() is not known
SELECT id FROM df ORDER BY s -- one: ORDER BY has a key that is no output column
SELECT id, s FROM df ORDER BY id -- one: ORDER BY leaves out some outputs
SELECT id, x + 1 FROM df ORDER BY id, 2 -- one: they have no names
SELECT id, count(*) AS n FROM df GROUP BY id ORDER BY sum(x) -- one: ORDER BY has a key that is no output column
SELECT id, x FROM df ORDER BY -x, id -- one: ORDER BY has a key that is no output column
SELECT t.x AS y FROM df AS t JOIN w USING (id) ORDER BY w.id -- one: ORDER BY has a key that is no output column
SELECT id, s FROM df ORDER BY id, s LIMIT 50% -- one: LIMIT_OPTIONS is not known
SELECT id, s FROM df ORDER BY id, s LIMIT (SELECT count(*) FROM w) -- one: A subquery is not known
SELECT id FROM df LIMIT 2 -- one: LIMIT
SELECT id FROM (SELECT id FROM df ORDER BY id LIMIT 2) AS q -- one: LIMIT of a query in FROM
SELECT id, lower(s COLLATE NOCASE) AS s FROM df -- one: COLLATE is not known
SELECT id, random() AS r FROM df -- one: random()
SELECT id, now() AS r FROM df -- one: now()
SELECT id, list_transform(l, x -> x + 1) AS m FROM df -- one: LAMBDA is not known
SELECT id, [e + 1 FOR e IN l] AS m FROM df -- one: COMPREHENSION is not known
SELECT df AS whole_row FROM df -- one: 'df' is not certainly one column of the inputs.
SELECT id, count(*) AS n FROM df JOIN w ON w.v = df.x GROUP BY id -- one: 'id' is not certainly one column of the inputs.
SELECT 1 AS one -- one: It reads no input.
SELECT a_1, count(*) AS n FROM (SELECT x AS a, s AS a, dt AS a_1 FROM df) AS q GROUP BY a_1 -- one: 'a' is the name of two outputs
SELECT id_1, count(*) AS n FROM (SELECT * FROM w, df) AS q GROUP BY id_1 -- one: 'id' is the name of two outputs
SELECT id_1, count(*) AS n FROM (SELECT w.id, t.id, t.id_1 FROM w, df AS t) AS q GROUP BY id_1 -- one: 'id' is the name of two outputs
SELECT DISTINCT id_1 FROM (SELECT * FROM w, df) AS q -- one: 'id' is the name of two outputs
SELECT id, count(*) AS n FROM (SELECT * FROM json_each('{"a": 1, "b": 2}') AS e, df AS t) AS q GROUP BY id -- one: json_each()
SELECT id, count(*) AS n FROM json_each('{"a": 1, "b": 2}') AS e, df AS t GROUP BY id -- one: json_each() is not known
SELECT id, count(*) AS n FROM (SELECT * FROM (SELECT COLUMNS('id|v') FROM w) AS v, df) AS q GROUP BY id -- one: columns()
SELECT id_1 AS o1, count(*) AS o2 FROM (SELECT DISTINCT a1.id, id AS id, id_1 FROM df AS a1) AS top GROUP BY ALL ORDER BY o2, o1 LIMIT 4 -- one: 'id' is the name of two outputs
SELECT t.id, t.id AS id, t.id_1 FROM df AS t -- one: 'id' is the name of two outputs.
SELECT id, x AS ID FROM df -- one: 'id' is the name of two outputs.
SELECT x, count(*) AS n FROM df AS t(x) GROUP BY x -- one: new names for its columns
SELECT x, count(*) AS n FROM (SELECT id, x FROM df) AS t(x) GROUP BY x -- one: A relation with new names
WITH t(x) AS (SELECT id, x FROM df) SELECT x, count(*) AS n FROM t GROUP BY x -- one: A relation with new names
SELECT t.x, count(*) AS n FROM df AS t(x) GROUP BY t.x -- one: new names for its columns
SELECT DISTINCT b1.id_1 AS id FROM w AS a1(x_1, id_1) JOIN df AS b1(id_1) USING (id_1) -- one: new names for its columns
SELECT [e + 1 FOR e IN [1, 2]] AS l, (SELECT max(t.x)) AS m FROM df AS t -- one: A subquery
SELECT [e + 1 FOR e IN [1, 2] IF e > 1] AS l, (SELECT count(t.x)) AS m FROM df AS t -- one: A subquery
SELECT rowid AS k, id FROM df -- one: 'rowid' is not certainly one column of the inputs.
SELECT id FROM df WHERE rowid < 3 -- one: 'rowid' is not certainly one column of the inputs.
SELECT t.rowid % 2 AS k, id FROM df AS t -- one: 'rowid' is not certainly one column of the inputs.
SELECT * FROM other ORDER BY rowid LIMIT 2 -- one: 'rowid' is not certainly one column of the inputs.
SELECT * FROM df AS t ORDER BY t -- one: 't' is not certainly one column of the inputs.
SELECT * FROM other ORDER BY other LIMIT 2 -- one: 'other' is not certainly one column of the inputs.
SELECT f FROM df ORDER BY f LIMIT 3 -- one: Equal values of an output that ORDER BY compares
SELECT g FROM df ORDER BY g LIMIT 6 -- one: Equal values of an output that ORDER BY compares
SELECT d - TIMESTAMP '2024-01-01' AS i FROM df ORDER BY i LIMIT 3 -- one: Equal values of an output that ORDER BY compares
SELECT CAST(s AS ENUM ('a', 'A', 'b', '')) AS e FROM df ORDER BY e -- one: Equal values of an output that ORDER BY compares
SELECT CAST(s AS ENUM ('a', 'A', 'b', '')) AS e, count(*) AS n FROM df GROUP BY e, s -- one: Equal values of a key of GROUP BY
SELECT id, avg(x) AS a FROM df GROUP BY id ORDER BY id, a LIMIT 2 -- one: Equal values of an output that ORDER BY compares
SELECT st.id, s FROM df ORDER BY id, s LIMIT 3 -- one: 'id' is not certainly one column of the inputs.
SELECT st.x, id FROM df ORDER BY x DESC LIMIT 4 -- one: 'x' is not certainly one column of the inputs.
SELECT t.st.id, s FROM df AS t ORDER BY 1, 2 LIMIT 3 -- one: 'id' is not certainly one column of the inputs.
SELECT DISTINCT st.* FROM w AS st JOIN df ON df.id = st.id -- bucket w id + df id
SELECT DISTINCT id, st.* FROM df -- one: 'st' is no relation in FROM.
SELECT {'k': x} AS t, t.k FROM df -- one: 'k' is not certainly one column of the inputs.
SELECT id, st.x AS sx, row_number() OVER (PARTITION BY id ORDER BY x) AS r FROM df -- one: row_number()
SELECT id, st.x AS sx, rank() OVER (PARTITION BY id ORDER BY x) AS r FROM df -- one: 'x' is not certainly one column of the inputs.
SELECT id, x, row_number() OVER (PARTITION BY id ORDER BY x) AS id_1 FROM df QUALIFY id_1 % 7 = 3 -- one: 'id_1' can be a column or an output.
SELECT id, x, row_number() OVER (PARTITION BY id, id_1 ORDER BY x) AS id_1 FROM df QUALIFY id_1 % 7 = 3 -- one: 'id_1' can be a column or an output.
SELECT id, sum(x) AS x FROM df GROUP BY id HAVING sum(x) > 2 -- one: 'x' can be a column or an output.
SELECT id, #4 AS z, row_number() OVER (PARTITION BY id ORDER BY x) AS r FROM df -- one: row_number()
SELECT id, #4 AS z FROM df -- one: POSITIONALCOLUMN is not known
SELECT id, COLUMNS('id_1|s'), rank() OVER (PARTITION BY id ORDER BY x) AS r FROM df -- one: columns() is not known
SELECT t.id, x, row_number() OVER (PARTITION BY t.id ORDER BY o.x) AS r FROM df AS t LEFT JOIN other AS o USING (x) -- one: row_number()
SELECT t.id, sum(CAST(t.big AS UHUGEINT)) AS m FROM df AS t JOIN w ON w.id = t.x GROUP BY t.id -- one: sum(…) rounds floating-point numbers
SELECT t.id, max(CAST(t.big AS UHUGEINT)) AS m FROM df AS t GROUP BY t.id -- one: Equal values of an argument of max()
SELECT id, sum(CAST(big AS HUGEINT) + CAST(x AS UHUGEINT)) AS m FROM df GROUP BY id -- one: sum(…) rounds floating-point numbers
SELECT id, f, count(*) AS n FROM df GROUP BY id, (2) -- one: GROUP BY has a key without a column.
SELECT id, x, count(*) AS n FROM df GROUP BY id, x, 1 + 1 -- one: GROUP BY has a key without a column.
SELECT id, sum(x) OVER () AS t FROM df -- one: The keys of PARTITION BY have no column of 'df'.
SELECT x_1 AS x_1, count(b1.x_1) AS x FROM df AS a1 JOIN w AS b1(x_1, x_1) ON a1.id = b1.x_1 GROUP BY ALL -- one: new names
SELECT x AS rowid, rowid + 1 AS y FROM df -- one: 'rowid' is not certainly one column of the inputs.
SELECT x AS rowid FROM df WHERE rowid > 1 -- one: 'rowid' is not certainly one column of the inputs.
SELECT id, x, rank() OVER (PARTITION BY id ORDER BY x) AS rowid FROM df QUALIFY rowid = 1 -- one: 'rowid' is not certainly
SELECT x AS df, count(*) AS n FROM df GROUP BY df, x -- one: 'df' is not certainly one column of the inputs.
SELECT x AS t, t AS y FROM df AS t -- one: 't' is not certainly one column of the inputs.
SELECT x AS "user" FROM df WHERE "user" > 'a' -- one: 'user' is not certainly one column of the inputs.
SELECT x AS rowid, id FROM df ORDER BY 1 DESC, 2 LIMIT 3 -- split df, merged
SELECT id, extract(jd FROM d) AS n, count(*) AS k FROM df GROUP BY id, n -- one: Equal values of a key of GROUP BY are not known
SELECT id, avg(extract(jd FROM d)) AS n FROM df GROUP BY id -- one: avg(…) rounds floating-point numbers
SELECT id, sum(extract(julian FROM d)) OVER (PARTITION BY id) AS n FROM df -- one: sum(…) rounds floating-point numbers
SELECT id, x FROM df ORDER BY id, x LIMIT 0 -- one: LIMIT 0 needs no rows
SELECT t.id, o.x FROM df AS t JOIN other AS o ON o.id = t.id AND o.x = t.x -- bucket df id, x + other id, x
SELECT t.id, o.x FROM df AS t JOIN other AS o ON t.x = o.id AND t.id = o.x -- bucket df id, x + other x, id
SELECT t.id, o.x FROM df AS t JOIN other AS o ON o.id = t.id AND o.id = t.x -- bucket df id, x + other id, id
SELECT t.id, o.x FROM df AS t LEFT JOIN other AS o ON (o.id = t.id AND (o.x > 1 OR t.f > 0)) -- bucket df id + other id
SELECT t.id, w.v FROM df AS t, w WHERE t.x > 0 AND (w.id = t.id AND w.v > 1) -- bucket df id + w id
SELECT t.id, w.v FROM df AS t CROSS JOIN w WHERE w.id = t.id -- bucket df id + w id
SELECT t.id AS k, w.v FROM df AS t, w WHERE k = w.id -- bucket df id + w id
SELECT t.id, w.v, o.s FROM df AS t JOIN w ON w.id = t.id JOIN other AS o ON o.x = w.id -- bucket df id + w id + other x
SELECT t.id, w.v, o.s FROM df AS t JOIN w USING (id) JOIN other AS o USING (id) -- bucket df id + w id + other id
SELECT t.id, w.v, o.s FROM df AS t LEFT JOIN w USING (id) LEFT JOIN other AS o USING (id) -- bucket df id + w id + other id
SELECT t.id, w.v, o.s FROM df AS t LEFT JOIN w USING (id) JOIN other AS o USING (id) -- bucket df id + w id + other id
SELECT t.id, w.v, o.s FROM df AS t LEFT JOIN w ON w.id = t.id LEFT JOIN other AS o ON o.x = w.id -- bucket df id + w id + other x
SELECT t.id, w.v, o.s FROM df AS t LEFT JOIN w ON w.id = t.id JOIN other AS o ON o.x = w.id -- bucket df id + w id
SELECT t.id, w.v, o.s FROM df AS t LEFT JOIN w ON w.v > 2, other AS o WHERE o.x = w.id AND w.id = t.id -- bucket df id + w id + other x
SELECT t.id, w.v, o.s FROM df AS t, other AS o LEFT JOIN w ON w.id = o.x WHERE o.x = t.id -- bucket df id + w id + other x
SELECT t.id, w.v, r.rate FROM df AS t JOIN w ON w.id = t.id JOIN rates AS r ON r.cur = t.s -- bucket df id + w id
SELECT t.id, w.v, o.s FROM df AS t JOIN w ON w.v = t.x LEFT JOIN other AS o ON o.id = t.x AND o.far = w.id -- bucket df x + w v + other id
SELECT w.v, o.s FROM w JOIN df AS t ON t.id = w.id JOIN other AS o ON o.x = w.v -- bucket df id + w id
SELECT t.id, o.far FROM df AS t JOIN other AS o ON o.far = t.id -- bucket df id + other far
SELECT t.big, o.far FROM df AS t LEFT JOIN other AS o ON o.far = t.big -- bucket df big + other far
SELECT t.id, o.pos FROM df AS t, other AS o WHERE o.pos = t.id AND o.far = t.big -- bucket df id, big + other pos, far
SELECT t.dt, o.s FROM df AS t JOIN other AS o USING (dt) -- bucket df dt + other dt
SELECT t.dt, o.s FROM df AS t JOIN other AS o USING (dt, s, x) -- bucket df x, s, dt + other x, s, dt
SELECT t.id, t.s, sum(w.v) AS v FROM df AS t JOIN w ON w.id = t.id GROUP BY t.id, t.s -- bucket df id + w id
SELECT t.id, t.s, count(o.x) AS v FROM df AS t LEFT JOIN other AS o ON o.id = t.id AND o.s = t.s GROUP BY t.id, t.s, t.dt -- bucket df id, s + other id, s
SELECT t.id, t.s, count(*) AS v FROM df AS t JOIN w ON w.id = t.id JOIN other AS o ON o.s = t.s AND o.x = t.id GROUP BY t.id, t.s -- bucket df id + w id + other x
SELECT t.x, count(*) AS v FROM df AS t JOIN w ON w.v = t.x JOIN other AS o ON o.id = w.id GROUP BY t.x -- bucket df x + w v
SELECT w.id, count(DISTINCT t.x) AS v FROM df AS t JOIN w ON w.id = t.id GROUP BY w.id HAVING count(*) > 1 ORDER BY v, 1 LIMIT 2 -- bucket w id + df id, merged
SELECT t.id, t.x, rank() OVER (PARTITION BY t.id, t.s ORDER BY w.v) AS r FROM df AS t LEFT JOIN w ON w.id = t.id -- bucket df id + w id
SELECT t.id, t.x, rank() OVER (PARTITION BY t.id ORDER BY w.v) AS r FROM df AS t LEFT JOIN w ON w.id = t.id QUALIFY r = 1 -- bucket df id + w id
SELECT DISTINCT t.id, w.v FROM df AS t, w WHERE w.id = t.id ORDER BY 1, 2 LIMIT 3 -- bucket df id + w id, merged
SELECT t.id, o.s FROM df AS t JOIN other AS o ON o.id IS NOT DISTINCT FROM t.id -- split df
SELECT t.id, o.s FROM df AS t LEFT JOIN w ON w.id = t.id LEFT JOIN other AS o ON o.x IS NOT DISTINCT FROM w.id -- bucket df id + w id
SELECT t.id, w.v FROM df AS t JOIN w ON w.id = t.id OR w.v = t.x -- split df
SELECT t.id, w.v FROM df AS t, w WHERE NOT (w.id = t.id) -- split df
SELECT t.id, w.v FROM df AS t, w WHERE (w.id = t.id) IS NULL -- split df
SELECT t.id, w.v FROM df AS t, w WHERE coalesce(w.id = t.id, TRUE) -- split df
SELECT t.id, w.v FROM df AS t JOIN w ON w.id >= t.id -- split df
SELECT t.id, w.v FROM df AS t JOIN w ON w.id = t.id + 0 -- split df
SELECT t.id, w.v FROM df AS t JOIN w ON w.id = abs(t.id) -- split df
SELECT t.id, w.v FROM df AS t JOIN w ON w.id = 1 AND t.id = 1 -- split df
SELECT t.id, o.s FROM df AS t JOIN other AS o ON o.f = t.f -- split df
SELECT t.id, o.s FROM df AS t JOIN other AS o ON o.amt = t.amt -- split df
SELECT t.id, o.s FROM df AS t JOIN other AS o ON o.dt = t.d -- split df
SELECT t.id, o.s FROM df AS t JOIN other AS o ON o.far = t.amt -- split df
SELECT t.id, o.s FROM df AS t JOIN other AS o ON t.id = t.x AND o.id = o.x -- split df
SELECT t.id, w.v, o.s FROM df AS t JOIN w ON TRUE LEFT JOIN other AS o ON t.id = w.id -- split df
SELECT t.id, w.v, o.s FROM df AS t CROSS JOIN w LEFT JOIN other AS o ON o.id = t.id AND o.id = w.id -- bucket df id + other id
SELECT w.id, o.s FROM w LEFT JOIN df AS t ON w.v > 2 LEFT JOIN other AS o ON o.id = t.id -- split w
SELECT t.id, a.v AS a, b.v AS b FROM df AS t JOIN w AS a ON a.id = t.id JOIN w AS b ON b.id = t.id -- split df
SELECT t.id, w.v FROM df AS t LEFT JOIN w ON w.v > 1 WHERE w.id = t.id -- bucket df id + w id
SELECT t.s, w.v FROM df AS t LEFT JOIN w ON w.v > 1 WHERE w.id = t.id OR w.id IS NULL -- split df
SELECT t.id, count(*) AS n FROM df AS t JOIN w ON w.v = t.x GROUP BY t.id -- bucket df id
SELECT t.id, w.v, count(*) AS n FROM df AS t JOIN w ON w.id = t.x GROUP BY t.id, w.v -- bucket df id
SELECT t.id, w.v FROM df AS t JOIN w ON (t.id, t.x) = (w.id, w.v) -- split df
WITH a AS (SELECT id, sum(x) AS t FROM df GROUP BY id) SELECT a.t + 1 AS u, a.id FROM a -- split a < a: bucket df id
WITH a AS (SELECT id, sum(x) AS t FROM df GROUP BY id) SELECT t, count(*) AS n FROM a GROUP BY t ORDER BY n DESC, t LIMIT 3 -- bucket a t, merged < a: bucket df id
WITH a AS (SELECT id, sum(x) AS t FROM df GROUP BY id) SELECT t // 3 AS k, t % 2 AS r, t / 4 AS q, t * 2 AS d FROM a -- split a < a: bucket df id
WITH a AS (SELECT id, sum(big) AS t FROM df GROUP BY id), b AS (SELECT a.t, w.v FROM a JOIN w USING (id)) SELECT b.t, c.n FROM b JOIN (SELECT id, count(*) AS n FROM a GROUP BY id) AS c ON c.id = b.v -- bucket b v + c id < a: bucket df id < b: bucket w id + a id < c: bucket a id
WITH total AS (SELECT sum(amt) AS t, count(*) AS n FROM df), m AS (SELECT id, sum(amt) AS s FROM df GROUP BY id) SELECT m.id, m.s / total.t AS share, n FROM m CROSS JOIN total -- split m < m: bucket df id < total: whole
SELECT q.c, count(*) AS n FROM (SELECT w.id, count(t.id) AS c FROM w LEFT JOIN df AS t ON t.id = w.id GROUP BY w.id) AS q GROUP BY q.c -- bucket q c < q: bucket w id + df id
SELECT upper(s) AS u, count(*) AS n FROM (SELECT s FROM df WHERE x > 1) AS q GROUP BY u -- whole < q: split df
SELECT q.id, o.v FROM (SELECT DISTINCT id FROM df) AS q LEFT JOIN (SELECT id, v FROM w WHERE v > 1) AS o ON o.id = q.id -- bucket q id + o id < o: split w < q: bucket df id
SELECT DISTINCT q.s FROM (SELECT s, rank() OVER (PARTITION BY id ORDER BY x) AS r FROM df) AS q WHERE q.r = 1 -- bucket q s < q: bucket df id
SELECT * FROM (SELECT * FROM (SELECT id, x FROM df WHERE x > 1) AS a WHERE id > 1) AS b ORDER BY ALL LIMIT 3 -- split b, merged < a: split df < b: split a
SELECT id, f, l, st, j, tz, u, b, dt, bo FROM (SELECT * FROM df) AS q WHERE x > 1 -- split q < q: split df
WITH w AS (SELECT id, v FROM w WHERE v > 1) SELECT w.id, w.v FROM w -- split w_2 < w_2: split w
WITH x AS (SELECT id FROM df), y AS (SELECT id FROM x) SELECT a.id, b.id AS other FROM x AS a JOIN y AS b ON a.id = b.id -- bucket x id + y id < x: split df < y: split x
WITH x AS (WITH x AS (SELECT id, x FROM df) SELECT id, x + 1 AS x FROM x) SELECT id, sum(x) AS t FROM x GROUP BY id -- bucket x_2 id < x: split df < x_2: split x
WITH unused AS (SELECT upper(s) AS u, sum(f) AS t FROM df GROUP BY u), a AS (SELECT id FROM w) SELECT id FROM a -- one: depends
SELECT "Odd Name".id FROM (SELECT id FROM df) AS "Odd Name" -- split query < query: split df
SELECT id FROM (SELECT id FROM df) -- one: has no name
SELECT query.id AS z FROM (SELECT st AS query, id FROM df) -- one: has no name
SELECT query.id AS z FROM (SELECT st AS query, id FROM df) AS "Odd name" -- one: certainly
WITH a AS (SELECT CAST(id AS UHUGEINT) AS t FROM df) SELECT t FROM a -- one: cannot be handed
WITH a AS (SELECT CAST(id AS HUGEINT) AS t FROM df) SELECT t FROM a -- split a < a: split df
SELECT a.id, b.v FROM (SELECT id FROM df) AS a, (SELECT v FROM w) AS b WHERE a.id = b.v -- bucket a id + b v < a: split df < b: split w
SELECT input_df.id FROM df AS input_df JOIN (SELECT id FROM df) AS df ON df.id = input_df.id -- bucket df id + df_2 id < df_2: split df
WITH a AS MATERIALIZED (SELECT id, x FROM df) SELECT id, max(x) AS m FROM a GROUP BY id -- bucket a id < a: split df
WITH t AS (SELECT sum(x) AS t FROM df) SELECT t + 1 AS u FROM t -- one: sum() without GROUP BY
WITH t AS (SELECT count(*) AS n FROM df), u AS (SELECT n + 1 AS n FROM t) SELECT n FROM u -- one: count() without GROUP BY
SELECT q.id, q.n FROM (SELECT id, NULL AS n FROM df) AS q -- one: cannot be handed
SELECT q.id FROM (SELECT id, d - d AS n FROM df) AS q -- one: cannot be handed
SELECT q.id FROM (SELECT id, map([1], [2]) AS n FROM df) AS q -- one: not known
SELECT q.id FROM (SELECT id, count(*) FROM df GROUP BY id) AS q -- one: has no name
SELECT q.id FROM (SELECT id, x AS rowid FROM df) AS q -- one: DuckDB gives
SELECT q.id FROM (SELECT id, x AS "current_date" FROM df) AS q -- one: DuckDB gives
SELECT w.id, q.z FROM w, (SELECT w.v + t.x AS z FROM df AS t) AS q -- one: 'v' is not certainly
SELECT w.id, q.z FROM w, (SELECT v AS z FROM df AS t) AS q -- one: 'v' is not certainly
SELECT w.id, q.z FROM w, LATERAL (SELECT t.x AS z FROM df AS t) AS q -- one: LATERAL
SELECT * FROM (SELECT id FROM df) AS c(x) -- one: new names
WITH c AS (SELECT id FROM df) SELECT * FROM c AS c(x) -- one: new names
WITH c(x) AS (SELECT id FROM df) SELECT * FROM c -- one: new names
SELECT id FROM (SELECT id FROM df LIMIT 2) AS q -- one: LIMIT
SELECT id FROM (SELECT id FROM df ORDER BY id) AS q -- one: ORDER
SELECT id FROM (SELECT id FROM df UNION ALL SELECT id FROM w) AS q -- one: no single SELECT
SELECT id FROM (VALUES (1), (2)) AS q(id) -- one: VALUES
SELECT id FROM ((SELECT id FROM df)) AS q -- one: no single SELECT
SELECT id FROM df WHERE id IN (SELECT id FROM w) -- one: A subquery
WITH c AS (SELECT id FROM w) SELECT id FROM df WHERE id IN (SELECT id FROM c) -- one: A subquery
SELECT id, sum(f) AS t FROM (SELECT id, f FROM df) AS q GROUP BY id -- one: floating-point
SELECT q.f, count(*) AS n FROM (SELECT f FROM df) AS q GROUP BY f -- one: floats
SELECT id, count(*) AS n FROM (SELECT id, x, count(*) AS n FROM df GROUP BY id, x) AS q GROUP BY id HAVING n > 1 -- one: can be a column or an output
WITH osiris_loading AS (SELECT id FROM df) SELECT a.id FROM osiris_loading AS a JOIN osiris_loading AS b ON b.id = a.id -- whole < query: split df
