"""A stand-in for a model's server, as a process: OpenAI's chat completions, said from the sources of the prompt.

    python -m benchmarks.upstream PORT

`instant` says all at once; `slow-S-R` takes S seconds, R pieces a second; `silent` says nothing for 30 s; `cut` breaks off in
the middle; `down` answers 500. `GET /times` tells when the last piece of each sentence was sent, time.monotonic(), by question.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
import re
import sys
import time
from typing import Any

_SOURCE = re.compile(r'<source n="(\d+)"[^>]*>\n(.*?)\n</source>', re.DOTALL)
_QUESTION = re.compile(r"<question>\n(.*?)\n</question>", re.DOTALL)
_SENTENCE = re.compile(r"[A-Z][^.!?\n]{40,300}[.!?](?=\s|$)")
_MOST_SENTENCES = 12
_SILENCE_SECONDS = 30.0

times: dict[str, list[tuple[str, float]]] = {}
open_calls = 0


def said(prompt: str) -> list[str]:
    """Sentences of the sources, each with its mark."""
    found = [
        f"{sentence[:-1]} [{number}]."
        for number, text in _SOURCE.findall(prompt)
        for sentence in _SENTENCE.findall(html.unescape(text))[:2]
    ]
    return found[:_MOST_SENTENCES] or ["NOT IN THE SOURCES"]


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, kept for as many requests as come."""
    global open_calls  # noqa: PLW0603 - of the process
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while head := await reader.readuntil(b"\r\n\r\n"):
            line, *fields = head.decode().split("\r\n")
            length = next((int(each.split(":")[1]) for each in fields if each.lower().startswith("content-length")), 0)
            body = await reader.readexactly(length) if length else b""
            if line.startswith("GET"):
                _reply(writer, 200, {"times": times, "open": open_calls})
                continue
            open_calls += 1
            try:
                await _answer(writer, json.loads(body))
            finally:
                open_calls -= 1
    writer.close()


async def _answer(writer: asyncio.StreamWriter, request: dict[str, Any]) -> None:
    model, prompt = request["model"], request["messages"][-1]["content"]
    if model == "down":
        _reply(writer, 500, {"error": {"message": "down", "type": "server_error"}})
        return
    if model == "silent":
        await asyncio.sleep(_SILENCE_SECONDS)
    sentences = said(prompt if isinstance(prompt, str) else prompt[0]["text"])
    asked = _QUESTION.search(prompt)
    noted = times.setdefault(asked[1] if asked else "", [])
    noted.clear()
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    writer.write(head.encode())
    pieces = [(piece, sentence) for sentence in sentences for piece in _pieces(sentence)]
    pause = 0.0
    if model.startswith("slow"):
        _, seconds, rate = model.split("-")
        pause = 1 / float(rate)
        wanted = int(float(seconds) * float(rate))
        pieces = (pieces * (wanted // len(pieces) + 1))[:wanted]
    due = time.monotonic()
    for number, (piece, sentence) in enumerate(pieces):
        if model == "cut" and number == len(pieces) // 2:
            writer.transport.abort()
            return
        _event(writer, {"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]})
        if piece.endswith(". "):
            noted.append((sentence, time.monotonic()))
        if pause:
            due += pause
            await writer.drain()
            await asyncio.sleep(max(0.0, due - time.monotonic()))
    _event(writer, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    usage = {"prompt_tokens": len(prompt) // 4, "completion_tokens": len(pieces), "total_tokens": 0}
    _event(writer, {"choices": [], "usage": usage})
    writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
    await writer.drain()


def _pieces(sentence: str) -> list[str]:
    """About as a tokenizer cuts it: words."""
    return [f"{word} " for word in sentence.split(" ")]


def _event(writer: asyncio.StreamWriter, value: dict[str, Any]) -> None:
    common = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "fake"}
    data = f"data: {json.dumps(common | value)}\n\n".encode()
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def _reply(writer: asyncio.StreamWriter, status: int, value: dict[str, Any]) -> None:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)


async def main() -> None:
    """Serve until ended."""
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=1024, limit=4 * 1024 * 1024)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
