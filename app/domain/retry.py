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

    def exhausted(self, failures: int) -> bool:
        """Whether that many failures are enough."""
        return failures >= self.attempts

    def delay_seconds(self, failures: int, *, rng: random.Random) -> float:
        """The pause before the next try after `failures` (>= 1) failures, in (0, cap_seconds].

        Half of the exponential step is kept, the other half is random: a herd of retries spreads out, and none comes
        at once.
        """
        step = min(self.cap_seconds, self.base_seconds * 2.0 ** min(failures - 1, 30))
        return step * (0.5 + rng.random() / 2)
