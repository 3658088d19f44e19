"""`sql` over the files that are tables: DuckDB in a process with limits."""
