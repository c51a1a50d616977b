"""The mysql family: MySQL and MariaDB."""
