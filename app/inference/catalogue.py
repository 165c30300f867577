"""The embedders by name."""

from __future__ import annotations

import pathlib
import re

from app.inference import numeric_path, openvino_embedder
from app.inference.batcher import Limits, OnBatch, no_stats
from app.inference.embedder import BatchingEmbedder, Encoder
from app.inference.hashing_embedder import HashingEncoder
from app.inference.sentence_transformers_embedder import SentenceTransformersEncoder

HASHING = re.compile(r"hashing-(\d{1,4})(?:\+(\d{1,5})ms)?")


def create(
    *,
    name: str,
    cache_folder: pathlib.Path,
    numeric_path: numeric_path.Choice = "auto",
    threads: int | None = None,
    allow_download: bool = False,
    limits: Limits | None = None,
    on_batch: OnBatch = no_stats,
) -> BatchingEmbedder:
    """The embedder that a name stands for.

    Args:
        name: `all-MiniLM-L6-v2`, the default, comes with the product; `hashing-16` (any number of dimensions) is for
            tests, `hashing-16+50ms` waits so long for each batch; any other is a folder or a hub name for the sentence-transformers library.
        cache_folder: of the default's numeric path; made when it is needed.
        numeric_path: of the default.
        threads: cores that the default may use; None for all of this process.
        allow_download: whether another model may be fetched from the hub.
        limits: of the batcher.
        on_batch: is told of every batch: kind, texts, tokens, seconds.

    Raises:
        ConfigurationError: the model can't be had; the message says why.
    """
    encoder: Encoder
    if name in (openvino_embedder.NAME, f"sentence-transformers/{openvino_embedder.NAME}"):
        encoder = openvino_embedder.load(cache_folder=cache_folder, path=numeric_path, threads=threads)
    elif found := HASHING.fullmatch(name):
        encoder = HashingEncoder(dimensions=int(found[1]), wait_seconds=int(found[2] or 0) / 1000)
    else:
        encoder = SentenceTransformersEncoder(name, allow_download=allow_download)
    return BatchingEmbedder(encoder, limits=limits, on_batch=on_batch)
