"""Every FOOTNOTE_* variable, typed, with its unit. Values are handed down as arguments; nothing below reads these."""

from __future__ import annotations

import pathlib
import urllib.parse
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.domain.errors import ConfigurationError

_MIB = 1024 * 1024
_GIB = 1024 * _MIB


class Settings(BaseSettings):
    """The settings of one process. README lists them; a test holds the list to this class."""

    model_config = SettingsConfigDict(env_prefix="FOOTNOTE_", env_ignore_empty=True, frozen=True, extra="forbid")

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
    max_queued_items: int = Field(
        200_000, ge=1, description="most documents of one workspace that wait to be ingested; past that 429"
    )
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
    requests_per_minute: int | None = Field(
        None, ge=1, description="requests that one key may make; no limit by default"
    )
    lease_seconds: float = Field(60.0, gt=0, description="how long a worker may be silent before its item is given on")
    max_attempts: int = Field(4, ge=1, description="tries of an item that fails for a passing reason")
    max_losses: int = Field(8, ge=2, description="losses without progress after which an item is quarantined")
    stop_grace_seconds: float = Field(6.0, ge=0, description="time that running work gets to end at a stop")
    kept_versions: int = Field(10, ge=0, description="replaced versions of a document that keep original and text")
    job_retention_days: float = Field(90.0, gt=0, description="days after which final jobs are forgotten")
    answer_retention_days: float = Field(90.0, gt=0, description="days after which answers are forgotten")
    usage_retention_days: float = Field(
        400.0, gt=0, description="days after which calls of models, their tokens and cost are forgotten"
    )
    doctor_hours: float = Field(
        24.0, gt=0, description="hours between two looks at whether rows, vectors and files agree"
    )
    idempotency_hours: float = Field(24.0, gt=0, description="hours for which an Idempotency-Key is remembered")

    # Answers
    context_tokens: int = Field(4000, ge=256, description="most evidence that an answer draws on, word pieces")
    answer_deadline_seconds: float = Field(30.0, gt=0, description="longest time that answering one question may take")

    # Models
    embedder: str = Field(
        "all-MiniLM-L6-v2",
        description="the embedding model: the built-in one, an [[embedder]] of the file of models, a folder, or a hub name",
    )
    other_embedders: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="embedding models that collections made before still use, comma-separated"
    )
    reranker: str | None = Field(
        None, description="a [[reranker]] of the file of models, which orders what a search finds; none by default"
    )
    models_file: pathlib.Path | None = Field(
        None, description="the file of models; `models.toml` in the data folder, if it is there, by default"
    )
    prices_file: pathlib.Path | None = Field(None, description="prices of models over those of that file")
    chunk_tokens: int | None = Field(
        None, ge=32, description="most tokens that are packed into a chunk; what fits the model's window by default"
    )
    embedder_precision: Literal["auto", "f32", "bf16", "int8"] = Field(
        "auto", description="numeric path of the built-in model; auto measures once and remembers"
    )
    embedder_threads: int | None = Field(None, ge=1, description="threads of the embedder; all cores by default")
    allow_downloads: bool = Field(default=False, description="may models be fetched from a hub?")

    # Production mode: all of these, or none
    database_url: str | None = Field(None, description="PostgreSQL, as postgresql+psycopg://user@host/name")
    qdrant_url: str | None = Field(None, description="the Qdrant server")
    broker_url: str | None = Field(None, description="RabbitMQ (amqp://) or Redis (redis://), for Celery")
    s3_bucket: str | None = Field(None, description="bucket of originals and texts; or FOOTNOTE_FILES_DIR")
    files_dir: pathlib.Path | None = Field(None, description="a folder that all processes share, in place of a bucket")
    # and what goes with them
    database_timeout_seconds: float = Field(30.0, gt=0, description="longest wait for one statement of the database")
    small_file_bytes: int = Field(
        16_384, ge=0, le=1_048_576, description="largest original or text that is kept as a row of the database"
    )
    qdrant_api_key: str | None = Field(None, description="key of the Qdrant server")
    qdrant_grpc: bool = Field(default=False, description="speak gRPC with it instead of REST")
    qdrant_timeout_seconds: int = Field(30, ge=1, description="longest wait for one of its answers")
    qdrant_prefix: str = Field("footnote-", description="before the names of its collections")
    qdrant_shards: int | None = Field(None, ge=1, description="shards of a collection that is made")
    qdrant_replicas: int | None = Field(None, ge=1, description="replicas of a collection that is made")
    qdrant_write_consistency: int | None = Field(None, ge=1, description="replicas that a write waits for")
    qdrant_on_disk: bool = Field(default=False, description="vectors of a collection that is made, on disk")
    qdrant_exact: bool = Field(default=False, description="look at every vector instead of walking the graph")
    redis_url: str | None = Field(None, description="Redis that counts what FOOTNOTE_REQUESTS_PER_MINUTE limits")
    queue_prefix: str = Field("footnote", description="before the names of the broker's queues")
    s3_endpoint: str | None = Field(None, description="URL of an S3-compatible store; AWS where it is left out")
    s3_region: str | None = Field(None, description="its region")
    s3_access_key: str | None = Field(None, description="its access key; else as boto3 finds one")
    s3_secret_key: str | None = Field(None, description="its secret key")
    s3_prefix: str = Field("", description="before the keys of contents")
    s3_timeout_seconds: float = Field(
        10.0, gt=0, description="longest wait until it says something; it is asked thrice"
    )

    # Manners
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="json, or text for people; auto asks the terminal"
    )
    metrics_public: bool = Field(default=True, description="is /metrics open without a key?")

    @field_validator("allowed_hosts", "cors_origins", "other_embedders", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @property
    def production(self) -> bool:
        """Whether one of the settings of production mode is made."""
        chosen = (self.database_url, self.qdrant_url, self.broker_url, self.s3_bucket, self.files_dir)
        return any(each is not None for each in chosen)

    def require_whole_mode(self) -> None:
        """Raise ConfigurationError where production mode is half set or wrongly set; the message says what is missing."""
        if not self.production:
            return
        missing = [
            name
            for name, value in (
                ("FOOTNOTE_DATABASE_URL", self.database_url),
                ("FOOTNOTE_QDRANT_URL", self.qdrant_url),
                ("FOOTNOTE_BROKER_URL", self.broker_url),
                ("FOOTNOTE_S3_BUCKET or FOOTNOTE_FILES_DIR", self.s3_bucket or self.files_dir),
            )
            if value is None
        ]
        if missing:
            raise _half_set(
                f"production mode is half set: {', '.join(missing)} missing; set all of them, or none for the embedded mode"
            )
        if not _is_url(self.database_url, "postgresql", "postgresql+psycopg"):
            raise _half_set(
                "production mode takes PostgreSQL: FOOTNOTE_DATABASE_URL=postgresql+psycopg://user@host/name"
            )
        if self.s3_bucket is not None and self.files_dir is not None:
            raise _half_set("FOOTNOTE_S3_BUCKET and FOOTNOTE_FILES_DIR are both set: originals lie in one place")
        if (self.s3_access_key is None) is not (self.s3_secret_key is None):
            lacks = "FOOTNOTE_S3_SECRET_KEY" if self.s3_secret_key is None else "FOOTNOTE_S3_ACCESS_KEY"
            raise _half_set(f"the S3 store's keys are half set: {lacks} missing; without both, boto3 finds its own")
        if self.requests_per_minute is not None and self.redis_url is None:
            raise _half_set(
                "FOOTNOTE_REQUESTS_PER_MINUTE is counted over all processes in production mode: set FOOTNOTE_REDIS_URL"
            )
        for name, value, schemes in (
            ("FOOTNOTE_BROKER_URL", self.broker_url, ("amqp", "amqps", "redis", "rediss")),
            ("FOOTNOTE_QDRANT_URL", self.qdrant_url, ("http", "https")),
            ("FOOTNOTE_S3_ENDPOINT", self.s3_endpoint, ("http", "https")),
            ("FOOTNOTE_REDIS_URL", self.redis_url, ("redis", "rediss", "unix")),
        ):
            if value is not None and not _is_url(value, *schemes):
                raise _half_set(f"{name} is no URL that begins with {' or '.join(f'{each}://' for each in schemes)}")

    def require_production(self) -> Self:
        """These, where they are those of production mode, whole. Raises ConfigurationError, which says what is missing."""
        self.require_whole_mode()
        if not self.production:
            raise _half_set(
                "this is a process of production mode, of which nothing is set: FOOTNOTE_DATABASE_URL, "
                "FOOTNOTE_QDRANT_URL, FOOTNOTE_BROKER_URL, and FOOTNOTE_S3_BUCKET or FOOTNOTE_FILES_DIR"
            )
        return self


def _half_set(sentence: str) -> ConfigurationError:
    return ConfigurationError(sentence, code="half_set")


def _is_url(value: str | None, *schemes: str) -> bool:
    """Whether it has one of the schemes, and behind it a host with a port that is a number, or a path."""
    try:
        parts = urllib.parse.urlsplit(value or "")
        usable = parts.port is None or parts.port > 0
    except ValueError:
        return False
    return usable and parts.scheme in schemes and bool(parts.netloc or parts.path.strip("/"))


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
