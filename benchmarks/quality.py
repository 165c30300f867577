"""Retrieval quality on SciFact, SQuAD and the filings, with the same defaults for all, by each mode of search.

    python -m benchmarks.quality [--quick] [--only scifact squad filings] [--modes hybrid dense sparse]

Everything goes in by `footnote ingest` and is asked for by `POST /v1/search`.

SciFact: nDCG@10 and recall@100 over documents (`group=document`), as trec_eval computes them.
SQuAD: an article a file. Three figures over the answerable questions, each within the top 5 hits: `paragraph`, the gold
paragraph's whole text stands in one hit (white space apart); `paragraph or part`, a hit holds all of it or a part of it
of 100 characters or more, which is what a paragraph longer than a chunk can give; `answer`, one of the gold answers'
texts stands in a hit, wherever from.
Filings: a page with evidence is the page of one of the top 10 hits, in the right file, all filings in one collection.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import httpx

from benchmarks import corpora, metrics, report
from benchmarks.service import BenchmarkError, Ingested, Service, pages, search, serving, with_warm_cache

MODES = ("hybrid", "dense", "sparse")
SQUAD_HITS = 5
FILING_HITS = 10
_PART_CHARS = 100
_CLIENTS = 4  # figures do not depend on it

Question = TypeVar("Question")
Answer = TypeVar("Answer")


def main() -> None:
    """Measure, print, write."""
    parser = report.parser("quality", __doc__)
    parser.add_argument("--limit", type=int, help="questions of each collection, and a corpus to match")
    parser.add_argument("--only", nargs="+", choices=["scifact", "squad", "filings"])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--precision", default="auto", help="numeric path of the embedder: auto, f32, bf16 or int8")
    arguments = parser.parse_args()
    began = report.machine()
    report.heading("Retrieval quality", began)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="footnote-bench-") as made:
        work = pathlib.Path(made)
        with_warm_cache(work / "data", work / "cache")
        with serving(work / "data", settings={"FOOTNOTE_EMBEDDER_PRECISION": arguments.precision}) as service:
            for name, measure in _measures(arguments.only):
                results[name] = measure(service, arguments, work)
    report.write(arguments.out, "quality", began=began, results={"quick": arguments.quick, "collections": results})


def scifact(service: Service, arguments: argparse.Namespace, work: pathlib.Path) -> dict[str, Any]:
    """NDCG@10 and recall@100."""
    limit = _limit(arguments, 20)
    found = corpora.scifact(arguments.data)
    if limit is not None:
        found = corpora.scifact_sample(arguments.data, work / "scifact.jsonl.gz", queries=limit, documents=10 * limit)
    ingested = _ingest(service, found.corpus, *corpora.SCIFACT_MAP, collection="scifact")
    queries = list(found.queries)
    by_mode: dict[str, Any] = {}
    for mode in arguments.modes:

        def ranking(client: httpx.Client, query: str, mode: str = mode) -> list[str]:
            text = found.queries[query]
            hits = search(client, text, collections=["scifact"], mode=mode, limit=100, group="document")
            return [hit["external_id"] for hit in hits]

        rankings = _asked(service, queries, ranking)
        pairs = [(found.relevance[query], each) for query, each in zip(queries, rankings, strict=True)]
        by_mode[mode] = {
            "ndcg_at_10": statistics.fmean(metrics.ndcg(each, relevance, depth=10) for relevance, each in pairs),
            "recall_at_100": statistics.fmean(metrics.recall(each, relevance, depth=100) for relevance, each in pairs),
        }
    print(f"\nSciFact: {ingested['documents']} documents, {len(queries)} queries; wanted of hybrid: 0.73 and 0.955")
    report.table(["mode", "nDCG@10", "recall@100"], [[mode, *figures.values()] for mode, figures in by_mode.items()])
    return {**ingested, "queries": len(queries), "modes": by_mode}


def squad(service: Service, arguments: argparse.Namespace, work: pathlib.Path) -> dict[str, Any]:
    """Gold paragraph within the top 5 hits."""
    limit = _limit(arguments, 60)
    questions = corpora.squad(arguments.data, work / "squad", articles=None if limit is None else 2)[:limit]
    ingested = _ingest(service, work / "squad", collection="squad")
    possible = _whole_paragraphs(service, questions)
    by_mode: dict[str, Any] = {}
    for mode in arguments.modes:

        def judged(
            client: httpx.Client, question: corpora.SquadQuestion, mode: str = mode
        ) -> tuple[bool, bool, bool, str]:
            hits = search(client, question.text, collections=["squad"], mode=mode, limit=SQUAD_HITS)
            texts = [hit["text"] for hit in hits]
            own = [hit["text"] for hit in hits if hit["external_id"] == question.article]
            whole = metrics.holds(texts, question.paragraph)
            part = whole or any(_is_part(text, question.paragraph) for text in own)
            answer = any(metrics.holds(texts, each) for each in question.answers)
            return whole, part, answer, question.id

        rows = _asked(service, questions, judged)
        by_mode[mode] = {
            "paragraph": statistics.fmean(row[0] for row in rows),
            "paragraph_or_part": statistics.fmean(row[1] for row in rows),
            "answer": statistics.fmean(row[2] for row in rows),
            "missed": [row[3] for row in rows if not row[0]],
        }
    print(f"\nSQuAD: {ingested['documents']} articles, {len(questions)} answerable questions, top {SQUAD_HITS} hits")
    print(f"wanted of hybrid: 0.96 for `paragraph`; {possible:.4f} is the most that the chunks allow")
    names = ["paragraph", "paragraph_or_part", "answer"]
    report.table(["mode", *names], [[mode, *(found[name] for name in names)] for mode, found in by_mode.items()])
    return {**ingested, "questions": len(questions), "paragraph_at_most": possible, "modes": by_mode}


def filings(service: Service, arguments: argparse.Namespace, work: pathlib.Path) -> dict[str, Any]:
    """A page with evidence within the top 10 hits."""
    limit = _limit(arguments, 3)
    files = corpora.copy_filings(arguments.data, work / "filings", number=limit)
    names = {file.name for file in files}
    questions = [question for question in corpora.filings(arguments.data) if question.file in names]
    ingested = _ingest(service, work / "filings", collection="filings")
    by_mode: dict[str, list[dict[str, Any]]] = {}
    for mode in arguments.modes:

        def judged(client: httpx.Client, question: corpora.FilingQuestion, mode: str = mode) -> dict[str, Any]:
            hits = search(client, question.text, collections=["filings"], mode=mode, limit=FILING_HITS)
            ranks = [
                rank
                for rank, hit in enumerate(hits, 1)
                if hit["external_id"] == question.file and hit["page"] in question.pages
            ]
            return {
                "id": question.id,
                "file": question.file,
                "evidence_pages": list(question.pages),
                "rank": ranks[0] if ranks else None,
                "right_file": sum(hit["external_id"] == question.file for hit in hits),
                "hits": [[hit["external_id"], hit["page"]] for hit in hits],
            }

        by_mode[mode] = _asked(service, questions, judged)
    found = {mode: sum(row["rank"] is not None for row in rows) for mode, rows in by_mode.items()}
    counted = _pages(service)
    print(f"\nFilings: {ingested['documents']} files, {counted['pages']} pages; {len(questions)} questions")
    print(f"rank of the first hit on a page with evidence, of {FILING_HITS}; wanted of hybrid: 20 of 27")
    columns = zip(questions, *by_mode.values(), strict=True)
    rows = [
        [asked.file, " ".join(map(str, asked.pages)), *(row["rank"] for row in ranked)] for asked, *ranked in columns
    ]
    rows.append(["FOUND", "", *(f"{found[mode]} of {len(questions)}" for mode in by_mode)])
    report.table(["file", "pages", *by_mode], rows)
    return {**ingested, **counted, "questions": len(questions), "found": found, "modes": by_mode}


def _measures(
    only: Sequence[str] | None,
) -> list[tuple[str, Callable[[Service, argparse.Namespace, pathlib.Path], dict[str, Any]]]]:
    every = [("scifact", scifact), ("squad", squad), ("filings", filings)]
    return [(name, measure) for name, measure in every if only is None or name in only]


def _limit(arguments: argparse.Namespace, quick: int) -> int | None:
    limit: int | None = arguments.limit
    return quick if limit is None and arguments.quick else limit


def _ingest(service: Service, *what: str | pathlib.Path, collection: str) -> dict[str, Any]:
    """Ingest, and refuse to measure on a corpus that is not whole."""
    ingested: Ingested = service.ingest(*what, collection=collection)
    if ingested.exit_code:
        raise BenchmarkError(f"{collection}: not all went in: {ingested.summary}")
    return {"documents": ingested.summary["documents"], "ingestion_seconds": round(ingested.seconds, 1)}


def _pages(service: Service) -> dict[str, int]:
    """Pages of all documents, and documents none of whose chunks says a page."""
    count, without = 0, 0
    with service.client() as client:
        for document in pages(client, "/v1/documents", collection="filings"):
            versions = client.get(f"/v1/documents/{document['id']}/versions").raise_for_status().json()["data"]
            count += versions[0]["pages"] or 0
            first = (
                client.get(f"/v1/documents/{document['id']}/chunks", params={"limit": 200}).raise_for_status().json()
            )
            without += any(chunk["page"] is None for chunk in first["data"])
    return {"pages": count, "documents_without_pages": without}


def _whole_paragraphs(service: Service, questions: Sequence[corpora.SquadQuestion]) -> float:
    """The share of questions whose paragraph stands whole in some chunk of its article: no ranking gives more."""
    texts: dict[str, list[str]] = {}
    with service.client() as client:
        for document in pages(client, "/v1/documents", collection="squad"):
            chunks = pages(client, f"/v1/documents/{document['id']}/chunks")
            texts[document["external_id"]] = [metrics.normalised(chunk["text"]) for chunk in chunks]
    whole = {
        paragraph: any(metrics.normalised(paragraph) in text for text in texts[article])
        for article, paragraph in {(question.article, question.paragraph) for question in questions}
    }
    return statistics.fmean(whole[question.paragraph] for question in questions)


def _is_part(text: str, paragraph: str) -> bool:
    """Whether a hit is a piece of a paragraph, or overlaps it by a long stretch at one of its ends."""
    short, whole = metrics.normalised(text), metrics.normalised(paragraph)
    if len(short) >= _PART_CHARS and short in whole:
        return True
    return len(whole) >= _PART_CHARS and (whole[:_PART_CHARS] in short or whole[-_PART_CHARS:] in short)


def _asked(
    service: Service, questions: Iterable[Question], ask: Callable[[httpx.Client, Question], Answer]
) -> list[Answer]:
    """The answers, in order; several clients ask at once."""
    began = time.perf_counter()
    with service.client() as client, concurrent.futures.ThreadPoolExecutor(_CLIENTS) as pool:
        answers = list(pool.map(lambda question: ask(client, question), questions))
    print(f"  {len(answers)} searches in {time.perf_counter() - began:.1f} s", flush=True)
    return answers


if __name__ == "__main__":
    main()
