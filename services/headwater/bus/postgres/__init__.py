"""PostgreSQL behind the bus port: queues as rows, for the embedded default."""

from headwater.bus.postgres.bus import PostgresBus

__all__ = ["PostgresBus"]
