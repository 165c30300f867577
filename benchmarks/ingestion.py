"""Ingestion end to end, beside a plain pipeline and beside the embedder alone, in turns.

    python -m benchmarks.ingestion [--quick | --full] [--documents 600] [--files 3] [--rounds 2]

In each round, on the same sample: Footnote (`footnote serve` on a fresh folder, `footnote ingest`), the embedder alone on
the chunks which that made (`benchmarks.alone`), the plain pipeline (`benchmarks.plain`). Ratios are taken round by round.

Footnote's time is the one that `footnote ingest` reports: from looking for files, before the first byte is sent, to the
final state of the last job as the command saw it. The service was started and ready before, its model converted by an
earlier start (a warm cache). The plain pipeline's time likewise leaves out imports and the loading of its model.
Footnote also does what the plain one does not: BM25, a database, durable writes, versions.

Memory: the largest sum of resident sizes (RSS: pages that processes share count in each) of the service and its
children, sampled five times a second, and of proportional sizes (PSS), sampled once a second. The command's own memory
is given apart.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks import corpora, metrics, report
from benchmarks.report import ROOT
from benchmarks.service import BenchmarkError, serving, until_idle, with_warm_cache

_TIMEOUT_SECONDS = 7200.0
_WANTED = {"documents": 4.0, "pages": 5.0}  # times the plain pipeline
_WANTED_SHARE = 0.8  # of the embedder alone
_WANTED_RSS_MB = 1200.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What goes in, for both."""

    name: str
    unit: str  # what is counted: documents or pages
    ours: tuple[str | pathlib.Path, ...]  # arguments of `footnote ingest`
    plain: tuple[str | pathlib.Path, ...]  # arguments of `benchmarks.plain`


def main() -> None:
    """Measure, print, write."""
    parser = report.parser("ingestion", __doc__)
    parser.add_argument("--documents", "--limit", type=int, help="abstracts of SciFact in a round (default 600)")
    parser.add_argument("--files", type=int, help="filings in a round, the smallest first (default 3)")
    parser.add_argument("--rounds", type=int, help="default 2")
    parser.add_argument("--full", action="store_true", help="all abstracts and all filings, in one round")
    parser.add_argument("--only", choices=["scifact", "filings"])
    arguments = parser.parse_args()
    began = report.machine()
    report.heading("Ingestion", began)
    with tempfile.TemporaryDirectory(prefix="footnote-bench-") as made:
        work = pathlib.Path(made)
        cases = [
            _measured(sample, arguments, work)
            for sample in _samples(arguments, work)
            if arguments.only in (None, sample.name)
        ]
    _print(cases)
    results = {"quick": arguments.quick, "full": arguments.full, "samples": {case["name"]: case for case in cases}}
    report.write(arguments.out, "ingestion", began=began, results=results)


def _samples(arguments: argparse.Namespace, work: pathlib.Path) -> list[Sample]:
    number: int | None = arguments.documents or (60 if arguments.quick else 600)
    files: int | None = arguments.files or (1 if arguments.quick else 3)
    if arguments.full:
        number = files = None
    lines = work / "scifact.jsonl.gz"
    corpora.write_lines(lines, corpora.scifact_documents(arguments.data)[:number])
    corpora.copy_filings(arguments.data, work / "filings", number=files)
    return [
        Sample(name="scifact", unit="documents", ours=(lines, *corpora.SCIFACT_MAP), plain=("--lines", lines)),
        Sample(name="filings", unit="pages", ours=(work / "filings",), plain=("--folder", work / "filings")),
    ]


def _measured(sample: Sample, arguments: argparse.Namespace, work: pathlib.Path) -> dict[str, Any]:
    number = arguments.rounds or (1 if arguments.quick or arguments.full else 2)
    rounds: list[dict[str, Any]] = []
    for each in range(number):
        folder = work / f"{sample.name}-{each}"
        ours = _footnote(sample, folder, work / "cache")
        alone = _json_of("benchmarks.alone", "--data-dir", folder, "--collection", sample.name)
        plain = _json_of("benchmarks.plain", *sample.plain, "--store", work / "plain-store")
        shutil.rmtree(work / "plain-store")
        shutil.rmtree(folder)
        rounds.append({"footnote": ours, "alone": alone, "plain": plain})
        print(
            f"  {sample.name}, round {each + 1} of {number}: {ours['seconds']:.1f} s, plain {plain['seconds']:.1f} s",
            flush=True,
        )
    count = rounds[0]["plain"][sample.unit]
    ours_rates = [count / each["footnote"]["seconds"] for each in rounds]
    plain_rates = [count / each["plain"]["seconds"] for each in rounds]
    shares = [each["alone"]["seconds"] / each["footnote"]["seconds"] for each in rounds]
    return {
        "name": sample.name,
        "unit": sample.unit,
        "count": count,
        "chunks": {"footnote": rounds[0]["alone"]["chunks"], "plain": rounds[0]["plain"]["chunks"]},
        "median": {
            "footnote_per_second": metrics.median(ours_rates),
            "plain_per_second": metrics.median(plain_rates),
            "times_plain": metrics.median(metrics.ratios(ours_rates, plain_rates)),
            "share_of_embedder": metrics.median(shares),
        },
        "peak": {
            "footnote_rss_mb": max(each["footnote"]["peak"]["rss_mb"] for each in rounds),
            "footnote_pss_mb": max(each["footnote"]["peak"]["pss_mb"] for each in rounds),
            "command_rss_mb": max(each["footnote"]["command_rss_mb"] for each in rounds),
            "plain_rss_mb": max(each["plain"]["rss_mb"] for each in rounds),
        },
        "rounds": rounds,
    }


def _footnote(sample: Sample, folder: pathlib.Path, cache: pathlib.Path) -> dict[str, Any]:
    with_warm_cache(folder, cache)
    with serving(folder) as service:
        ingested = service.ingest(*sample.ours, collection=sample.name, timeout=_TIMEOUT_SECONDS)
        if ingested.exit_code:
            raise BenchmarkError(f"{sample.name}: not all went in: {ingested.summary}")
        began = time.perf_counter()
        with service.client() as client:
            until_idle(client)
        late = time.perf_counter() - began
    return {
        "seconds": ingested.seconds,
        "command_seconds": ingested.command_seconds,
        "idle_after_seconds": late,
        "documents": ingested.summary["documents"],
        "peak": ingested.peak.rounded(),
        "command_rss_mb": ingested.client_rss_mb,
    }


def _json_of(module: str, *arguments: str | pathlib.Path) -> dict[str, Any]:
    """The last line that a module of ours prints, run as a process of its own."""
    ended = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=_TIMEOUT_SECONDS,
    )
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def _print(cases: list[dict[str, Any]]) -> None:
    rows = []
    for case in cases:
        middle, peak = case["median"], case["peak"]
        rows.append(
            [
                f"{case['name']}, {case['count']} {case['unit']}",
                middle["footnote_per_second"],
                middle["plain_per_second"],
                middle["times_plain"],
                report.verdict(middle["times_plain"] >= _WANTED[case["unit"]]),
                middle["share_of_embedder"],
                report.verdict(middle["share_of_embedder"] >= _WANTED_SHARE),
                peak["footnote_rss_mb"],
                peak["footnote_pss_mb"],
                report.verdict(peak["footnote_rss_mb"] < _WANTED_RSS_MB),
                peak["plain_rss_mb"],
            ]
        )
    print(
        f"\nwanted: documents {_WANTED['documents']} and pages {_WANTED['pages']} times the plain pipeline, {_WANTED_SHARE} of the"
    )
    print(f"embedder alone, {_WANTED_RSS_MB:.0f} MB; medians of rounds, largest peaks; warm model cache")
    names = ["sample", "ours/s", "plain/s", "times", "", "of embedder", "", "RSS MB", "PSS MB", "", "plain RSS MB"]
    report.table(names, rows)


if __name__ == "__main__":
    main()
