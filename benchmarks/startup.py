"""From the start of the process to the first 200 of /health/ready and to the first search, on the first and later starts.

    python -m benchmarks.startup [--quick] [--starts 5] [--data-dir FOLDER]

Without --data-dir: a fresh folder, so the first start makes keys and tables and prepares the model, then abstracts of
SciFact go in and later starts open them. With it only later starts are measured, on a folder that exists and that no
service uses. Times begin when the process is made, with Python's own start in them. `processor seconds` is what the
process had used by its first search: where that is far below the time, others had the cores.
"""

from __future__ import annotations

import pathlib
import tempfile
import time
from typing import Any

from benchmarks import corpora, memory, metrics, report
from benchmarks.service import BenchmarkError, Service, search

_QUERY = "does vitamin D lower the risk of infection?"
_IDLE_SECONDS = 2.0
WANTED_READY_SECONDS = 3.0
WANTED_SEARCH_SECONDS = 4.0


def main() -> None:
    """Measure, print, write."""
    parser = report.parser("startup", __doc__)
    parser.add_argument("--starts", type=int, help="later starts (default 5)")
    parser.add_argument("--data-dir", type=pathlib.Path, help="a folder to start on, left as it is found")
    parser.add_argument(
        "--documents", "--limit", type=int, default=200, help="abstracts that are there at later starts"
    )
    arguments = parser.parse_args()
    number = arguments.starts or (2 if arguments.quick else 5)
    began = report.machine()
    report.heading("Start-up", began)
    first: dict[str, Any] | None = None
    with tempfile.TemporaryDirectory(prefix="footnote-bench-") as made:
        folder = arguments.data_dir
        if folder is None:
            folder = pathlib.Path(made) / "data"
            first = started(folder)
            _fill(folder, arguments.data, pathlib.Path(made), documents=arguments.documents)
        later = [started(folder) for _ in range(number)]
    print_table(first, later)
    results = {"quick": arguments.quick, "first": first, "later": later, "median": medians(later)}
    report.write(arguments.out, "startup", began=began, results=results)


def started(folder: pathlib.Path) -> dict[str, float]:
    """Start a service, search once, look at its memory, stop it."""
    began = time.perf_counter()
    service = Service(folder)
    try:
        ready_seconds = service.start()
        with service.client() as client:
            search(client, _QUERY)
            first_search_seconds = time.perf_counter() - began
            processor_seconds = memory.processor_seconds(service.pid)
            time.sleep(_IDLE_SECONDS)
            idle_rss_mb = memory.resident_mb(service.pid)
        stopping = time.perf_counter()
    finally:
        service.stop()
    if not service.ended_well:
        raise BenchmarkError(f"the service did not stop well:\n{service.tail()}")
    return {
        "ready_seconds": round(ready_seconds, 3),
        "first_search_seconds": round(first_search_seconds, 3),
        "processor_seconds": round(processor_seconds, 3),
        "idle_rss_mb": round(idle_rss_mb, 1),
        "stop_seconds": round(time.perf_counter() - stopping, 3),
    }


def medians(starts: list[dict[str, float]]) -> dict[str, float | None]:
    """Of each figure."""
    return {name: metrics.median([start[name] for start in starts]) for name in starts[0]}


def print_table(first: dict[str, Any] | None, later: list[dict[str, float]]) -> None:
    """For people."""
    rows = [["first", *first.values(), ""]] if first else []
    middle = medians(later)
    held = max(start["ready_seconds"] for start in later) <= WANTED_READY_SECONDS
    held = held and max(start["first_search_seconds"] for start in later) <= WANTED_SEARCH_SECONDS
    rows.append([f"later, median of {len(later)}", *middle.values(), report.verdict(held)])
    print(
        f"\nwanted of each later start: ready within {WANTED_READY_SECONDS} s, first search within {WANTED_SEARCH_SECONDS} s"
    )
    report.table(["start", *(name.replace("_", " ") for name in middle), ""], rows)


def _fill(folder: pathlib.Path, data: pathlib.Path, work: pathlib.Path, *, documents: int) -> None:
    lines = work / "scifact.jsonl.gz"
    corpora.write_lines(lines, corpora.scifact_documents(data)[:documents])
    service = Service(folder)
    try:
        service.start()
        service.ingest(lines, *corpora.SCIFACT_MAP, collection="scifact")
    finally:
        service.stop()


if __name__ == "__main__":
    main()
