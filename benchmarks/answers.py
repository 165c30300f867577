"""Answers on SQuAD and the filings through POST /v1/ask: whether they are right, how sure they are, what they cite.

    python -m benchmarks.answers [--quick] [--share 1.0] [--only squad filings]

SQuAD: an article a file. Answerable questions and near misses (which SQuAD 2 marks as impossible) are asked of all articles
together; for absent topics, every question is asked again of the half of the articles that does not hold its own.
`first`, `three`: the first candidate of `explain`, one of the first three, holds a gold answer. `right of answered`: the
answer's own sentences hold one. Confidence: AUROC against absent topics and near misses, the share of absent topics that
got `no_answer`, a reliability plot and the expected calibration error over answerable questions and near misses.

The weights of the package are fitted on these articles. What they do on articles that they were not fitted on is told by
`python -m benchmarks.fit_extractive`, fold by fold.

Filings: a citation of the answer stands on a page with evidence; for each question the rank of the first candidate there.
Every citation of every answer is compared with the stored text at its offsets, every sentence must have one.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import pathlib
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

import httpx

from benchmarks import corpora, metrics, report
from benchmarks.service import BenchmarkError, Service, serving, with_warm_cache

_CLIENTS = 4
_KINDS = ("answerable", "near", "absent")
_TEXT_CHARS = 1_000_000  # of one call of /text
_WANTED = {
    "first": 0.76,
    "three": 0.89,
    "answered": 0.85,
    "right of answered": 0.80,
    "AUROC absent": 0.985,
    "AUROC near": 0.70,
    "absent refused": 0.93,
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question that was asked, and what came back."""

    kind: str
    answers: tuple[str, ...]
    answer: dict[str, Any]

    @property
    def answered(self) -> bool:
        """Whether it was."""
        return bool(self.answer["status"] == "answered")

    @property
    def right(self) -> bool:
        """Whether what was said, or would have been said first, holds a gold answer."""
        said = [each["text"] for each in self.answer["sentences"]] or self.candidates[:1]
        return any(metrics.holds(said, each) for each in self.answers)

    @property
    def candidates(self) -> list[str]:
        """Their texts, best first."""
        return [each["text"] for each in self.answer["candidates"]]

    def among(self, number: int) -> bool:
        """Whether one of the first candidates holds a gold answer."""
        return any(metrics.holds(self.candidates[:number], each) for each in self.answers)


class Verifier:
    """Compares citations with the stored text; counts what does not hold."""

    def __init__(self) -> None:
        self.citations = 0
        self.violations: list[str] = []
        self._texts: dict[str, str] = {}
        self._lock = threading.Lock()

    def check(self, client: httpx.Client, answer: dict[str, Any]) -> None:
        """Look at one answer."""
        wrong = [
            f"{answer['id']}: citation {each['n']} is not the stored text"
            for each in answer["citations"]
            if self._text(client, each)[each["start"] : each["end"]] != each["quote"]
        ]
        numbers = {each["n"] for each in answer["citations"]}
        for sentence in answer["sentences"]:
            if not sentence["citations"] or not set(sentence["citations"]) <= numbers:
                wrong.append(f"{answer['id']}: a sentence without its citation")
            if answer["text"][sentence["start"] : sentence["end"]] != sentence["text"]:
                wrong.append(f"{answer['id']}: a sentence that is not at its place")
        with self._lock:
            self.citations += len(answer["citations"])
            self.violations += wrong

    def _text(self, client: httpx.Client, citation: dict[str, Any]) -> str:
        version = citation["version_id"]
        if version not in self._texts:
            whole, total = "", 1
            while len(whole) < total:
                part = client.get(
                    f"/v1/documents/{citation['document_id']}/text",
                    params={"version_id": version, "start": len(whole), "end": len(whole) + _TEXT_CHARS},
                )
                part.raise_for_status()
                whole += part.json()["text"]
                total = part.json()["total_chars"]
            self._texts[version] = whole
        return self._texts[version]


def main() -> None:
    """Measure, print, write."""
    parser = report.parser("answers", __doc__)
    parser.add_argument("--share", type=float, help="of the questions of SQuAD (default 1)")
    parser.add_argument("--only", nargs="+", choices=["squad", "filings"], default=["squad", "filings"])
    arguments = parser.parse_args()
    began = report.machine()
    report.heading("Answers", began)
    results: dict[str, Any] = {}
    verifier = Verifier()
    with tempfile.TemporaryDirectory(prefix="footnote-bench-") as made:
        work = pathlib.Path(made)
        with_warm_cache(work / "data", work / "cache")
        with serving(work / "data") as service:
            if "squad" in arguments.only:
                results["squad"] = squad(service, arguments, work, verifier)
            if "filings" in arguments.only:
                results["filings"] = filings(service, arguments, work, verifier)
    print(f"\n{verifier.citations} citations compared with the stored text: {len(verifier.violations)} violations")
    for sentence in verifier.violations[:20]:
        print(f"  {sentence}")
    results |= {"citations": verifier.citations, "violations": verifier.violations}
    report.write(arguments.out, "answers", began=began, results={"quick": arguments.quick, **results})


def squad(service: Service, arguments: argparse.Namespace, work: pathlib.Path, verifier: Verifier) -> dict[str, Any]:
    """Right answers, and silence."""
    questions = corpora.squad_all(arguments.data, work / "squad", articles=4 if arguments.quick else None)
    half = _halves(service, work, sorted({question.article for question in questions}))
    share = arguments.share or (0.05 if arguments.quick else 1.0)
    picked = random.Random(1).sample(questions, round(share * len(questions)))
    wanted = [("squad", "answerable" if each.answers else "near", each) for each in picked]
    wanted += [(f"half{1 - half[each.article]}", "absent", each) for each in picked]

    def ask(client: httpx.Client, which: tuple[str, str, corpora.SquadQuestion]) -> Asked:
        collection, kind, question = which
        answer = asked(client, question.text, collections=[collection], explain=True)
        verifier.check(client, answer)
        return Asked(kind=kind, answers=question.answers if kind == "answerable" else (), answer=answer)

    figures, plot = judged(_all(service, wanted, ask))
    print(f"\nSQuAD: {len(picked)} questions; fitted on these articles, see the docstring")
    rows = [
        [name, value, _WANTED.get(name), report.verdict(value >= _WANTED[name] if name in _WANTED else None)]
        for name, value in figures.items()
    ]
    report.table(["figure", "", "wanted", ""], rows)
    print("\nreliability: of the answers that were this sure, so many were right")
    for mean, right, number in plot:
        print(f"  {mean:5.2f} {right:5.2f} {'#' * round(40 * right):<40} {number}")
    return {"questions": len(picked), **figures, "reliability": plot}


def judged(found: Sequence[Asked]) -> tuple[dict[str, float], list[tuple[float, float, int]]]:
    """Figures of merit, and the reliability plot: mean confidence, share that was right, number."""
    kind = {name: [each for each in found if each.kind == name] for name in _KINDS}
    sure = {name: [each.answer["confidence"] for each in several] for name, several in kind.items()}
    good = kind["answerable"]
    answered = [each for each in good if each.answered]
    stated = [each for each in found if each.kind != "absent"]
    confidences, right = [each.answer["confidence"] for each in stated], [each.right for each in stated]
    figures = {
        "first": _share(each.among(1) for each in good),
        "three": _share(each.among(3) for each in good),
        "answered": _share(each.answered for each in good),
        "right of answered": _share(each.right for each in answered),
        "sentences of answered": statistics.fmean([len(each.answer["sentences"]) for each in answered] or [0]),
        "absent refused": _share(not each.answered for each in kind["absent"]),
        "near refused": _share(not each.answered for each in kind["near"]),
        "AUROC absent": metrics.auroc(sure["answerable"], sure["absent"]),
        "AUROC near": metrics.auroc(sure["answerable"], sure["near"]),
        "calibration error": metrics.calibration_error(confidences, right),
    }
    return figures, metrics.reliability(confidences, right)


def filings(service: Service, arguments: argparse.Namespace, work: pathlib.Path, verifier: Verifier) -> dict[str, Any]:
    """Citations on pages with evidence."""
    files = corpora.copy_filings(arguments.data, work / "filings", number=3 if arguments.quick else None)
    names = {file.name for file in files}
    questions = [question for question in corpora.filings(arguments.data) if question.file in names]
    ingest(service, work / "filings", "filings")

    def ask(client: httpx.Client, question: corpora.FilingQuestion) -> dict[str, Any]:
        answer = asked(client, question.text, collections=["filings"], explain=True)
        verifier.check(client, answer)
        places = [(each["external_id"], each["page"]) for each in answer["citations"]]
        candidates = [(each["external_id"], each["page"]) for each in answer["candidates"]]
        evidence = {(question.file, page) for page in question.pages}
        ranks = [rank for rank, place in enumerate(candidates, 1) if place in evidence]
        return {
            "id": question.id,
            "file": question.file,
            "evidence_pages": list(question.pages),
            "status": answer["status"],
            "confidence": answer["confidence"],
            "cited": [[file, page] for file, page in places],
            "rank": ranks[0] if ranks else None,
            "held": bool(evidence & set(places)),
            "text": answer["text"],
        }

    rows = _all(service, questions, ask)
    held = sum(row["held"] for row in rows)
    print(f"\nFilings: {len(questions)} questions; a citation on a page with evidence for {held}; wanted: 10 of 27")
    report.table(
        ["file", "evidence", "status", "confidence", "cited pages", "rank of candidate", "held"],
        [
            [
                row["file"],
                " ".join(map(str, row["evidence_pages"])),
                row["status"],
                row["confidence"],
                " ".join(f"{page}" if file == row["file"] else f"({file} {page})" for file, page in row["cited"]),
                row["rank"],
                row["held"],
            ]
            for row in rows
        ],
    )
    return {"questions": len(questions), "held": held, "rows": rows}


def asked(client: httpx.Client, question: str, **parts: Any) -> dict[str, Any]:
    """One answer."""
    reply = client.post("/v1/ask", json={"question": question, **parts})
    if reply.status_code != httpx.codes.OK:
        raise BenchmarkError(f"ask answered {reply.status_code}: {reply.text[:500]}")
    answer: dict[str, Any] = reply.json()
    return answer


def ingest(service: Service, folder: pathlib.Path, collection: str) -> None:
    """Ingest, and refuse to measure on a corpus that is not whole."""
    ingested = service.ingest(folder, collection=collection)
    if ingested.exit_code:
        raise BenchmarkError(f"{collection}: not all went in: {ingested.summary}")


def _halves(service: Service, work: pathlib.Path, names: Sequence[str]) -> dict[str, int]:
    """All articles in one collection, every second one in one of two others; gives which half holds each."""
    ingest(service, work / "squad", "squad")
    half = corpora.halves(work / "squad", names)
    for number in (0, 1):
        ingest(service, work / f"half{number}", f"half{number}")
    return half


def _all(service: Service, questions: Sequence[Any], ask: Any) -> list[Any]:
    """The answers, in order; several clients ask at once."""
    began = time.perf_counter()
    with service.client() as client, concurrent.futures.ThreadPoolExecutor(_CLIENTS) as pool:
        found = list(pool.map(lambda question: ask(client, question), questions))
    print(f"  {len(found)} answers in {time.perf_counter() - began:.1f} s", flush=True)
    return found


def _share(values: Iterable[bool]) -> float:
    found = [float(each) for each in values]
    return statistics.fmean(found) if found else 0.0


if __name__ == "__main__":
    main()
