"""`footnote doctor`: do rows, vectors and files agree?"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ingestion.cli import terminal
from ingestion.cli.options import Session, command

Repair = Annotated[bool, typer.Option("--repair", help="Mend what can be.")]
Deep = Annotated[bool, typer.Option("--deep", help="Read every original and text too.")]


@command
def doctor(session: Session, *, repair: Repair = False, deep: Deep = False) -> None:
    """Compare rows, vectors and files, of every workspace, while the service works. Exits with 1 where drift is left."""
    report: dict[str, Any] = {"left": 1}
    with session.service() as service:
        path = f"/v1/doctor?repair={str(repair).lower()}&deep={str(deep).lower()}"
        for name, told in service.events(path, {}):
            if session.as_json:
                terminal.write(terminal.json_line({"event": name, **told}))
            elif name == "finding":
                terminal.write(_line(told))
            if name == "report":
                report = told
    if not session.as_json:
        terminal.write(_summary(report))
    if report["left"]:
        raise typer.Exit(1)


def _line(told: dict[str, Any]) -> str:
    ids = [
        f"{name.removesuffix('_id')} {told[name]}"
        for name in ("document_id", "job_id", "collection_id")
        if name in told
    ]
    outcome = {True: "repaired", False: "can't be repaired", None: "found"}[told["repaired"]]
    return terminal.visible(f"{outcome}: {told['kind']}: {told['detail']}" + (f" ({', '.join(ids)})" if ids else ""))


def _summary(report: dict[str, Any]) -> str:
    found = sum(report.get("found", {}).values())
    if not found:
        return "rows, vectors and files agree"
    mended = sum(report["repaired"].values())
    advice = "" if mended else "; `footnote doctor --repair` mends what can be"
    return f"{found} places where they don't, {mended} repaired{advice}"
