"""Text that gives orders to a model, as documents and questions carry them."""

from __future__ import annotations

import re

_KINDS = {
    "override": r"\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:previous|prior|above|earlier|all|your)\b.{0,40}"
    r"\b(?:instructions?|prompts?|rules?|guidelines?|directions?)\b",
    "prompt": r"\b(?:reveal|print|repeat|show|output|tell)\b.{0,40}\b(?:system|hidden|initial|your)\b.{0,20}\b(?:prompt|instructions?)\b",
    "turn": r"(?:<\|?(?:im_start|im_end|system|assistant|endoftext)\|?>|\[/?INST\]|^\s*(?:system|assistant)\s*:)",
}
_PATTERNS = {name: re.compile(pattern, re.IGNORECASE | re.DOTALL | re.MULTILINE) for name, pattern in _KINDS.items()}


def found(text: str) -> tuple[str, ...]:
    """The kinds of orders that the text carries, each once; none where it only speaks."""
    return tuple(name for name, pattern in _PATTERNS.items() if pattern.search(text))
