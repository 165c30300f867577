"""llama.cpp's own server on a port of this machine, from `make llama`; ended by its id."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
from typing import Any

import httpx

from tests.services import running, servers

_BUILT = running.ROOT / ".venv-llama" / "bin" / "llama-server"


def program() -> str:
    """The server's path: FOOTNOTE_TEST_LLAMA_SERVER, what `make llama` built, or one of the machine."""
    named = os.environ.get("FOOTNOTE_TEST_LLAMA_SERVER")
    found = named or (str(_BUILT) if _BUILT.exists() else shutil.which("llama-server"))
    return found or running.missing("no llama-server here: `make llama` builds it")


class LlamaServer(servers.Server):
    """Serves one model in several slots."""

    def __init__(self, folder: pathlib.Path, model: pathlib.Path, *, slots: int, context_tokens: int) -> None:
        folder.mkdir()
        port = running.free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._client = httpx.Client(base_url=self.url, trust_env=False, timeout=10)
        options = {
            "model": model,
            "host": "127.0.0.1",
            "port": port,
            "parallel": slots,
            "ctx-size": slots * context_tokens,
            "threads": 1,
            "threads-http": slots + 4,
            "cache-ram": 0,
        }
        command = [program(), *(str(part) for name, value in options.items() for part in (f"--{name}", value))]
        super().__init__(folder, [*command, "--jinja", "--slots", "--offline", "--no-warmup"], self._is_ready)

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        """By a signal."""
        super().stop(number)
        self._client.close()

    def busy_slots(self) -> int:
        """Those that compute now."""
        slots: list[dict[str, Any]] = self._client.get("/slots").raise_for_status().json()
        return sum(bool(slot["is_processing"]) for slot in slots)

    def _is_ready(self) -> None:
        try:
            self._client.get("/health").raise_for_status()
        except httpx.HTTPError as error:
            raise OSError(str(error)) from error
