"""A circuit breaker: an endpoint that keeps failing is left alone for a while, then tried by one call."""

from __future__ import annotations

import collections
import dataclasses
import random
from collections.abc import Callable
from typing import Literal


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """When it opens, and for how long."""

    failures: int = 5  # one after the other
    share: float = 0.5  # of failures among the last calls, of which there are at least `least_calls`
    window: int = 20  # calls that are remembered
    memory_seconds: float = 30.0  # for how long; else who is passed over for a failure would be passed over for ever
    least_calls: int = 10
    cool_seconds: float = 5.0  # after it opens first
    growth: float = 2.0  # after each probe that fails
    longest_seconds: float = 120.0


class Breaker:
    """Of one endpoint. Changed on one event loop; `state` may be read from any thread.

    closed: calls go through. open: none does until the cool-down is over. half_open: one call at a time goes through as a
    probe; it closes the breaker or opens it again for longer. What began before the breaker opened last counts no more.
    """

    def __init__(self, policy: BreakerPolicy, *, clock: Callable[[], float], rng: random.Random) -> None:
        self._policy = policy
        self._clock = clock
        self._rng = rng
        self._recent: collections.deque[tuple[float, bool]] = collections.deque(maxlen=policy.window)  # when; failed
        self._in_a_row = 0
        self._epoch = 0  # rises with each opening and each probe
        self._opened = False
        self._until = 0.0
        self._cool_seconds = policy.cool_seconds
        self._probing = False

    @property
    def state(self) -> Literal["closed", "open", "half_open"]:
        """As it is now."""
        if not self._opened:
            return "closed"
        return "half_open" if self._probing or self._clock() >= self._until else "open"

    @property
    def admits(self) -> bool:
        """Whether `enter` would let a call through now."""
        return not self._opened or (not self._probing and self._clock() >= self._until)

    @property
    def opens_in_seconds(self) -> float:
        """Until a probe may go through; 0 where one may."""
        return max(0.0, self._until - self._clock()) if self._opened else 0.0

    @property
    def failure_share(self) -> float:
        """Of the last calls, [0, 1]."""
        recent = self._remembered()
        return sum(recent) / len(recent) if recent else 0.0

    def enter(self) -> int | None:
        """Let a call through: a token for how it ends, or None where it may not begin."""
        if not self.admits:
            return None
        if self._opened:
            self._probing = True
            self._epoch += 1
        return self._epoch

    def succeeded(self, token: int) -> None:
        """The call ended well."""
        if token != self._epoch:
            return
        if self._opened:
            self._opened = self._probing = False
            self._cool_seconds = self._policy.cool_seconds
            self._recent.clear()
        self._in_a_row = 0
        self._recent.append((self._clock(), False))

    def failed(self, token: int) -> None:
        """The endpoint failed the call."""
        if token != self._epoch:
            return
        if self._opened:
            self._cool_seconds = min(self._policy.longest_seconds, self._cool_seconds * self._policy.growth)
            self._open()
            return
        self._in_a_row += 1
        self._recent.append((self._clock(), True))
        many = len(self._remembered()) >= self._policy.least_calls and self.failure_share >= self._policy.share
        if many or self._in_a_row >= self._policy.failures:
            self._open()

    def left(self, token: int) -> None:
        """The call ended without telling how the endpoint is; a probe leaves its place to the next call."""
        if token == self._epoch:
            self._probing = False

    def _remembered(self) -> list[bool]:
        since = self._clock() - self._policy.memory_seconds
        return [failed for moment, failed in self._recent.copy() if moment >= since]

    def _open(self) -> None:
        """Up to a tenth is added to the cool-down: processes that opened together do not probe together."""
        self._epoch += 1
        self._opened = True
        self._probing = False
        self._in_a_row = 0
        self._recent.clear()
        self._until = self._clock() + self._cool_seconds * (1 + self._rng.random() / 10)
