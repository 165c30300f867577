"""Follow-up questions in conversations over SQuAD's articles: whether the evidence is found for them, rewritten and as typed.

    python -m benchmarks.follow_ups [--limit 10]

Twenty conversations of four questions (follow_ups.txt), all articles in one collection. Each is asked in its turn through
POST /v1/ask with its conversation; what it was rewritten to, by rules alone, and what was typed are then searched. Evidence
is found where one of the first hits is of the article and holds the words that answer it.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import re
import tempfile
from typing import Any

import httpx

from benchmarks import corpora, report
from benchmarks.answers import asked, ingest
from benchmarks.service import search, serving, with_warm_cache

_SCRIPT = pathlib.Path(__file__).with_suffix(".txt")
_WANTED = 45  # of 60


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A question of a conversation, and words of the passage that answers it."""

    text: str
    evidence: str


def main() -> None:
    """Run, print the table and write the results."""
    parser = report.parser("follow_ups", __doc__)
    parser.add_argument("--limit", type=int, default=10, help="hits that are looked at")
    arguments = parser.parse_args()
    began = report.machine()
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        corpora.squad_all(arguments.data, work / "squad")
        with_warm_cache(work / "data", work / "cache")
        with serving(work / "data") as service, service.client() as client:
            ingest(service, work / "squad", "squad")
            rows = [row for article, lines in _conversations() for row in _held(client, article, lines, arguments)]
    found = {name: sum(row[name] for row in rows) for name in ("typed_found", "rewritten_found")}
    report.table(
        ["article", "typed", "rewritten", "as typed", "rewritten"],
        [[row["article"], row["typed"], row["rewritten"], row["typed_found"], row["rewritten_found"]] for row in rows],
    )
    print(f"\nevidence in the first {arguments.limit} hits, of {len(rows)} follow-ups: as typed {found['typed_found']}, "
          f"rewritten {found['rewritten_found']}; wanted {_WANTED}")  # fmt: skip
    report.write(arguments.out, "follow_ups", began=began, results={**found, "rows": rows})


def _held(client: httpx.Client, article: str, lines: list[Line], arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """One conversation; a row for each question behind its first."""
    conversation = client.post("/v1/conversations", json={"title": article}).raise_for_status().json()["id"]
    rows = []
    for number, line in enumerate(lines):
        answer = asked(client, line.text, collections=["squad"], conversation_id=conversation)
        if not number:
            continue
        rewritten = answer["standalone_question"] or line.text
        rows.append(
            {
                "article": article,
                "typed": line.text,
                "rewritten": rewritten,
                "typed_found": _found(client, article, line, line.text, arguments.limit),
                "rewritten_found": _found(client, article, line, rewritten, arguments.limit),
            }
        )
    return rows


def _found(client: httpx.Client, article: str, line: Line, query: str, limit: int) -> bool:
    hits = search(client, query, collections=["squad"], limit=limit)
    file = re.sub(r"[^\w.-]", "_", article) + ".txt"
    return any(hit["external_id"] == file and line.evidence in hit["text"] for hit in hits)


def _conversations() -> list[tuple[str, list[Line]]]:
    found: list[tuple[str, list[Line]]] = []
    for row in _SCRIPT.read_text(encoding="utf-8").splitlines():
        if row.startswith("## "):
            found.append((row[3:], []))
        elif not row.startswith("#") and row:
            text, _, evidence = row.partition(" => ")
            found[-1][1].append(Line(text=text, evidence=evidence))
    return found


if __name__ == "__main__":
    main()
