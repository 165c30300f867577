"""Connections to PostgreSQL that do not wait for ever: a server that is reached and says nothing is down like any other."""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import psycopg
import psycopg.errors
from psycopg.abc import PQGen

_Result = TypeVar("_Result")
_CONNECT_SECONDS = 5  # libpq counts whole ones
_LOOK_SECONDS = 0.1  # between two looks whether the wait was interrupted, as psycopg has it
_HEAD_START_SECONDS = 1.0  # of the server, which ends a statement that takes too long and says so
_SILENT_SECONDS = 2.0  # the patience with a server that has just been silent for too long


class Patience:
    """How long to wait for each of a server's answers; shared by the connections to it."""

    def __init__(self, seconds: float) -> None:
        """Take the server's own limit of a statement."""
        self._seconds = seconds + _HEAD_START_SECONDS
        self._silent = threading.Event()

    @property
    def seconds(self) -> float:
        """For an answer from now on."""
        return min(_SILENT_SECONDS, self._seconds) if self._silent.is_set() else self._seconds

    def connect(self, *arguments: Any, **options: Any) -> psycopg.Connection[Any]:
        """As `psycopg.connect`. Raises psycopg.OperationalError where no connection is made in time."""
        connection = _Connection.connect(*arguments, **{"connect_timeout": _CONNECT_SECONDS, **options})
        connection.patience = self
        return connection

    def note(self, *, silent: bool) -> None:
        """What the server last did."""
        if silent:
            self._silent.set()
        elif self._silent.is_set():
            self._silent.clear()


class _Connection(psycopg.Connection[Any]):
    patience: Patience | None = None

    def wait(self, gen: PQGen[_Result], interval: float = _LOOK_SECONDS, timeout: float | None = None) -> _Result:
        """As the base class's, but closed with an OperationalError once the patience is at its end."""
        if timeout is not None or self.patience is None:
            return super().wait(gen, interval, timeout)
        seconds = self.patience.seconds
        try:
            result = super().wait(gen, interval, seconds)
        except psycopg.errors._WaitTimeout as error:  # noqa: SLF001 - `wait` documents it
            self.patience.note(silent=True)
            self.pgconn.finish()
            raise psycopg.OperationalError(f"no answer within {seconds:g} s") from error
        self.patience.note(silent=False)
        return result
