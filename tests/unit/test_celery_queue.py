"""What a broker that is down costs those who nudge it."""

from __future__ import annotations

import time

import pytest

from app.queues.celery_queue import CeleryQueue, make_app
from tests.services import running


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
