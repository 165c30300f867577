"""LiteLLM's proxy with models that it makes up itself, as a process from an environment of its own; ended by its id."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Iterator

import httpx

from tests.services import running

KEY = "sk-of-the-tests-0123456789abcdef0123456789abcdef"
TEXT = "Assets rose to 14 million dollars in 2019, as the report says."
JSON = '{"year": 2019}'
_PROGRAM = running.ROOT / ".venv-litellm" / "bin" / "litellm"
_DONE = _PROGRAM.parents[1] / ".done"
_START_SECONDS = 100.0  # alone it takes 6 s of one core, mostly for imports


@contextlib.contextmanager
def serving(folder: pathlib.Path) -> Iterator[str]:
    """Its base URL, while the block runs; skipped, or failed in CI, where `make` has not made its environment."""
    if not _DONE.exists():
        running.missing("no LiteLLM here: make .venv-litellm/.done")
    config = folder / "config.json"  # JSON is YAML too
    mocks = {"mock": {"mock_response": TEXT}, "mock-json": {"mock_response": JSON}}
    models = [
        {"model_name": name, "litellm_params": {"model": "openai/mock", "api_key": "none", **parts}}
        for name, parts in mocks.items()
    ]
    config.write_text(json.dumps({"model_list": models, "litellm_settings": {"telemetry": False}}))
    port = running.free_port()
    # What would fetch prices and report on itself is off.
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_MASTER_KEY": KEY,
        "LITELLM_TELEMETRY": "False",
        "DISABLE_ADMIN_UI": "True",
    }
    with (folder / "litellm.log").open("wb") as log:
        process = subprocess.Popen(
            [_PROGRAM, "--config", config, "--host", "127.0.0.1", "--port", str(port)],
            stdout=log,
            stderr=log,
            env=environment,
            cwd=folder,
        )
    try:
        _until_up(process, f"http://127.0.0.1:{port}/health/liveliness", folder / "litellm.log")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _until_up(process: subprocess.Popen[bytes], url: str, log: pathlib.Path) -> None:
    end = time.monotonic() + _START_SECONDS
    with httpx.Client(trust_env=False, timeout=5) as client:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if client.get(url).is_success:
                    return
            assert process.poll() is None, log.read_text(errors="replace")[-2000:]
            assert time.monotonic() < end, log.read_text(errors="replace")[-2000:]
            time.sleep(0.1)
