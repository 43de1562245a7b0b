"""headwater: webhooks and scheduled API walks become rows in PostgreSQL."""

__version__ = "0.1.0"
