"""A BERT encoder as an OpenVINO graph, built from its weights: no torch, no converter.

Mean pooling and normalisation are inside. The ops are those that OpenVINO's CPU plugin fuses: matrix products with
constant weights, scaled dot-product attention, MVN, Gelu.
"""

from __future__ import annotations

import dataclasses
import json
import mmap
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from app.domain.errors import ConfigurationError
from app.inference import openvino_runtime

VERSION = 2  # raise it when the graph changes: what was measured or built of it is made anew

Weights = Mapping[str, npt.NDArray[np.float32]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BertShape:
    """What the weights' own shapes do not say."""

    layers: int
    heads: int
    epsilon: float  # of the layer norms

    @classmethod
    def read(cls, path: pathlib.Path) -> BertShape:
        """Of a `config.json`.

        Raises:
            ConfigurationError: not a BERT with Gelu and absolute positions.
        """
        config = json.loads(path.read_text(encoding="utf-8"))
        described = (
            config.get("model_type"),
            config.get("hidden_act"),
            config.get("position_embedding_type", "absolute"),
        )
        if described != ("bert", "gelu", "absolute"):
            raise ConfigurationError(f"{path} describes {described}, which this graph does not compute")
        return cls(
            layers=config["num_hidden_layers"], heads=config["num_attention_heads"], epsilon=config["layer_norm_eps"]
        )


class MappedWeights:
    """The float32 tensors of a safetensors file, mapped and not copied."""

    def __init__(self, path: pathlib.Path) -> None:
        with path.open("rb") as file:
            # Never written to, but OpenVINO shares only writable memory; "copy" is private to this process.
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        header_bytes = int.from_bytes(self._map[:8], "little")
        header = json.loads(self._map[8 : 8 + header_bytes])
        self.tensors: dict[str, npt.NDArray[np.float32]] = {}
        for name, tensor in header.items():
            if name == "__metadata__" or tensor["dtype"] != "F32":
                continue
            start, end = tensor["data_offsets"]
            flat = np.frombuffer(self._map, dtype="<f4", count=(end - start) // 4, offset=8 + header_bytes + start)
            self.tensors[name] = flat.reshape(tensor["shape"])

    def release_pages(self) -> None:
        """Let go of the pages that were read; one that is needed again is read again."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


class _Builder:
    """The pieces of the graph over one set of weights."""

    def __init__(self, weights: Weights, shape: BertShape, *, bytewise: bool) -> None:
        self.ops: Any = openvino_runtime.openvino().opset13
        self.weights = weights
        self.shape = shape
        self.bytewise = bytewise
        self.hidden = weights["embeddings.LayerNorm.weight"].shape[0]

    def ints(self, *values: int) -> Any:
        return self.ops.constant(np.array(values, dtype=np.int32))

    def scalar(self, value: float) -> Any:
        return self.ops.constant(np.float32(value))

    def weight(self, name: str) -> Any:
        return self.ops.constant(self.weights[name], shared_memory=True)

    def byte_weight(self, name: str) -> Any:
        """One signed byte a weight and one scale an output; the plugin multiplies bytes where the processor can."""
        exact = self.weights[name]
        scales = np.maximum(np.abs(exact).max(axis=1, keepdims=True) / 127, np.float32(1e-12))
        near = self.ops.constant(np.round(exact / scales).astype(np.int8))
        return self.ops.multiply(self.ops.convert(near, "f32"), self.ops.constant(scales))

    def row(self, name: str) -> Any:
        return self.ops.constant(self.weights[name].reshape(1, 1, -1))

    def linear(self, x: Any, name: str) -> Any:
        weight = self.byte_weight(f"{name}.weight") if self.bytewise else self.weight(f"{name}.weight")
        product = self.ops.matmul(x, weight, transpose_a=False, transpose_b=True)
        return self.ops.add(product, self.row(f"{name}.bias"))

    def layer_norm(self, x: Any, name: str) -> Any:
        centred = self.ops.mvn(
            x, self.ints(-1), normalize_variance=True, eps=self.shape.epsilon, eps_mode="inside_sqrt"
        )
        return self.ops.add(self.ops.multiply(centred, self.row(f"{name}.weight")), self.row(f"{name}.bias"))

    def embeddings(self, ids: Any, positions: Any) -> Any:
        """Words, positions and the first token type; one text is one segment."""
        places = (
            self.weights["embeddings.position_embeddings.weight"]
            + self.weights["embeddings.token_type_embeddings.weight"][0]
        )
        axis = self.ops.constant(np.int32(0))
        words = self.ops.gather(self.weight("embeddings.word_embeddings.weight"), ids, axis)
        placed = self.ops.unsqueeze(self.ops.gather(self.ops.constant(places), positions, axis), self.ints(0))
        return self.layer_norm(self.ops.add(words, placed), "embeddings.LayerNorm")

    def attention(self, x: Any, bias: Any, name: str) -> Any:
        heads, width = self.shape.heads, self.hidden // self.shape.heads

        def split(which: str) -> Any:
            """[texts, tokens, hidden] to [texts, heads, tokens, width]."""
            projected = self.linear(x, f"{name}.self.{which}")
            apart = self.ops.reshape(projected, self.ints(0, 0, heads, width), special_zero=True)
            return self.ops.transpose(apart, self.ints(0, 2, 1, 3))

        mixed = self.ops.scaled_dot_product_attention(split("query"), split("key"), split("value"), bias)
        together = self.ops.reshape(
            self.ops.transpose(mixed, self.ints(0, 2, 1, 3)), self.ints(0, 0, self.hidden), special_zero=True
        )
        return self.linear(together, f"{name}.output.dense")

    def layer(self, x: Any, bias: Any, name: str) -> Any:
        attended = self.ops.add(x, self.attention(x, bias, f"{name}.attention"))
        x = self.layer_norm(attended, f"{name}.attention.output.LayerNorm")
        wide = self.ops.gelu(self.linear(x, f"{name}.intermediate.dense"), "erf")
        return self.layer_norm(self.ops.add(x, self.linear(wide, f"{name}.output.dense")), f"{name}.output.LayerNorm")


def build(weights: Weights, shape: BertShape, *, bytewise: bool = False) -> Any:
    """The graph as an `openvino.Model`.

    Inputs, both int32: `ids` [texts, tokens], padded with anything; `lengths` [texts], the tokens that count.
    Output: unit vectors [texts, hidden], the normalised mean over the tokens that count. Dividing the sum by their
    number is left out, as normalisation undoes it.

    Args:
        weights: by their names in a BertModel's state; memory is shared, so it must outlive the graph.
        shape: of the model.
        bytewise: the weights of the layers' products as bytes, rounded here; their memory is not shared.

    Raises:
        ConfigurationError: a weight is missing.
    """
    try:
        return _graph(_Builder(weights, shape, bytewise=bytewise))
    except KeyError as error:
        raise ConfigurationError(f"the model's weights lack {error}") from error


def _graph(builder: _Builder) -> Any:
    ops = builder.ops
    ids = ops.parameter([-1, -1], np.int32, name="ids")
    lengths = ops.parameter([-1], np.int32, name="lengths")
    zero = ops.constant(np.int32(0))
    tokens = ops.gather(ops.shape_of(ids, output_type="i32"), ops.constant(np.int32(1)), zero)
    positions = ops.range(zero, tokens, ops.constant(np.int32(1)), output_type="i32")
    counts = ops.less(ops.unsqueeze(positions, builder.ints(0)), ops.unsqueeze(lengths, builder.ints(1)))
    bias = ops.unsqueeze(ops.select(counts, builder.scalar(0.0), builder.scalar(-1e9)), builder.ints(1, 2))
    x = builder.embeddings(ids, positions)
    for number in range(builder.shape.layers):
        x = builder.layer(x, bias, f"encoder.layer.{number}")
    masked = ops.multiply(x, ops.unsqueeze(ops.convert(counts, "f32"), builder.ints(2)))
    summed = ops.reduce_sum(masked, builder.ints(1), keep_dims=False)
    unit = ops.normalize_l2(summed, builder.ints(1), eps=1e-12, eps_mode="max")
    return openvino_runtime.openvino().Model([ops.result(unit)], [ids, lengths], "bert")


def inputs(batch: Sequence[Sequence[int]], *, multiple: int = 8) -> list[npt.NDArray[np.int32]]:
    """`ids` and `lengths` of a batch; rows are padded to a multiple, so that the graph sees few shapes."""
    longest = max(len(ids) for ids in batch)
    padded = np.zeros((len(batch), -(-longest // multiple) * multiple), dtype=np.int32)
    for row, ids in enumerate(batch):
        padded[row, : len(ids)] = ids
    return [padded, np.array([len(ids) for ids in batch], dtype=np.int32)]
