"""`footnote backup` and `footnote restore`: a data folder as one file, and back."""

from __future__ import annotations

import datetime as dt
import pathlib
from typing import Annotated

import typer

from ingestion.cli import terminal
from ingestion.cli.errors import LocalError
from ingestion.cli.options import AsJson, DataDir, Session, command, ended_in_a_sentence, settings

Target = Annotated[pathlib.Path, typer.Argument(metavar="TARGET", help="A file that does not exist, or a folder.")]
Archive = Annotated[pathlib.Path, typer.Argument(metavar="ARCHIVE", help="What `footnote backup` wrote.")]


@command
def backup(session: Session, target: Target) -> None:
    """Write everything into one file, while the service goes on."""
    if target.is_dir():
        target = target / f"footnote-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}.tar"
    if target.exists():
        raise LocalError(f"{target} exists; a backup overwrites nothing", code="target_exists")
    with session.service() as service:
        size = service.download_file("POST", "/v1/backup", target)
    session.show({"file": str(target), "bytes": size})


def restore(archive: Archive, *, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Make a data folder of a backup, and verify it. The folder must be empty, or not be there."""
    from app.bootstrap import restore as unpack  # noqa: PLC0415 - the whole service is not paid for by --help

    session = Session(data_dir=data_dir, url=None, key=None, as_json=as_json)
    with ended_in_a_sentence():
        folder = settings(data_dir).data_dir
        if not archive.is_file():
            raise LocalError(f"there is no file {archive}", code="no_such_path")
        result = unpack(archive, folder)
        session.show({"data_dir": str(folder), **result})
        terminal.note(f"restored into {folder}")
