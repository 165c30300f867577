"""Every FOOTNOTE_* variable, typed, with its unit. Values are handed down as arguments; nothing below reads these."""

from __future__ import annotations

import pathlib
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.domain.errors import ConfigurationError

_MIB = 1024 * 1024
_GIB = 1024 * _MIB


class Settings(BaseSettings):
    """The settings of one process. README lists them; a test holds the list to this class."""

    model_config = SettingsConfigDict(env_prefix="FOOTNOTE_", frozen=True, extra="forbid")

    # The folder and the address
    data_dir: pathlib.Path = Field(pathlib.Path("data"), description="the folder that holds everything")
    host: str = Field("127.0.0.1", description="the address that `serve` listens on")
    port: int = Field(8321, ge=0, le=65535, description="its port; 0 takes a free one")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        ("localhost", "127.0.0.1", "[::1]"),
        description="values of `Host` that are answered, comma-separated; `*` switches the check off",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="origins whose pages may call the API, comma-separated; none by default"
    )

    # Limits on what comes in
    max_upload_bytes: int = Field(200 * _MIB, ge=1, description="largest file, bytes")
    max_batch_bytes: int = Field(_GIB, ge=1, description="largest batch, bytes")
    max_batch_lines: int = Field(100_000, ge=1, description="most documents of one batch")
    max_batch_line_bytes: int = Field(8 * _MIB, ge=1, description="largest line of a batch, bytes")
    max_json_bytes: int = Field(16 * _MIB, ge=1024, description="largest JSON body, bytes")
    max_query_chars: int = Field(4000, ge=1, description="longest query or question, characters")
    max_text_chars: int = Field(20_000_000, ge=1, description="longest text of one document, characters")
    max_slice_chars: int = Field(1_000_000, ge=1, description="most characters that one call of /text gives")
    max_pages: int = Field(10_000, ge=1, description="most pages of one document")
    max_cells: int = Field(5_000_000, ge=1, description="most cells of one workbook, empty ones not counted")
    min_free_bytes: int = Field(500 * _MIB, ge=0, description="uploads are refused when the disk has less room, bytes")

    # Work
    ingest_workers: int = Field(2, ge=1, le=64, description="threads that run ingestion slices")
    loader_processes: int = Field(1, ge=1, le=16, description="child processes that read documents")
    load_deadline_seconds: float = Field(120.0, gt=0, description="longest time that reading one document may take")
    loader_memory_bytes: int = Field(2 * _GIB, ge=256 * _MIB, description="memory of one loader process, bytes")
    request_workers: int = Field(8, ge=1, le=256, description="threads that serve requests")
    request_queue: int = Field(64, ge=0, description="requests that may wait for a thread; past that 503")
    lease_seconds: float = Field(60.0, gt=0, description="how long a worker may be silent before its item is given on")
    max_attempts: int = Field(4, ge=1, description="tries of an item that fails for a passing reason")
    max_losses: int = Field(8, ge=2, description="losses without progress after which an item is quarantined")
    stop_grace_seconds: float = Field(8.0, ge=0, description="time that running work gets to end at a stop")
    kept_versions: int = Field(10, ge=0, description="replaced versions of a document that keep original and text")
    job_retention_days: float = Field(90.0, gt=0, description="days after which final jobs are forgotten")
    answer_retention_days: float = Field(90.0, gt=0, description="days after which answers are forgotten")
    idempotency_hours: float = Field(24.0, gt=0, description="hours for which an Idempotency-Key is remembered")

    # Answers
    context_tokens: int = Field(4000, ge=256, description="most evidence that an answer draws on, word pieces")
    answer_deadline_seconds: float = Field(30.0, gt=0, description="longest time that answering one question may take")

    # Models
    embedder: str = Field(
        "all-MiniLM-L6-v2", description="the embedding model: the built-in one, a folder, or a hub name"
    )
    embedder_precision: Literal["auto", "f32", "bf16", "int8"] = Field(
        "auto", description="numeric path of the built-in model; auto measures once and remembers"
    )
    embedder_threads: int | None = Field(None, ge=1, description="threads of the embedder; all cores by default")
    allow_downloads: bool = Field(default=False, description="may models be fetched from a hub?")

    # Manners
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="json, or text for people; auto asks the terminal"
    )
    metrics_public: bool = Field(default=True, description="is /metrics open without a key?")

    @field_validator("allowed_hosts", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value


def load() -> Settings:
    """The settings of this process's environment.

    Raises:
        ConfigurationError: a value is not what its variable takes; the message names the variable.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"FOOTNOTE_{'_'.join(map(str, each['loc'])).upper()}: {each['msg']}" for each in error.errors()
        )
        raise ConfigurationError(f"the settings are not usable: {problems}") from error
