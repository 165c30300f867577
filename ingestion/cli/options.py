"""What every command takes, and how its errors end."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import pathlib
import typing
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Concatenate, ParamSpec

import typer

from app.domain.errors import FootnoteError
from ingestion.cli import terminal

if TYPE_CHECKING:
    from app.settings import Settings
    from ingestion.cli.client import Service

P = ParamSpec("P")

INTERRUPTED = 130  # 128 + SIGINT, as shells count

DataDir = Annotated[
    pathlib.Path | None,
    typer.Option("--data-dir", help="The data folder; FOOTNOTE_DATA_DIR, else ./data.", show_default=False),
]
Url = Annotated[
    str | None,
    typer.Option("--url", envvar="FOOTNOTE_URL", help="A service elsewhere, as https://host; takes --key."),
]
ApiKey = Annotated[
    str | None,
    typer.Option("--key", envvar="FOOTNOTE_KEY", help="An API key; else the folder's admin.key.", show_envvar=True),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What the person said about where to go and how to answer."""

    data_dir: pathlib.Path | None
    url: str | None
    key: str | None
    as_json: bool

    @contextlib.contextmanager
    def service(self, *, makes_folder: bool = False) -> Iterator[Service]:
        """The service to speak to; started in this process where none runs.

        Args:
            makes_folder: a data folder that does not exist is made; else that is an error.
        """
        from ingestion.cli import connection  # noqa: PLC0415 - httpx is not paid for by --help

        with connection.connect(self.data_dir, self.url, self.key, makes_folder=makes_folder) as service:
            yield service

    def show(self, value: dict[str, typing.Any]) -> None:
        """One object."""
        if self.as_json:
            terminal.write(terminal.json_line(value))
        else:
            terminal.fields(value)

    def show_all(self, values: list[dict[str, typing.Any]], names: list[str]) -> None:
        """Several objects: each whole with --json, else these fields of them in columns."""
        if self.as_json:
            for value in values:
                terminal.write(terminal.json_line(value))
        else:
            rows = [[_cell(value.get(name)) for name in names] for value in values]
            terminal.columns(names, rows)


def settings(data_dir: pathlib.Path | None = None, **given: typing.Any) -> Settings:
    """The settings of the environment, with what the command line says over them; None leaves them be."""
    from app import settings as configuration  # noqa: PLC0415 - pydantic is not paid for by --help

    said = {"data_dir": data_dir, **given}
    return configuration.load().model_copy(update={name: part for name, part in said.items() if part is not None})


def command(function: Callable[Concatenate[Session, P], None]) -> Callable[..., None]:
    """Give a command `--data-dir --url --key --json` in place of its first parameter, and end its errors in a sentence.

    typer reads a command's options off its signature; this writes them there, once for all commands.
    """

    @functools.wraps(function)
    def run(
        *args: typing.Any, data_dir: DataDir, url: Url, api_key: ApiKey, as_json: AsJson, **options: typing.Any
    ) -> None:
        session = Session(data_dir=data_dir, url=url, key=api_key, as_json=as_json)
        with ended_in_a_sentence():
            function(session, *args, **options)

    hints = typing.get_type_hints(function, include_extras=True)
    own = list(inspect.signature(function).parameters.values())[1:]
    parameters = [each.replace(annotation=hints[each.name], kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
    shared = {"data_dir": (DataDir, None), "url": (Url, None), "api_key": (ApiKey, None), "as_json": (AsJson, False)}
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)
        for name, (kind, default) in shared.items()
    ]
    run.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": None}
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
    return run


@contextlib.contextmanager
def ended_in_a_sentence() -> Iterator[None]:
    """Expected errors as one sentence and exit code 1; Ctrl-C as 130. A defect of ours keeps its traceback."""
    try:
        yield
    except FootnoteError as error:
        terminal.complain(error.explained, error.code)
        raise typer.Exit(1) from error
    except KeyboardInterrupt as stop:
        terminal.note("footnote: stopped")
        raise typer.Exit(INTERRUPTED) from stop


def _cell(value: object) -> object:
    if isinstance(value, dict | list):
        return terminal.json_line(value)
    return value
