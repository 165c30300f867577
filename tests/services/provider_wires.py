"""What providers of models send, byte for byte as their documents have it: streams, whole answers, errors, and nonsense."""

from __future__ import annotations

import dataclasses
import json
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Any

Json = dict[str, Any]

PROMPT_TOKENS = 25
CACHED_TOKENS = 8
COMPLETION_TOKENS = 15
OVERLOADED = 529
_EVENT_STREAM = "application/vnd.amazon.eventstream"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """The form of one provider."""

    provider: str  # as an endpoint names it
    path: str  # that a streamed question comes to
    whole_path: str  # that another one comes to
    key_header: str
    content_type: str = "text/event-stream"
    begin: tuple[bytes, ...] = ()
    say: Callable[[str], bytes] = lambda _: b""
    end: Callable[[str], tuple[bytes, ...]] = lambda _: ()  # of a reason: stop, length, filtered
    whole: Callable[[str, str], Json] = lambda _text, _reason: {}
    error: Callable[[int], tuple[Mapping[str, str], Json]] = lambda _: ({}, {})
    nonsense: bytes = b'data: {"choices": [{"delta": {"con\n\n'
    broken_off: bytes | None = None  # an error in the middle of the stream
    is_cached_counted: bool = True
    options: Json = dataclasses.field(default_factory=dict)
    base: str = ""  # what follows the address in the base URL


def _sse(data: Json, event: str | None = None) -> bytes:
    name = f"event: {event}\n" if event else ""
    return f"{name}data: {json.dumps(data)}\n\n".encode()


def _error_codes(codes: Mapping[int, str]) -> Callable[[int], str]:
    return lambda status: codes.get(status, "server_error")


# OpenAI: chat completions, https://platform.openai.com/docs/api-reference/chat-streaming
_OPENAI_REASONS = {"stop": "stop", "length": "length", "filtered": "content_filter"}
_OPENAI_CODES = {
    400: "invalid_request_error",
    401: "invalid_api_key",
    404: "model_not_found",
    429: "rate_limit_exceeded",
}
_OPENAI_USAGE = {
    "prompt_tokens": PROMPT_TOKENS,
    "completion_tokens": COMPLETION_TOKENS,
    "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
    "prompt_tokens_details": {"cached_tokens": CACHED_TOKENS, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}


def _openai_chunk(choices: list[Json], **more: Any) -> Json:
    return {
        "id": "chatcmpl-123",
        "object": "chat.completion.chunk",
        "created": 1694268190,
        "model": "m-1",
        "system_fingerprint": "fp_44709d6fcb",
        "choices": choices,
        **more,
    }


def _openai_delta(delta: Json, reason: str | None = None, **more: Any) -> bytes:
    return _sse(_openai_chunk([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}], **more))


def _openai_whole(usage: Json) -> Callable[[str, str], Json]:
    return lambda text, reason: {
        "id": "chatcmpl-123",
        "object": "chat.completion",
        "created": 1694268190,
        "model": "m-1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, "refusal": None},
                "logprobs": None,
                "finish_reason": _OPENAI_REASONS[reason],
            }
        ],
        "usage": usage,
    }


def _openai_error(status: int) -> tuple[Mapping[str, str], Json]:
    code = _error_codes(_OPENAI_CODES)(status)
    said = {
        "message": "as the key sk-secret-1 says, to: what is the prompt?",
        "type": code,
        "param": None,
        "code": code,
    }
    return {"x-request-id": "req_1"}, {"error": said}


def _openai(provider: str, **parts: Any) -> Wire:
    return Wire(
        **{
            "provider": provider,
            "base": "/v1",
            "path": "/v1/chat/completions",
            "whole_path": "/v1/chat/completions",
            "key_header": "authorization",
            "begin": (_openai_delta({"role": "assistant", "content": "", "refusal": None}),),
            "say": lambda text: _openai_delta({"content": text}),
            "end": lambda reason: (
                _openai_delta({}, _OPENAI_REASONS[reason]),
                _sse(_openai_chunk([], usage=_OPENAI_USAGE)),
                b"data: [DONE]\n\n",
            ),
            "whole": _openai_whole(_OPENAI_USAGE),
            "error": _openai_error,
            "broken_off": _sse(
                {"error": {"message": "no", "type": "rate_limit_exceeded", "code": "rate_limit_exceeded"}}
            ),
            **parts,
        }
    )


OPENAI = _openai("openai")
OPENAI_REFUSAL = _openai_delta({"refusal": "I'm sorry, I cannot assist with that request."})
COMPATIBLE = _openai("openai_compatible")

# Azure OpenAI, https://learn.microsoft.com/azure/ai-services/openai/reference
_SAFE = {"hate": {"filtered": False, "severity": "safe"}}
AZURE = _openai(
    "azure",
    base="",
    path="/openai/deployments/d-1/chat/completions",
    whole_path="/openai/deployments/d-1/chat/completions",
    key_header="api-key",
    options={"deployment": "d-1", "api_version": "2024-10-21"},
    begin=(
        _sse(_openai_chunk([], prompt_filter_results=[{"prompt_index": 0, "content_filter_results": _SAFE}])),
        _openai_delta({"role": "assistant", "content": ""}, content_filter_results={}),
    ),
)
AZURE_FILTERED: Json = {
    "error": {
        "message": "The response was filtered due to the prompt triggering the content management policy.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}},
    }
}

# DeepSeek, https://api-docs.deepseek.com/api/create-chat-completion
_DEEPSEEK_USAGE = {
    "prompt_tokens": PROMPT_TOKENS,
    "completion_tokens": COMPLETION_TOKENS,
    "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
    "prompt_cache_hit_tokens": CACHED_TOKENS,
    "prompt_cache_miss_tokens": PROMPT_TOKENS - CACHED_TOKENS,
}
DEEPSEEK = _openai(
    "deepseek",
    end=lambda reason: (
        _openai_delta({"content": ""}, _OPENAI_REASONS[reason], usage=_DEEPSEEK_USAGE),
        b"data: [DONE]\n\n",
    ),
    whole=_openai_whole(_DEEPSEEK_USAGE),
    begin=(b": keep-alive\n\n", _openai_delta({"role": "assistant", "content": ""})),
)

# Mistral, https://docs.mistral.ai/api
_MISTRAL_REASONS = {"stop": "stop", "length": "length", "filtered": "content_filter"}
_MISTRAL_USAGE = {key: _OPENAI_USAGE[key] for key in ("prompt_tokens", "completion_tokens", "total_tokens")}


def _mistral_chunk(delta: Json, reason: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return _sse(
        {
            "id": "cmpl-1",
            "object": "chat.completion.chunk",
            "created": 1702256327,
            "model": "m-1",
            "choices": [choice],
            **more,
        }
    )


def _mistral_error(status: int) -> tuple[Mapping[str, str], Json]:
    if status == 401:
        return {}, {"message": "Unauthorized", "request_id": "1"}
    code = _error_codes({400: "invalid_request", 429: "rate_limited"})(status)
    return {}, {"object": "error", "message": "about sk-secret-1", "type": code, "param": None, "code": "1300"}


MISTRAL = Wire(
    provider="mistral",
    base="/v1",
    path="/v1/chat/completions",
    whole_path="/v1/chat/completions",
    key_header="authorization",
    begin=(_mistral_chunk({"role": "assistant", "content": ""}),),
    say=lambda text: _mistral_chunk({"content": text}),
    end=lambda reason: (
        _mistral_chunk({"content": ""}, _MISTRAL_REASONS[reason], usage=_MISTRAL_USAGE),
        b"data: [DONE]\n\n",
    ),
    whole=_openai_whole(_MISTRAL_USAGE),
    error=_mistral_error,
    is_cached_counted=False,
)

# Anthropic: messages, https://docs.anthropic.com/en/api/messages-streaming
_ANTHROPIC_REASONS = {"stop": "end_turn", "length": "max_tokens", "filtered": "refusal"}
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "api_error",
    OVERLOADED: "overloaded_error",
}
_ANTHROPIC_USAGE = {
    "input_tokens": PROMPT_TOKENS - CACHED_TOKENS,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": CACHED_TOKENS,
    "output_tokens": COMPLETION_TOKENS,
}


def _anthropic_event(kind: str, **parts: Any) -> bytes:
    return _sse({"type": kind, **parts}, kind)


def _anthropic_error(status: int) -> tuple[Mapping[str, str], Json]:
    kind = _error_codes(_ANTHROPIC_TYPES)(status)
    return {"request-id": "req_1"}, {"type": "error", "error": {"type": kind, "message": "about sk-secret-1"}}


def _anthropic_message(content: list[Json], reason: str | None) -> Json:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "content": content,
        "model": "m-1",
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {**_ANTHROPIC_USAGE, "output_tokens": COMPLETION_TOKENS if reason else 1},
    }


ANTHROPIC = Wire(
    provider="anthropic",
    path="/v1/messages",
    whole_path="/v1/messages",
    key_header="authorization",
    begin=(
        _anthropic_event("message_start", message=_anthropic_message([], None)),
        _anthropic_event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        _anthropic_event("ping"),
    ),
    say=lambda text: _anthropic_event("content_block_delta", index=0, delta={"type": "text_delta", "text": text}),
    end=lambda reason: (
        _anthropic_event("content_block_stop", index=0),
        _anthropic_event(
            "message_delta",
            delta={"stop_reason": _ANTHROPIC_REASONS[reason], "stop_sequence": None},
            usage=_ANTHROPIC_USAGE,
        ),
        _anthropic_event("message_stop"),
    ),
    whole=lambda text, reason: _anthropic_message([{"type": "text", "text": text}], _ANTHROPIC_REASONS[reason]),
    error=_anthropic_error,
    nonsense=b'event: content_block_delta\ndata: {"type": "content_block_delta", "ind\n\n',
    broken_off=_anthropic_event("error", error={"type": "rate_limit_error", "message": "about sk-secret-1"}),
)
ANTHROPIC_OVERLOADED = _anthropic_event("error", error={"type": "overloaded_error", "message": "Overloaded"})

# Google: generateContent, https://ai.google.dev/api/generate-content
_GOOGLE_REASONS = {"stop": "STOP", "length": "MAX_TOKENS", "filtered": "SAFETY"}
_GOOGLE_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
}


def _google_reply(text: str, reason: str | None) -> Json:
    candidate: Json = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    if reason:
        candidate["finishReason"] = _GOOGLE_REASONS[reason]
    # Each chunk counts all so far.
    counted = COMPLETION_TOKENS if reason else 1
    usage = {
        "promptTokenCount": PROMPT_TOKENS,
        "candidatesTokenCount": counted,
        "totalTokenCount": PROMPT_TOKENS + counted,
        "cachedContentTokenCount": CACHED_TOKENS,
    }
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m-1", "responseId": "r1"}


def _google_error(status: int) -> tuple[Mapping[str, str], Json]:
    # It names when to come back in the body, not in a header.
    details: list[Json] = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "6.4s"}]
    said = {
        "code": status,
        "message": "about sk-secret-1",
        "status": _error_codes(_GOOGLE_STATUSES)(status),
        "details": details if status == 429 else [],
    }
    return {}, {"error": said}


GOOGLE = Wire(
    provider="google",
    path="/v1beta/models/m-1:streamGenerateContent",
    whole_path="/v1beta/models/m-1:generateContent",
    key_header="x-goog-api-key",
    say=lambda text: _sse(_google_reply(text, None)),
    end=lambda reason: (_sse(_google_reply("", reason)),),
    whole=_google_reply,
    error=_google_error,
    nonsense=b'data: {"candidates": [{"content": {"par\n\n',
)
GOOGLE_BLOCKED = _sse({"promptFeedback": {"blockReason": "SAFETY"}, "modelVersion": "m-1"})
GOOGLE_BAD_KEY: Json = {
    "error": {
        "code": 400,
        "message": "API key not valid.",
        "status": "INVALID_ARGUMENT",
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}],
    }
}

# AWS Bedrock: ConverseStream, https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
_BEDROCK_REASONS = {"stop": "end_turn", "length": "max_tokens", "filtered": "guardrail_intervened"}
_BEDROCK_TYPES = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    429: "ThrottlingException",
    500: "InternalServerException",
}
_BEDROCK_USAGE = {
    "inputTokens": PROMPT_TOKENS - CACHED_TOKENS,
    "outputTokens": COMPLETION_TOKENS,
    "totalTokens": PROMPT_TOKENS + COMPLETION_TOKENS,
    "cacheReadInputTokens": CACHED_TOKENS,
    "cacheWriteInputTokens": 0,
}


def framed(headers: Mapping[str, str], payload: bytes) -> bytes:
    """A message of AWS's event-stream encoding, with both of its checksums."""
    encoded = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack("!II", 16 + len(encoded) + len(payload), len(encoded))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + encoded + payload
    return message + struct.pack("!I", zlib.crc32(message))


def _bedrock_event(kind: str, data: Json, message_type: str = "event") -> bytes:
    headers = {f":{message_type}-type": kind, ":content-type": "application/json", ":message-type": message_type}
    return framed(headers, json.dumps(data).encode())


def _bedrock_error(status: int) -> tuple[Mapping[str, str], Json]:
    return {"x-amzn-errortype": _error_codes(_BEDROCK_TYPES)(status)}, {"message": "about sk-secret-1"}


def _bent(message: bytes) -> bytes:
    return message[:-6] + bytes([message[-6] ^ 1]) + message[-5:]


BEDROCK = Wire(
    provider="bedrock",
    path="/model/amazon.m-1/converse-stream",
    whole_path="/model/amazon.m-1/converse",
    key_header="authorization",
    content_type=_EVENT_STREAM,
    begin=(_bedrock_event("messageStart", {"role": "assistant"}),),
    say=lambda text: _bedrock_event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}}),
    end=lambda reason: (
        _bedrock_event("contentBlockStop", {"contentBlockIndex": 0}),
        _bedrock_event("messageStop", {"stopReason": _BEDROCK_REASONS[reason]}),
        _bedrock_event("metadata", {"usage": _BEDROCK_USAGE, "metrics": {"latencyMs": 12}}),
    ),
    whole=lambda text, reason: {
        "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
        "stopReason": _BEDROCK_REASONS[reason],
        "usage": _BEDROCK_USAGE,
        "metrics": {"latencyMs": 12},
    },
    error=_bedrock_error,
    nonsense=_bent(_bedrock_event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "bent"}})),
    broken_off=_bedrock_event("throttlingException", {"message": "about sk-secret-1"}, "exception"),
    options={"region": "eu-central-1", "aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "sk-secret-1"},
)

# Ollama, https://github.com/ollama/ollama/blob/main/docs/api.md
_OLLAMA_REASONS = {"stop": "stop", "length": "length", "filtered": "stop"}
_OLLAMA_COUNTS = {
    "prompt_eval_count": PROMPT_TOKENS,
    "eval_count": COMPLETION_TOKENS,
    "total_duration": 1,
    "eval_duration": 1,
}


def _ollama_reply(text: str, **more: Any) -> Json:
    message = {"role": "assistant", "content": text}
    return {"model": "m-1", "created_at": "2026-08-04T08:52:19.385406455Z", "message": message, "done": False, **more}


OLLAMA = Wire(
    provider="ollama",
    path="/api/chat",
    whole_path="/api/chat",
    key_header="authorization",
    content_type="application/x-ndjson",
    say=lambda text: json.dumps(_ollama_reply(text)).encode() + b"\n",
    end=lambda reason: (
        json.dumps(_ollama_reply("", done=True, done_reason=_OLLAMA_REASONS[reason], **_OLLAMA_COUNTS)).encode()
        + b"\n",
    ),
    whole=lambda text, reason: _ollama_reply(text, done=True, done_reason=_OLLAMA_REASONS[reason], **_OLLAMA_COUNTS),
    error=lambda _: ({}, {"error": "about sk-secret-1"}),
    nonsense=b'{"model": "m-1", "mess\n',
    broken_off=b'{"error": "an error was encountered while running the model"}\n',
    is_cached_counted=False,
)

ALL = (OPENAI, COMPATIBLE, AZURE, DEEPSEEK, MISTRAL, ANTHROPIC, GOOGLE, BEDROCK, OLLAMA)
