"""Settings from the environment; everything else is configuration in the database."""

from headwater.settings.settings import (
    NAMES,
    Settings,
    data_dir,
    host_and_port,
    local_address,
    misspelt,
    read_settings,
)

__all__ = ["NAMES", "Settings", "data_dir", "host_and_port", "local_address", "misspelt", "read_settings"]
