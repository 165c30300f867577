"""The models of one process: what the file of models says, and what becomes of it when it is read anew.

Nothing of this is imported or held where there is no such file.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.domain.ports import ChatModel
from app.settings import Settings

if TYPE_CHECKING:
    from app.inference.chat.catalogue import Catalogue
    from app.inference.chat.fleet import Fleet
    from app.inference.chat.opening import Opening

MODELS_FILE = "models.toml"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """Names of models: what reading the file anew has changed."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]


class CataloguedModels:
    """Implements `app.domain.ports.Models`, and reads the file anew when it is asked to. Lives on one event loop."""

    def __init__(self, settings: Settings, catalogue: Catalogue | None, *, opening: Opening | None = None) -> None:
        """Take what the file said at the start, None where there is none; and what opens a backend, for tests."""
        self._settings = settings
        self._opening = opening
        self._fleet: Fleet | None = None if catalogue is None else self._fleet_of(catalogue)
        self._reloading = asyncio.Lock()
        self._warming: asyncio.Task[None] | None = None

    def all(self) -> Sequence[ChatModel]:
        """Every model that writes, in the order of the file."""
        return () if self._fleet is None else self._fleet.all()

    def get(self, name: str) -> ChatModel | None:
        """One by its name."""
        return None if self._fleet is None else self._fleet.get(name)

    def warm(self) -> None:
        """Open every backend in the background, on the running loop."""
        if self._fleet is not None and (self._warming is None or self._warming.done()):
            self._warming = asyncio.get_running_loop().create_task(self._fleet.warm())

    async def reload(self) -> Reloaded:
        """Read the file anew. Calls that are under way end as they began; embedders and rerankers stay until the next start.

        Raises:
            BadCatalogueError: it is not usable; what was in force stays so.
        """
        async with self._reloading:
            catalogue = await asyncio.to_thread(catalogue_of, self._settings)
            before = _by_name(self.all())
            if self._fleet is not None:
                await self._fleet.replace(() if catalogue is None else catalogue.models)
            elif catalogue is not None:
                self._fleet = await asyncio.to_thread(self._fleet_of, catalogue)
        self.warm()
        after = _by_name(self.all())
        return Reloaded(
            added=tuple(name for name in after if name not in before),
            removed=tuple(name for name in before if name not in after),
            changed=tuple(name for name in after if name in before and after[name] is not before[name]),
            unchanged=tuple(name for name in after if name in before and after[name] is before[name]),
        )

    async def aclose(self) -> None:
        """Close every backend, in bounded time; there are no models after it."""
        if self._warming is not None and not self._warming.done():
            self._warming.cancel()
            await asyncio.gather(self._warming, return_exceptions=True)
        if self._fleet is not None:
            await self._fleet.close()

    def _fleet_of(self, catalogue: Catalogue) -> Fleet:
        from app.inference.chat import fleet  # noqa: PLC0415 - only where there is a file
        from app.inference.chat import opening as opening_  # noqa: PLC0415 - as above

        return fleet.Fleet(catalogue.models, opening=self._opening or opening_.in_thread)


def catalogue_of(settings: Settings) -> Catalogue | None:
    """What the file of models says; None where there is none.

    Raises:
        BadCatalogueError: it is not usable, or it is not where FOOTNOTE_MODELS_FILE says.
    """
    path = settings.models_file or settings.data_dir / MODELS_FILE
    if settings.models_file is None and not path.is_file():
        return None
    from app.inference.chat import catalogue  # noqa: PLC0415 - only where there is a file

    return catalogue.read(path, prices=settings.prices_file, environ=os.environ)


def _by_name(models: Sequence[ChatModel]) -> dict[str, ChatModel]:
    return {each.spec.name: each for each in models}
