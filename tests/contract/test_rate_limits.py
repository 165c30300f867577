"""Rate limits: one suite for memory and Redis."""

from __future__ import annotations

import concurrent.futures
import os
import time
import uuid
from collections.abc import Callable

import pytest

from app.domain.errors import TransientError
from app.domain.ports import RateLimits
from app.stores.memory_limits import MemoryLimits
from app.stores.redis_limits import RedisLimits

URL = os.environ.get("FOOTNOTE_TEST_REDIS_URL", "redis://127.0.0.1:6379/5")


def over_redis() -> RateLimits:
    made = RedisLimits(URL, prefix=f"test-{uuid.uuid4().hex}")
    try:
        made.ping()
    except TransientError:
        if os.environ.get("FOOTNOTE_REQUIRE_SERVICES") == "1":
            raise
        pytest.skip("no redis on this machine, and FOOTNOTE_TEST_REDIS_URL names none")
    return made


@pytest.fixture(params=[MemoryLimits, over_redis], ids=["memory", "redis"])
def limits(request: pytest.FixtureRequest) -> RateLimits:
    make: Callable[[], RateLimits] = request.param
    return make()


def test_a_burst_is_allowed_and_then_the_pace(limits: RateLimits) -> None:
    waits = [limits.take("a", per_minute=60, burst=5) for _ in range(7)]

    assert waits[:5] == [0.0] * 5
    assert 0.5 < waits[5] <= 1.0
    assert 0.5 < waits[6] <= 1.0  # what was refused does not count


def test_names_do_not_count_for_each_other(limits: RateLimits) -> None:
    assert limits.take("a", per_minute=1, burst=1) == 0.0
    assert limits.take("a", per_minute=1, burst=1) > 50
    assert limits.take("b", per_minute=1, burst=1) == 0.0


def test_after_the_wait_it_is_allowed(limits: RateLimits) -> None:
    assert limits.take("a", per_minute=600, burst=1) == 0.0
    wait = limits.take("a", per_minute=600, burst=1)
    assert 0 < wait <= 0.1
    time.sleep(wait + 0.01)
    assert limits.take("a", per_minute=600, burst=1) == 0.0


def test_of_many_at_once_no_more_pass_than_may(limits: RateLimits) -> None:
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        waits = list(pool.map(lambda _: limits.take("a", per_minute=1, burst=10), range(100)))
    assert sum(1 for wait in waits if wait == 0.0) == 10


def test_a_redis_that_is_down_is_a_passing_error() -> None:
    down = RedisLimits("redis://127.0.0.1:1/0", prefix="x")
    with pytest.raises(TransientError):
        down.take("a", per_minute=1, burst=1)
    with pytest.raises(TransientError):
        down.ping()


def test_memory_forgets_names_that_are_not_in_use() -> None:
    moment = [0.0]
    limits = MemoryLimits(now=lambda: moment[0])
    for number in range(10_000):
        limits.take(f"{number}", per_minute=60, burst=1)
    moment[0] = 1000.0
    limits.take("late", per_minute=60, burst=1)
    assert len(limits._due) == 1
