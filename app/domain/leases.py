"""What a worker knows of its right to go on."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Protocol


class Lease(Protocol):
    """The claims of one slice of items, kept alive while the slice runs."""

    def held(self, item_ids: Iterable[uuid.UUID]) -> set[uuid.UUID]:
        """Those that are still this worker's, asked of the database: cancelled and lost ones are missing.

        To be looked at before every write to a store, and after every upsert.
        """
        ...

    def stopping(self) -> bool:
        """The process wants to end, or something more urgent waits: finish the batch in hand, then raise StoppingError."""
        ...


class StoppingError(Exception):
    """An orderly stop, or giving way: the lease goes back and counts nothing. Not an error of the product, so not in its tree."""
