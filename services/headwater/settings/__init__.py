"""Settings from the environment; everything else is configuration in the database."""

from headwater.settings.settings import Settings, data_dir, host_and_port, local_address, read_settings

__all__ = ["Settings", "data_dir", "host_and_port", "local_address", "read_settings"]
