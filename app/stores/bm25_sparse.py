"""BM25 term weights by Qdrant Edge's own encoder, for the embedded store and for a server alike.

The inverse document frequency is not in the weights: the store multiplies it in at each search, over the caller's own
corpus. The encoder's word tokenizer takes a run of Chinese, Japanese, Thai or Khmer as one word, and its multilingual
one drops every number ("2024" finds nothing); so it gets the first, and such runs as overlapping pairs of characters.
"""

from __future__ import annotations

from collections.abc import Sequence

import qdrant_edge

from app.domain.vectors import Sparse
from app.text import words

K = 0.6  # saturation of term frequency; below the usual 1.2: docs/decisions/0004-fusion.md has the measurement
B = 0.75  # weight of a passage's length; ditto
# Words of a passage, stop words left out. A chunk of 256 word pieces holds about this many, SciFact's abstracts too.
# nDCG@10 and recall@100 on SciFact, BM25 alone: 64 .691 .922, 100 .693 .922, 128 .690 .925, 180 .683 .924, 256 .683 .921.
AVERAGE_WORDS = 128


class Bm25SparseEncoder:
    """SparseEncoder: English stop words and stemmer, accents folded, pairs of characters where words have no spaces.

    Safe to call from several threads. One call holds the interpreter's lock for as long as one text takes, about 0.2 ms
    for a chunk.
    """

    def __init__(self) -> None:
        self._model = qdrant_edge.Bm25(
            qdrant_edge.Bm25Config(
                k=K,
                b=B,
                avg_len=float(AVERAGE_WORDS),
                tokenizer=qdrant_edge.TokenizerType.Word,
                language="english",
                lowercase=True,
                ascii_folding=True,
            )
        )

    @property
    def fingerprint(self) -> str:
        """Names method and parameters."""
        return f"bm25/1 words english folded pairs k={K} b={B} avg={AVERAGE_WORDS}"

    def encode_passages(self, texts: Sequence[str]) -> list[Sparse]:
        """Term weights of passages; empty for a text without one term."""
        return [_sparse(self._model.embed_document(words.spaced(text))) for text in texts]

    def encode_query(self, text: str) -> Sparse:
        """Weight 1 for each distinct term of a question; empty where it holds no term."""
        return _sparse(self._model.embed_query(words.spaced(text)))


def _sparse(vector: qdrant_edge.SparseVector) -> Sparse:
    return Sparse(indices=vector.indices, values=vector.values)
