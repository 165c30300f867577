"""Vectors of words and sentences that are asked for again and again."""

from __future__ import annotations

import collections
import hashlib
import threading
from collections.abc import Sequence

import numpy as np

from app.domain.ports import Embedder
from app.domain.vectors import Matrix

_MOST = 20_000  # 15 MB in half precision


class KeptVectors:
    """Vectors of texts, the last used ones kept: neighbouring questions share most of theirs. Safe to use from several threads."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._lock = threading.Lock()
        self._kept: collections.OrderedDict[bytes, np.ndarray[tuple[int], np.dtype[np.float16]]] = (
            collections.OrderedDict()
        )

    def of(self, texts: Sequence[str]) -> Matrix:
        """In the order given; shape (len(texts), dimensions)."""
        keys = [hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest() for text in texts]
        rows = np.zeros((len(texts), self._embedder.dimensions), dtype=np.float32)
        missing: dict[bytes, list[int]] = {}
        with self._lock:
            for row, key in enumerate(keys):
                kept = self._kept.get(key)
                if kept is None:
                    missing.setdefault(key, []).append(row)
                else:
                    self._kept.move_to_end(key)
                    rows[row] = kept
        if missing:
            # Rounded before they are used, so that a text has one vector whether it was kept or not.
            new = self._embedder.embed_evidence([texts[places[0]] for places in missing.values()]).astype(np.float16)
            for made, places in zip(new, missing.values(), strict=True):
                rows[places] = made
            with self._lock:
                self._kept.update(zip(missing, new, strict=True))
                while len(self._kept) > _MOST:
                    self._kept.popitem(last=False)
        return rows
