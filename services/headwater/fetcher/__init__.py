"""The fetcher: one message is one page."""
