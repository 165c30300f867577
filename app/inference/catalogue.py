"""The embedders and rerankers by name."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.domain.errors import ConfigurationError
from app.inference import numeric_path, openvino_embedder
from app.inference.batcher import Limits, OnBatch, no_stats
from app.inference.embedder import BatchingEmbedder, Encoder
from app.inference.hashing_embedder import HashingEncoder
from app.inference.sentence_transformers_embedder import SentenceTransformersEncoder

if TYPE_CHECKING:
    from app.inference.cross_encoder_reranker import CrossEncoderReranker
    from app.inference.http_reranker import HttpReranker
    from app.inference.specs import EmbedderSpec, RerankerSpec

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
    declared: Sequence[EmbedderSpec] = (),
) -> BatchingEmbedder:
    """The embedder that a name stands for.

    Args:
        name: `all-MiniLM-L6-v2`, the default, comes with the product; `hashing-16` (any number of dimensions) is for
            tests, `hashing-16+50ms` waits so long for each batch; one of those declared; any other is a folder or a hub name
            for the sentence-transformers library.
        cache_folder: of the default's numeric path; made when it is needed.
        numeric_path: of the default.
        threads: cores that the default may use; None for all of this process.
        allow_download: whether another model may be fetched from the hub.
        limits: of the batcher.
        on_batch: is told of every batch: kind, texts, tokens, seconds.
        declared: those of the file of models.

    Raises:
        ConfigurationError: the model can't be had; the message says why.
    """
    encoder: Encoder
    spec = next((each for each in declared if each.name == name), None)
    if spec is not None and spec.remote is not None:
        from app.inference.http_embedder import HttpEncoder  # noqa: PLC0415 - with its client, where one is used

        encoder = HttpEncoder(spec)
    elif spec is not None:
        encoder = SentenceTransformersEncoder(spec.model, allow_download=allow_download)
    elif name in (openvino_embedder.NAME, f"sentence-transformers/{openvino_embedder.NAME}"):
        encoder = openvino_embedder.load(cache_folder=cache_folder, path=numeric_path, threads=threads)
    elif found := HASHING.fullmatch(name):
        encoder = HashingEncoder(dimensions=int(found[1]), wait_seconds=int(found[2] or 0) / 1000)
    else:
        encoder = SentenceTransformersEncoder(name, allow_download=allow_download)
    return BatchingEmbedder(encoder, limits=limits, on_batch=on_batch)


def reranker(
    name: str, *, declared: Sequence[RerankerSpec], allow_download: bool = False
) -> CrossEncoderReranker | HttpReranker:
    """The reranker that a name stands for.

    Raises:
        ConfigurationError: the file of models declares none of that name, or it can't be had; the message says why.
    """
    spec = next((each for each in declared if each.name == name), None)
    if spec is None:
        known = ", ".join(each.name for each in declared) or "none"
        raise ConfigurationError(f"FOOTNOTE_RERANKER names {name}, the file of models declares {known}")
    if spec.remote is not None:
        from app.inference.http_reranker import HttpReranker  # noqa: PLC0415 - with its client, where one is used

        return HttpReranker(spec)
    from app.inference.cross_encoder_reranker import CrossEncoderReranker  # noqa: PLC0415 - as above

    return CrossEncoderReranker(spec, allow_download=allow_download)
