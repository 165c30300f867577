"""Whether two archives hold the same, whatever the order of their documents."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import pathlib

import numpy as np

from app.documents.archive import form
from app.documents.archive.reading import Archive, Batch

Key = tuple[str, ...]  # an external id; or SHA-256 of the original and the title where there is none


def contents(path: pathlib.Path) -> dict[Key, collections.Counter[str]]:
    """Digests of an archive's documents, each with its original, text, chunks and vectors, by what they are known by.

    Raises:
        ArchiveError: the archive is not whole.
    """
    found: dict[Key, collections.Counter[str]] = {}
    with Archive(path) as archive:
        archive.verify()
        for batch in archive.batches():
            for record, digest in zip(batch.records, _digests(archive, batch), strict=True):
                key = (record.sha256, record.title) if record.external_id is None else (record.external_id,)
                found.setdefault(key, collections.Counter())[digest] += 1
    return found


def differences(one: pathlib.Path, other: pathlib.Path) -> list[Key]:
    """What the documents are known by that the two archives do not hold alike; empty where their contents are equal.

    How their indexes were built counts too: it is the difference `("index",)`.

    Raises:
        ArchiveError: one of them is not whole.
    """
    left, right = contents(one), contents(other)
    keys = sorted(key for key in {*left, *right} if left.get(key) != right.get(key))
    return keys if _built(one) == _built(other) else [("index",), *keys]


def _built(path: pathlib.Path) -> tuple[str, int]:
    with Archive(path) as archive:
        return repr(archive.manifest.fingerprints), archive.manifest.dimensions


def _digests(archive: Archive, batch: Batch) -> list[str]:
    digests = [hashlib.sha256(record.packed()) for record in batch.records]
    for members in (batch.originals, batch.texts):
        for digest, member in zip(digests, members, strict=True):
            for block in archive.blocks(member):
                digest.update(block)
    for piece in batch.pieces:
        encoded = archive.vectors(piece)
        for row, place in enumerate(archive.places(piece)):
            digest = digests[place.document]
            digest.update(form.dumps(dataclasses.asdict(place) | {"document": 0}))
            digest.update(encoded.dense[row].astype("<f2").tobytes())
            digest.update(np.array(encoded.sparse[row].indices, dtype="<u4").tobytes())
            digest.update(np.array(encoded.sparse[row].values, dtype="<f4").tobytes())
    return [digest.hexdigest() for digest in digests]
