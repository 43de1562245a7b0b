"""The web UI: pages made here, without scripts, of what the API's own routes answer."""
