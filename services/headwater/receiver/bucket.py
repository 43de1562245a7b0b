"""A rate limit in one process: a bucket that fills evenly, one token a request.

Each receiver process has its own: with n of them behind a balancer up to n times the rate comes through.
"""


class Bucket:
    """`take` gives 0 when the request may pass, else the seconds until the next one may."""

    def __init__(self, requests: int, per_s: float, burst: int | None) -> None:
        self._step_s = per_s / requests
        self._depth_s = self._step_s * (burst or requests)
        self._empty_at = 0.0  # when the bucket would be full again (GCRA: the theoretical arrival time)

    def take(self, now_s: float) -> float:
        """`now_s` is monotonic."""
        due = max(self._empty_at, now_s) + self._step_s
        wait_s = due - self._depth_s - now_s
        if wait_s > 1e-9:
            return wait_s
        self._empty_at = due
        return 0.0

    def give_back(self) -> None:
        """Undo a `take` that gave 0: the request did not pass after all."""
        self._empty_at -= self._step_s
