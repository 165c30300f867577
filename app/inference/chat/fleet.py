"""All models that write, replaced while calls are under way."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Sequence

from app.inference.chat.breaker import BreakerPolicy
from app.inference.chat.catalogue import DeclaredModel
from app.inference.chat.opening import Opening, in_thread
from app.inference.chat.places import Places
from app.inference.chat.resilient import ResilientModel
from app.inference.chat.way import Way

_CLOSE_SECONDS = 5.0  # that a stop waits for backends


class Fleet:
    """Implements `app.domain.ports.Models`. Lives on one event loop; its models' states may be read from any thread."""

    def __init__(
        self,
        declared: Sequence[DeclaredModel],
        *,
        opening: Opening = in_thread,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
        policy: BreakerPolicy | None = None,
    ) -> None:
        """Take the catalogue's models, and what opens a backend; nothing is opened before a call."""
        self._opening = opening
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._policy = policy or BreakerPolicy()
        self._models: dict[str, ResilientModel] = {}
        self._adopt(declared)

    def all(self) -> Sequence[ResilientModel]:
        """Every model, in the order of the catalogue."""
        return tuple(self._models.values())

    def get(self, name: str) -> ResilientModel | None:
        """One by its name."""
        return self._models.get(name)

    async def warm(self) -> None:
        """Open every backend: the first question need not wait for a library's import or a file's loading."""
        for way in [way for model in self.all() for way in model.ways]:
            await way.warm()

    async def replace(self, declared: Sequence[DeclaredModel]) -> None:
        """Have these models from now on. What is as it was keeps its backend, breaker and places.

        Calls that are under way end where they began; a backend that is in use no more is closed after its last call.
        """
        dropped = self._adopt(declared)
        await asyncio.gather(*(way.retire() for way in dropped), return_exceptions=True)

    async def close(self) -> None:
        """Close every backend, in bounded time."""
        dropped = self._adopt(())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await asyncio.gather(*(way.close() for way in dropped), return_exceptions=True)

    def _adopt(self, declared: Sequence[DeclaredModel]) -> list[Way]:
        """Take up these models; gives the endpoints that are left over of those before."""
        before = self._models
        left = [way for model in before.values() for way in model.ways]
        models: dict[str, ResilientModel] = {}
        for each in declared:
            old = before.get(each.spec.name)
            models[each.spec.name] = model = self._model(each, old)
            left = [way for way in left if way not in model.ways]
        self._models = models  # at once: who reads in another thread sees either
        return left

    def _model(self, declared: DeclaredModel, old: ResilientModel | None) -> ResilientModel:
        if old is not None and old.declared == declared and not any(way.broken for way in old.ways):
            return old
        spec = declared.spec
        places = old.places if old else Places(spec.name, limit=spec.concurrency, queue=spec.queue)
        places.resize(limit=spec.concurrency, queue=spec.queue)
        kept = [way for way in old.ways if way.broken is None] if old else []  # what is broken may be mended by now
        ways: list[Way] = []
        for each in declared.endpoints:
            way = next((way for way in kept if way.declared.endpoint == each.endpoint), None)
            if way is None:
                way = Way(each, opening=self._opening, clock=self._clock, rng=self._rng, policy=self._policy)
            else:
                kept.remove(way)
                way.declared = each
            ways.append(way)
        return ResilientModel(declared, ways=ways, places=places, clock=self._clock, rng=self._rng)
