"""Originals and texts in a bucket of an S3-compatible store, through boto3."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO, cast

import boto3
import botocore.config
import s3transfer.exceptions
from boto3.exceptions import RetriesExceededError, S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError

from app.domain.errors import (
    ConfigurationError,
    FootnoteError,
    NotFoundError,
    PartDownError,
    StorageFullError,
    TransientError,
)
from app.stores import file_keys

_CONNECT_SECONDS = 5.0
_ATTEMPTS = 3  # of what is transient, with growing pauses between them
_AT_ONCE = 8  # requests of one call
_IN_MEMORY_BYTES = 8 << 20  # of an open content; a larger one is kept in a temporary file
_DELETE_KEYS = 1_000  # of one request, the most that S3 takes

_ABSENT = frozenset({"NoSuchKey", "404", "NotFound"})
_NO_BUCKET = frozenset({"NoSuchBucket", "404", "NotFound"})
_REFUSED = frozenset({"AccessDenied", "403", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch", "401"})
_DOWN = frozenset({408, 429, 502, 503, 504})  # HTTP statuses
_FULL = frozenset({"QuotaExceeded", "XMinioStorageFull", "EntityTooLarge", "507", "InsufficientStorage"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Where contents lie."""

    name: str
    endpoint: str | None = None  # None: AWS
    region: str | None = None
    access_key: str | None = None  # None: as boto3 finds it, in the environment or from the machine's role
    secret_key: str | None = None
    prefix: str = ""  # of keys, for a bucket that others use too
    timeout_seconds: float = 10.0  # until it says something, each time it is asked


class S3FileStore:
    """FileStore on a bucket. A content is there whole or not at all; safe to call from several threads."""

    def __init__(self, bucket: Bucket) -> None:
        """Make the bucket where it does not exist, if the store answers just now: a process starts without it too.

        Raises:
            ConfigurationError: the key is refused, or the bucket can't be made.
        """
        self._bucket = bucket
        config = botocore.config.Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=bucket.timeout_seconds,
            retries={"mode": "standard", "max_attempts": _ATTEMPTS},
            max_pool_connections=4 * _AT_ONCE,
            s3={"addressing_style": "path"},
            parameter_validation=False,  # a fifth of a request's time, and every call here is of one form
            # Stores other than AWS know little of the newer checksums, and a chunked body costs both sides time.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=bucket.endpoint,
            region_name=bucket.region or ("us-east-1" if bucket.endpoint else None),
            aws_access_key_id=bucket.access_key,
            aws_secret_access_key=bucket.secret_key,
            config=config,
        )
        self._transfer = TransferConfig(max_concurrency=_AT_ONCE)
        with contextlib.suppress(PartDownError):
            self._ensure()

    def put(self, key: str, source: pathlib.Path) -> None:
        """Take over a local file, which is gone from `source` afterwards. Errors as the port says."""
        target = self._key(key)
        with self._our_errors(key):
            self._client.upload_file(str(source), self._bucket.name, target, Config=self._transfer)
        source.unlink()

    def write_many(self, contents: Mapping[str, bytes]) -> None:
        """Write small contents, all durable on return. Errors as the port says; some may then have been written."""
        targets = {self._key(key): content for key, content in contents.items()}

        def write(pair: tuple[str, bytes]) -> None:
            with self._our_errors(pair[0]):
                self._client.put_object(Bucket=self._bucket.name, Key=pair[0], Body=pair[1])

        with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(write, targets.items()))

    def open(self, key: str) -> BinaryIO:
        """A seekable stream of the content as it is now; the caller closes it. Errors as the port says."""
        target = self._key(key)
        stream = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115 - the caller closes it
        try:
            with self._our_errors(key):
                self._client.download_fileobj(self._bucket.name, target, stream, Config=self._transfer)
            stream.seek(0)
        except BaseException:
            stream.close()
            raise
        return cast("BinaryIO", stream)

    @contextlib.contextmanager
    def local(self, key: str) -> Iterator[pathlib.Path]:
        """A temporary file with the content, while the context is open."""
        target = self._key(key)
        with tempfile.TemporaryDirectory(prefix="footnote-") as folder:
            path = pathlib.Path(folder) / "content"
            with self._our_errors(key):
                self._client.download_file(self._bucket.name, target, str(path), Config=self._transfer)
            yield path

    def delete(self, keys: Iterable[str], *, sizes: Mapping[str, int] | None = None) -> dict[str, int]:
        """Remove contents; absent keys are passed over. Gives the bytes of those that were there, by key.

        A request for each size that is not told, and one for up to 1,000 deletes.
        """
        wanted = list(dict.fromkeys(keys))
        told = {self._key(key): size for key, size in (sizes or {}).items()}
        targets = [self._key(key) for key in wanted]
        asked = [target for target in targets if target not in told]
        with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
            told |= {
                target: size
                for target, size in zip(asked, pool.map(self._size, asked), strict=True)
                if size is not None
            }
        there = [target for target in targets if target in told]
        for start in range(0, len(there), _DELETE_KEYS):
            some = [{"Key": target} for target in there[start : start + _DELETE_KEYS]]
            with self._our_errors("deleted contents"):
                reply = self._client.delete_objects(Bucket=self._bucket.name, Delete={"Objects": some, "Quiet": True})
            if errors := reply.get("Errors"):
                raise TransientError(
                    f"{len(errors)} contents could not be deleted: {errors[0].get('Code')}", code="files_unavailable"
                )
        return {key: told[target] for key, target in zip(wanted, targets, strict=True) if target in told}

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Every key that begins so, in no stated order."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket.name, Prefix=self._bucket.prefix + prefix
        )
        with self._our_errors("the list of contents"):
            for page in pages:
                yield from (each["Key"][len(self._bucket.prefix) :] for each in page.get("Contents", ()))

    def free_bytes(self) -> int | None:
        """None: a bucket does not tell."""
        return None

    def ping(self) -> None:
        """Raise where the store does not answer, or the bucket is gone."""
        with self._our_errors("the bucket"):
            self._client.head_bucket(Bucket=self._bucket.name)

    def _key(self, key: str) -> str:
        return self._bucket.prefix + file_keys.checked(key)

    def _size(self, target: str) -> int | None:
        try:
            with self._our_errors(target):
                return int(self._client.head_object(Bucket=self._bucket.name, Key=target)["ContentLength"])
        except NotFoundError:
            return None

    def _ensure(self) -> None:
        try:
            self._client.head_bucket(Bucket=self._bucket.name)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _NO_BUCKET:
                raise _our_error(error, "the bucket") from error
            with self._our_errors("the bucket"):
                self._client.create_bucket(Bucket=self._bucket.name)
        except BotoCoreError as error:
            raise _our_error(error, "the bucket") from error

    @contextlib.contextmanager
    def _our_errors(self, what: str) -> Iterator[None]:
        """What boto3 raises, as errors of ours."""
        try:
            yield
        except (ClientError, BotoCoreError, S3UploadFailedError) as error:
            raise _our_error(error, what) from error
        except (RetriesExceededError, s3transfer.exceptions.RetriesExceededError) as error:
            raise PartDownError(f"the file store does not answer for {what}", code="files_unavailable") from error


def _our_error(error: ClientError | BotoCoreError | S3UploadFailedError, what: str) -> FootnoteError:
    cause = error.__cause__ or error.__context__ if isinstance(error, S3UploadFailedError) else error
    if not isinstance(cause, ClientError):
        return PartDownError(f"the file store does not answer for {what}: {error}"[:300], code="files_unavailable")
    code = str(cause.response["Error"].get("Code"))
    if code in _ABSENT:
        return NotFoundError(f"the store holds nothing at {what}")
    if code in _REFUSED:
        return ConfigurationError(f"the file store refuses our key for {what}: {code}", code="files_refuse_key")
    if code in _FULL:
        return StorageFullError(f"no room left on the file store for {what}: {code}")
    make = PartDownError if cause.response["ResponseMetadata"].get("HTTPStatusCode") in _DOWN else TransientError
    return make(f"the file store answered {code} for {what}", code="files_unavailable")
