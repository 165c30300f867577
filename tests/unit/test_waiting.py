"""Waits with an end, by one timer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from app.domain.waiting import TimeUpError, Waits


def soon(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def after(seconds: float, value: str = "there") -> str:
    await asyncio.sleep(seconds)
    return value


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(5):
            await scenario()

    asyncio.run(bounded())


def test_what_comes_in_time_is_given() -> None:
    async def scenario() -> None:
        waits = Waits()
        for _ in range(20):
            assert await waits.until(soon(0.5), after(0.0)) == "there"
        assert await waits.until(soon(float("inf")), after(0.01)) == "there"

    run(scenario)


def test_what_does_not_is_cancelled() -> None:
    async def scenario() -> None:
        waits, ended = Waits(), asyncio.Event()

        async def never() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                ended.set()

        with pytest.raises(TimeUpError):
            await waits.until(soon(0.02), never())
        assert ended.is_set()
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()

    run(scenario)


def test_a_wait_after_one_that_timed_out_has_its_own_time() -> None:
    async def scenario() -> None:
        waits = Waits()
        for _ in range(3):
            with pytest.raises(TimeUpError):
                await waits.until(soon(0.01), after(60))
            assert await waits.until(soon(1), after(0.02)) == "there"

    run(scenario)


@pytest.mark.parametrize("first", [0.05, 60])
def test_each_wait_has_its_own_end_later_or_sooner_than_the_one_before(first: float) -> None:
    async def scenario() -> None:
        waits = Waits()
        await waits.until(soon(first), after(0))
        assert await waits.until(soon(1), after(0.1)) == "there"  # the first one's timer looks, and lets it go on
        with pytest.raises(TimeUpError):
            await waits.until(soon(0.02), after(60))

    run(scenario)


def test_an_end_in_the_past_ends_what_waits_and_gives_what_does_not() -> None:
    async def scenario() -> None:
        waits = Waits()
        with pytest.raises(TimeUpError):
            await waits.until(soon(-1), after(60))

        async def at_once() -> str:
            return "there"

        assert await waits.until(soon(-1), at_once()) == "there"

    run(scenario)


def test_who_is_cancelled_from_outside_is_not_told_of_time() -> None:
    async def scenario() -> None:
        waits = Waits()

        async def waiting() -> None:
            await waits.until(soon(60), asyncio.sleep(60))

        task = asyncio.create_task(waiting())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(scenario)


def test_a_time_out_of_what_is_waited_for_is_its_own() -> None:
    async def scenario() -> None:
        waits = Waits()

        async def fails() -> None:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(60)

        with pytest.raises(TimeoutError) as caught:
            await waits.until(soon(60), fails())
        assert not isinstance(caught.value, TimeUpError)
        outer = Waits()
        with pytest.raises(TimeUpError):
            await outer.until(soon(0.02), waits.until(soon(60), asyncio.sleep(60)))

    run(scenario)


def test_an_error_made_of_being_cancelled_is_a_time_out_too() -> None:
    async def scenario() -> None:
        async def converts() -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError as error:
                raise ConnectionError from error

        with pytest.raises(TimeUpError):
            await Waits().until(soon(0.02), converts())
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()

    run(scenario)


def test_nothing_is_left_behind() -> None:
    async def scenario() -> None:
        async def numbers() -> AsyncIterator[int]:
            for number in range(3):
                await asyncio.sleep(0)
                yield number

        with contextlib.closing(Waits()) as waits:
            several = numbers()
            while await waits.until(soon(60), anext(several, None)) is not None:
                pass
        loop = asyncio.get_running_loop()
        timers = [each for each in loop._scheduled if not each.cancelled()]  # type: ignore[attr-defined]
        assert len(timers) == 1  # the test's own limit

    run(scenario)
