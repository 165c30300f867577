"""What the length of a conversation costs a question: 10 turns beside 10,000, asked alternately.

    python -m benchmarks.long_conversation [--turns 10000] [--questions 60]

An embedded service in this process, with the hashing embedder, over one document; the turns are rows as answers leave them. What is
timed is the whole use case: the question leans on the turn before.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import pathlib
import tempfile
import time
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from app import bootstrap
from app.answering.events import Answered
from app.answering.patience import Patience
from app.answering.search import SearchRequest
from app.db.unit_of_work import SqlDatabase
from app.documents.uploads import Staged, Upload
from app.domain.access import Principal
from app.domain.answers import Answer, Question
from app.domain.ids import new_id
from app.settings import Settings
from benchmarks import metrics, report

T = TypeVar("T")
_TEXT = b"The harbour of Marlow was built in 1850. The harbour master of Marlow is Ada Brown."
_FIRST = "When was the harbour of Marlow built?"
_SECOND = "Who is its harbour master?"
_ROWS = 500  # turns of one transaction


def main() -> None:
    """Measure, print, write."""
    parser = report.parser("long_conversation", __doc__)
    parser.add_argument("--turns", type=int, default=10_000)
    parser.add_argument("--questions", type=int, default=60, help="asked in each conversation")
    arguments = parser.parse_args()
    turns = 200 if arguments.quick else arguments.turns
    began = report.machine()
    report.heading("A question's time by the turns before it", began)
    with tempfile.TemporaryDirectory(prefix="footnote-bench-") as made:
        settings = Settings(data_dir=pathlib.Path(made) / "data", embedder="hashing-32", min_free_bytes=0)
        services = bootstrap.build(settings)
        services.start()
        try:
            results = asyncio.run(_measured(services, turns, 5 if arguments.quick else arguments.questions))
        finally:
            services.stop()
    rows = [[name, *(results[name][each] for each in ("p50", "p95", "max"))] for name in ("short", "long")]
    print(f"\nmilliseconds; {results['questions']} questions each, alternating")
    report.table(
        ["conversation", "p50", "p95", "max"],
        [[f"{row[0]} ({results[row[0] + '_turns']} turns)", *row[1:]] for row in rows],
    )
    print(f"ratio of the medians {results['long']['p50'] / results['short']['p50']:.2f}")
    report.write(arguments.out, "long_conversation", began=began, results=results)


async def _measured(services: bootstrap.Services, turns: int, questions: int) -> dict[str, Any]:
    principal = services.keys.authenticate(services.admin_key_path.read_text(encoding="utf-8").strip())
    _ingest(services, principal)
    short, long = (services.conversations.begin(principal).id for _ in range(2))
    first = await _asked(services, principal, Question(text=_FIRST, conversation_id=short))
    for conversation, number in ((short, 10), (long, turns)):
        _lengthen(services.database, first, conversation, number)
    spent: dict[str, list[float]] = {"short": [], "long": []}
    for number in range(questions + 3):
        for name, conversation in (("short", short), ("long", long)):
            began = time.perf_counter()
            await _asked(services, principal, Question(text=_SECOND, conversation_id=conversation))
            if number >= 3:
                spent[name].append(1000 * (time.perf_counter() - began))
    return {
        "questions": questions,
        "short_turns": 10,
        "long_turns": turns,
        **{name: metrics.latencies(values) for name, values in spent.items()},
    }


async def _asked(services: bootstrap.Services, principal: Principal, question: Question) -> Answer:
    async def inline(step: Callable[[], T], *, admitted: bool) -> T:
        del admitted
        return step()

    async for event in services.ask(lambda: principal, question, Patience(60.0), inline):
        if isinstance(event, Answered):
            return event.answer
    raise AssertionError("an answer's events end with the answer")


def _ingest(services: bootstrap.Services, principal: Principal) -> None:
    path = services.stage()
    path.write_bytes(_TEXT)
    upload = Upload(
        external_id=None, title="Marlow", metadata=None, readers=None, filename="marlow.txt", media_type=None
    )
    staged = Staged(path=path, sha256=hashlib.sha256(_TEXT).hexdigest(), size_bytes=len(_TEXT))
    services.add.add(principal, bootstrap.DEFAULT_COLLECTION, upload, staged, idempotency_key=None)
    while not services.search(principal, SearchRequest(query="harbour")).hits:
        time.sleep(0.05)


def _lengthen(database: SqlDatabase, like: Answer, conversation: uuid.UUID, number: int) -> None:
    for _ in range(0, number, _ROWS):
        with database.write() as work:
            for _ in range(min(_ROWS, number)):
                work.answers.add(dataclasses.replace(like, id=new_id(), conversation_id=conversation))
            work.commit()


if __name__ == "__main__":
    main()
