CREATE TABLE plans (plan_id INTEGER PRIMARY KEY, plan_name VARCHAR, monthly_fee INTEGER, data_gb INTEGER);
CREATE TABLE subscribers (subscriber_id INTEGER PRIMARY KEY, name VARCHAR, city VARCHAR, billing VARCHAR, plan_id INTEGER, since DATE);
CREATE TABLE calls (call_id INTEGER PRIMARY KEY, subscriber_id INTEGER, started_at TIMESTAMP, duration_s INTEGER, kind VARCHAR, outcome VARCHAR, cost DECIMAL(8,2));
CREATE TABLE ringtones (ringtone_id INTEGER PRIMARY KEY, title VARCHAR, style VARCHAR, length_ms INTEGER, downloads INTEGER);
CREATE TABLE masts (mast_id INTEGER PRIMARY KEY, code VARCHAR, region VARCHAR, height_m INTEGER, generation VARCHAR, keeper VARCHAR, build VARCHAR);
