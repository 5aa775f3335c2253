"""PostgreSQL servers: psycopg to test and describe, ADBC (binary COPY into Arrow) to read."""
