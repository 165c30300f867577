"""The three collections that retrieval is measured on, as `../shared/data` has them."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import json
import pathlib
import re
import shutil
from collections.abc import Sequence
from typing import Any

SCIFACT_MAP = ("--map", "external_id=_id", "--map", "title=title", "--map", "text=text")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scifact:
    """Abstracts, and claims with the abstracts that bear on them."""

    corpus: pathlib.Path  # .jsonl.gz of {_id, title, text}
    queries: dict[str, str]  # id -> text, in file order; those of the test split
    relevance: dict[str, dict[str, int]]  # query id -> document id -> grade


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SquadQuestion:
    """A question on a paragraph."""

    id: str
    text: str
    article: str  # external id of its file
    paragraph: str
    answers: tuple[str, ...]  # empty where the paragraph does not answer it


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FilingQuestion:
    """A question on one filing."""

    id: str
    text: str
    file: str
    pages: tuple[int, ...]  # with evidence; 1-based positions in the PDF, checked against its text


def scifact(data: pathlib.Path) -> Scifact:
    """The test split."""
    folder = data / "scifact"
    relevance: dict[str, dict[str, int]] = {}
    with (folder / "qrels-test.tsv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            relevance.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    rows = [json.loads(line) for line in (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines()]
    queries = {row["_id"]: row["text"] for row in rows if row["_id"] in relevance}
    return Scifact(corpus=folder / "corpus.jsonl.gz", queries=queries, relevance=relevance)


def scifact_documents(data: pathlib.Path) -> list[dict[str, str]]:
    """All abstracts, in file order."""
    with gzip.open(data / "scifact" / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def scifact_sample(data: pathlib.Path, target: pathlib.Path, *, queries: int, documents: int) -> Scifact:
    """The first queries, over the abstracts that bear on them and the first of the others, as a file of its own."""
    whole = scifact(data)
    asked = dict(list(whole.queries.items())[:queries])
    relevant = {each for query in asked for each in whole.relevance[query]}
    rows = scifact_documents(data)
    kept = [row for row in rows if row["_id"] in relevant]
    kept += [row for row in rows if row["_id"] not in relevant][: max(0, documents - len(kept))]
    write_lines(target, kept)
    return Scifact(corpus=target, queries=asked, relevance={query: whole.relevance[query] for query in asked})


def write_lines(target: pathlib.Path, rows: Sequence[dict[str, Any]]) -> None:
    """As .jsonl.gz."""
    with gzip.open(target, "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)


def squad(data: pathlib.Path, folder: pathlib.Path, *, articles: int | None = None) -> list[SquadQuestion]:
    """As `squad_all`, the answerable questions alone."""
    return [question for question in squad_all(data, folder, articles=articles) if question.answers]


def squad_all(data: pathlib.Path, folder: pathlib.Path, *, articles: int | None = None) -> list[SquadQuestion]:
    """Write each article as a .txt file, paragraphs parted by blank lines; gives all questions."""
    folder.mkdir(parents=True)
    whole = json.loads((data / "squad" / "squad-a.json").read_text(encoding="utf-8"))["data"]
    questions: list[SquadQuestion] = []
    for article in whole[:articles]:
        name = re.sub(r"[^\w.-]", "_", article["title"]) + ".txt"
        paragraphs = [paragraph["context"] for paragraph in article["paragraphs"]]
        (folder / name).write_text("\n\n".join(paragraphs) + "\n", encoding="utf-8")
        questions += [
            SquadQuestion(
                id=asked["id"],
                text=asked["question"],
                article=name,
                paragraph=paragraph["context"],
                answers=()
                if asked.get("is_impossible", False)
                else tuple(answer["text"] for answer in asked["answers"]),
            )
            for paragraph in article["paragraphs"]
            for asked in paragraph["qas"]
        ]
    return questions


def halves(folder: pathlib.Path, names: Sequence[str]) -> dict[str, int]:
    """Copy every second article of a folder to `half0` and the others to `half1` beside it; gives which half has each."""
    half = {name: number % 2 for number, name in enumerate(names)}
    for number in (0, 1):
        (folder.parent / f"half{number}").mkdir()
    for name, number in half.items():
        shutil.copyfile(folder / name, folder.parent / f"half{number}" / name)
    return half


def filings(data: pathlib.Path) -> list[FilingQuestion]:
    """The questions, in file order."""
    text = (data / "filings" / "questions.jsonl").read_text(encoding="utf-8")
    return [
        FilingQuestion(
            id=row["id"],
            text=row["question"],
            file=row["file"],
            pages=tuple(sorted({evidence["page"] for evidence in row["evidence"]})),
        )
        for row in map(json.loads, text.splitlines())
    ]


def copy_filings(data: pathlib.Path, folder: pathlib.Path, *, number: int | None = None) -> list[pathlib.Path]:
    """Copy the smallest filings by bytes, or all of them, into a folder of their own."""
    folder.mkdir(parents=True)
    files = sorted((data / "filings").glob("*.pdf"), key=lambda file: (file.stat().st_size, file.name))
    return [pathlib.Path(shutil.copyfile(file, folder / file.name)) for file in files[:number]]
