"""`footnote conversations`: questions that belong together; each is its beginner's alone."""

from __future__ import annotations

import pathlib
from typing import Annotated, Any
from urllib.parse import quote

import typer

from ingestion.cli import terminal
from ingestion.cli.options import Session, command

app = typer.Typer(
    no_args_is_help=True,
    help="List, read, rename, export and delete conversations; `footnote ask --conversation new` begins one.",
)

ConversationId = Annotated[str, typer.Argument(metavar="CONVERSATION", help="The id that `conversations list` shows.")]
ConversationIds = Annotated[list[str], typer.Argument(metavar="CONVERSATION...")]
Title = Annotated[str, typer.Argument(metavar="TITLE")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")]
Output = Annotated[pathlib.Path | None, typer.Option("--output", "-o", help="A file to write; else standard output.")]


@app.command("list")
@command
def list_conversations(session: Session, *, limit: Limit = 100) -> None:
    """The conversations that this key's owner began, oldest first."""
    with session.service() as service:
        found = list(service.pages("/v1/conversations", most=limit))
    session.show_all(found, ["id", "title", "created_at", "updated_at"])


@app.command("show")
@command
def show(session: Session, conversation: ConversationId, *, limit: Limit = 1000) -> None:
    """One conversation with its questions and answers, oldest first."""
    path = _path(conversation)
    with session.service() as service:
        found = service.get(path)
        turns = list(service.pages(f"{path}/turns", most=limit))
    if session.as_json:
        terminal.write(terminal.json_line({**found, "turns": turns}))
        return
    terminal.fields(found)
    for turn in turns:
        _write_turn(turn)


@app.command("rename")
@command
def rename(session: Session, conversation: ConversationId, title: Title) -> None:
    """Give a conversation another title."""
    with session.service() as service:
        reply = service.request("PATCH", _path(conversation), body=lambda: {"json": {"title": title}})
    session.show(reply.body)


@app.command("export")
@command
def export(session: Session, conversation: ConversationId, *, output: Output = None) -> None:
    """Every answer of a conversation, one JSON object a line."""
    path = _path(conversation)
    with session.service() as service:
        if output is None:
            for turn in service.pages(f"{path}/turns"):
                terminal.write(terminal.json_line(turn))
            return
        size = service.download_file("GET", f"{path}/export", output)
    session.show({"file": str(output), "bytes": size})


@app.command("delete")
@command
def delete(session: Session, conversations: ConversationIds) -> None:
    """Delete conversations with all their answers; shows the receipts."""
    removed: list[dict[str, Any]] = []
    try:
        with session.service() as service:
            for each in conversations:
                removed.append(service.request("DELETE", _path(each)).body)  # noqa: PERF401 - those before an error count
    finally:
        if removed:
            session.show_all(removed, ["conversation_id", "answers", "summaries", "deleted_at"])


def _path(conversation: str) -> str:
    return f"/v1/conversations/{quote(conversation, safe='')}"


def _write_turn(turn: dict[str, Any]) -> None:
    """A question, how it was read where that is another, and what was answered."""
    terminal.write(f"\n> {terminal.visible(turn['question'])}")
    if turn["standalone_question"]:
        terminal.write(f"  (read as: {terminal.visible(turn['standalone_question'])})")
    terminal.write(terminal.visible(turn["text"], multiline=True) or f"({terminal.visible(turn['status'])})")
    for notice in turn["warnings"]:
        terminal.write(f"note: {terminal.visible(notice['message'])}")
