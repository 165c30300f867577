"""Embedders and rerankers as the file of models declares them."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Literal

from app.inference.tables import Table

SENTENCE_TRANSFORMERS = "sentence-transformers"
OPENAI_COMPATIBLE = "openai_compatible"
HTTP = "http"
_MOST_DIMENSIONS = 16_384


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """Where something is called over HTTP."""

    base_url: str
    api_key: str | None = dataclasses.field(default=None, repr=False)
    unset: str | None = None  # why it can't be called: the variable of its key is not set
    timeout_seconds: float = 30.0  # longest call


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderSpec:
    """One embedder of the catalogue."""

    name: str  # as FOOTNOTE_EMBEDDER names it
    model: str  # a folder or a hub name for sentence-transformers; else the server's id of it
    remote: Remote | None = None  # None: by sentence-transformers, in this process
    dimensions: int = 0  # of a remote one, whose vectors must have that many
    batch_size: int = 32  # texts of one request
    window_tokens: int = 254  # of one passage that are read, as the tokenizer here counts
    lanes: int = 2  # requests of passages at once
    tokenizer: pathlib.Path | None = None  # of a remote one: a tokenizer.json; None: counted roughly, and never too few
    query_prefix: str = ""  # before questions, as the model was trained
    passage_prefix: str = ""  # before passages
    send_dimensions: bool = False  # whether the server is asked for that many, which not all understand


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RerankerSpec:
    """One reranker of the catalogue."""

    name: str  # as FOOTNOTE_RERANKER names it
    model: str  # a folder or a hub name for sentence-transformers; else the server's id of it
    remote: Remote | None = None  # None: by sentence-transformers, in this process
    form: Literal["cohere", "tei"] = "cohere"  # what a remote one speaks: Cohere, Jina and vLLM alike, or TEI
    batch_size: int = 32
    window_tokens: int | None = None  # of question and passage together; None: the model's own


def embedder(table: Table, environ: Mapping[str, str], folder: pathlib.Path) -> EmbedderSpec:
    """What one [[embedder]] says. Raises BadCatalogueError."""
    name = table.required("name")
    provider = table.one_of("provider", (SENTENCE_TRANSFORMERS, OPENAI_COMPATIBLE))
    model = table.required("model")
    if provider == SENTENCE_TRANSFORMERS:
        table.end()
        return EmbedderSpec(name=name, model=beside(folder, model))
    if "dimensions" not in table:
        raise table.refusal("dimensions", "is missing: how long the server's vectors are")
    tokenizer = table.text("tokenizer")
    spec = EmbedderSpec(
        name=name,
        model=model,
        remote=_remote(table, environ, seconds=30.0),
        dimensions=table.whole("dimensions", 0, most=_MOST_DIMENSIONS),
        batch_size=table.whole("batch_size", 32, most=2048),
        window_tokens=table.whole("window_tokens", 254, least=32, most=65_536),
        lanes=table.whole("concurrency", 2, most=64),
        tokenizer=None if tokenizer is None else pathlib.Path(beside(folder, tokenizer)),
        query_prefix=table.text("query_prefix") or "",
        passage_prefix=table.text("passage_prefix") or "",
        send_dimensions=table.truth("send_dimensions", default=False),
    )
    table.end()
    return spec


def reranker(table: Table, environ: Mapping[str, str], folder: pathlib.Path) -> RerankerSpec:
    """What one [[reranker]] says. Raises BadCatalogueError."""
    name = table.required("name")
    provider = table.one_of("provider", (SENTENCE_TRANSFORMERS, HTTP))
    model = table.required("model")
    batch_size = table.whole("batch_size", 32, most=1024)
    if provider == SENTENCE_TRANSFORMERS:
        window = table.whole("window_tokens", 0, least=0, most=65_536) or None
        table.end()
        return RerankerSpec(name=name, model=beside(folder, model), batch_size=batch_size, window_tokens=window)
    form: Literal["cohere", "tei"] = "tei" if table.one_of("form", ("cohere", "tei"), "cohere") == "tei" else "cohere"
    spec = RerankerSpec(
        name=name, model=model, remote=_remote(table, environ, seconds=5.0), form=form, batch_size=batch_size
    )
    table.end()
    return spec


def beside(folder: pathlib.Path, model: str) -> str:
    """A path that is there, seen from the folder of the file; else as it stands: a hub name."""
    found = folder / pathlib.Path(model).expanduser()
    return str(found) if found.exists() else model


def key_of(table: Table, environ: Mapping[str, str], inherited: str | None = None) -> tuple[str | None, str | None]:
    """The key that the environment holds, and why there is none where it should."""
    variable = table.variable("api_key_env") or inherited
    if variable is None:
        return None, None
    key = environ.get(variable, "").strip()
    return (key, None) if key else (None, f"the environment variable {variable} is not set")


def _remote(table: Table, environ: Mapping[str, str], *, seconds: float) -> Remote:
    url = table.url("base_url")
    if url is None:
        raise table.refusal("base_url", "is missing")
    key, unset = key_of(table, environ)
    return Remote(base_url=url, api_key=key, unset=unset, timeout_seconds=table.seconds("timeout_seconds", seconds))
