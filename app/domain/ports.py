"""What use cases and steps need from the world; adapters implement these, `app.bootstrap` chooses them.

Everything here but the calls of models is synchronous and safe to call from several threads at once. Adapters raise the errors of
`app.domain.errors` only, each `from` the vendor's.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import pathlib
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO, Protocol

from app.domain.answers import Claim, Context, Draft, Passage, Support
from app.domain.filters import Scalar
from app.domain.models import ChatEvent, ChatRequest, ModelSpec, ModelState
from app.domain.vectors import Matrix, Point, PointState, Rankings, Space, Sparse, StoredVectors, Vector, VectorQuery


class Clock(Protocol):
    """The time, so that tests can pass it."""

    def now(self) -> dt.datetime:
        """The current time, aware, in UTC."""
        ...


class FileStore(Protocol):
    """Bytes by key. A key is a relative path of lower-case letters, digits, `-`, `_` and `/`.

    What `put` and `write` were given is durable and whole when they return: a crash leaves the old content or the new.
    """

    def put(self, key: str, source: pathlib.Path) -> None:
        """Take over a local file, which is gone from `source` afterwards.

        Raises:
            StorageFullError: no room.
            TransientError: the store can't be reached or refuses for now.
        """
        ...

    def write_many(self, contents: Mapping[str, bytes]) -> None:
        """Write small contents, all durable on return; cheaper than one by one. Raises as `put`."""
        ...

    def open(self, key: str) -> BinaryIO:
        """A seekable stream to read; the caller closes it.

        Raises:
            NotFoundError: no such key.
        """
        ...

    def local(self, key: str) -> contextlib.AbstractContextManager[pathlib.Path]:
        """A local path that holds the content while the context is open; not to be written to. Raises as `open`."""
        ...

    def delete(self, keys: Iterable[str], *, sizes: Mapping[str, int] | None = None) -> dict[str, int]:
        """Remove contents; absent keys are passed over. Gives the bytes of those that were there, by key.

        A store that would have to ask for each size takes `sizes` for what it is told of.
        """
        ...

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Every key that begins so, in no stated order."""
        ...

    def free_bytes(self) -> int | None:
        """The room left; None where the store can't know."""
        ...

    def ping(self) -> None:
        """Raise where the store does not answer."""
        ...


class Tokenizer(Protocol):
    """The embedder's own way of cutting text into tokens."""

    @property
    def window_tokens(self) -> int:
        """The most tokens of one passage that the embedder reads, special tokens not counted."""
        ...

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special tokens not counted, never truncated."""
        ...

    def spans(self, text: str) -> list[tuple[int, int]]:
        """The characters [start, end) of each token of the text, in order; special tokens not counted."""
        ...


class Embedder(Protocol):
    """Text to unit vectors."""

    @property
    def fingerprint(self) -> str:
        """Names model, revision and pooling; not the numeric path."""
        ...

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        ...

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that decides what fits the window."""
        ...

    def embed_passages(self, texts: Sequence[str]) -> Matrix:
        """Vectors of passages, in the order given. Waits its turn behind questions.

        Raises:
            TransientError: the model can't be reached or ran past its deadline.
        """
        ...

    def embed_evidence(self, texts: Sequence[str]) -> Matrix:
        """As `embed_passages`, for few short texts that a person waits for: they go before what ingestion waits for."""
        ...

    def embed_query(self, text: str) -> Vector:
        """The vector of a question; goes before every waiting passage. Raises as `embed_passages`."""
        ...

    def close(self) -> None:
        """Give back threads and memory; waiting calls fail with a TransientError."""
        ...


class SparseEncoder(Protocol):
    """Text to weighted terms."""

    @property
    def fingerprint(self) -> str:
        """Names method and parameters."""
        ...

    def encode_passages(self, texts: Sequence[str]) -> list[Sparse]:
        """Term weights of passages."""
        ...

    def encode_query(self, text: str) -> Sparse:
        """Term weights of a question; empty where it holds no term."""
        ...


class VectorStore(Protocol):
    """Points of chunks, searched by dense and sparse vector. All writes are idempotent and durable on return."""

    def ensure(self, space: Space) -> None:
        """Make the physical collection and its payload indexes where they do not exist."""
        ...

    def upsert(self, space: Space, points: Sequence[Point]) -> None:
        """Write points; one that exists is replaced.

        Raises:
            StorageFullError: no room.
            TransientError: the store can't be reached.
        """
        ...

    def present(self, space: Space, chunk_ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
        """Those of the ids that the store holds."""
        ...

    def vectors(self, space: Space, chunk_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, StoredVectors]:
        """Dense and sparse vectors of these chunks as the store keeps them; ids that it does not hold are absent.

        Numbers of dense vectors may have been brought to unit length and half precision.
        """
        ...

    def set_access(
        self, space: Space, chunk_ids: Sequence[uuid.UUID], *, scope: Sequence[str], metadata: Mapping[str, Scalar]
    ) -> None:
        """Replace access list and metadata of those of these points that there are, all at once."""
        ...

    def delete_points(self, space: Space, chunk_ids: Sequence[uuid.UUID]) -> None:
        """Remove these points; absent ones are passed over."""
        ...

    def delete_versions(self, space: Space, version_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
        """Remove the points of these versions; gives how many each had, those without any left out."""
        ...

    def search(self, space: Space, query: VectorQuery) -> Rankings:
        """The best points of each side that pass scope, exclusions and filter, best first; ties by chunk id."""
        ...

    def count(self, space: Space, version_ids: Sequence[uuid.UUID] | None = None) -> int:
        """How many points there are, of all versions or of some."""
        ...

    def states(self, space: Space, chunk_ids: Sequence[uuid.UUID]) -> list[PointState]:
        """Those of the points that there are, in no stated order."""
        ...

    def points(self, space: Space) -> Iterator[PointState]:
        """Every point, in no stated order; what is written meanwhile may show or not."""
        ...

    def disk_bytes(self, space: Space) -> int | None:
        """What the space takes on a disk; None where the store can't know."""
        ...

    def flush(self) -> None:
        """Make what was written cheap to open again; nothing is lost without it."""
        ...

    def close(self) -> None:
        """Let go of every space; later calls fail with a TransientError."""
        ...


class Reranker(Protocol):
    """Looks at question and passage together; slower and finer than a search."""

    def scores(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """One for each text, the larger the better.

        Raises:
            TransientError: it can't answer now.
        """
        ...


class Answerer(Protocol):
    """Makes an answer of a question and the evidence for it."""

    @property
    def name(self) -> str:
        """As answers name it."""
        ...

    @property
    def threshold(self) -> float:
        """The confidence below which there is no answer, [0, 1]."""
        ...

    def draft(self, question: str, vector: Vector, context: Context) -> Draft:
        """Sentences, each with the places that it stands on, however sure or unsure.

        Args:
            question: as asked.
            vector: of it, by the embedder of the evidence.
            context: the evidence.

        Raises:
            TransientError: it can't answer now.
        """
        ...


class ChatModel(Protocol):
    """A model of the catalogue, with its retries, its breaker and its limits. Called on the event loop."""

    @property
    def spec(self) -> ModelSpec:
        """What is known of it."""
        ...

    @property
    def state(self) -> ModelState:
        """How it is doing."""
        ...

    def stream(self, request: ChatRequest, *, deadline_seconds: float) -> AsyncIterator[ChatEvent]:
        """What it says, piece by piece; the last event is `Finished`.

        What is retried is retried before the first piece only. Closing the iterator ends the call upstream.

        Args:
            request: the prompt.
            deadline_seconds: in which all of it must come, retries and waiting included.

        Raises:
            ModelDownError, ModelTimeoutError, ModelBusyError, ModelRefusedError: from any step.
        """
        ...


class Models(Protocol):
    """The catalogue."""

    def all(self) -> Sequence[ChatModel]:
        """Every model that writes, in the order of the catalogue."""
        ...

    def get(self, name: str) -> ChatModel | None:
        """One by its name."""
        ...


class Checker(Protocol):
    """Tells how far passages support what a model wrote. Synchronous, for a thread."""

    @property
    def threshold(self) -> float:
        """The support below which a sentence counts as unsupported, [0, 1]."""
        ...

    def warm(self, passages: Sequence[Passage], *, wholly: bool) -> Iterator[None]:
        """Make each `check` against these passages quick, in steps of some ms: for while a model still thinks.

        Args:
            passages: what there will be to stand on.
            wholly: with what costs some 100 ms of a core, for where it has nothing else to do.

        Raises:
            TransientError: as `check`, in a step.
        """
        ...

    def check(self, claims: Sequence[Claim], passages: Sequence[Passage], *, least: float = 0.0) -> list[Support]:
        """For each claim, its support by the passages: those that it cites first, else any.

        Args:
            claims: what is said, with the places of what it cites.
            passages: what there is to stand on.
            least: support from which on a claim counts as supported; of one with less, no more need be told than that.

        Raises:
            TransientError: the embedder can't answer now.
        """
        ...


class RateLimits(Protocol):
    """Counts what is done under a name."""

    def take(self, name: str, *, per_minute: int, burst: int) -> float:
        """Do one more: 0 where it is allowed now; else seconds until it is, and nothing is counted.

        Args:
            name: what is counted for.
            per_minute: how many are allowed in the long run.
            burst: how many at once, after a pause.

        Raises:
            TransientError: the counts can't be had.
        """
        ...

    def ping(self) -> None:
        """Raise where the counts can't be had."""
        ...


class JobQueue(Protocol):
    """Brings work to workers. The database is the outbox: a lost nudge is found by the sweeper."""

    def nudge(self) -> None:
        """Say that items are ready to be claimed."""
        ...

    def start(self) -> None:
        """Begin to work."""
        ...

    def trouble(self) -> str | None:
        """What is wrong with it, for a person; None where nothing is."""
        ...

    def quiet(self) -> None:
        """Claim nothing more, and ask running slices to end; `stop` is to follow."""
        ...

    def stop(self, *, grace_seconds: float) -> None:
        """Claim nothing more, let running slices end or give their leases back, and return when all is still."""
        ...
