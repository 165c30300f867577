"""What every benchmark shares: its arguments, facts of the machine, the table for people and the JSON for machines."""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.metadata
import json
import os
import pathlib
import platform
from collections.abc import Mapping, Sequence
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
RESULTS = ROOT / "benchmarks" / "results"

_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "amx_tile")
_PACKAGES = ("openvino", "qdrant-edge-py", "tokenizers", "numpy", "sqlalchemy", "uvicorn", "pypdfium2")
_PLAIN_PACKAGES = ("torch", "sentence-transformers", "qdrant-client", "langchain-text-splitters", "pypdf")


def parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """With the arguments that every benchmark takes."""
    made = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--data", type=pathlib.Path, default=DATA, help="the folder of scifact, squad, filings, awkward")
    made.add_argument("--out", type=pathlib.Path, default=RESULTS / f"{name}.json", help="where the JSON goes")
    made.add_argument("--quick", action="store_true", help="small samples: says that it runs, not how well")
    return made


def machine() -> dict[str, Any]:
    """Facts without which a figure means nothing."""
    said = _cpuinfo()
    flags = set(said.get("flags", "").split())
    return {
        "cpu": said.get("model name", platform.processor() or "unknown"),
        "flags": [flag for flag in _FLAGS if flag in flags],
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_mb": _memory_mb(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": _versions(_PACKAGES),
        "plain_packages": _versions(_PLAIN_PACKAGES),
    }


def write(path: pathlib.Path, name: str, *, began: Mapping[str, Any], results: Mapping[str, Any]) -> None:
    """Write a benchmark's JSON: `machine` as it was at the start, and the load of the machine at the end.

    A load average well above what the benchmark itself makes says that the figures were taken on a busy machine.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "benchmark": name,
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": {**began, "load_average_at_end": [round(load, 2) for load in os.getloadavg()]},
        **results,
    }
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"written: {path}")


def heading(text: str, facts: Mapping[str, Any]) -> None:
    """The line above a table: what, and on what."""
    flags = " ".join(facts["flags"]) or "none of AVX2, AVX-512, AMX"
    print(f"\n{text}\n{facts['cpu']} ({flags}), {facts['cores']} cores, load {facts['load_average'][0]}")


def table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns; numbers to the right."""
    cells = [[_cell(each) for each in row] for row in rows]
    widths = [max(len(row[at]) for row in [list(names), *cells]) for at in range(len(names))]
    right = [all(isinstance(row[at], int | float | None) for row in rows) for at in range(len(names))]
    for row in [list(names), ["-" * width for width in widths], *cells]:
        padded = (
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        )
        print("  ".join(padded).rstrip())


def verdict(held: bool | None) -> str:  # noqa: FBT001 - reads as a question in a table
    """For a table."""
    return {True: "holds", False: "DOES NOT HOLD", None: "-"}[held]


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 1 else f"{value:.2f}"
    return str(value)


def _cpuinfo() -> dict[str, str]:
    """Of the first processor; empty where the system does not say."""
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {}
    first = text.split("\n\n", maxsplit=1)[0]
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def _memory_mb() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20


def _versions(names: Sequence[str]) -> dict[str, str]:
    known: dict[str, str] = {}
    for name in names:
        try:
            known[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            known[name] = "absent"
    return known
