"""Identifiers that sort by their time of creation (UUID version 7, RFC 9562)."""

from __future__ import annotations

import datetime as dt
import secrets
import threading
import time
import uuid

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_lock = threading.Lock()
_last = [0]  # the newest 60-bit (milliseconds << 12 | counter) given out by this process


def new_id() -> uuid.UUID:
    """A fresh id, greater than every one that this process gave before.

    RFC 9562, section 6.2, method 1: 48 bits of milliseconds, 12 bits of counter, 62 random bits.
    """
    with _lock:
        stamp = max((time.time_ns() // 1_000_000) << 12, _last[0] + 1)
        _last[0] = stamp
    value = (stamp >> 12) << 80 | 0x7 << 76 | (stamp & 0xFFF) << 64 | 0b10 << 62 | secrets.randbits(62)
    return uuid.UUID(int=value)


def first_at(moment: dt.datetime) -> uuid.UUID:
    """Below every id that is made from that moment on, and above all that were made before."""
    return uuid.UUID(int=((moment - _EPOCH) // dt.timedelta(milliseconds=1)) << 80)


def made_at(some_id: uuid.UUID) -> dt.datetime:
    """The moment in an id that `new_id` gave, to the millisecond."""
    return dt.datetime.fromtimestamp((some_id.int >> 80) / 1000, tz=dt.UTC)
