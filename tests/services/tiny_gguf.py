"""A GGUF file under 1 MB that any llama.cpp reads: random weights, so what it says is nonsense, but always the same nonsense."""

from __future__ import annotations

import pathlib
import string
from typing import Any

import gguf
import numpy as np

CONTEXT_TOKENS = 4096
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content | trim }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
BEGIN, END, TURN, TURN_END = "<s>", "</s>", "<|im_start|>", "<|im_end|>"

_WIDTH, _HEADS, _INNER, _LAYERS = 48, 4, 96, 2
_PULL = 1.2  # how much likelier than others the end of a turn is: some answers end by it, some by their limit
_WORDS = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "is",
    "was",
    "for",
    "that",
    "it",
    "on",
    "as",
    "with",
    "by",
    "at",
    "from",
    "are",
    "this",
    "be",
    "or",
    "an",
    "not",
    "which",
    "his",
    "her",
    "bridge",
    "river",
    "opened",
    "year",
    "metres",
    "source",
    "answer",
    "system",
    "user",
    "assistant",
    "question",
    "18",
    "19",
    "20",
]
_PIECES = ['{"', '":', '",', '"}', '"', ", ", '["', '"]', "true", "false", "null", "é", "ü", "—", "日", "🙂"]


def write(path: pathlib.Path, *, seed: int = 7, template: str | None = TEMPLATE) -> pathlib.Path:
    """Write the file; equal seeds give equal weights. `template` None leaves it out."""
    writer = gguf.GGUFWriter(path, "llama")
    tokens, scores, types = _vocabulary()
    writer.add_name(f"tiny-{seed}")
    writer.add_context_length(CONTEXT_TOKENS)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_INNER)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_rope_dimension_count(_WIDTH // _HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(tokens.index(BEGIN.encode()))
    writer.add_eos_token_id(tokens.index(END.encode()))
    writer.add_eot_token_id(tokens.index(TURN_END.encode()))
    writer.add_add_bos_token(value=True)
    writer.add_add_space_prefix(value=False)
    if template is not None:
        writer.add_chat_template(template)
    for name, weights in _weights(seed, len(tokens), tokens.index(TURN_END.encode())).items():
        writer.add_tensor(name, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _vocabulary() -> tuple[list[bytes], list[float], list[int]]:
    """Tokens, how gladly they are taken (the highest first), and their kinds."""
    kinds = gguf.TokenType
    rows: list[tuple[str, float, Any]] = [("<unk>", 0.0, kinds.UNKNOWN)]
    rows += [(mark, 0.0, kinds.CONTROL) for mark in (BEGIN, END, TURN, TURN_END)]
    rows += [(f"<0x{byte:02X}>", 0.0, kinds.BYTE) for byte in range(256)]
    words = [*(f"▁{word}" for word in _WORDS), *_PIECES]
    # Letters become a word by joining two pieces that are tokens, so its beginnings are tokens too.
    words = list(dict.fromkeys(word[:end] for word in words for end in range(len(word), 1, -1)))
    rows += [(word, -float(rank), kinds.NORMAL) for rank, word in enumerate(words)]
    rows += [(sign, -1000.0, kinds.NORMAL) for sign in ("▁", *string.ascii_letters, *string.digits, *".,:;-+{}[]()")]
    return [text.encode() for text, _, _ in rows], [score for _, score, _ in rows], [int(kind) for _, _, kind in rows]


def _weights(seed: int, size: int, end: int) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    random = np.random.default_rng(seed)

    def matrix(rows: int, columns: int, scale: float = 1.0) -> np.ndarray[Any, np.dtype[np.float32]]:
        drawn = random.standard_normal((rows, columns)) * scale / np.sqrt(columns)
        return np.asarray(drawn, dtype=np.float32)

    ones = np.ones(_WIDTH, dtype=np.float32)
    found = {"token_embd.weight": matrix(size, _WIDTH, 7.0), "output_norm.weight": ones}
    found["output.weight"] = matrix(size, _WIDTH, 8.0)  # far apart, so that rounding changes no choice
    found["output.weight"][end] *= _PULL
    for layer in range(_LAYERS):
        name = f"blk.{layer}."
        found |= {name + "attn_norm.weight": ones, name + "ffn_norm.weight": ones}
        found |= {f"{name}attn_{each}.weight": matrix(_WIDTH, _WIDTH, 3.0) for each in ("q", "k", "v", "output")}
        found |= {f"{name}ffn_{each}.weight": matrix(_INNER, _WIDTH, 2.0) for each in ("gate", "up")}
        found[name + "ffn_down.weight"] = matrix(_WIDTH, _INNER, 2.0)
    return found
