"""What a broker that is down costs those who nudge it."""

from __future__ import annotations

import pathlib
import time

import kombu
import pytest

from app.queues.celery_queue import CeleryQueue, make_app
from tests.services import running
from tests.services.servers import Redis


@pytest.mark.parametrize("scheme", ["amqp", "redis"])
def test_a_broker_that_is_down_holds_no_request_up(scheme: str) -> None:
    url = f"{scheme}://127.0.0.1:{running.free_port()}/"
    app = make_app(broker_url=url, name="test-down", lanes=["a", "b"], lease_seconds=60)
    queue = CeleryQueue(app, lanes=["a", "b"])
    try:
        began = time.monotonic()
        for _ in range(20):
            queue.nudge()
        assert time.monotonic() - began < 1.0
        assert queue.trouble()
    finally:
        queue.stop(grace_seconds=0)


def test_a_message_whose_connection_was_given_up_is_a_lost_connection_to_celery(tmp_path: pathlib.Path) -> None:
    server = Redis(tmp_path / "redis")
    server.start()
    app = make_app(broker_url=server.url, name="test-lost", lanes=["a"], lease_seconds=60)
    try:
        connection = app.connection_for_read()
        channel = connection.default_channel
        queue = kombu.Queue("test-lost.a", channel=channel)
        queue.declare()
        kombu.Producer(channel).publish({}, routing_key="test-lost.a")
        message = queue.get(no_ack=False)
        server.stop()
        connection.collect()
        channel._disconnect_pools()  # as of a channel that has only waited for messages so far
        with pytest.raises(connection.connection_errors):
            message.ack()
    finally:
        app.close()
        server.stop()


@pytest.mark.parametrize("scheme", ["amqp", "redis"])
def test_no_thread_of_the_pool_waits_for_a_reply_on_the_main_threads_connection(scheme: str) -> None:
    """Workers that had met a broker's restart stopped taking messages (fault rounds, seed 106221, RabbitMQ)."""
    app = make_app(broker_url=f"{scheme}://127.0.0.1/", name="test-qos", lanes=["a"], lease_seconds=60)
    try:
        assert app.conf.worker_enable_prefetch_count_reduction is False
    finally:
        app.close()
