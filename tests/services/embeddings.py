"""A server on this machine that speaks /embeddings (by the hashing embedder) and /rerank (it counts words), or misbehaves."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

from app.inference.batcher import Kind
from app.inference.hashing_embedder import HashingEncoder


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """What is answered in place of the truth."""

    status: int = 200
    body: bytes = b"{}"
    cut: bool = False  # the connection ends in the middle
    drip_seconds: float = 0.0  # between any two bytes


@dataclasses.dataclass
class Embeddings:
    """What runs: where, what it was asked, and what it is to answer from now on."""

    url: str
    dimensions: int = 16
    answer: Answer | None = None
    requests: list[tuple[dict[str, str], Any]] = dataclasses.field(default_factory=list)


@contextlib.contextmanager
def served(*, dimensions: int = 16) -> Iterator[Embeddings]:
    """The server, until the block ends."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as listening:
        listening.daemon_threads = True
        running = Embeddings(url=f"http://127.0.0.1:{listening.server_address[1]}", dimensions=dimensions)
        listening.running = running  # type: ignore[attr-defined]  # for the handler
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield running
        finally:
            listening.shutdown()
            thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        running: Embeddings = self.server.running  # type: ignore[attr-defined]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        running.requests.append((dict(self.headers), body))
        answer = running.answer
        if answer is None:
            right = _embedded(body, running.dimensions) if self.path.endswith("/embeddings") else _ranked(body)
            answer = Answer(body=json.dumps(right).encode())
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(answer.body) + (10 if answer.cut or answer.drip_seconds else 0)))
        self.end_headers()
        self.wfile.write(answer.body)
        for _ in range(10 if answer.drip_seconds else 0):
            time.sleep(answer.drip_seconds)
            with contextlib.suppress(OSError):
                self.wfile.write(b" ")
                self.wfile.flush()
        self.close_connection = answer.cut

    def log_message(self, *_: object) -> None:
        """Nothing."""


def _embedded(body: Any, dimensions: int) -> Any:
    encoder = HashingEncoder(dimensions=dimensions)
    rows = encoder.encode(Kind.PASSAGE, encoder.prepare(body["input"]))
    data = [{"index": number, "embedding": (row * 3).tolist()} for number, row in enumerate(rows)]
    return {"data": data[::-1], "model": body["model"]}  # not in order: the index counts


def _ranked(body: Any) -> Any:
    texts = body.get("texts") or body["documents"]
    counted = [(number, float(text.split().count(body["query"]))) for number, text in enumerate(texts)]
    counted.sort(key=lambda each: -each[1])
    if "texts" in body:
        return [{"index": number, "score": score} for number, score in counted]
    return {"results": [{"index": number, "relevance_score": score} for number, score in counted]}
