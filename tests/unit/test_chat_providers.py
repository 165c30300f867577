"""What the way to remote models does without a server: codes, waits, schemas and events that are cut anywhere."""

from __future__ import annotations

import datetime as dt
import email.utils
import sys
from typing import Any

import pytest

from app.domain.errors import ConfigurationError, ModelBusyError, ModelDownError, ModelRefusedError
from app.inference.chat import langchain_errors, langchain_providers, openai_stream
from app.inference.chat.backend import Endpoint
from app.inference.chat.langchain_backend import open_backend
from app.inference.chat.langchain_errors import Reply


def waited(headers: dict[str, str], body: Any = None) -> int:
    return langchain_errors.retry_after(Reply(status=429, headers=headers, body=body))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 1),
        ({"Retry-After": "12"}, 12),
        ({"retry-after": "0.2"}, 1),
        ({"Retry-After": "20", "Retry-After-Ms": "1200"}, 2),
        ({"x-ms-retry-after-ms": "3000"}, 3),
        ({"Retry-After": "-5"}, 1),
        ({"Retry-After": "99999999999"}, 3600),
        ({"Retry-After": "nan"}, 1),
        ({"Retry-After": "inf"}, 1),
        ({"Retry-After": "soon"}, 1),
        ({"Retry-After": "Wed, 99 Foo 2015 07:28:00 GMT"}, 1),
    ],
)
def test_the_wait_is_what_the_provider_says_within_reason(headers: dict[str, str], seconds: int) -> None:
    assert waited(headers) == seconds


def test_the_wait_may_be_a_date() -> None:
    when = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=90)
    assert 80 < waited({"Retry-After": email.utils.format_datetime(when, usegmt=True)}) <= 90


@pytest.mark.parametrize("body", [None, [], "text", 5, {"error": []}, {"error": {"details": [1, {"retryDelay": 5}]}}])
def test_a_body_of_any_form_is_survived(body: Any) -> None:
    assert waited({}, body) == 1


def test_a_body_that_is_nested_without_end_is_no_json() -> None:
    assert langchain_errors.parsed(b"[" * 100_000) is None


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("rate_limit_error", ModelBusyError),
        ("overloaded_error", ModelDownError),
        ("invalid_argument", ModelRefusedError),
    ],
)
def test_an_error_in_mid_stream_is_told_by_its_code(code: str, kind: type[Exception]) -> None:
    error = openai_stream.StreamError({"error": {"code": code, "message": "rate limit"}})
    found = langchain_errors.classified(error, model="m", host="h", reply=None, asked=True, answered=True)
    assert type(found) is kind


def test_a_code_that_may_be_a_key_is_not_shown() -> None:
    reply = Reply(status=401, body={"error": {"code": "sk-1a2b3c", "type": "bad_key"}})
    found = langchain_errors.classified(None, model="m", host="h", reply=reply, asked=True, answered=False)
    assert found.message == "the model m at h answered 401 (bad_key)"


@pytest.mark.parametrize(
    ("schema", "is_strict"),
    [
        ({"type": "object", "properties": {}, "additionalProperties": False}, True),
        ({"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False}, True),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": False}, False),
        ({"type": "object", "properties": {"a": {}}, "required": ["a"]}, False),
        ({"type": "array", "items": {"type": "object"}}, False),
        ({"type": "array", "items": {"type": "string", "enum": [{"type": "object"}]}}, True),
    ],
)
def test_a_schema_is_strict_where_every_object_is_closed(schema: dict[str, Any], is_strict: bool) -> None:  # noqa: FBT001
    assert langchain_providers.is_strict(schema) is is_strict


def test_events_come_out_whole_wherever_their_bytes_are_cut() -> None:
    sent = b': ping\n\nevent: x\ndata: {"a":\ndata: "\xc3\xa9"}\r\n\r\ndata:[DONE]\n\n'
    for size in range(1, len(sent)):
        events = openai_stream._Events()
        parts = [sent[start : start + size] for start in range(0, len(sent), size)]
        found = [data for part in parts for data in events.feed(part)]
        assert found == [b'{"a":\n"\xc3\xa9"}', b"[DONE]"]


@pytest.mark.parametrize(
    "told",
    [
        {"prompt_tokens": "many"},
        {"prompt_tokens": 1e999},
        {"prompt_tokens_details": [1]},
        [3],
        {"completion_tokens": {}},
    ],
)
def test_a_count_that_is_none_costs_no_answer(told: Any) -> None:
    piece = openai_stream.Piece()
    openai_stream._add({"usage": told, "choices": [{"delta": {"content": "there"}}]}, piece)
    assert (piece.text, piece.usage is None or piece.usage.completion_tokens == 0) == ("there", True)


def test_an_event_without_end_is_given_up() -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - it says nothing: whoever catches it names the model
        list(openai_stream._Events().feed(b"x" * 1_000_001))


def test_a_missing_package_is_named_by_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain_mistralai", None)  # as Python notes that there is none
    with pytest.raises(ConfigurationError) as caught:
        open_backend(Endpoint(provider="mistral", model="m", api_key="k"))
    assert "pip install 'footnote[mistral]'" in caught.value.message


def test_what_may_be_secret_in_an_address_is_not_shown() -> None:
    given = Endpoint(provider="openai_compatible", model="m", base_url="http://me:secret@host:81/v1?key=secret")
    backend = open_backend(given)
    assert (backend._url, backend._host) == ("http://host:81/v1", "host:81")
    assert "secret" not in repr(Endpoint(provider="openai", model="m", api_key="secret"))
