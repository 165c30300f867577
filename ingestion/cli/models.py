"""`footnote models`: what there is, how it answers, and files of models fetched because a person asked for them."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from ingestion.cli import options, terminal
from ingestion.cli.errors import LocalError, RefusedError
from ingestion.cli.options import Session, command

if TYPE_CHECKING:
    from ingestion.cli.client import Service

app = typer.Typer(no_args_is_help=True, help="List, check and reload models; fetch a model's file.")

Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="All of the file of models by default.")]
Seconds = Annotated[float, typer.Option("--seconds", min=0.1, max=120, help="In which a whole answer must come.")]
Origin = Annotated[
    str, typer.Argument(metavar="REPOSITORY|URL", help="OWNER/NAME on the hub, with FILE; or the file's own address.")
]
File = Annotated[str | None, typer.Argument(metavar="[FILE]", help="The file in the repository.")]
Sha256 = Annotated[str | None, typer.Option("--sha256", help="What the file must hash to; else nothing is kept.")]
Revision = Annotated[str, typer.Option("--revision", help="Branch, tag or commit of the repository.")]
To = Annotated[
    pathlib.Path | None,
    typer.Option("--to", help="The folder it goes to.", show_default="models in the data folder"),
]

_COLUMNS = ["name", "provider", "model", "tier", "available", "why_not", "in_flight", "waiting", "breakers"]


@app.command("list")
@command
def list_models(session: Session) -> None:
    """Models that write answers, and how they are doing."""
    with session.service() as service:
        found = service.get("/v1/models")["data"]
    if not session.as_json:
        for each in found:
            each["breakers"] = ", ".join(endpoint["breaker"] for endpoint in each["endpoints"])
    session.show_all(found, _COLUMNS)


@app.command("check")
@command
def check(session: Session, names: Names = None, *, seconds: Seconds = 20.0) -> None:
    """Ask each model a small question, one after the other; exits with 1 where one failed. Providers charge for it."""
    failed = 0
    with session.service() as service:
        wanted = names or [each["name"] for each in service.get("/v1/models")["data"] if each["provider"] != "built-in"]
        if not wanted:
            terminal.note("the file of models declares none")
        for name in wanted:
            told = _checked(service, name, seconds)
            failed += not told["ok"]
            terminal.write(terminal.json_line(told) if session.as_json else _line(told))
    if failed:
        raise typer.Exit(1)


@app.command("reload")
@command
def reload(session: Session) -> None:
    """Have the service read the file of models anew; a file that is not usable changes nothing."""
    with session.service() as service:
        session.show(service.post("/v1/models/reload"))


@app.command("pull")
@command
def pull(
    session: Session,
    origin: Origin,
    file: File = None,
    *,
    sha256: Sha256 = None,
    revision: Revision = "main",
    to: To = None,
) -> None:
    """Fetch one file of a model, whole or not at all; run again, it goes on where it was cut off.

    Takes FOOTNOTE_ALLOW_DOWNLOADS=true.
    """
    from ingestion.cli import pulling  # noqa: PLC0415 - httpx is not paid for by --help

    settings = options.settings(session.data_dir)
    if not settings.allow_downloads:
        raise LocalError("downloads are not allowed: FOOTNOTE_ALLOW_DOWNLOADS=true allows them", code="not_allowed")
    source = pulling.source(origin, file, revision)
    folder = to or settings.data_dir / "models"
    with pulling.display(as_json=session.as_json) as progress:
        done = pulling.pull(source, folder, sha256=sha256, told=progress)
    session.show({"file": str(done.path), "bytes": done.size_bytes, "sha256": done.sha256, "fetched": done.fetched})


def _checked(service: Service, name: str, seconds: float) -> dict[str, Any]:
    try:
        return service.post(f"/v1/models/{quote(name, safe='')}/check", params={"seconds": seconds})
    except RefusedError as error:
        if error.code != "model_not_found":
            raise
        return {"name": name, "ok": False, "error": {"code": error.code, "message": str(error)}}


def _line(told: dict[str, Any]) -> str:
    if not told["ok"]:
        return terminal.visible(f"{told['name']}: {told['error']['message']} [{told['error']['code']}]")
    usage = told["usage"]
    took = f"{told['total_ms']:.0f} ms, first piece after {told['first_token_ms'] or told['total_ms']:.0f} ms"
    tokens = (
        f"; {usage['prompt_tokens']} + {usage['completion_tokens']} tokens, ${usage['cost_usd']:.6f}" if usage else ""
    )
    return terminal.visible(f"{told['name']}: answers in {took}{tokens}")
