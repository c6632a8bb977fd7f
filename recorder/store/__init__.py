"""The Arrow and Parquet shell: the only part that writes data files."""
