SELECT a, b + 1 AS x, sum(c) AS y FROM t GROUP BY ALL
-- a=t.a x=t.b:value y=t.c:aggregate | t.a t.b
SELECT * FROM t
-- id=t.id a=t.a b=t.b c=t.c s=t.s xs=t.xs tags=t.tags
SELECT t.* EXCLUDE (xs, S, tags) FROM t
-- id=t.id a=t.a b=t.b c=t.c |  | t.s t.tags t.xs
SELECT * EXCLUDE (s, xs, tags) REPLACE (a + b AS a) RENAME (c AS d) FROM t
-- id=t.id a=t.a:value,t.b:value b=t.b d=t.c |  | t.s t.tags t.xs
SELECT * EXCLUDE (t.id, s, xs, tags) FROM t JOIN u ON t.id = u.id
-- a=t.a,u.a b=t.b,u.b c=t.c id=u.id k=u.k | t.id u.id | t.s t.tags t.xs
SELECT u.*, t.a AS ta FROM t JOIN u USING (id)
-- id=u.id a=u.a k=u.k b=u.b ta=t.a | t.id u.id
SELECT COLUMNS('^(a|b)$') FROM t
-- a=t.a b=t.b |  | t.c t.id t.s t.tags t.xs
SELECT max(COLUMNS(* EXCLUDE (s, xs, tags))) FROM t
-- id=t.id:aggregate a=t.a:aggregate b=t.b:aggregate c=t.c:aggregate |  | t.s t.tags t.xs
SELECT COLUMNS(u.*) + 1 FROM t, u
-- id=u.id:value a=u.a:value k=u.k:value b=u.b:value
SELECT a FROM (SELECT * FROM t)
-- a=t.a
SELECT a FROM (SELECT a, b FROM t WHERE c > 1)
-- a=t.a | t.c | t.b
SELECT a_1 FROM (SELECT * FROM t, u)
-- a_1=u.a |  | t.a t.b t.c t.id t.s t.tags t.xs u.b u.id u.k
SELECT x FROM (SELECT * FROM u) AS q(w, x)
-- x=u.a |  | u.id
SELECT count(*) AS n FROM t
-- n=
SELECT count(*) FILTER (WHERE a > 1) AS n, count(b) AS m FROM t
-- n=t.a:aggregate m=t.b:aggregate
SELECT DISTINCT a FROM t
-- a=t.a | t.a
SELECT DISTINCT ON (a) b FROM t ORDER BY a, c
-- b=t.b | t.a t.c
SELECT a FROM t ORDER BY b LIMIT 2
-- a=t.a | t.b
SELECT a AS b FROM t ORDER BY b
-- b=t.a | t.a
SELECT a AS b, c FROM t ORDER BY 2
-- b=t.a c=t.c
SELECT a AS b, c FROM t ORDER BY 2 LIMIT 3
-- b=t.a c=t.c | t.c
SELECT a, b FROM t ORDER BY ALL
-- a=t.a b=t.b | t.a t.b
SELECT a + 1 AS x, x * 2 AS y FROM t WHERE x > 1
-- x=t.a:value y=t.a:value | t.a
SELECT a + 1 AS b, b * 2 AS y FROM t
-- b=t.a:value y=t.b:value
SELECT year(d) AS y, count(*) AS n FROM v GROUP BY y HAVING n > 1
-- y=v.d:value n= | v.d
SELECT a, sum(b) AS s FROM t GROUP BY 1
-- a=t.a s=t.b:aggregate | t.a
SELECT a, b, count(*) AS n FROM t GROUP BY ROLLUP (a, b)
-- a=t.a b=t.b n= | t.a t.b
SELECT id, sum(a) OVER w AS x FROM t WINDOW w AS (PARTITION BY b ORDER BY c, id)
-- id=t.id x=t.a:aggregate,t.b:aggregate,t.c:aggregate,t.id:aggregate
SELECT id, row_number() OVER (PARTITION BY a ORDER BY id) AS n FROM t QUALIFY n = 1
-- id=t.id n=t.a:aggregate,t.id:aggregate | t.a t.id
SELECT string_agg(k::VARCHAR, ',' ORDER BY id) AS x FROM u
-- x=u.id:aggregate,u.k:aggregate
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY a) AS m FROM t
-- m=t.a:aggregate
SELECT id FROM t JOIN u USING (id)
-- id=t.id | t.id u.id
SELECT id FROM t RIGHT JOIN u USING (id)
-- id=u.id | t.id u.id
SELECT id FROM t FULL JOIN u USING (id)
-- id=t.id:value,u.id:value | t.id u.id
SELECT * EXCLUDE (s, xs, tags) FROM t FULL JOIN u USING (id)
-- id=t.id:value,u.id:value a=t.a,u.a b=t.b,u.b c=t.c k=u.k | t.id u.id | t.s t.tags t.xs
SELECT k FROM t NATURAL JOIN u
-- k=u.k | t.a t.b t.id u.a u.b u.id
SELECT a FROM t SEMI JOIN u ON t.id = k
-- a=t.a | t.id u.k
SELECT id FROM t ANTI JOIN u USING (id, a)
-- id=t.id | t.a t.id u.a u.id
SELECT t.a, u.k FROM t ASOF JOIN u ON t.id = u.id AND t.a >= u.a
-- a=t.a k=u.k | t.a t.id u.a u.id
SELECT t.a, u.k FROM t POSITIONAL JOIN u
-- a=t.a k=u.k
SELECT t.a, x.n FROM t, LATERAL (SELECT count(*) AS n, max(u.b) AS unused FROM u WHERE u.id = t.id) AS x
-- a=t.a n= | t.id u.id | u.b
SELECT t.a, u.k, v.z FROM (t JOIN u ON t.id = u.id) LEFT JOIN v ON v.id = u.k
-- a=t.a k=u.k z=v.z | t.id u.id u.k v.id
SELECT x.k FROM (t JOIN u USING (id)) AS x
-- k=u.k | t.id u.id | t.a t.b t.c t.s t.tags t.xs u.a u.b
SELECT a FROM t WHERE id IN (SELECT k FROM u WHERE b > 0)
-- a=t.a | t.id u.b u.k
SELECT a FROM t WHERE EXISTS (SELECT * FROM u WHERE u.id = t.id)
-- a=t.a | t.id u.id
SELECT a FROM t WHERE EXISTS (SELECT t.c FROM u WHERE k = t.b)
-- a=t.a | t.b u.k | t.c
SELECT id, (SELECT max(k) FROM u WHERE u.id = t.id) AS m FROM t
-- id=t.id m=t.id:value,u.id:value,u.k:aggregate
SELECT a AS q, (SELECT q + max(k) FROM u) AS m FROM t
-- q=t.a m=t.a:value,u.k:aggregate
SELECT a FROM t WHERE b > ANY (SELECT k FROM u)
-- a=t.a | t.b u.k
SELECT a, b FROM t UNION ALL SELECT k, id FROM u
-- a=t.a,u.k b=t.b,u.id
SELECT a FROM t UNION SELECT k FROM u ORDER BY a
-- a=t.a,u.k | t.a u.k
SELECT a FROM t EXCEPT SELECT k FROM u
-- a=t.a | t.a u.k
SELECT a FROM t INTERSECT ALL SELECT k FROM u
-- a=t.a | t.a u.k
SELECT a, b FROM t UNION ALL BY NAME SELECT b, k FROM u
-- a=t.a b=t.b,u.b k=u.k
SELECT a FROM (SELECT * FROM u UNION ALL BY NAME SELECT id, a FROM t)
-- a=t.a,u.a |  | t.id
SELECT a FROM (SELECT * FROM u UNION ALL SELECT id, a, b, c FROM t)
-- a=t.a,u.a |  | t.b t.c t.id u.b u.id u.k
WITH q AS (SELECT a, b FROM t), r AS (SELECT b FROM q) SELECT b FROM r
-- b=t.b |  | t.a
WITH t AS (SELECT k AS a FROM u) SELECT a FROM t
-- a=u.k
WITH q AS (WITH q AS (SELECT a FROM t) SELECT a + 1 AS a FROM q) SELECT a FROM q
-- a=t.a:value
WITH unread AS (SELECT c FROM t) SELECT id FROM u
-- id=u.id |  | t.c
WITH q(x, y) AS (SELECT * FROM v) SELECT y FROM q AS w(z)
-- y=v.z |  | v.id
WITH RECURSIVE r AS (SELECT id, k FROM u UNION ALL SELECT r.k, r.id + 1 FROM r WHERE r.id < 3) SELECT id FROM r
-- id=u.id:value,u.k:value | u.id u.k
WITH RECURSIVE r(n) AS (SELECT 1 UNION SELECT n + z FROM r, v WHERE n < 9) SELECT n FROM r
-- n=v.z:value | v.z
SELECT (WITH q AS (SELECT t.a AS x) SELECT sum(x + q.x) FROM q, u AS t WHERE t.k = 1) AS m FROM t
-- m=t.a:aggregate,u.k:value
SELECT y + w AS z FROM (VALUES (1, 2), (3, 4)) AS v(y, w)
-- z=
SELECT col1 FROM (VALUES (1, 2))
-- col1=
SELECT tag, id FROM t, unnest(t.tags) AS q(tag)
-- tag=t.tags:value id=t.id | t.tags
SELECT unnest(xs) AS x, a FROM t
-- x=t.xs:value a=t.a | t.xs
SELECT p FROM (SELECT unnest(s), a FROM t)
-- p=t.s:value | t.s | t.a
SELECT s.p AS x, t.s.q AS y, t.a AS z, (s).p AS w FROM t
-- x=t.s:value y=t.s:value z=t.a w=t.s:value
SELECT a.k FROM u AS a, t
-- k=u.k
SELECT t AS whole FROM t
-- whole=t.a:value,t.b:value,t.c:value,t.id:value,t.s:value,t.tags:value,t.xs:value
SELECT list_transform(xs, lambda a: a + b) AS x FROM t
-- x=t.b:value,t.xs:value
SELECT [a + b FOR a IN xs IF a > c] AS x FROM t
-- x=t.b:value,t.c:value,t.xs:value
SELECT xs.len() AS n, t.tags.list_sort() AS l FROM t
-- n=t.xs:value l=t.tags:value
SELECT struct_pack(a := b).a AS x, {'k': c} AS y FROM t
-- x=t.b:value y=t.c:value
SELECT CASE WHEN a > 1 THEN b END AS x, CAST(c AS VARCHAR) AS y, (id) AS z FROM t
-- x=t.a:value,t.b:value y=t.c:value z=t.id
FROM t SELECT "A", T."B"
-- a=t.a b=t.b
SELECT j.value AS x FROM v, json_each(v.j) AS j
-- x=v.j:value | v.j
SELECT i, z FROM range(3) AS r(i), v WHERE i = v.id
-- i= z=v.z | v.id
SELECT #1 AS x FROM (SELECT id, z FROM v)
-- x=v.id:value,v.z:value
SELECT id, a AS x FROM t GROUP BY GROUPING SETS ((id, x), (1))
-- id=t.id x=t.a | t.a t.id
(SELECT a FROM t) ORDER BY a LIMIT (SELECT max(z) FROM v)
-- a=t.a | t.a v.z
SELECT s.* FROM t
-- p=t.s:value q=t.s:value
SELECT a FROM t WHERE EXISTS (SELECT b FROM v SEMI JOIN u ON v.id = k)
-- a=t.a | u.k v.id | t.b u.b
SELECT a FROM u WHERE EXISTS (SELECT u.b FROM t SEMI JOIN v AS u ON t.id = u.id)
-- a=u.a | t.id u.id v.id | u.b
