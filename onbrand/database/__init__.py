"""PostgreSQL: the connection pool, the migrations, and what the server says about itself."""
