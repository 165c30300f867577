"""How many requests one key may make."""

from __future__ import annotations

import dataclasses
import math

import structlog

from app.domain.access import Principal
from app.domain.errors import RateLimitedError, TransientError
from app.domain.ports import RateLimits

_BURST_SECONDS = 10  # of the allowance that may be used at once
_log = structlog.get_logger("footnote")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """The use case; safe to call from many threads."""

    limits: RateLimits
    per_minute: int | None  # requests of a key; None: as many as it likes

    def require(self, principal: Principal) -> None:
        """Return where the caller may make a request now. Where the counts can't be had, it may.

        Raises:
            RateLimitedError: it has made as many as it may; says when to come back.
        """
        if self.per_minute is None or principal.key_id is None:
            return
        burst = max(1, self.per_minute * _BURST_SECONDS // 60)
        try:
            wait = self.limits.take(str(principal.key_id), per_minute=self.per_minute, burst=burst)
        except TransientError as error:
            _log.warning("limits_unavailable", detail=error.message)
            return
        if wait > 0:
            raise RateLimitedError(
                f"this key may make {self.per_minute} requests a minute: FOOTNOTE_REQUESTS_PER_MINUTE",
                retry_after_seconds=math.ceil(wait),
            )
