CREATE TABLE airlines (carrier VARCHAR(4) PRIMARY KEY, name VARCHAR(60));
CREATE TABLE airports (faa VARCHAR(4) PRIMARY KEY, name VARCHAR(80), lat DOUBLE PRECISION, lon DOUBLE PRECISION, alt INTEGER, tzone VARCHAR(40));
CREATE TABLE planes (tailnum VARCHAR(8) PRIMARY KEY, type VARCHAR(40), manufacturer VARCHAR(60), model VARCHAR(40), engines INTEGER, seats INTEGER, engine VARCHAR(20));
CREATE TABLE flights (year INTEGER, month INTEGER, day INTEGER, dep_time INTEGER, sched_dep_time INTEGER, dep_delay INTEGER, arr_time INTEGER, sched_arr_time INTEGER, arr_delay INTEGER, carrier VARCHAR(4), flight INTEGER, tailnum VARCHAR(8), origin VARCHAR(4), dest VARCHAR(4), air_time INTEGER, distance INTEGER);
