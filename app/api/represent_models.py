"""Models as JSON, in the shapes of `schemas`."""

from __future__ import annotations

import dataclasses
from typing import Any

from app.bootstrap.models import Reloaded
from app.domain.errors import FootnoteError
from app.domain.models import EndpointState, ModelSpec, Price, Usage
from app.domain.ports import ChatModel

Json = dict[str, Any]
_TEXT_CHARS = 200  # of what a model says to a check


def model(each: ChatModel, *, operates: bool) -> Json:
    """A model and how it is doing; where it is called only for who `operates` the service."""
    spec, state = each.spec, each.state
    return {
        "name": spec.name,
        "provider": spec.provider,
        "model": spec.model if operates or not spec.local else None,  # a path of this machine
        "tier": spec.tier.value,
        "domains": list(spec.domains),
        "context_tokens": spec.context_tokens,
        "output_tokens": spec.output_tokens,
        "price": _price(spec.price),
        "structured": spec.structured,
        "local": spec.local,
        "available": state.available,
        "why_not": state.why_not,
        "in_flight": state.in_flight,
        "waiting": state.waiting,
        "endpoints": [_endpoint(endpoint, operates=operates) for endpoint in state.endpoints],
    }


def extractive() -> Json:
    """The answerer that is always there: sentences of the documents themselves."""
    return {
        "name": "extractive",
        "provider": "built-in",
        "model": None,
        "tier": "small",
        "domains": [],
        "context_tokens": None,
        "output_tokens": None,
        "price": _price(Price()),
        "structured": False,
        "local": True,
        "available": True,
        "why_not": None,
        "in_flight": 0,
        "waiting": 0,
        "endpoints": [],
    }


def reloaded(each: Reloaded) -> Json:
    """What reading the file anew has changed."""
    return {name: list(value) for name, value in dataclasses.asdict(each).items()}


def check(
    spec: ModelSpec,
    *,
    first_ms: float | None,
    total_ms: float,
    text: str,
    usage: Usage | None,
    error: FootnoteError | None,
) -> Json:
    """How a model did."""
    return {
        "name": spec.name,
        "ok": error is None,
        "first_token_ms": first_ms,
        "total_ms": total_ms,
        "text": text[:_TEXT_CHARS],
        "usage": None
        if usage is None
        else {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "cost_usd": spec.price.of(usage),
        },
        "error": None if error is None else {"code": error.code, "message": error.message},
    }


def _price(price: Price) -> Json:
    return {"input": price.input_usd, "output": price.output_usd, "cached_input": price.cached_input_usd}


def _endpoint(state: EndpointState, *, operates: bool) -> Json:
    return {
        "url": state.url if operates else None,
        "breaker": state.breaker,
        "in_flight": state.in_flight,
        "calls": state.calls,
        "failures": state.failures,
        "last_error": state.last_error if operates else None,
    }
