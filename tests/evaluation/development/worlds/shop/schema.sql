CREATE TABLE countries (code VARCHAR(2) PRIMARY KEY, name VARCHAR(40) NOT NULL);
CREATE TABLE customers (id INTEGER PRIMARY KEY, first_name VARCHAR(40) NOT NULL, last_name VARCHAR(40) NOT NULL, email VARCHAR(80), city VARCHAR(40), country_code VARCHAR(2) NOT NULL, signup_date DATE NOT NULL, newsletter BOOLEAN NOT NULL, FOREIGN KEY (country_code) REFERENCES countries (code));
CREATE TABLE categories (id INTEGER PRIMARY KEY, name VARCHAR(40) NOT NULL);
CREATE TABLE products (id INTEGER PRIMARY KEY, name VARCHAR(60) NOT NULL, category_id INTEGER NOT NULL, list_price DECIMAL(10,2) NOT NULL, weight_kg DECIMAL(6,2), discontinued BOOLEAN NOT NULL, FOREIGN KEY (category_id) REFERENCES categories (id));
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, order_date DATE NOT NULL, shipped_date DATE, status VARCHAR(20) NOT NULL, total DECIMAL(10,2) NOT NULL, FOREIGN KEY (customer_id) REFERENCES customers (id));
CREATE TABLE orders_archive (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, order_date DATE NOT NULL, shipped_date DATE, status VARCHAR(20) NOT NULL, total DECIMAL(10,2) NOT NULL);
CREATE TABLE order_items (order_id INTEGER NOT NULL, product_id INTEGER NOT NULL, quantity INTEGER NOT NULL, unit_price DECIMAL(10,2) NOT NULL, PRIMARY KEY (order_id, product_id), FOREIGN KEY (order_id) REFERENCES orders (id), FOREIGN KEY (product_id) REFERENCES products (id));
CREATE TABLE api_tokens (id INTEGER PRIMARY KEY, owner VARCHAR(40) NOT NULL, token VARCHAR(80) NOT NULL);
