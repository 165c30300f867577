"""`footnote ask`: a question, answered from the documents as the answer comes, with its footnotes below."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.domain.answers import joint
from ingestion.cli import terminal
from ingestion.cli.errors import UnreachableError
from ingestion.cli.options import Session, command
from ingestion.cli.search import Collections, Condition, parse_filter

if TYPE_CHECKING:
    from ingestion.cli.client import Service

_NEW = "new"
_RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_LOWERED = str.maketrans({char: f"^{digit}" for digit, char in enumerate(_RAISED)})
_SNIPPET_CHARS = 200
_MOST_NEAREST = 3
_SURE = 100  # confidence is shown in per cent

Asked = Annotated[str, typer.Argument(metavar="QUESTION")]
MaxSources = Annotated[int, typer.Option("--max-sources", min=1, max=50, help="Passages that the answer may draw on.")]
Conversation = Annotated[
    str | None,
    typer.Option("--conversation", help="Its id, or `new`: the question may lean on the turns before it."),
]
Model = Annotated[str | None, typer.Option("--model", help="Of the catalogue, or `extractive`.")]
MaxCost = Annotated[float | None, typer.Option("--max-cost", min=0, help="US dollars that the answer may cost.")]
Explain = Annotated[bool, typer.Option("--explain", help="The sentences that were weighed, and the time of each step.")]


@command
def ask(
    session: Session,
    question: Asked,
    *,
    collection: Collections = [],  # noqa: B006 - typer reads the default, nobody changes it
    max_sources: MaxSources = 10,
    condition: Condition = None,
    conversation: Conversation = None,
    model: Model = None,
    max_cost: MaxCost = None,
    explain: Explain = False,
) -> None:
    """Answer a question from the documents, each sentence with a verified footnote; or say that they do not tell."""
    given: dict[str, Any] = {
        "collections": collection or None,
        "filter": None if condition is None else parse_filter(condition),
        "conversation_id": conversation,
        "model": model,
        "max_cost_usd": max_cost,
        "explain": explain or None,
    }
    body = {"question": question, "max_sources": max_sources}
    body |= {name: value for name, value in given.items() if value is not None}
    with session.service() as service:
        if conversation == _NEW:
            body["conversation_id"] = _begun(service)
        if session.as_json:
            terminal.write(terminal.json_line(service.post("/v1/ask", body)))
            return
        page = _Page(coloured=terminal.coloured(), raised=terminal.can_show(_RAISED))
        for name, told in service.events("/v1/ask", body | {"stream": True}):
            if name == "sentence":
                page.sentence(told)
            elif name == "answer":
                page.end(told)
                return
    raise UnreachableError("the service broke off before its answer had ended")


def _begun(service: Service) -> str:
    """The id of a new conversation, which the person is told."""
    made = str(service.post("/v1/conversations")["id"])
    terminal.note(f"go on with --conversation {terminal.visible(made)}")
    return made


@dataclasses.dataclass(slots=True, kw_only=True)
class _Page:
    """What is printed of one answer."""

    coloured: bool
    raised: bool  # footnote marks as superscript digits, and curly quotes; else [^1] and straight ones
    last: str = ""  # sentence that was printed

    def sentence(self, told: Mapping[str, Any]) -> None:
        """One more sentence, with its marks."""
        if self.last:
            terminal.piece(joint(self.last, told["text"]))
        marks = "".join(self._mark(number) for number in told["citations"])
        terminal.piece(self._text(told["text"]) + self._painted(marks, "36"))
        self.last = told["text"]

    def end(self, answer: Mapping[str, Any]) -> None:
        """What stands below the sentences."""
        sure = f"{answer['confidence'] * _SURE:.0f} %"
        if answer["sentences"]:
            terminal.write("\n")
            for citation in answer["citations"]:
                self._footnote(citation)
            terminal.write(self._painted(f"confidence {sure}", "2"))
        elif answer["status"] == "no_answer":
            terminal.write(f"Not in the documents, as far as can be told (confidence of the best guess: {sure}).")
            self._nearest(answer.get("nearest") or ())
        else:
            terminal.write("There is nothing to answer.")
        if answer.get("standalone_question"):
            terminal.note(f"read as: {terminal.visible(answer['standalone_question'])}")
        for notice in answer["warnings"]:
            terminal.note(f"note: {terminal.visible(notice['message'])}")
        if "candidates" in answer:
            self._explained(answer)

    def _footnote(self, citation: Mapping[str, Any]) -> None:
        terminal.write(f"{self._painted(self._mark(citation['n']), '36')} {_place(citation)}")
        opening, closing = "“”" if self.raised else '""'
        terminal.write(self._painted(f"  {opening}{self._text(citation['quote'])}{closing}", "2"))

    def _nearest(self, hits: Sequence[Mapping[str, Any]]) -> None:
        if hits:
            terminal.write("Nearest to it:")
        for hit in hits[:_MOST_NEAREST]:
            text = self._text(hit["text"])
            terminal.write(f"- {_place(hit)}")
            terminal.write(self._painted(f"  {text[:_SNIPPET_CHARS]}{'…' if len(text) > _SNIPPET_CHARS else ''}", "2"))

    def _explained(self, answer: Mapping[str, Any]) -> None:
        terminal.write("\nSentences that were weighed, best first:")
        for candidate in answer["candidates"]:
            terminal.write(f"  {candidate['score']:.4f}  {self._text(candidate['text'])}")
        terminal.write(f"Milliseconds: {terminal.json_line(answer['timings_ms'])}")

    def _mark(self, number: int) -> str:
        return "".join(_RAISED[int(digit)] for digit in str(number)) if self.raised else f"[^{number}]"

    def _text(self, text: str) -> str:
        """The text as it may be shown, its own raised digits lowered: they are no marks of ours."""
        return terminal.visible(text).translate(_LOWERED)

    def _painted(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self.coloured and text else text


def _place(cited: Mapping[str, Any]) -> str:
    """Where something stands: title, name, page, offsets."""
    name = cited.get("external_id") or cited["document_id"]
    page = f", page {cited['page']}" if cited.get("page") is not None else ""
    title = "" if cited["title"] == name else f"{cited['title']}, "
    return terminal.visible(f"{title}{name}{page}, characters {cited['start']}-{cited['end']}")
