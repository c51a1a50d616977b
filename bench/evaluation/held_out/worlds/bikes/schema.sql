CREATE TABLE stations (station_id VARCHAR PRIMARY KEY, name VARCHAR NOT NULL, district VARCHAR NOT NULL, capacity INTEGER, lat DOUBLE, lon DOUBLE, opened_on DATE);
CREATE TABLE bikes (bike_id INTEGER PRIMARY KEY, model VARCHAR NOT NULL, type VARCHAR NOT NULL, purchased_on DATE, retired_on DATE);
CREATE TABLE members (member_id INTEGER PRIMARY KEY, name VARCHAR NOT NULL, postcode VARCHAR, plan VARCHAR NOT NULL, joined_on DATE, birth_year INTEGER);
CREATE TABLE trips ("Trip ID" INTEGER PRIMARY KEY, bike_id INTEGER NOT NULL, member_id INTEGER, start_station_id VARCHAR NOT NULL, end_station_id VARCHAR NOT NULL,
  started_at TIMESTAMP NOT NULL, ended_at TIMESTAMP NOT NULL, "Duration (min)" DOUBLE NOT NULL, fare_eur DECIMAL(8,2) NOT NULL,
  FOREIGN KEY (bike_id) REFERENCES bikes(bike_id), FOREIGN KEY (member_id) REFERENCES members(member_id),
  FOREIGN KEY (start_station_id) REFERENCES stations(station_id), FOREIGN KEY (end_station_id) REFERENCES stations(station_id));
CREATE TABLE repairs (repair_id INTEGER PRIMARY KEY, bike_id INTEGER NOT NULL, kind VARCHAR NOT NULL, reported_on DATE NOT NULL, fixed_on DATE, cost_eur DECIMAL(8,2),
  FOREIGN KEY (bike_id) REFERENCES bikes(bike_id));
CREATE TABLE weather (day DATE PRIMARY KEY, temp_c DOUBLE, rain_mm DOUBLE, wind_kmh DOUBLE, conditions VARCHAR);
