CREATE TABLE artists (artist_id INTEGER PRIMARY KEY, name VARCHAR NOT NULL, country VARCHAR, formed_year INTEGER);
CREATE TABLE genres (genre_id INTEGER PRIMARY KEY, name VARCHAR NOT NULL);
CREATE TABLE media_formats (format_id INTEGER PRIMARY KEY, name VARCHAR NOT NULL);
CREATE TABLE albums (album_id INTEGER PRIMARY KEY, title VARCHAR NOT NULL, artist_id INTEGER NOT NULL, release_date DATE, label_name VARCHAR,
  FOREIGN KEY (artist_id) REFERENCES artists(artist_id));
CREATE TABLE tracks (track_id INTEGER PRIMARY KEY, title VARCHAR NOT NULL, album_id INTEGER NOT NULL, genre_id INTEGER NOT NULL, format_id INTEGER NOT NULL,
  composer VARCHAR, duration_s INTEGER NOT NULL, unit_price DECIMAL(10,2) NOT NULL,
  FOREIGN KEY (album_id) REFERENCES albums(album_id), FOREIGN KEY (genre_id) REFERENCES genres(genre_id), FOREIGN KEY (format_id) REFERENCES media_formats(format_id));
CREATE TABLE employees (employee_id INTEGER PRIMARY KEY, first_name VARCHAR NOT NULL, last_name VARCHAR NOT NULL, job_title VARCHAR, reports_to INTEGER, hired_on DATE);
CREATE TABLE customers (customer_id INTEGER PRIMARY KEY, first_name VARCHAR NOT NULL, last_name VARCHAR NOT NULL, email VARCHAR, city VARCHAR, country VARCHAR NOT NULL,
  signup_date DATE, support_rep_id INTEGER, FOREIGN KEY (support_rep_id) REFERENCES employees(employee_id));
CREATE TABLE orders (order_id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, order_date DATE NOT NULL, shipped_date DATE, status VARCHAR NOT NULL, total DECIMAL(10,2) NOT NULL,
  FOREIGN KEY (customer_id) REFERENCES customers(customer_id));
CREATE TABLE orders_archive (order_id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, order_date DATE NOT NULL, status VARCHAR NOT NULL, total DECIMAL(10,2) NOT NULL,
  FOREIGN KEY (customer_id) REFERENCES customers(customer_id));
CREATE TABLE order_items (order_item_id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL, track_id INTEGER NOT NULL, unit_price DECIMAL(10,2) NOT NULL, quantity INTEGER NOT NULL,
  FOREIGN KEY (order_id) REFERENCES orders(order_id), FOREIGN KEY (track_id) REFERENCES tracks(track_id));
CREATE TABLE playlists (playlist_id INTEGER PRIMARY KEY, name VARCHAR NOT NULL);
CREATE TABLE playlist_tracks (playlist_id INTEGER NOT NULL, track_id INTEGER NOT NULL, position INTEGER NOT NULL,
  PRIMARY KEY (playlist_id, track_id), FOREIGN KEY (playlist_id) REFERENCES playlists(playlist_id), FOREIGN KEY (track_id) REFERENCES tracks(track_id));
CREATE TABLE api_tokens (token_id INTEGER PRIMARY KEY, employee_id INTEGER NOT NULL, token VARCHAR NOT NULL, expires_at TIMESTAMP,
  FOREIGN KEY (employee_id) REFERENCES employees(employee_id));
