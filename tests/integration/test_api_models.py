"""Models over HTTP and by the command line: what there is, a check, and a file that is read anew."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner, Result

from app.bootstrap import Services, build
from app.bootstrap.models import CataloguedModels, catalogue_of
from app.domain.access import Role
from app.domain.errors import BadCatalogueError, ConfigurationError, ModelDownError
from app.domain.models import ChatEvent, ChatRequest, Delta, Finished, Usage
from app.gateway.keys import KeyRequest
from app.inference.chat.backend import Backend, Endpoint
from app.main import create_app
from app.settings import Settings
from ingestion.cli import application, connection
from tests.services.embeddings import Answer, served

ROOT = pathlib.Path(__file__).parents[2]
FILE = """
[[model]]
name = "good"
provider = "openai_compatible"
model = "tiny"
base_url = "http://inside.example:8000/v1"
price = {input = 1, output = 2}

[[model]]
name = "bad"
provider = "openai_compatible"
model = "down"
base_url = "http://127.0.0.1:9/v1"

[[model]]
name = "unset"
provider = "openai"
model = "gpt"
api_key_env = "FOOTNOTE_TEST_ABSENT_KEY"
"""


class Fake:
    """A backend that answers, or is down."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._down = endpoint.model == "down"

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        assert request.max_tokens <= 16
        await asyncio.sleep(0)
        if self._down:
            raise ModelDownError("nothing listens there")
        yield Delta(text="ready")
        yield Finished(reason="stop", usage=Usage(prompt_tokens=1000, completion_tokens=500))

    async def close(self) -> None:
        """Nothing is held."""


async def opened(endpoint: Endpoint) -> Backend:
    return Fake(endpoint)


@dataclasses.dataclass
class House:
    """A service with models, and its clients."""

    client: TestClient
    services: Services
    file: pathlib.Path

    def call(self, method: str, path: str, role: Role | None = Role.ADMIN) -> Any:
        """A response, to a key of that role of the default workspace; None: to an admin of another."""
        admin = self.services.keys.authenticate(self.services.admin_key_path.read_text().strip())
        request = KeyRequest(name="k", role=role or Role.ADMIN, workspace=None if role else "other")
        _, secret = self.services.keys.create(admin, request)
        return self.client.request(method, path, headers={"Authorization": f"Bearer {secret}"})


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("models")
    (folder / "models.toml").write_text(FILE)
    settings = Settings(data_dir=folder, embedder="hashing-16", min_free_bytes=0)
    built = build(settings)
    models = CataloguedModels(settings, catalogue_of(settings), opening=opened)
    services = dataclasses.replace(built, models=models)
    admin = services.keys.authenticate(services.admin_key_path.read_text().strip())
    services.workspaces.create(admin, "other")
    with TestClient(create_app(services=services), base_url="http://localhost") as client:
        yield House(client, services, folder / "models.toml")


@pytest.fixture(autouse=True)
def _as_it_was(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "house" in request.fixturenames:
        house: House = request.getfixturevalue("house")
        house.file.write_text(FILE)
        assert house.call("POST", "/v1/models/reload").status_code == 200


def test_any_key_sees_the_models_and_only_who_runs_the_service_their_addresses(house: House) -> None:
    shown = {role: house.call("GET", "/v1/models", role).json() for role in (Role.READER, Role.EDITOR, None)}
    for reply in shown.values():
        assert [each["name"] for each in reply["data"]] == ["good", "bad", "unset", "extractive"]
        assert "inside.example" not in json.dumps(reply)
    good, _, unset, extractive = house.call("GET", "/v1/models").json()["data"]

    assert good["endpoints"][0]["url"] == "http://inside.example:8000/v1"
    assert (good["available"], good["tier"], good["price"]["output"]) == (True, "standard", 2)
    assert (unset["available"], unset["why_not"]) == (
        False,
        "the environment variable FOOTNOTE_TEST_ABSENT_KEY is not set",
    )
    assert (extractive["provider"], extractive["available"]) == ("built-in", True)


def test_a_check_tells_how_a_model_answers_and_what_it_took(house: House) -> None:
    good = house.call("POST", "/v1/models/good/check", Role.EDITOR).json()
    bad = house.call("POST", "/v1/models/bad/check").json()
    unset = house.call("POST", "/v1/models/unset/check").json()

    assert (good["ok"], good["text"], good["error"]) == (True, "ready", None)
    assert good["usage"] == {"prompt_tokens": 1000, "completion_tokens": 500, "cost_usd": 0.002}
    assert 0 < good["first_token_ms"] <= good["total_ms"]
    assert (bad["ok"], bad["error"]) == (False, {"code": "model_down", "message": "nothing listens there"})
    assert unset["error"]["code"] == "model_refused"
    states = {each["name"]: each["endpoints"] for each in house.call("GET", "/v1/models").json()["data"]}
    assert states["bad"][0]["failures"] == 3
    assert states["bad"][0]["last_error"] == "model_down: nothing listens there"


def test_a_check_is_for_editors_and_of_a_model_that_there_is(house: House, problem: Any) -> None:
    problem(house.call("POST", "/v1/models/good/check", Role.READER), 403, "forbidden")
    problem(house.call("POST", "/v1/models/none/check"), 404, "model_not_found")
    problem(house.call("POST", "/v1/models/good/check?seconds=0"), 422, "invalid_request")


def test_a_file_read_anew_is_in_force_at_once(house: House) -> None:
    house.file.write_text(FILE.replace('name = "bad"', 'name = "new"').replace("output = 2", "output = 4"))

    reply = house.call("POST", "/v1/models/reload")

    assert reply.json() == {"added": ["new"], "removed": ["bad"], "changed": ["good"], "unchanged": ["unset"]}
    assert house.call("POST", "/v1/models/good/check").json()["usage"]["cost_usd"] == 0.003
    assert house.call("POST", "/v1/models/bad/check").status_code == 404


def test_a_bad_file_leaves_the_old_models_in_force_and_says_why(house: House, problem: Any) -> None:
    house.file.write_text(FILE.replace('model = "tiny"', 'model = "tiny"\ntier = "huge"'))

    said = problem(house.call("POST", "/v1/models/reload"), 422, "bad_catalogue")

    assert said["detail"] == "models.toml: model 1 (good): `tier` must be one of small, standard, strong"
    assert house.call("POST", "/v1/models/good/check").json()["ok"]


def test_a_file_that_is_gone_means_no_models(house: House) -> None:
    house.file.unlink()

    assert house.call("POST", "/v1/models/reload").json()["removed"] == ["good", "bad", "unset"]
    assert [each["name"] for each in house.call("GET", "/v1/models").json()["data"]] == ["extractive"]


def test_only_who_runs_the_service_reads_the_file_anew(house: House, problem: Any) -> None:
    for role in (Role.READER, Role.EDITOR, None):
        problem(house.call("POST", "/v1/models/reload", role), 403, "forbidden")


def test_a_bad_file_or_one_that_is_not_there_is_no_start(tmp_path: pathlib.Path) -> None:
    (tmp_path / "models.toml").write_text("[[model]]\n")
    with pytest.raises(BadCatalogueError, match=r"models.toml: model 1: `name` is missing"):
        build(Settings(data_dir=tmp_path, embedder="hashing-16"))
    with pytest.raises(BadCatalogueError, match="can't be read"):
        build(Settings(data_dir=tmp_path, embedder="hashing-16", models_file=tmp_path / "absent.toml"))
    (tmp_path / "models.toml").unlink()
    with pytest.raises(ConfigurationError, match="FOOTNOTE_RERANKER names ms, the file of models declares none"):
        build(Settings(data_dir=tmp_path, embedder="hashing-16", reranker="ms"))


def test_embedder_and_reranker_of_the_file_are_those_of_the_service(tmp_path: pathlib.Path) -> None:
    with served() as server:
        (tmp_path / "models.toml").write_text(
            f'[[embedder]]\nname = "far"\nprovider = "openai_compatible"\nmodel = "m"\nbase_url = "{server.url}/v1"\n'
            f'dimensions = 16\n[[reranker]]\nname = "finer"\nprovider = "http"\nmodel = "m"\nbase_url = "{server.url}"\n'
        )
        settings = Settings(data_dir=tmp_path, embedder="far", reranker="finer", min_free_bytes=0)
        with TestClient(create_app(settings), base_url="http://localhost") as client:
            headers = {"Authorization": f"Bearer {(tmp_path / 'admin.key').read_text().strip()}"}
            text = "The rent is due on the first day of each month."
            made = client.post("/v1/documents?wait=60", json={"collection": "default", "text": text}, headers=headers)
            assert made.json()["state"] == "live", made.text
            asked = client.post("/v1/ask", json={"question": "When is the rent due?"}, headers=headers)
            listed = client.get("/v1/models", headers=headers).json()

            server.answer = Answer(status=503)
            down = client.post("/v1/search", json={"query": "rent"}, headers=headers)

    assert asked.status_code == 200, asked.text
    assert any("documents" in body for _, body in server.requests)  # the reranker was asked
    assert (listed["embedder"], listed["reranker"]) == ("far", "finer")
    assert (down.status_code, down.json()["code"]) == (503, "unavailable")


def test_without_a_file_of_models_nothing_of_them_is_imported(tmp_path: pathlib.Path) -> None:
    program = """
import pathlib, sys
from app.bootstrap import build
from app.settings import Settings
build(Settings(data_dir=pathlib.Path(sys.argv[1]), embedder="hashing-16")).stop()
import app.main
print(sorted(name for name in sys.modules if name.startswith(("app.inference.chat", "app.inference.specs",
    "app.inference.tables", "app.inference.http", "app.inference.remote", "app.inference.cross", "langchain", "llama_cpp",
    "sentence_transformers", "torch", "huggingface_hub", "httpx"))))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


def footnote(folder: pathlib.Path, *arguments: str) -> Result:
    return CliRunner().invoke(application.app, [*arguments, "--data-dir", str(folder)])


@contextlib.contextmanager
def serving(folder: pathlib.Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {"FOOTNOTE_DATA_DIR": str(folder), "FOOTNOTE_EMBEDDER": "hashing-16"}
    command = [sys.executable, "-m", "ingestion.cli", "serve", "--port", "0"]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, env=environment, stderr=log, stdout=log, stdin=subprocess.DEVNULL) as process,
    ):
        until(lambda: connection.find(folder) is not None)
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
def test_the_commands_list_check_and_reload_and_a_hangup_reloads_too(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "models.toml"
    unset = FILE[FILE.rindex("[[model]]") :]
    file.write_text(unset)
    with serving(tmp_path) as process:
        listed = footnote(tmp_path, "models", "list", "--json")
        checked = footnote(tmp_path, "models", "check", "--json")
        absent = footnote(tmp_path, "models", "check", "none")
        file.write_text(unset + unset.replace("unset", "second"))
        reloaded = footnote(tmp_path, "models", "reload", "--json")
        file.write_text("[[model]]")
        bad = footnote(tmp_path, "models", "reload")
        process.send_signal(signal.SIGHUP)
        until(lambda: b"models_not_reloaded" in (tmp_path / "log").read_bytes())
        file.write_text("")
        process.send_signal(signal.SIGHUP)
        until(lambda: b"models_reloaded" in (tmp_path / "log").read_bytes())
        empty = footnote(tmp_path, "models", "check")

    names = [json.loads(line)["name"] for line in listed.stdout.splitlines()]
    assert (names, listed.exit_code) == (["unset", "extractive"], 0)
    assert json.loads(checked.stdout)["error"]["code"] == "model_refused"
    assert (checked.exit_code, absent.exit_code, bad.exit_code) == (1, 1, 1)
    assert "[model_not_found]" in absent.stdout
    assert json.loads(reloaded.stdout)["added"] == ["second"]
    assert "models.toml: model 1: `name` is missing [bad_catalogue]" in bad.stderr
    assert (empty.exit_code, empty.stdout) == (0, "")
