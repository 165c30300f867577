"""`footnote usage`: what models were used, and what it cost."""

from __future__ import annotations

from typing import Annotated

import typer

from ingestion.cli import terminal
from ingestion.cli.options import Session, command

_COLUMNS = {"day": "day", "model": "model", "key": "key_id", "workspace": "workspace_id"}  # by what it is asked by
_SUMS = ("calls", "failures", "prompt_tokens", "completion_tokens", "cached_tokens", "cost_usd")

From = Annotated[
    str | None, typer.Option("--from", metavar="DAY", help="The first day, UTC, as 2026-11-28; 30 days where left out.")
]
To = Annotated[str | None, typer.Option("--to", metavar="DAY", help="The last one; today where left out.")]
By = Annotated[str, typer.Option("--by", help="Some of day, model, key, workspace; comma-separated.")]
Model = Annotated[str | None, typer.Option("--model", help="Only this one's.")]
KeyId = Annotated[str | None, typer.Option("--of-key", metavar="ID", help="Only that key's; the id of `keys list`.")]


@command
def usage(
    session: Session,
    *,
    since: From = None,
    until: To = None,
    by: By = "day,model",
    model: Model = None,
    of_key: KeyId = None,
) -> None:
    """Calls of models, their tokens and US dollars: a workspace's for its admins, else those of the key in use."""
    asked = {"from": since, "to": until, "by": by, "model": model, "key_id": of_key}
    with session.service() as service:
        report = service.get("/v1/usage", asked)
    if session.as_json:
        terminal.write(terminal.json_line(report))
        return
    named = {name.strip() for name in by.split(",")}
    names = [column for name, column in _COLUMNS.items() if name in named]
    total = {names[0]: "total", **report["total"]}
    session.show_all([*report["data"], total], [*names, *_SUMS])
