"""The bounded pool."""

from __future__ import annotations

import asyncio
import threading

import pytest

from app.api.compute import Compute
from app.domain.errors import OverloadedError


def test_a_full_pool_refuses_and_takes_again_when_there_is_room() -> None:
    async def scenario() -> None:
        compute = Compute(workers=1, queue=1)
        gate = threading.Event()
        running = asyncio.ensure_future(compute.run(gate.wait))
        waiting = asyncio.ensure_future(compute.run(gate.wait))
        await asyncio.sleep(0)
        assert (compute.running, compute.waiting) == (1, 1)
        with pytest.raises(OverloadedError):
            await compute.run(gate.wait)
        admitted = asyncio.ensure_future(compute.run(gate.wait, admitted=True))
        await asyncio.sleep(0)
        gate.set()
        assert all(await asyncio.gather(running, waiting, admitted))
        assert await compute.run(lambda: "again") == "again"
        compute.close()

    asyncio.run(scenario())


def test_a_client_that_goes_away_gives_its_place_back() -> None:
    async def scenario() -> None:
        compute = Compute(workers=1, queue=1)
        gate = threading.Event()
        calls = [asyncio.ensure_future(compute.run(gate.wait)) for _ in range(2)]
        await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        gate.set()
        assert await compute.run(lambda: "served", admitted=True) == "served"
        compute.close()
        assert (compute.running, compute.waiting) == (0, 0)

    asyncio.run(scenario())


def test_an_error_gives_its_place_back() -> None:
    async def scenario() -> None:
        compute = Compute(workers=1, queue=0)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await compute.run(lambda: 1 // 0)
        compute.close()
        assert (compute.running, compute.waiting) == (0, 0)

    asyncio.run(scenario())


def test_a_closed_pool_refuses() -> None:
    async def scenario() -> None:
        compute = Compute(workers=1, queue=0)
        compute.close()
        with pytest.raises(OverloadedError):
            await compute.run(lambda: None)

    asyncio.run(scenario())
