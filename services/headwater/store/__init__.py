"""The database: migrations, the pool, and one module of typed functions per aggregate."""
