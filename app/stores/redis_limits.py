"""Rate limits that all processes share, in Redis."""

from __future__ import annotations

import redis

from app.domain.errors import TransientError

_SECONDS = 1.0  # longest wait for Redis: a limit is not worth more
# What `app.domain.limits` says, in one step, by the clock of Redis. Gives the wait in microseconds.
_TAKE = """
local moment = redis.call('TIME')
local now = moment[1] * 1000000 + moment[2]
local step = 60000000 / tonumber(ARGV[1])
local due = tonumber(redis.call('GET', KEYS[1]) or '0')
local wait = due - now - step * (tonumber(ARGV[2]) - 1)
if wait > 0 then return math.ceil(wait) end
local next = math.max(due, now) + step
redis.call('SET', KEYS[1], string.format('%.0f', next), 'PX', math.ceil((next - now) / 1000) + 1000)
return 0
"""


class RedisLimits:
    """Implements `app.domain.ports.RateLimits`; safe to call from several threads."""

    def __init__(self, url: str, *, prefix: str) -> None:
        """Connect when first asked.

        Args:
            url: `redis://` or `rediss://`.
            prefix: of the names, for a Redis that others use too.
        """
        self._redis = redis.Redis.from_url(url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS)
        self._take = self._redis.register_script(_TAKE)
        self._prefix = prefix

    def take(self, name: str, *, per_minute: int, burst: int) -> float:
        """See the port."""
        try:
            wait = self._take(keys=[f"{self._prefix}.limit.{name}"], args=[per_minute, burst])
        except redis.RedisError as error:
            raise TransientError(f"Redis does not answer: {error}"[:300], code="limits_unavailable") from error
        return int(str(wait)) / 1e6

    def ping(self) -> None:
        """Raise where Redis does not answer."""
        try:
            self._redis.ping()
        except redis.RedisError as error:
            raise TransientError(f"Redis does not answer: {error}"[:300], code="limits_unavailable") from error
