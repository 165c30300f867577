"""`footnote search`: the best passages for a query."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from ingestion.cli import terminal
from ingestion.cli.options import Session, command

_SNIPPET_CHARS = 300


class Mode(enum.StrEnum):
    """As the API has it."""

    HYBRID = "hybrid"
    DENSE = "dense"
    SPARSE = "sparse"


Query = Annotated[str, typer.Argument(metavar="QUERY")]
Collections = Annotated[list[str], typer.Option("--collection", "-c", help="Only these; all where none is named.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=200, help="Hits, or documents with --group.")]
How = Annotated[Mode, typer.Option("--mode", help="By words and meaning, or by one of them.")]
Condition = Annotated[
    str | None, typer.Option("--filter", help='Over metadata, as \'{"type": "gte", "key": "year", "value": 2020}\'.')
]
Group = Annotated[bool, typer.Option("--group", help="Only the best passage of each document.")]
Explain = Annotated[bool, typer.Option("--explain", help="Rank and score of each side, and what was passed over.")]
Full = Annotated[bool, typer.Option("--full", help="Whole passages instead of their beginnings.")]


@command
def search(
    session: Session,
    query: Query,
    *,
    collection: Collections = [],  # noqa: B006 - typer reads the default, nobody changes it
    limit: Limit = 10,
    mode: How = Mode.HYBRID,
    condition: Condition = None,
    group: Group = False,
    explain: Explain = False,
    full: Full = False,
) -> None:
    """Find passages; each with its document, page and offsets."""
    body: dict[str, Any] = {"query": query, "limit": limit, "mode": mode.value}
    if collection:
        body["collections"] = collection
    if condition is not None:
        body["filter"] = parse_filter(condition)
    if group:
        body["group"] = "document"
    if explain:
        body["explain"] = True
    with session.service() as service:
        found = service.post("/v1/search", body)
    if session.as_json:
        terminal.write(terminal.json_line(found))
        return
    for rank, hit in enumerate(found["hits"], start=1):
        _show(rank, hit, full=full)
    if not found["hits"]:
        terminal.write("nothing found")
    if explain:
        terminal.write(terminal.json_line({name: found.get(name) for name in ("explanation", "timings_ms")}))


def parse_filter(text: str) -> Any:
    """A filter as JSON. Raises typer.BadParameter where it is none."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"--filter is no JSON: {error}") from error


def _show(rank: int, hit: Mapping[str, Any], *, full: bool) -> None:
    page = f", page {hit['page']}" if hit.get("page") is not None else ""
    name = hit.get("external_id") or hit["document_id"]
    place = f"{name}{page}, characters {hit['start']}-{hit['end']}"
    terminal.write(f"{rank:>3}  {hit['score']:.4f}  {terminal.visible(hit['title'])}")
    terminal.write(f"     {terminal.visible(place)}")
    if why := hit.get("explain"):
        terminal.write(f"     {terminal.json_line(why)}")
    if full:
        for line in terminal.visible(hit["text"], multiline=True).split("\n"):
            terminal.write(f"     {line}")
    else:
        text = terminal.visible(hit["text"])
        terminal.write(f"     {text[:_SNIPPET_CHARS]}{'…' if len(text) > _SNIPPET_CHARS else ''}")
    terminal.write()
