"""Exit status 0 when the service of this container answers /healthz on its HEADWATER_BIND port, else 1."""

import http.client
import os
import sys

TIMEOUT_S = 4  # below the 5 s that the container's health check allows


def healthy(port: int) -> bool:
    """Whether /healthz on this machine's `port` answers 200 in time."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    bind = os.environ.get("HEADWATER_BIND") or "127.0.0.1:8080"
    sys.exit(0 if healthy(int(bind.rpartition(":")[2])) else 1)
