"""Fits the extractive answerer on SQuAD, and tells on held-out articles how well that does.

    python -m benchmarks.fit_extractive [--articles 24] [--folds 6] [--write]

An article a file. Three kinds of question: those that their article answers; near misses, which SQuAD 2 marks as
impossible; and, for an absent topic, every question asked again where its article is not: of the collection that holds
the other half of the articles.

Figures are of articles that the weights were not fitted on. `first` and `three`: the first candidate, one of the first
three, holds a gold answer's text. `--write` fits on all articles and replaces `app/inference/extractive/weights.json`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import tempfile
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from app import bootstrap
from app.answering import retrieve
from app.domain.answers import Question
from app.inference.extractive import answerer, candidates, compose, doubts, features, model
from app.settings import Settings
from benchmarks import corpora, logistic, metrics, report
from benchmarks.report import ROOT
from benchmarks.service import serving

Array = npt.NDArray[np.float64]

WEIGHTS = ROOT / "app" / "inference" / "extractive" / "weights.json"
_RANK_L2 = 2e-3
_CONFIDENCE_L2 = 3e-3
_CALIBRATION_PARTS = 5
_ABSENT_WEIGHT = 0.5  # of a question on an absent topic: there is one for every other question
_ABSENT_REFUSED = 0.945  # share of absent topics that the threshold is to refuse; the target is 0.93


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A question with the features of its candidates."""

    article: str
    kind: str  # answerable, near, absent
    asked: candidates.Asked
    rows: Array  # shape (candidates, WIDTH)
    gaps: Array  # shape (candidates, GAPS)
    holds: npt.NDArray[np.bool_]  # which candidates hold a gold answer


def main() -> None:
    """Measure, print, write."""
    parser = report.parser("fit_extractive", __doc__)
    parser.add_argument("--articles", type=int)
    parser.add_argument("--folds", type=int, default=6)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    began = report.machine()
    report.heading("Fit of the extractive answerer", began)
    with tempfile.TemporaryDirectory(prefix="footnote-bench-") as made:
        cases = _cases(arguments, pathlib.Path(made))
    articles = sorted({case.article for case in cases})
    fold = {article: number % arguments.folds for number, article in enumerate(articles)}
    judged: list[tuple[Case, model.Model]] = []
    by_fold: list[dict[str, float]] = []
    for number in range(arguments.folds):
        fitted = fit([case for case in cases if fold[case.article] != number])
        held_out = [(case, fitted) for case in cases if fold[case.article] == number]
        by_fold.append(judge(held_out))
        judged += held_out
    results = judge(judged)
    # Each fold's model is calibrated on the others, which have more answers where the fold has fewer: pooled, that alone
    # counts against telling them apart. One model over its own questions is what a service has.
    for name in ("AUROC absent", "AUROC near"):
        results[f"{name}, mean of folds"] = float(np.mean([each[name] for each in by_fold]))
    report.table(["figure", "held out"], [[name, value] for name, value in results.items()])
    report.write(arguments.out, "fit_extractive", began=began, results=results)
    if arguments.write:
        _write(fit(cases))


def fit(cases: Sequence[Case]) -> model.Model:
    """Both models, and the threshold."""
    rank = _fit_rank([case for case in cases if case.kind == "answerable" and case.holds.any()])
    summaries = np.array([model.summary(case.asked, case.rows, case.gaps, case.rows @ rank) for case in cases])
    right = np.array([_right(case, rank) for case in cases], dtype=np.float64)
    there = np.array([case.kind == "answerable" for case in cases], dtype=np.float64)
    weights = np.array([_ABSENT_WEIGHT if case.kind == "absent" else 1.0 for case in cases])
    # That an answer is right is half a matter of there being one: fitted on the mean of both, then calibrated for the first.
    mixed = (right + there) / 2
    found, shift = logistic.fit(summaries, mixed, weights, penalty=_CONFIDENCE_L2)
    slope, offset = _calibrated(cases, summaries, mixed, right, weights)
    confidence, bias = slope * found, offset + slope * shift
    fitted = model.Model(rank=rank, confidence=confidence, bias=bias, threshold=0.0)
    absent = [fitted.probability(row) for case, row in zip(cases, summaries, strict=True) if case.kind == "absent"]
    return dataclasses.replace(fitted, threshold=float(np.quantile(absent, _ABSENT_REFUSED)) if absent else 0.0)


def _calibrated(
    cases: Sequence[Case], summaries: Array, mixed: Array, right: Array, weights: Array
) -> tuple[float, float]:
    """Slope and offset that make the sums a probability of being right (Platt, 1999), where the evidence fits the question.

    Fitted on sums that other articles gave: those of the articles that a model was fitted on are too far from 0.
    """
    articles = sorted({case.article for case in cases})
    part = np.array([articles.index(case.article) % _CALIBRATION_PARTS for case in cases])
    sums = np.zeros(len(cases))
    for number in range(_CALIBRATION_PARTS):
        others = part != number
        found, shift = logistic.fit(summaries[others], mixed[others], weights[others], penalty=_CONFIDENCE_L2)
        sums[~others] = summaries[~others] @ found + shift
    fits = np.array([case.kind != "absent" for case in cases])
    (slope,), offset = logistic.fit(sums[fits][:, None], right[fits], weights[fits], penalty=0.0)
    return float(slope), offset


def judge(judged: Sequence[tuple[Case, model.Model]]) -> dict[str, float]:
    """The figures of cases, each with a model that was not fitted on its article."""
    first, three, as_given, number, answered = [], [], [], [], []
    confidence: dict[str, list[float]] = {"answerable": [], "near": [], "absent": []}
    passed: dict[str, list[bool]] = {"answerable": [], "near": [], "absent": []}
    stated: list[tuple[float, bool]] = []
    for case, fitted in judged:
        scores = fitted.scores(case.rows)
        sure = fitted.probability(model.summary(case.asked, case.rows, case.gaps, scores))
        confidence[case.kind].append(sure)
        passed[case.kind].append(sure >= fitted.threshold)
        order = np.argsort(-scores, kind="stable")
        chosen = _chosen(model.shares(scores)[order])
        right = bool(case.holds[order[:chosen]].any())
        if case.kind != "absent":
            stated.append((sure, right))
        if case.kind == "answerable":
            first.append(bool(case.holds[order[:1]].any()))
            three.append(bool(case.holds[order[:3]].any()))
            if passed[case.kind][-1]:
                as_given.append(right)
                number.append(chosen)
    answered = passed["answerable"]
    return {
        "first": float(np.mean(first)),
        "three": float(np.mean(three)),
        "answered": float(np.mean(answered)),
        "right of answered": float(np.mean(as_given)),
        "sentences of answered": float(np.mean(number)),
        "absent refused": 1 - float(np.mean(passed["absent"])),
        "near refused": 1 - float(np.mean(passed["near"])),
        "AUROC absent": metrics.auroc(confidence["answerable"], confidence["absent"]),
        "AUROC near": metrics.auroc(confidence["answerable"], confidence["near"]),
        "calibration error": metrics.calibration_error([sure for sure, _ in stated], [right for _, right in stated]),
    }


def _cases(arguments: argparse.Namespace, work: pathlib.Path) -> list[Case]:
    questions = corpora.squad_all(arguments.data, work / "squad", articles=arguments.articles)
    names = sorted({question.article for question in questions})
    half = corpora.halves(work / "squad", names)
    with serving(work / "data") as service:
        service.ingest(work / "squad", collection="squad")
        for number in (0, 1):
            service.ingest(work / f"half{number}", collection=f"half{number}")
    services = bootstrap.build(Settings(data_dir=work / "data"))
    blank = model.Model(rank=np.zeros(0), confidence=np.zeros(0), bias=0.0, threshold=0.0)
    weigher = answerer.ExtractiveAnswerer(services.embedder, fitted=blank)
    cases: list[Case] = []
    try:
        for question in questions:
            kind = "answerable" if question.answers else "near"
            cases += _case(services, weigher, question, "squad", kind)
            cases += _case(services, weigher, question, f"half{1 - half[question.article]}", "absent")
    finally:
        services.stop()
    return cases


def _case(
    services: bootstrap.Services,
    weigher: answerer.ExtractiveAnswerer,
    question: corpora.SquadQuestion,
    collection: str,
    kind: str,
) -> list[Case]:
    admin = services.keys.authenticate(services.admin_key_path.read_text(encoding="utf-8").strip())
    found = retrieve.evidence(services.search, admin, Question(text=question.text.strip(), collections=[collection]))
    measured = None if found.vector is None else weigher.measure(question.text, found.vector, found.passages)
    if measured is None:
        return []
    asked, pool, rows = measured
    holds = [
        kind == "answerable" and any(metrics.holds([each.text], gold) for gold in question.answers) for each in pool
    ]
    return [
        Case(
            article=question.article,
            kind=kind,
            asked=asked,
            rows=rows,
            gaps=doubts.gaps(asked, pool),
            holds=np.array(holds),
        )
    ]


def _right(case: Case, rank: Array) -> bool:
    scores = case.rows @ rank
    order = np.argsort(-scores, kind="stable")
    return bool(case.holds[order[: _chosen(model.shares(scores)[order])]].any())


def _chosen(shares: Array) -> int:
    """How many sentences an answer takes of candidates with these shares, best first; as `compose` chooses."""
    taken = 1
    while taken < min(compose.MOST, len(shares)):
        if shares[:taken].sum() >= compose.ENOUGH or shares[taken] < compose.LEAST:
            break
        taken += 1
    return taken


def _fit_rank(cases: Sequence[Case]) -> Array:
    """Weights by which those that hold an answer come before the others: softmax over the candidates of a question."""
    every = np.vstack([case.rows for case in cases])
    mean, scale = every.mean(axis=0), every.std(axis=0) + 1e-6
    rows, holds = (every - mean) / scale, np.concatenate([case.holds for case in cases])
    first = np.cumsum([0, *(len(case.holds) for case in cases)])[:-1]
    of = np.repeat(np.arange(len(cases)), [len(case.holds) for case in cases])

    def gradient(weights: Array) -> Array:
        scores = rows @ weights
        raised = np.exp(scores - np.maximum.reduceat(scores, first)[of])
        all_, good = raised / np.add.reduceat(raised, first)[of], raised * holds
        wanted = good / np.add.reduceat(good, first)[of]
        slope: Array = rows.T @ (all_ - wanted) / len(cases) + 2 * _RANK_L2 * weights
        return slope

    found: Array = _descend(gradient, rows.shape[1]) / scale
    return found


def _descend(gradient: Callable[[Array], Array], width: int, *, rounds: int = 600) -> Array:
    """The minimum by Adam with a falling step (Kingma and Ba, 2015)."""
    found, first, second = np.zeros(width), np.zeros(width), np.zeros(width)
    for number in range(1, rounds + 1):
        slope = gradient(found)
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        step = 0.05 * (1 - number / (rounds + 1))
        found = found - step * (first / (1 - 0.9**number)) / (np.sqrt(second / (1 - 0.999**number)) + 1e-8)
    return found


def _write(fitted: model.Model) -> None:
    kept = {
        "rank": {name: round(float(each), 5) for name, each in zip(model.rank_names(), fitted.rank, strict=True)},
        "confidence": [round(float(each), 5) for each in fitted.confidence],
        "bias": round(fitted.bias, 5),
        "threshold": round(fitted.threshold, 4),
    }
    WEIGHTS.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(f"written: {WEIGHTS}; {features.WIDTH} features, threshold {fitted.threshold:.3f}")


if __name__ == "__main__":
    main()
