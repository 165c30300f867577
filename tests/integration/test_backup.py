"""A backup is made while the service works, and restores to a folder that answers the same."""

from __future__ import annotations

import json
import pathlib
import tarfile
import threading
from typing import Any

import pytest

from app.answering.search import SearchRequest
from app.bootstrap import build, restore
from app.domain.errors import ConfigurationError, ConflictError, FolderInUseError, FolderNewerError
from app.settings import Settings

Corpus = Any  # of conftest.py


def test_a_backup_restores_to_the_same_hits(corpus: Corpus, tmp_path: pathlib.Path) -> None:
    for number in range(20):
        corpus.live(f"the puffin number {number} nests on a cliff", external_id=f"{number}")
    wanted = corpus.texts("puffin cliff", limit=20)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            corpus.put(f"a gull {number} flies by", external_id=f"gull-{number}")
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        corpus.services.backup(tmp_path / "backup.tar")
    finally:
        stop.set()
        writer.join()

    assert restore(tmp_path / "backup.tar", tmp_path / "restored")["files"] > 40
    services = build(Settings(data_dir=tmp_path / "restored", embedder="hashing-16"))
    try:
        services.start()
        admin = services.keys.authenticate(corpus.services.admin_key_path.read_text().strip())
        request = SearchRequest(query="puffin cliff", collections=[corpus.collection], limit=20)
        found = [each.hit.chunk.text for each in services.search(admin, request).hits]
        assert [text for text in found if "puffin" in text] == wanted
        for document, _ in services.catalogue.page(
            admin, collection_name=corpus.collection, condition=None, after=None, limit=20
        ):
            with services.catalogue.content(admin, document.id, version_id=None)[1] as stream:
                assert stream.read()
    finally:
        services.stop()


def test_a_backup_overwrites_nothing(corpus: Corpus, tmp_path: pathlib.Path) -> None:
    target = tmp_path / "backup.tar"
    target.write_text("mine")
    with pytest.raises(ConflictError):
        corpus.services.backup(target)
    assert target.read_text() == "mine"


def test_a_restore_overwrites_nothing(corpus: Corpus, tmp_path: pathlib.Path) -> None:
    corpus.services.backup(tmp_path / "backup.tar")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    with pytest.raises(ConfigurationError, match="not an empty folder"):
        restore(tmp_path / "backup.tar", tmp_path / "full")


@pytest.mark.parametrize("cut", ["flip", "truncate", "foreign"])
def test_a_damaged_archive_is_refused_and_leaves_nothing(corpus: Corpus, tmp_path: pathlib.Path, cut: str) -> None:
    corpus.live("one text", external_id="a")
    archive = tmp_path / "backup.tar"
    corpus.services.backup(archive)
    content = bytearray(archive.read_bytes())
    if cut == "flip":
        content[content.index(b"one text")] ^= 1
    archive.write_bytes(content if cut == "flip" else content[: len(content) // 2] if cut == "truncate" else b"hello")

    with pytest.raises(ConfigurationError, match=r"damaged|cut off|no backup"):
        restore(archive, tmp_path / "restored")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.tar"]


def test_an_archive_that_would_write_elsewhere_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "evil").write_text("x")
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        archive.add(tmp_path / "evil", arcname="../escaped")
    with pytest.raises(ConfigurationError):
        restore(tmp_path / "evil.tar", tmp_path / "restored")
    assert not (tmp_path / "escaped").exists()


def test_a_second_process_is_told_who_holds_the_folder(corpus: Corpus) -> None:
    corpus.services.announce("http://127.0.0.1:1")
    with pytest.raises(FolderInUseError, match=r"process \d+, which serves http://127.0.0.1:1"):
        build(corpus.services.settings)


def test_a_folder_of_a_newer_version_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "format.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(FolderNewerError, match="newer version"):
        build(Settings(data_dir=tmp_path, embedder="hashing-16"))


@pytest.mark.parametrize("how", ["here", "link", "mount"])
def test_an_empty_folder_is_restored_into_whatever_it_is(
    corpus: Corpus, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    corpus.services.backup(tmp_path / "backup.tar")
    folder = tmp_path / "empty"
    folder.mkdir()
    target = folder
    if how == "here":
        monkeypatch.chdir(folder)
        target = pathlib.Path()
    elif how == "link":
        target = tmp_path / "link"
        target.symlink_to(folder, target_is_directory=True)
    else:
        monkeypatch.setattr(pathlib.Path, "is_mount", lambda path: path == folder)

    restore(tmp_path / "backup.tar", target)

    assert (folder / "footnote.db").is_file()
    assert not [path.name for path in folder.iterdir() if "restore" in path.name]
    build(Settings(data_dir=folder, embedder="hashing-16")).stop()
