"""Brings work to Celery workers. A message says no more than that there may be work; the database says what."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import celery
import kombu
import kombu.exceptions
import kombu.transport.redis
import redis

WORK = "footnote.work"  # the task that claims and runs slices of one lane
_PING_SECONDS = 3.0
_SILENT_SECONDS = 3.0  # without nudges after one that failed: no request waits for a broker that is down
_RECONNECT = {"max_retries": 1, "interval_start": 0.05, "interval_step": 0.0, "interval_max": 0.05}  # while sending


class CeleryQueue:
    """Implements JobQueue over a broker. A nudge that is lost is made up for by the beat's rounds."""

    def __init__(self, app: celery.Celery, *, lanes: Sequence[str]) -> None:
        """Take the application, and the names of the lanes, each of which has a queue of its name."""
        self._app = app
        self._lanes = lanes
        self._silent_until = 0.0  # on the monotonic clock

    def nudge(self) -> None:
        """Send a message to every lane; a broker that is down costs nothing but time until the next round."""
        if time.monotonic() < self._silent_until:
            return
        for lane in self._lanes:
            try:
                self._app.send_task(
                    WORK, args=(lane,), queue=queue_of(self._app, lane), ignore_result=True, retry=False
                )
            except (kombu.exceptions.OperationalError, OSError):
                self._silent_until = time.monotonic() + _SILENT_SECONDS
                return  # the database is the outbox

    def start(self) -> None:
        """Nothing: workers are processes of their own."""

    def trouble(self) -> str | None:
        """Whether the broker answers."""
        try:
            with self._app.connection_for_write(connect_timeout=_PING_SECONDS) as connection:
                connection.ensure_connection(max_retries=1, timeout=_PING_SECONDS)
        except (kombu.exceptions.OperationalError, OSError) as error:
            return f"the broker does not answer: {error}"[:300]
        return None

    def quiet(self) -> None:
        """Nothing: workers are told by themselves."""

    def stop(self, *, grace_seconds: float) -> None:
        """Let go of the broker."""
        del grace_seconds
        self._app.close()


class _Channel(kombu.transport.redis.Channel):  # type: ignore[misc]
    """A channel that tells that its connection was given up, in place of an AttributeError, of which workers died."""

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - as kombu has it
        if self.connection is None or self.connection.client is None:
            raise redis.ConnectionError("the connection to the broker was given up")
        parameters: dict[str, Any] = super()._connparams(asynchronous=asynchronous)
        return parameters


class RedisTransport(kombu.transport.redis.Transport):  # type: ignore[misc]
    """Redis as a broker that may go away while messages are not acknowledged."""

    Channel = _Channel


def queue_of(app: celery.Celery, lane: str) -> str:
    """The name of a lane's queue."""
    return f"{app.main}.{lane}"


def make_app(*, broker_url: str, name: str, lanes: Sequence[str], lease_seconds: float) -> celery.Celery:
    """A Celery application whose messages survive their workers.

    Args:
        broker_url: `amqp://` or `redis://`.
        name: before the names of its queues, so that several installations share a broker.
        lanes: each has a queue; a worker that is not told otherwise takes from all of them.
        lease_seconds: of items; a message comes back well after the lease of what it stood for has run out.
    """
    app = celery.Celery(name, broker=broker_url)
    over_redis = broker_url.startswith("redis")
    if over_redis:
        app.conf.broker_transport = f"{__name__}:{RedisTransport.__name__}"
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        task_default_queue=f"{name}.{lanes[0]}",
        task_queues=[kombu.Queue(f"{name}.{lane}", routing_key=f"{name}.{lane}") for lane in lanes],
        task_create_missing_queues=False,
        worker_prefetch_multiplier=1,
        # After a reconnection Celery would take fewer messages at first, and more after each that ends: that is a request
        # whose reply a thread of the pool waits for on the connection that the main thread reads.
        worker_enable_prefetch_count_reduction=False,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # a worker outlives every outage
        broker_connection_timeout=_PING_SECONDS,
        broker_transport_options=_RECONNECT | {"visibility_timeout": max(600, 4 * lease_seconds)}
        if over_redis
        else _RECONNECT,
        broker_pool_limit=10,
        result_backend=None,
        timezone="UTC",
    )
    return app
