"""`footnote serve`: the service, until it is stopped."""

from __future__ import annotations

import gc
import importlib
import sys
from typing import Annotated

import typer

from ingestion.cli.options import DataDir, ended_in_a_sentence, settings

Host = Annotated[str | None, typer.Option(help="The address to listen on.", show_default="FOOTNOTE_HOST, 127.0.0.1")]
Port = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="Its port; 0 takes a free one.", show_default="FOOTNOTE_PORT, 8321"),
]


def serve(*, host: Host = None, port: Port = None, data_dir: DataDir = None) -> None:
    """Run the service. The first start writes the admin key into the data folder and says where."""
    _load_logs()
    gc.disable()  # until all is loaded, `app.api.garbage.settle`: what is loaded stays, and looking through it takes 0.14 s
    from app.main import serve as run  # noqa: PLC0415 - the whole service is not paid for by --help

    with ended_in_a_sentence():
        code = run(settings(data_dir, host=host, port=port))
    raise typer.Exit(code)


def _load_logs() -> None:
    """Load structlog without rich, 5 MB and 0.05 s for tracebacks that show variables: ours are plain ones."""
    if "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # so that importing it fails
    try:
        importlib.import_module("structlog")
    finally:
        del sys.modules["rich"]
