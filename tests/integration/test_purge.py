"""Purges and sweeps beside each other."""

from __future__ import annotations

import hashlib
import pathlib

from app.bootstrap import build
from app.bootstrap.parts import KINDS
from app.documents.uploads import Staged, Upload
from app.settings import Settings


def test_a_receipt_counts_what_the_sweep_took_before_the_purge(tmp_path: pathlib.Path) -> None:
    services = build(Settings(data_dir=tmp_path / "data", embedder="hashing-16", min_free_bytes=0))  # no worker runs
    try:
        admin = services.keys.authenticate(services.admin_key_path.read_text().strip())
        path = services.stage()
        path.write_bytes(content := b"The heron stands in the reeds.")
        upload = Upload(
            external_id="a", title=None, metadata=None, readers=None, filename="a.txt", media_type="text/plain"
        )
        staged = Staged(path=path, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
        document = services.add.add(admin, "default", upload, staged, idempotency_key=None).document
        work_off(services, "ingest")
        services.remove.remove(admin, document.id)
        assert services.purge.sweep() == 1
        work_off(services, "upkeep")
        with services.database.read() as work:
            receipt = work.deletions.of_document(admin, document.id)
        assert receipt is not None
        assert receipt.finished_at
        assert (receipt.vectors, receipt.chunks) == (1, 1)
    finally:
        services.stop()


def work_off(services: object, lane: str) -> None:
    while services.runner.run_slice(KINDS[lane]):  # type: ignore[attr-defined]
        pass
