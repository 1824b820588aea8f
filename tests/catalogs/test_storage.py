"""Folders and object stores behave alike."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import tempfile
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import obstore
import pytest

from worldloom.catalogs.errors import UsageError, WorldloomError
from worldloom.catalogs.object_requests import explained
from worldloom.catalogs.storage import FolderStore, ObjectStore, Store, is_remote, open_store, overlay


@pytest.fixture(params=["folder", "object store"])
def store(request: pytest.FixtureRequest, tmp_path: Path, bucket: str) -> Store:
    if request.param == "folder":
        return open_store(tmp_path / "store")
    return ObjectStore(f"{bucket}/{uuid.uuid4().hex}/deep", cache=tmp_path / "cache")


def test_what_is_written_is_read(store: Store) -> None:
    assert store.size("a/b.txt") is None and not store.exists("a/b.txt")
    store.write("a/b.txt", b"hello")
    assert store.read("a/b.txt") == b"hello" and store.size("a/b.txt") == 5
    store.write("a/b.txt", b"other")
    assert store.read("a/b.txt") == b"other"
    store.write("empty", b"")
    assert store.read("empty") == b"" and store.exists("empty")


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [(0, 3, b"hel"), (2, None, b"llo"), (3, 100, b"lo"), (1, 0, b""), (5, 2, b""), (9, None, b"")],
)
def test_a_stretch_of_a_file(store: Store, offset: int, length: int | None, expected: bytes) -> None:
    store.write("x", b"hello")
    assert store.read("x", offset, length) == expected


def test_a_missing_file_says_so(store: Store) -> None:
    for action in (store.read, store.local, lambda name: store.read(name, 1, 2)):
        with pytest.raises(FileNotFoundError):
            action("missing")
    store.delete("missing")


def test_of_two_who_create_a_file_one_wins(store: Store) -> None:
    won: list[int] = []
    gate = threading.Barrier(8)

    def attempt(number: int) -> None:
        gate.wait()
        if store.create("manifests/000001.json", str(number).encode()):
            won.append(number)

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.read("manifests/000001.json") == str(won[0]).encode()


def test_names_below_a_folder(store: Store) -> None:
    for name in ("a/1", "a/b/2", "c/3", "ab/4"):
        store.write(name, b"x")
    assert sorted(store.names()) == ["a/1", "a/b/2", "ab/4", "c/3"]
    assert sorted(store.names("a")) == ["a/1", "a/b/2"]
    assert list(store.names("nothing")) == []
    store.delete("a/1")
    assert sorted(store.names("a")) == ["a/b/2"]


def test_a_draft_becomes_a_file_and_is_gone(store: Store, tmp_path: Path) -> None:
    draft = tmp_path / "draft.bin"
    content = os.urandom(6 << 20)
    draft.write_bytes(content)
    store.take(draft, "clips/ab/x.mp4")
    assert not draft.exists()
    local = store.local("clips/ab/x.mp4")
    assert local.read_bytes() == content and local.suffix == ".mp4"
    store.write("clips/ab/x.mp4", b"new")
    assert store.local("clips/ab/x.mp4").read_bytes() == b"new"


def test_a_store_travels(store: Store) -> None:
    store.write("x", b"1")
    assert pickle.loads(pickle.dumps(store)).read("x") == b"1"


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../b", ".hidden", "a//b", "a/.b", "", "a\\b", "a b"])
def test_names_lead_nowhere_else(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="plain relative path"):
        FolderStore(tmp_path).write(name, b"x")


def test_pieces_make_the_whole(store: Store) -> None:
    content = os.urandom(9 << 20)
    store.write("x", content)
    pieces = list(store.chunks("x"))
    assert b"".join(pieces) == content and max(map(len, pieces)) <= 8 << 20
    assert dict(store.listing()) == {"x": len(content)}
    with pytest.raises(FileNotFoundError):
        list(store.chunks("missing"))


def test_a_file_is_replaced_only_in_the_state_that_was_seen(bucket: str) -> None:
    store = ObjectStore(f"{bucket}/{uuid.uuid4().hex}")
    assert store.versioned("lock") is None
    store.write("lock", b"1")
    seen = store.versioned("lock")
    assert seen is not None and seen.data == b"1" and abs(seen.modified_s - time.time()) < 60
    assert store.replace_if("lock", b"2", seen.version)
    assert not store.replace_if("lock", b"3", seen.version)
    assert store.read("lock") == b"2"
    store.delete("lock")
    assert not store.replace_if("lock", b"4", seen.version) and not store.exists("lock")


def test_whoever_created_a_file_is_told_so_though_the_answer_was_lost(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, link = obstore.put, os.link

    def put_and_lose(*args: object, **options: object) -> None:
        put(*args, **options)
        raise obstore.exceptions.AlreadyExistsError("it is there, says the second attempt")

    def link_and_lose(*args: object) -> None:
        link(*args)
        raise FileExistsError

    monkeypatch.setattr(obstore, "put", put_and_lose)
    monkeypatch.setattr(os, "link", link_and_lose)
    assert store.create("x", b"mine")
    monkeypatch.setattr(obstore, "put", put)
    monkeypatch.setattr(os, "link", link)
    assert not store.create("x", b"other")


def _in_fork(store: Store, results: Any) -> None:
    try:
        store.write("from/child", b"child")
        results.put((store.read("x", 1, 3), store.size("x"), sorted(store.names()), store.create("x", b"no")))
        store.read("missing")
    except FileNotFoundError:
        results.put("missing")


def test_a_forked_process_uses_it_too(store: Store) -> None:
    store.write("x", b"hello")
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=_in_fork, args=(store, results), daemon=True)
    child.start()
    assert results.get(timeout=60) == (b"ell", 5, ["from/child", "x"], False)
    assert results.get(timeout=60) == "missing"
    child.join(60)
    assert child.exitcode == 0 and store.read("from/child") == b"child"


def test_drafts_of_a_killed_writer_are_no_files(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.write("a", b"x")
    (tmp_path / ".a.12345678.draft").write_bytes(b"half")
    assert list(store.names()) == ["a"]


def test_the_cache_lets_go_of_what_is_long_unused(bucket: str, tmp_path: Path) -> None:
    store = ObjectStore(f"{bucket}/cached", cache=tmp_path, cache_mb=1)
    for name in "abc":
        store.write(name, os.urandom(600_000))
    first = store.local("a")
    os.utime(first, (1, 1))
    second = store.local("b")
    assert not first.exists() and second.exists()
    store.local("c")
    assert second.exists(), "it was asked for a moment ago"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this user in a temporary folder that everybody may write to."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"worldloom-{os.getuid()}"


def test_the_cache_is_for_this_user_alone(bucket: str, temporary: Path) -> None:
    store = ObjectStore(f"{bucket}/private")
    store.write("a/b", b"x")
    os.umask(umask := os.umask(0))
    copy = store.local("a/b")
    assert copy.is_relative_to(temporary) and temporary.stat().st_mode & 0o777 == 0o700
    temporary.chmod(0o755)
    assert store.local("a/b") == copy and temporary.stat().st_mode & 0o777 == 0o700
    assert os.umask(umask) == umask


@pytest.mark.parametrize("planted", ["link", "dangling", "file", "writable", "of another"])
def test_a_cache_that_somebody_else_may_have_filled_is_refused(
    bucket: str, temporary: Path, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    store = ObjectStore(f"{bucket}/planted")
    store.write("a", b"true")
    copy = store.local("a")
    copy.write_bytes(b"false")
    if planted == "link":
        temporary.rename(temporary.with_name("elsewhere"))
        temporary.symlink_to(temporary.with_name("elsewhere"))
    elif planted == "dangling":
        shutil.rmtree(temporary)
        temporary.symlink_to(temporary.with_name("nothing"))
    elif planted == "file":
        shutil.rmtree(temporary)
        temporary.write_bytes(b"")
    elif planted == "writable":
        temporary.chmod(0o770)
    else:
        lstat, me = Path.lstat, os.getuid()
        monkeypatch.setattr(Path, "lstat", lambda path: os.stat_result((*lstat(path)[:4], me + 1, *lstat(path)[5:])))
    with pytest.raises(WorldloomError, match="TMPDIR"):
        store.local("a")


class _Refusing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b"<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

    def log_message(self, *args: object) -> None:
        pass


REQUESTS = {
    "read": lambda store: store.read("x"),
    "stretch": lambda store: store.read("x", 1, 2),
    "size": lambda store: store.size("x"),
    "listing": lambda store: list(store.listing()),
    "chunks": lambda store: list(store.chunks("x")),
    "write": lambda store: store.write("x", b"1"),
    "create": lambda store: store.create("x", b"1"),
    "versioned": lambda store: store.versioned("x"),
    "replace_if": lambda store: store.replace_if("x", b"1", "2"),
    "local": lambda store: store.local("x"),
    "delete": lambda store: store.delete("x"),
}


@pytest.mark.parametrize("request_name", REQUESTS)
def test_a_store_that_refuses_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch, request_name: str) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        _keys(monkeypatch, f"http://127.0.0.1:{server.server_port}")
        try:
            with pytest.raises(WorldloomError, match="check AWS_ACCESS_KEY_ID") as failure:
                REQUESTS[request_name](open_store("s3://bucket/walks"))
        finally:
            server.shutdown()
    _assert_a_sentence(failure.value)


def test_a_machine_without_keys_is_told_to_set_them() -> None:
    error = obstore.exceptions.GenericError(
        "Generic S3 error: PUT http://169.254.169.254/latest/api/token\n\nDebug source:"
    )
    assert "set AWS_ACCESS_KEY_ID" in explained(error) and "Debug" not in explained(error)


def test_a_store_that_is_not_there_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    _keys(monkeypatch, "http://127.0.0.1:9")
    store = open_store("s3://bucket/walks")
    with pytest.raises(WorldloomError, match=r"check AWS_ENDPOINT_URL \(http://127\.0\.0\.1:9\)") as failure:
        store.read("x")
    _assert_a_sentence(failure.value)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=_read_in_fork, args=(store, results), daemon=True)
    child.start()
    assert results.get(timeout=60) == ("WorldloomError", str(failure.value).partition(" in ")[0])
    child.join(60)


def _read_in_fork(store: Store, results: Any) -> None:
    try:
        store.read("x")
    except Exception as error:
        results.put((type(error).__name__, str(error).partition(" in ")[0]))


def _keys(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("AWS_REGION", "us-east-1")


def _assert_a_sentence(error: WorldloomError) -> None:
    text = str(error)
    assert text.startswith("s3://bucket/walks: ") and "hush" not in text
    assert len(text.splitlines()) == 1 and len(text) < 600 and "Debug source" not in text
    assert error.__cause__ is not None, "the whole of it is there for --debug"


@pytest.mark.parametrize("address", ["s3://", "s3://key:secret@bucket/x", "s3://bucket/x?token=1", "gs://bucket"])
def test_other_addresses_are_refused_without_their_secrets(address: str) -> None:
    with pytest.raises(UsageError) as error:
        open_store(address)
    assert "secret" not in str(error.value) and "token" not in str(error.value)


def test_an_address_is_no_folder() -> None:
    assert is_remote("s3://bucket/x") and not is_remote("runs/x")


def test_an_overlay_reads_like_what_is_below_and_never_writes_there(store: Store, tmp_path: Path) -> None:
    store.write("a/kept", b"below")
    store.write("a/changed", b"below")
    above = tmp_path / "above"
    over = open_store(overlay(above, store.place))
    assert over.read("a/kept") == b"below" and over.local("a/kept").read_bytes() == b"below"
    assert b"".join(over.chunks("a/kept")) == b"below" and over.size("a/kept") == 5
    over.write("a/changed", b"mine")
    draft = tmp_path / "draft"
    draft.write_bytes(b"new")
    over.take(draft, "b/new")
    assert not over.create("a/kept", b"x") and over.create("b/other", b"x")
    assert (over.read("a/changed"), over.read("b/new")) == (b"mine", b"new")
    assert dict(over.listing()) == {"a/kept": 5, "a/changed": 4, "b/new": 3, "b/other": 1}
    found = over.versioned("a/kept")
    assert found is not None and found.data == b"below" and over.versioned("nothing") is None
    over.delete("a/kept")
    over.delete("a/changed")
    assert (over.read("a/kept"), over.read("a/changed")) == (b"below", b"below")
    assert {name: store.read(name) for name in store.names()} == {"a/kept": b"below", "a/changed": b"below"}
    with pytest.raises(FileNotFoundError):
        over.read("nothing")
    with pytest.raises(NotImplementedError):
        over.replace_if("a/kept", b"x", "1")
