"""The receiver: verify, queue, 202."""
