"""What a provider's failure means: by status, by the codes in its body and by class, never by its prose.

| what came | error |
|---|---|
| 401, 403; Google's `API_KEY_INVALID`; no credentials at all | ModelRefusedError `model_unauthorized` |
| 404 | ModelRefusedError `model_not_found` |
| 413, LangChain's ContextOverflowError | ModelRefusedError `context_too_long` |
| 429, and the same said in mid-stream | ModelBusyError |
| 408 | ModelTimeoutError |
| any other 3xx or 4xx | ModelRefusedError `model_refused` |
| 5xx, Anthropic's 529 (all of its customers at once, so waiting is no remedy that it can promise), a cut, nonsense | ModelDownError |

Messages name the model, the host, the status and the provider's short code: never a key, the prompt or a text of the
provider's, which may quote both. For the same reason nothing is chained to what the vendor's library raised.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import email.utils
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from app.domain.errors import (
    FootnoteError,
    ModelBusyError,
    ModelDownError,
    ModelRefusedError,
    ModelTimeoutError,
)

_LONGEST_WAIT_SECONDS = 3600  # what a provider may ask for; more is taken for a mistake
_CODE = re.compile(r"[A-Za-z_.]{1,48}")  # no digits: a key has some
_LATE, _TOO_MANY = 408, 429
_REFUSALS = {401: "model_unauthorized", 403: "model_unauthorized", 404: "model_not_found", 413: "context_too_long"}
_BAD_KEY = frozenset({"api_key_invalid"})
_BUSY = frozenset({"rate_limit_error", "rate_limit_exceeded", "resource_exhausted", "throttlingexception"})
_FILTERED = frozenset({"content_filter", "content_policy_violation", "responsibleaipolicyviolation"})
# OpenAI, Anthropic, llama.cpp's server
_TOO_LONG = frozenset({"context_length_exceeded", "request_too_large", "exceed_context_size_error"})
_REFUSED = frozenset({"invalid_request_error", "validationexception", "invalid_argument"})
_NO_CREDENTIALS = frozenset(
    {"NoCredentialsError", "PartialCredentialsError", "NoAuthTokenError", "TokenRetrievalError"}
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is known of an HTTP reply that is no answer."""

    status: int
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    body: Any = None  # as JSON, where it is JSON


def is_filtered(reply: Reply | None) -> bool:
    """Whether a 400 says that the provider's filter stopped the prompt, as Azure OpenAI's does."""
    return reply is not None and not _FILTERED.isdisjoint(_codes(reply.body))


def classified(
    error: Exception | None, *, model: str, host: str, reply: Reply | None, asked: bool, answered: bool
) -> FootnoteError:
    """The error of ours that a failed call ends with.

    Args:
        error: what the library raised; None where the stream just ended.
        model: the provider's id of it.
        host: where it is.
        reply: the HTTP reply, where it came and is no success.
        asked: whether a request had been sent, or tried to be.
        answered: whether anything of an answer had come.
    """
    where = f"the model {model} at {host}"
    chain = tuple(_chain(error))
    inner = reply or next((found for each in chain if (found := _said(each))), None)
    if any(_is_overflow(each) for each in chain):
        return ModelRefusedError(f"{where} says that the prompt is too long for it", code="context_too_long")
    if any(type(each).__name__ in _NO_CREDENTIALS for each in chain):
        return ModelRefusedError(f"{where} was not asked: there are no credentials for it", code="model_unauthorized")
    if inner is not None:
        return _of_reply(inner, where)
    if error is None:
        return ModelDownError(f"{where} broke off before its end")
    name = type(error).__name__
    if isinstance(error, (ValueError, TypeError)) and not asked:
        return ModelRefusedError(f"{where} was not asked: its library does not take the request ({name})")
    how = "broke off or sent what is no answer" if answered else "can't be reached or does not answer"
    return ModelDownError(f"{where} {how} ({name})")


def _of_reply(reply: Reply, where: str) -> FootnoteError:
    codes = _codes(reply.body)
    shown = next((f" ({each})" for each in codes if _CODE.fullmatch(each)), "")
    is_stream = reply.status < 300  # noqa: PLR2004 - it began well, and failed in the middle
    said = f"{where} broke off{shown}" if is_stream else f"{where} answered {reply.status}{shown}"
    if reply.status == _TOO_MANY or (is_stream and not _BUSY.isdisjoint(codes)):
        return ModelBusyError(said, retry_after_seconds=retry_after(reply))
    if reply.status == _LATE:
        return ModelTimeoutError(said)
    if reply.status >= 500 or (is_stream and _REFUSED.isdisjoint(codes)):  # noqa: PLR2004
        return ModelDownError(said)
    code = _REFUSALS.get(reply.status, "model_refused")
    if not _BAD_KEY.isdisjoint(codes):
        code = "model_unauthorized"
    elif not _TOO_LONG.isdisjoint(codes):
        code = "context_too_long"
    return ModelRefusedError(said, code=code)


def retry_after(reply: Reply) -> int:
    """Whole seconds after which the provider may be asked again: at least 1, which also stands for what it did not say."""
    headers = {name.lower(): value for name, value in reply.headers.items()}
    for name, unit in (("retry-after-ms", 1000), ("x-ms-retry-after-ms", 1000), ("retry-after", 1)):
        if (seconds := _number(headers.get(name), unit)) is not None:
            return _bounded(seconds)
    if (when := _date(headers.get("retry-after"))) is not None:
        return _bounded((when - dt.datetime.now(dt.UTC)).total_seconds())
    for detail in _details(reply.body):
        delay = detail.get("retryDelay")  # google.rpc.RetryInfo, as "13s"
        if isinstance(delay, str) and (seconds := _number(delay.removesuffix("s"), 1)) is not None:
            return _bounded(seconds)
    return 1


def parsed(body: bytes) -> Any:
    """A body as JSON; None where it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _bounded(seconds: float) -> int:
    return max(1, min(math.ceil(seconds), _LONGEST_WAIT_SECONDS))


def _number(value: str | None, unit: int) -> float | None:
    try:
        number = float(value or "") / unit
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _date(value: str | None) -> dt.datetime | None:
    try:
        when = email.utils.parsedate_to_datetime(value or "")
    except (ValueError, TypeError, OverflowError):
        return None
    return when if when.tzinfo else when.replace(tzinfo=dt.UTC)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_overflow(error: BaseException) -> bool:
    from langchain_core.exceptions import ContextOverflowError  # noqa: PLC0415 - loaded by whoever raised

    return isinstance(error, ContextOverflowError)


def _said(error: BaseException) -> Reply | None:
    """What an SDK's error holds of the reply: botocore's `response`, `body` of OpenAI's and Anthropic's, Google's `details`."""
    held = getattr(error, "response", None)
    if isinstance(held, Mapping):  # botocore
        meta = held.get("ResponseMetadata") or {}
        return Reply(
            status=int(meta.get("HTTPStatusCode") or 200),
            headers=meta.get("HTTPHeaders") or {},
            body={"error": {"code": (held.get("Error") or {}).get("Code")}},
        )
    for name in ("body", "details"):
        body = getattr(error, name, None)
        if isinstance(body, Mapping):
            code = getattr(error, "code", None)
            status = code if isinstance(code, int) and not isinstance(code, bool) else 200
            return Reply(status=status, body=body)
    return None


def _details(body: Any) -> Iterator[Mapping[str, Any]]:
    """Google's details of an error."""
    if isinstance(body, list) and body:
        body = body[0]
    error = body.get("error") if isinstance(body, Mapping) else None
    details = error.get("details") if isinstance(error, Mapping) else None
    for each in details if isinstance(details, list) else ():
        if isinstance(each, Mapping):
            yield each


def _codes(body: Any) -> tuple[str, ...]:
    """The short codes that a body names its error by, in small letters, the outermost first."""
    if isinstance(body, list) and body:
        body = body[0]
    found: list[Any] = []
    while isinstance(body, Mapping):
        error = body.get("error")
        if not isinstance(error, Mapping):
            found += [body.get("code"), body.get("type"), body.get("status"), body.get("__type")]
            inner = body.get("innererror")  # Azure's
            body = inner if isinstance(inner, Mapping) else None
        else:
            found += [each.get("reason") for each in _details(body)]
            body = error
    return tuple(each.lower() for each in found if isinstance(each, str) and each != "error")
