"""OpenVINO without its telemetry, and what this processor can compute."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import os
import pathlib
import platform
import sys
from typing import Any

from app.domain.errors import ConfigurationError


def openvino() -> Any:
    """The package, imported so that its telemetry is never loaded.

    `import openvino` imports `openvino_telemetry` where it can, which writes an id below the home folder and reports
    conversions to a server. A None in `sys.modules` makes that import fail, and the package takes its own stub.
    """
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None is how Python blocks one
    import openvino as package  # noqa: PLC0415 - a third of a second, only where a model is served
    import openvino.opset13  # noqa: PLC0415 - the operations that graphs are built of

    return package


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """What decides which numeric path is fastest."""

    name: str
    flags: frozenset[str]
    cores: int  # that this process may use
    bf16: bool  # computed by the hardware
    int8: bool  # dot products of bytes by the hardware; without them int8 is slower than f32

    @property
    def key(self) -> str:
        """Changes with processor, cores and OpenVINO's version."""
        described = [self.name, *sorted(self.flags), str(self.cores), importlib.metadata.version("openvino")]
        return hashlib.sha256("\n".join(described).encode()).hexdigest()[:16]


INT8_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"})


def processor(core: Any) -> Processor:
    """This machine's.

    Args:
        core: an `openvino.Core`.
    """
    name, flags = _described(pathlib.Path("/proc/cpuinfo"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return Processor(
        name=name, flags=flags, cores=cores, bf16="BF16" in capabilities, int8=not flags.isdisjoint(INT8_FLAGS)
    )


def _described(path: pathlib.Path) -> tuple[str, frozenset[str]]:
    """Model name and flags of the first core; a machine without that file is known by its kind alone."""
    name, flags = f"{platform.machine()} {platform.processor()}", frozenset[str]()
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n\n", 1)[0].splitlines()
    except OSError:
        return name, flags
    for line in lines:
        label, _, value = line.partition(":")
        if label.strip() == "model name":
            name = value.strip()
        elif label.strip() in ("flags", "Features"):
            flags = frozenset(value.split())
    return name, flags


def check_sha256(path: pathlib.Path, expected: str) -> None:
    """Hold a file to its hash.

    Raises:
        ConfigurationError: it is absent, or another one.
    """
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigurationError(f"the model file {path.name} can't be read: {error.strerror}") from error
    if found != expected:
        raise ConfigurationError(f"the model file {path} has sha256 {found}, not {expected}: install the package again")
