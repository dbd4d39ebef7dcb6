"""Everything kept on disk; the only package that imports pyarrow, duckdb and faiss."""
