"""How often and how soon something is tried again."""

from __future__ import annotations

import dataclasses
import random


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential back-off with full jitter, bounded in number and in delay."""

    attempts: int = 4  # tries in all
    base_seconds: float = 1.0
    cap_seconds: float = 60.0
    outage_seconds: float = 86_400.0  # of an item's life in which parts that are down count nothing; then they do
    outage_pause_seconds: float = 5.0  # between two looks at a part that is down: a job goes on soon after it is back

    def exhausted(self, failures: int) -> bool:
        """Whether that many failures are enough."""
        return failures >= self.attempts

    def bears(self, age_seconds: float) -> bool:
        """Whether something that old still waits for a part that is down."""
        return age_seconds < self.outage_seconds

    def delay_seconds(self, failures: int, *, rng: random.Random) -> float:
        """The pause before the next try after `failures` (>= 1) failures, in (0, cap_seconds].

        Half of the exponential step is kept, the other half is random: a herd of retries spreads out, and none comes
        at once.
        """
        step = min(self.cap_seconds, self.base_seconds * 2.0 ** min(failures - 1, 30))
        return step * (0.5 + rng.random() / 2)
