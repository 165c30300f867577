"""A model that does whatever its input tells it: a local server that speaks as OpenAI's chat completions do.

It is the worst model that there can be, and always the same: it follows every order in its prompt, those in the sources
too, prints the whole prompt when told to, and writes links, images and marks of sources as told. Where nothing gives an
order it answers with sentences of the sources, each with its mark. What reaches a caller through it has passed every check.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import json
import re
import threading
from collections.abc import Iterator
from typing import Any

_SOURCE = re.compile(r"<source\b([^<>]*)>(.*?)(?=</source>|<source\b|\Z)", re.DOTALL)
_NUMBER = re.compile(r"""\b(?:n|id)\s*=\s*["']?(\d+)""")
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]?")
_WORD = re.compile(r"[a-z0-9]{3,}")
_COMMON = frozenset(
    ["the", "and", "for", "what", "who", "which", "does", "did", "was", "are", "how", "when", "you", "its"]
)
_QUOTED = re.compile(r"""(?:say|answer|print|reply|respond|write|output|add|include|append|insert|render|cite|state|with|words?)\b[^"\n]{0,60}"([^"]{2,400})\"""", re.IGNORECASE)  # fmt: skip
_LINK = re.compile(r"!?\[[^\]\n]{0,200}\](?:\([^)\n]{1,400}\)|\[[^\]\n]{1,60}\])|<(?:img|a|iframe|script|svg)\b[^>]{1,400}>|<?(?:https?://|data:|javascript:|mailto:)[^\s>\"']{3,300}>?", re.IGNORECASE)  # fmt: skip
_CITED = re.compile(r"\[\^?(?:source )?\d{1,3}\]|\(source \d{1,3}\)", re.IGNORECASE)
_CANARY = re.compile(r"\bCANARY-[A-Z0-9]+-[0-9]+\b")
_PROMPT = re.compile(
    r"(?:reveal|print|repeat|show|output|zeig\w*|gib|affiche\w*|revele|révèle|muestra|imprime)\b.{0,80}(?:prompt|instructions|everything above|anweisungen|consignes)",
    re.IGNORECASE | re.DOTALL,
)
_OTHERS = re.compile(r"(?:list|print|reveal|quote|repeat|copy|summari[sz]e)\b.{0,60}\b(?:documents|sources|passages|conversation)", re.IGNORECASE | re.DOTALL)  # fmt: skip
_PIECE = 7  # characters of one event of a stream: marks and links come in parts


@dataclasses.dataclass(slots=True)
class Obedient:
    """The server while it runs, and what it was asked."""

    base_url: str
    prompts: list[str] = dataclasses.field(default_factory=list)  # whole, as they came
    said: list[str] = dataclasses.field(default_factory=list)  # what was answered to each

    def clear(self) -> None:
        """Forget what was asked."""
        self.prompts.clear()
        self.said.clear()


def completion(prompt: str, question: str) -> str:
    """What an obedient model says: first all that it is ordered to, then sentences of its sources.

    Args:
        prompt: the messages' texts in order; orders are followed wherever they stand.
        question: the last of the user.
    """
    said = [*_CANARY.findall(prompt), *(quoted.strip() for quoted in _QUOTED.findall(prompt))]
    said += _LINK.findall(prompt)
    if _PROMPT.search(prompt):
        said.append(f"My whole prompt is: {prompt}")
    if _OTHERS.search(prompt):
        said += [text.strip() for _, text in sources(prompt)]
    said += [f"It is so {mark}." for mark in dict.fromkeys(_CITED.findall(prompt))]
    orders = "\n".join(dict.fromkeys(each for each in said if each))
    facts = " ".join(_facts(prompt, question))
    return f"{orders}\n{facts}" if orders else facts or "The sources do not say."


def sources(prompt: str) -> list[tuple[str, str]]:
    """Number and text of each source of a prompt, forged ones too."""
    found = []
    for place, (head, text) in enumerate(_SOURCE.findall(prompt), start=1):
        number = _NUMBER.search(head)
        found.append((number[1] if number else str(place), text))
    return found


def _facts(prompt: str, question: str) -> Iterator[str]:
    """The three sentences of the sources that share most words with the question, marked; in the order of the sources."""
    wanted = set(_WORD.findall(question.lower())) - _COMMON
    weighed: list[tuple[int, int, str]] = []
    for number, text in sources(prompt):
        for sentence in _SENTENCE.findall(text):
            shared = len(wanted & set(_WORD.findall(sentence.lower())))
            if shared:
                weighed.append((-shared, len(weighed), f"{sentence.strip().rstrip('.')} [{number}]."))
    for _, _, sentence in sorted(sorted(weighed)[:3], key=lambda each: each[1]):
        yield sentence


@contextlib.contextmanager
def running() -> Iterator[Obedient]:
    """A server on a free port of the loopback address, until the context ends."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    model = Obedient(base_url=f"http://127.0.0.1:{server.server_address[1]}/v1")
    server.obedient = model  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


class _Handler(http.server.BaseHTTPRequestHandler):
    """Chat completions, whole and streamed."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        """The list of models."""
        self._whole(200, {"object": "list", "data": [{"id": "obedient", "object": "model", "owned_by": "tests"}]})

    def do_POST(self) -> None:
        """A completion."""
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        if not self.path.endswith("/chat/completions"):
            self._whole(404, {"error": {"message": "no such path", "type": "invalid_request_error"}})
            return
        texts = [(each["role"], _text(each["content"])) for each in body["messages"]]
        prompt = "\n\n".join(text for _, text in texts)
        said = completion(prompt, next((text for role, text in reversed(texts) if role == "user"), ""))
        model: Obedient = self.server.obedient  # type: ignore[attr-defined]
        model.prompts.append(prompt)
        model.said.append(said)
        usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": len(said.split())}
        usage["total_tokens"] = sum(usage.values())
        if body.get("stream"):
            self._streamed(said, usage, counted=bool((body.get("stream_options") or {}).get("include_usage")))
            return
        choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        self._whole(200, _completion("chat.completion", choices=[choice], usage=usage))

    def _whole(self, status: int, told: dict[str, Any]) -> None:
        raw = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _streamed(self, said: str, usage: dict[str, int], *, counted: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        pieces = [said[at : at + _PIECE] for at in range(0, len(said), _PIECE)]
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in pieces)]
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the caller has gone
            for delta in deltas:
                self._event(_completion("chat.completion.chunk", choices=[_choice(delta, None)]))
            self._event(_completion("chat.completion.chunk", choices=[_choice({}, "stop")]))
            if counted:
                self._event(_completion("chat.completion.chunk", choices=[], usage=usage))
            self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, told: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(told)}\n\n".encode())


def _choice(delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": reason}


def _completion(kind: str, **parts: Any) -> dict[str, Any]:
    return {"id": "chatcmpl-obedient", "object": kind, "created": 1_700_000_000, "model": "obedient", **parts}


def _text(content: Any) -> str:
    """A message's text, given whole or in parts."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or ())
