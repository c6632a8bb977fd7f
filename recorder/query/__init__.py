"""The DuckDB shell: SQL over a store, and the store as one object."""
