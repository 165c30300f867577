"""`footnote policy` and `footnote templates`: what is wanted of answers, and how models are asked."""

from __future__ import annotations

import json
import pathlib
import tomllib
from typing import Annotated, Any
from urllib.parse import quote

import typer

from ingestion.cli import terminal
from ingestion.cli.errors import LocalError
from ingestion.cli.options import Session, command

app = typer.Typer(no_args_is_help=True, help="Show, set, try and take back what is wanted of answers.")
templates = typer.Typer(no_args_is_help=True, help="Show, set and take back how models are asked.")

_MOST_BYTES = 1 << 20
_VERSION_FIELDS = ["number", "note", "created_at", "key_id"]

OfCollection = Annotated[
    str | None, typer.Option("--collection", "-c", help="Of a collection; of the workspace where left out.")
]
File = Annotated[pathlib.Path, typer.Argument(metavar="FILE", help="JSON, or TOML where its name ends so.")]
Note = Annotated[str, typer.Option("--note", help="Why, for who reads the versions.")]
IfNumber = Annotated[
    int | None, typer.Option("--if-number", min=0, help="Only while this version is in force; 0: while there is none.")
]
Number = Annotated[int, typer.Argument(metavar="NUMBER", min=0, help="The version that `versions` shows.")]
Name = Annotated[str, typer.Argument(metavar="NAME")]
Collections = Annotated[
    list[str], typer.Option("--ask", help="A collection that is asked; all by default. Repeatable.")
]
PolicyFile = Annotated[pathlib.Path | None, typer.Option("--policy", help="A policy to try, as `set` takes it.")]
TemplateFile = Annotated[
    pathlib.Path | None, typer.Option("--template", help="A template to try, as `templates set` takes it.")
]
Question = Annotated[str | None, typer.Option("--question", help="A question to try it with.")]


@app.command("show")
@command
def show(session: Session, *, collection: OfCollection = None) -> None:
    """The policy in force; number 0 where none was set."""
    with session.service() as service:
        _show(session, service.get(_path(collection)), "policy")


@app.command("set")
@command
def set_policy(
    session: Session, file: File, *, collection: OfCollection = None, note: Note = "", if_number: IfNumber = None
) -> None:
    """Set a policy as a whole; what the file leaves out has its default."""
    body = _read(file) | _said(note, if_number)
    with session.service() as service:
        made = service.request("PUT", _path(collection), body=lambda: {"json": body}).body
    for warning in made["warnings"]:
        terminal.note(f"footnote: {terminal.visible(warning)}")
    _show(session, made, "policy")


@app.command("versions")
@command
def versions(session: Session, *, collection: OfCollection = None) -> None:
    """Versions of a policy, newest first."""
    with session.service() as service:
        found = list(service.pages(f"{_path(collection)}/versions"))
    session.show_all(found, _VERSION_FIELDS)


@app.command("rollback")
@command
def rollback(session: Session, number: Number, *, collection: OfCollection = None, if_number: IfNumber = None) -> None:
    """Go back to an old version; it becomes the newest."""
    with session.service() as service:
        body = {"number": number} | _said("", if_number)
        _show(session, service.post(f"{_path(collection)}/rollback", body), "policy")


@app.command("preview")
@command
def preview(
    session: Session,
    *,
    policy: PolicyFile = None,
    template: TemplateFile = None,
    collection: OfCollection = None,
    ask: Collections = [],  # noqa: B006 - typer reads the default, nobody changes it
    question: Question = None,
) -> None:
    """What would hold, and what a model would be asked; none is asked, and nothing is stored."""
    body: dict[str, Any] = {}
    if policy is not None:
        body |= {"policy": _read(policy)}
    if template is not None:
        body |= {"template": _read(template)}
    if collection is not None:
        body |= {"collection": collection}
    if ask:
        body |= {"collections": list(ask)}
    if question is not None:
        body |= {"question": question}
    with session.service() as service:
        shown = service.post("/v1/policy/preview", body)
    if session.as_json:
        terminal.write(terminal.json_line(shown))
        return
    terminal.fields({name: part for name, part in shown.items() if name != "messages"})
    for message in shown["messages"]:
        terminal.write(f"\n--- {terminal.visible(message['role'])}")
        terminal.write(terminal.visible(message["text"], multiline=True))


@templates.command("list")
@command
def list_templates(session: Session) -> None:
    """The templates in force."""
    with session.service() as service:
        found = service.get("/v1/templates")["data"]
    session.show_all(found, ["name", *_VERSION_FIELDS])


@templates.command("show")
@command
def show_template(session: Session, name: Name) -> None:
    """A template."""
    with session.service() as service:
        _show_template(session, service.get(_template(name)))


@templates.command("set")
@command
def set_template(session: Session, name: Name, file: File, *, note: Note = "", if_number: IfNumber = None) -> None:
    """Set a template from a file with `system` and `user`; `default` stands in for the product's own."""
    body = _read(file) | _said(note, if_number)
    with session.service() as service:
        _show_template(session, service.request("PUT", _template(name), body=lambda: {"json": body}).body)


@templates.command("versions")
@command
def template_versions(session: Session, name: Name) -> None:
    """Versions of a template, newest first."""
    with session.service() as service:
        found = list(service.pages(f"{_template(name)}/versions"))
    session.show_all(found, _VERSION_FIELDS)


@templates.command("rollback")
@command
def rollback_template(session: Session, name: Name, number: Number, *, if_number: IfNumber = None) -> None:
    """Go back to an old version, 0 for the product's own; it becomes the newest."""
    with session.service() as service:
        body = {"number": number} | _said("", if_number)
        _show_template(session, service.post(f"{_template(name)}/rollback", body))


def _path(collection: str | None) -> str:
    return "/v1/policy" if collection is None else f"/v1/collections/{quote(collection, safe='')}/policy"


def _template(name: str) -> str:
    return f"/v1/templates/{quote(name, safe='')}"


def _said(note: str, if_number: int | None) -> dict[str, Any]:
    """What the command line says over the file."""
    return ({"note": note} if note else {}) | ({} if if_number is None else {"if_number": if_number})


def _read(path: pathlib.Path) -> dict[str, Any]:
    """The object in a file.

    Raises:
        LocalError: it can't be read, is too large, or holds none.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise LocalError(f"{path} has more than {_MOST_BYTES} bytes", code="too_large")
        text = content.decode("utf-8")
        value = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except OSError as error:
        raise LocalError(f"{path} can't be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, not TOML
        raise LocalError(
            f"{path} is no {'TOML' if path.suffix == '.toml' else 'JSON'}: {error}", code="bad_file"
        ) from error
    if not isinstance(value, dict):
        raise LocalError(f"{path} holds no object of fields", code="bad_file")
    return value


def _show(session: Session, version: dict[str, Any], part: str) -> None:
    """A version, its fields one a line."""
    if session.as_json:
        terminal.write(terminal.json_line(version))
    else:
        terminal.fields({name: value for name, value in version.items() if name != part} | version[part])


def _show_template(session: Session, version: dict[str, Any]) -> None:
    if session.as_json:
        terminal.write(terminal.json_line(version))
        return
    terminal.fields({name: value for name, value in version.items() if name not in ("system", "user")})
    for part in ("system", "user"):
        terminal.write(f"\n--- {part}")
        terminal.write(terminal.visible(version[part], multiline=True))
