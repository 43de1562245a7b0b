"""The one table of the UI's pages and deeds, below `/ui/tenants/{tenant}`."""

from headwater.control.ui import overview, runs, streams
from headwater.control.ui.visit import Deed, Page, Row

_STREAM = "/streams/{source}/{stream}"
_RUN = "/runs/{run}"


def page_rows() -> tuple[Row, ...]:
    """Every row."""
    return (
        Page("", overview.show_overview),
        Page("/streams", streams.show_streams),
        Page(_STREAM, streams.show_stream),
        Deed(f"{_STREAM}/start", streams.start, streams.show_stream),
        Page("/runs", runs.show_runs),
        Page(_RUN, runs.show_run),
        Deed(f"{_RUN}/cancel", runs.cancel, runs.show_run),
        Deed(f"{_RUN}/rerun", runs.rerun, runs.show_run),
    )
