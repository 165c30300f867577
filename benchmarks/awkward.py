"""Every file of the awkward folder goes in by `footnote ingest`: how each kind ended, and whether the service lived.

    python -m benchmarks.awkward [--quick] [--limit FILES]

Holds when every file has a final state, no process died, every failure has a code and a sentence, no job is unfinished,
no failed document has a hit, and no error's or warning's text is found by a search for it.
"""

from __future__ import annotations

import collections
import pathlib
import shutil
import tempfile
from collections.abc import Iterable
from typing import Any

import httpx

from benchmarks import metrics, report
from benchmarks.service import Ingested, Service, pages, search, serving, until_idle, with_warm_cache

FINAL = {"completed", "completed_with_warnings", "failed", "unchanged"}
_TIMEOUT_SECONDS = 3600.0


def main() -> None:
    """Measure, print, write."""
    parser = report.parser("awkward", __doc__)
    parser.add_argument("--limit", type=int, help="files, the smallest first")
    arguments = parser.parse_args()
    began = report.machine()
    report.heading("Awkward files", began)
    with tempfile.TemporaryDirectory(prefix="footnote-bench-") as made:
        work = pathlib.Path(made)
        files = _copied(
            arguments.data / "awkward", work / "awkward", limit=arguments.limit or (25 if arguments.quick else None)
        )
        with_warm_cache(work / "data", work / "cache")
        with serving(work / "data") as service:
            results = measured(service, work / "awkward", files)
    _print(results)
    report.write(arguments.out, "awkward", began=began, results={"quick": arguments.quick, **results})


def measured(service: Service, folder: pathlib.Path, files: list[str]) -> dict[str, Any]:
    """Ingest, then look at what became of everything."""
    pid = service.pid
    ingested = service.ingest(folder, collection="awkward", timeout=_TIMEOUT_SECONDS)
    with service.client() as client:
        until_idle(client)
        outcomes = {each["external_id"]: each for each in ingested.outcomes}
        jobs = list(pages(client, "/v1/jobs"))
        violations = {
            "without_a_final_state": sorted(set(files) - set(outcomes))
            + [name for name, each in outcomes.items() if each["state"] not in FINAL],
            "failed_without_code_or_sentence": [
                name for name, each in outcomes.items() if each["state"] == "failed" and not _explained(each)
            ],
            "unfinished_jobs": [job["id"] for job in jobs if job["finished_at"] is None],
            "searchable_though_failed": _failed_hits(client, outcomes),
            "searchable_messages": _messages_found(client, outcomes.values()),
            "service_died": [] if service.alive and service.pid == pid else [str(pid)],
            "errors_in_the_log": [
                line[:300]
                for line in service.tail(10**7).splitlines()
                if "unexpected_error" in line or "thread_error" in line
            ],
        }
    return {
        "files": len(files),
        "seconds": ingested.seconds,
        "peak": ingested.peak.rounded(),
        "by_kind": _by_kind(ingested),
        "violations": violations,
        "outcomes": sorted(ingested.outcomes, key=lambda each: str(each["external_id"])),
    }


def _copied(source: pathlib.Path, target: pathlib.Path, *, limit: int | None) -> list[str]:
    """Copy the files, the smallest ones where there is a limit; gives their paths below the folder."""
    files = [path for path in source.rglob("*") if path.is_file()]
    hidden = [path for path in files if any(part.startswith(".") for part in path.relative_to(source).parts)]
    files = sorted(set(files) - set(hidden), key=lambda path: (path.stat().st_size, str(path)))[:limit]
    for path in files:
        to = target / path.relative_to(source)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)
    return [path.relative_to(source).as_posix() for path in files]


def _explained(outcome: dict[str, Any]) -> bool:
    error = outcome.get("error") or {}
    return bool(error.get("code")) and " " in str(error.get("message", "")).strip()


def _messages(outcomes: Iterable[dict[str, Any]]) -> set[str]:
    found: set[str] = set()
    for each in outcomes:
        found |= {str(warning["message"]) for warning in each.get("warnings", []) if warning.get("message")}
        if message := (each.get("error") or {}).get("message"):
            found.add(str(message))
    return found


def _messages_found(client: httpx.Client, outcomes: Iterable[dict[str, Any]]) -> list[str]:
    """Messages of errors and warnings that a search finds as a document's text."""
    found = []
    for message in sorted(_messages(outcomes)):
        for mode in ("sparse", "dense"):
            hits = search(client, message[:1000], collections=["awkward"], mode=mode, limit=10)
            if metrics.holds([f"{hit['title']} {hit['text']}" for hit in hits], message):
                found.append(message)
    return found


def _failed_hits(client: httpx.Client, outcomes: dict[str, dict[str, Any]]) -> list[str]:
    """Failed documents that a search for their name shows, or that hold a passage."""
    failed = {name for name, each in outcomes.items() if each["state"] == "failed"}
    shown = {
        hit["external_id"]
        for name in sorted(failed)
        for hit in search(client, name, collections=["awkward"], limit=50)
        if hit["external_id"] in failed
    }
    for document in pages(client, "/v1/documents", collection="awkward"):
        if document["external_id"] in failed and document["live_version_id"] is not None:
            shown.add(document["external_id"])
    return sorted(shown)


def _by_kind(ingested: Ingested) -> list[dict[str, Any]]:
    """Counts by the end of the name, state and code."""
    counts: collections.Counter[tuple[str, str, str]] = collections.Counter()
    for each in ingested.outcomes:
        codes = {warning["code"] for warning in each.get("warnings", [])}
        code = (each.get("error") or {}).get("code") or " ".join(sorted(codes))
        counts[pathlib.PurePath(each["external_id"]).suffix.lower() or "(none)", each["state"], code] += 1
    return [
        {"kind": kind, "state": state, "code": code, "files": number}
        for (kind, state, code), number in sorted(counts.items())
    ]


def _print(results: dict[str, Any]) -> None:
    print(f"\n{results['files']} files in {results['seconds']:.1f} s, peak RSS {results['peak']['rss_mb']:.0f} MB")
    report.table(["kind", "state", "code", "files"], [list(row.values()) for row in results["by_kind"]])
    print()
    rows = [
        [name.replace("_", " "), len(found), "; ".join(found)[:100]] for name, found in results["violations"].items()
    ]
    report.table(["violation", "number", "which"], rows)


if __name__ == "__main__":
    main()
