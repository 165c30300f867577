"""PostgreSQL and Redis of a test's own, which may be killed and started again; ended by their ids."""

from __future__ import annotations

import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import redis
import sqlalchemy as sa

from tests.services import running

_START_SECONDS = 30.0
_ACCOUNT = "postgres"  # PostgreSQL refuses to run as root


class Server:
    """A process that keeps its state in a folder."""

    def __init__(self, folder: pathlib.Path, command: list[str], answers: Callable[[], object], **how: str) -> None:
        """Nothing runs yet.

        Args:
            folder: for its log.
            command: in the foreground.
            answers: raises while it does not.
            how: `user` to run as.
        """
        self._log = folder / "server.log"
        self._command = command
        self._answers = answers
        self._user = how.get("user")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, user=self._user, group=self._user)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(sa.exc.OperationalError, redis.RedisError, OSError):
                self._answers()
                return
            assert self._process.poll() is None, self._log.read_text(errors="replace")[-2000:]
            assert time.monotonic() < deadline, self._log.read_text(errors="replace")[-2000:]
            time.sleep(0.05)

    @property
    def runs(self) -> bool:
        """Whether it has not ended by itself."""
        return self._process is not None and self._process.poll() is None

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        """By a signal."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None


class Redis(Server):
    """Keeps what it acknowledged over its death."""

    def __init__(self, folder: pathlib.Path) -> None:
        folder.mkdir()
        port = running.free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        self._client = redis.Redis.from_url(self.url)
        kept = ["--appendonly", "yes", "--appendfsync", "always"]
        program = shutil.which("redis-server")
        if program is None:
            running.missing("no redis-server on this machine")
        command = [str(program), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder), *kept]
        super().__init__(folder, command, self._client.ping)

    def empty(self) -> None:
        """Forget everything."""
        self._client.flushall()


class Postgres(Server):
    """A cluster of its own; `url` names its one database."""

    def __init__(self, folder: pathlib.Path) -> None:
        folder.mkdir()
        found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
        programs = found[-1] if found else pathlib.Path(shutil.which("initdb") or "nowhere/initdb").parent
        if not (programs / "initdb").exists():
            running.missing("no PostgreSQL server programs on this machine")
        user = None
        if os.geteuid() == 0:
            try:
                user = pwd.getpwnam(_ACCOUNT).pw_name
            except KeyError:
                running.missing("tests that run as root need an account `postgres`")
            shutil.chown(folder, user, user)
            _let_through(folder)
        how = {"user": user} if user else {}
        files = folder / "cluster"
        subprocess.run(
            [str(programs / "initdb"), "-D", str(files), "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8"],
            check=True,
            capture_output=True,
            user=user,
            group=user,
        )
        port = running.free_port()
        self.url = f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
        engine = sa.create_engine(self.url, poolclass=sa.pool.NullPool)
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "fsync": "off",
            "max_wal_size": "64MB",
        }
        chosen = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        super().__init__(
            folder, [str(programs / "postgres"), "-D", str(files), *chosen], lambda: engine.connect().close(), **how
        )

    def stop(self, number: signal.Signals = signal.SIGQUIT) -> None:
        """SIGQUIT is a crash of everything; SIGINT an end that cuts every session. The shared memory goes with both."""
        super().stop(number)


@contextlib.contextmanager
def small_disk(folder: pathlib.Path, size: int) -> Iterator[pathlib.Path]:
    """A disk of so many bytes, where this account may mount one; else just a folder."""
    folder.mkdir()
    made = False
    if os.geteuid() == 0 and (mount := shutil.which("mount")):
        how = ["-t", "tmpfs", "-o", f"size={size},mode=755", "none", str(folder)]
        made = subprocess.run([mount, *how], check=False, capture_output=True).returncode == 0
    try:
        yield folder
    finally:
        if made:
            subprocess.run([shutil.which("umount") or "umount", "--lazy", str(folder)], check=True)


def _let_through(folder: pathlib.Path) -> None:
    """The folders above may be root's alone: pytest's are."""
    for above in folder.parents:
        mode = above.stat().st_mode
        if above.stat().st_uid == os.geteuid() and not mode & 0o001:
            above.chmod(mode | 0o001)
