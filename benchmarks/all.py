"""Every benchmark, one after the other, each a process of its own.

    python -m benchmarks.all [--data FOLDER] [--quick] [--full] [--only NAME ...] [--out FOLDER]

One that fails does not keep the others from running; the exit code is 1 then. With --quick all run on small samples:
that tells that they work, not how good anything is.
"""

from __future__ import annotations

import argparse
import pathlib
import subprocess
import sys
import time

from benchmarks import report

NAMES = (
    "embedder",
    "startup",
    "quality",
    "ingestion",
    "latency",
    "awkward",
    "concurrency",
    "freshness",
    "answers",
    "answer_latency",
    "answer_freshness",
    "model_latency",
    "long_conversation",
    "validation",
)
_TIMEOUT_SECONDS = 4 * 3600.0


def main() -> None:
    """Run them."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.all", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=pathlib.Path, default=report.DATA)
    parser.add_argument("--out", type=pathlib.Path, default=report.RESULTS, help="the folder of the JSON files")
    parser.add_argument("--quick", action="store_true", help="small samples")
    parser.add_argument("--full", action="store_true", help="ingestion with everything, not with samples")
    parser.add_argument("--only", nargs="+", choices=NAMES)
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        raise SystemExit(f"no folder {arguments.data}: name the one that holds scifact, squad, filings and awkward")
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows: list[list[object]] = []
    for name in NAMES:
        if arguments.only and name not in arguments.only:
            continue
        began = time.perf_counter()
        code = _run(command(name, arguments))
        rows.append([name, "done" if code == 0 else f"ended with {code}", round(time.perf_counter() - began, 1)])
    print()
    report.table(["benchmark", "", "seconds"], rows)
    raise SystemExit(int(any(row[1] != "done" for row in rows)))


def command(name: str, arguments: argparse.Namespace) -> list[str]:
    """How one is run."""
    out = (arguments.out / f"{name}.json").resolve()
    start = [sys.executable, "-m", f"benchmarks.{name}"]
    if name == "embedder":
        corpus = arguments.data.resolve() / "scifact" / "corpus.jsonl.gz"
        return [*start, "--corpus", str(corpus), "--json", str(out), *(["--limit", "40"] if arguments.quick else [])]
    start += ["--data", str(arguments.data.resolve()), "--out", str(out)]
    start += ["--quick"] if arguments.quick else []
    start += ["--full"] if arguments.full and name == "ingestion" else []
    return start


def _run(words: list[str]) -> int:
    """The exit code; 124 where it ran past all patience."""
    print(f"\n$ {' '.join(words[1:])}", flush=True)
    try:
        return subprocess.run(words, cwd=report.ROOT, check=False, timeout=_TIMEOUT_SECONDS).returncode
    except subprocess.TimeoutExpired:
        return 124


if __name__ == "__main__":
    main()
