"""How much memory a process and its children hold, sampled from /proc (Linux)."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import threading
from collections.abc import Iterator

SAMPLE_SECONDS = 0.2
_PSS_EVERY = 5  # samples: reading it walks every page of the process


@dataclasses.dataclass(slots=True)
class Peak:
    """The largest sums seen, in MB (2^20 bytes)."""

    rss_mb: float = 0.0  # sum of resident sizes: a page that two processes share counts twice
    pss_mb: float = 0.0  # sum of proportional sizes: it counts once
    processes: int = 0
    samples: int = 0

    def see(self, rss_kb: int, pss_kb: int | None, processes: int) -> None:
        """Take one sample in."""
        self.rss_mb = max(self.rss_mb, rss_kb / 1024)
        self.pss_mb = max(self.pss_mb, (pss_kb or 0) / 1024)
        self.processes = max(self.processes, processes)
        self.samples += 1

    def rounded(self) -> dict[str, float]:
        """For the JSON."""
        return {"rss_mb": round(self.rss_mb, 1), "pss_mb": round(self.pss_mb, 1), "processes": self.processes}


def tree(pid: int) -> list[int]:
    """A process and all its descendants that live now."""
    found = [pid]
    for each in found:
        with contextlib.suppress(OSError):
            for task in pathlib.Path(f"/proc/{each}/task").iterdir():
                with contextlib.suppress(OSError):
                    children = (task / "children").read_text().split()
                    found += [int(child) for child in children if int(child) not in found]
    return found


def resident_mb(pid: int) -> float:
    """The sum of resident sizes of a process and its descendants, now."""
    return sum(_kilobytes(each, "status", "VmRSS:") for each in tree(pid)) / 1024


@contextlib.contextmanager
def sampled(pid: int) -> Iterator[Peak]:
    """Samples a process and its descendants until the context ends; the peak is whole then."""
    peak = Peak()
    done = threading.Event()

    def sample() -> None:
        number = 0
        while not done.is_set():
            pids = tree(pid)
            rss = sum(_kilobytes(each, "status", "VmRSS:") for each in pids)
            pss = sum(_kilobytes(each, "smaps_rollup", "Pss:") for each in pids) if number % _PSS_EVERY == 0 else None
            peak.see(rss, pss, len(pids))
            number += 1
            done.wait(SAMPLE_SECONDS)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def processor_seconds(pid: int) -> float:
    """Processor time that a process and its living descendants have used, system time included."""
    ticks = 0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])  # utime and stime; the fields after the name, from 0
    return ticks / os.sysconf("SC_CLK_TCK")


def _kilobytes(pid: int, file: str, name: str) -> int:
    """One line of /proc/PID/FILE; 0 where the process is gone."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1])
    return 0
