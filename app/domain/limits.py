"""How often something may be done: a leaky bucket, kept as the moment at which it is empty (the algorithm GCRA of ATM)."""

from __future__ import annotations


def wait_seconds(due: float, now: float, *, per_minute: int, burst: int) -> float:
    """How long until the next one is allowed; 0 where it is now.

    Args:
        due: the moment at which the bucket is empty, seconds; 0 before the first.
        now: on the same clock.
        per_minute: how many are allowed in the long run.
        burst: how many at once, after a pause.
    """
    return max(0.0, due - now - 60.0 / per_minute * (burst - 1))


def after(due: float, now: float, *, per_minute: int) -> float:
    """`due` after one more."""
    return max(due, now) + 60.0 / per_minute
