"""The persister: batches become rows, pages are settled with them, runs are closed; deliveries become rows."""
