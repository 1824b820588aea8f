from __future__ import annotations

import hashlib
import io
import os
import sys
import tarfile
import zlib
from pathlib import Path

import pytest

from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.shards import read_shard, scan_shard, write_shard

SAMPLES = [
    ("a" * 26, {"json": b"{}", "mp4": b"m" * 1000, "camera.npz": b""}),
    ("b" * 26, {"mp4": b"n" * 512, "json": b'{"x": 1}'}),
    ("c-_9", {"json": b"x" * 511}),
]


def normal(samples):
    return [(key, dict(members)) for key, members in samples]


def make_tar(path: Path, *members: tuple[str, bytes] | tarfile.TarInfo, form: int = tarfile.USTAR_FORMAT) -> Path:
    with tarfile.open(path, "w", format=form) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member, io.BytesIO(bytes(member.size)))
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def refusal(path: Path) -> BadInput:
    with pytest.raises(BadInput) as caught:
        list(read_shard(path))
    return caught.value


def test_what_is_written_is_read(tmp_path: Path) -> None:
    info = write_shard(tmp_path / "x.tar", SAMPLES)
    data = (tmp_path / "x.tar").read_bytes()
    assert normal(read_shard(tmp_path / "x.tar")) == normal(SAMPLES)
    assert (info.name, info.samples, info.bytes) == ("x.tar", 3, len(data))
    assert info.sha256 == hashlib.sha256(data).hexdigest()
    for (key, members), entry in zip(SAMPLES, info.entries, strict=True):
        assert entry.key == key
        for extension, span in entry.members.items():
            assert data[span.offset : span.offset + span.length] == members[extension]
            assert span.crc32 == zlib.crc32(members[extension])
    assert info.entries[1].offset == info.entries[0].offset + info.entries[0].length


def test_tarfile_reads_it(tmp_path: Path) -> None:
    write_shard(tmp_path / "x.tar", SAMPLES)
    with tarfile.open(tmp_path / "x.tar") as archive:
        found = {member.name: archive.extractfile(member).read() for member in archive}
        assert all((member.mtime, member.uid, member.mode) == (0, 0, 0o644) for member in archive.getmembers())
    assert found == {f"{key}.{name}": content for key, members in SAMPLES for name, content in members.items()}


def test_the_header_is_the_one_of_tarfile(tmp_path: Path) -> None:
    write_shard(tmp_path / "x.tar", [("key", {"json": b"{}"})])
    theirs = tarfile.TarInfo("key.json")
    theirs.size = 2
    expected = bytearray(theirs.tobuf(tarfile.USTAR_FORMAT))
    assert (tmp_path / "x.tar").read_bytes()[:512] == expected


def test_webdataset_reads_it(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    write_shard(tmp_path / "x.tar", SAMPLES)
    dataset = webdataset.WebDataset(str(tmp_path / "x.tar"), shardshuffle=False)
    found = {sample["__key__"]: {k: v for k, v in sample.items() if not k.startswith("__")} for sample in dataset}
    assert found == dict(SAMPLES)


def test_shards_of_webdataset_are_read(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    with webdataset.TarWriter(str(tmp_path / "x.tar"), encoder=False) as writer:
        for key, members in SAMPLES:
            writer.write({"__key__": key, **members})
    assert normal(read_shard(tmp_path / "x.tar")) == normal(SAMPLES)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_and_fractional_times_are_read(tmp_path: Path, form: int) -> None:
    info = tarfile.TarInfo("k" * (120 if form != tarfile.USTAR_FORMAT else 80) + ".json")
    info.mtime = 1.5 if form == tarfile.PAX_FORMAT else 1
    path = make_tar(tmp_path / "x.tar", info, form=form)
    assert [key for key, _ in read_shard(path)] == [info.name.removesuffix(".json")]


def test_bytes_are_equal_whatever_the_order_of_members(tmp_path: Path) -> None:
    turned = [(key, dict(reversed(members.items()))) for key, members in SAMPLES]
    assert write_shard(tmp_path / "x.tar", SAMPLES).sha256 == write_shard(tmp_path / "y.tar", turned).sha256


def test_files_and_contents_give_equal_bytes(tmp_path: Path) -> None:
    video = os.urandom((2 << 20) + 777)
    (tmp_path / "video").write_bytes(video)
    (tmp_path / "empty").write_bytes(b"")
    one = write_shard(tmp_path / "x.tar", [("a", {"mp4": video, "json": b"{}", "camera.npz": b""})])
    files = {"mp4": tmp_path / "video", "json": b"{}", "camera.npz": tmp_path / "empty"}
    other = write_shard(tmp_path / "y.tar", [("a", files)], durable=False)
    assert (one.sha256, one.entries) == (other.sha256, other.entries)
    assert (tmp_path / "y.tar").read_bytes() == (tmp_path / "x.tar").read_bytes()


def test_a_file_that_grows_while_it_is_packed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import worldloom.catalogs.shards as module

    path = tmp_path / "video"
    path.write_bytes(b"x" * 100)
    header = module._header

    def late(name: str, size: int) -> bytes:
        path.write_bytes(b"x" * 200)
        return header(name, size)

    monkeypatch.setattr(module, "_header", late)
    with pytest.raises(BadInput, match="changed while it was read"):
        write_shard(tmp_path / "x.tar", [("a", {"mp4": path})])
    assert [one.name for one in tmp_path.iterdir()] == ["video"]


@pytest.mark.parametrize(
    "samples",
    [
        [("../x", {"json": b""})],
        [("", {"json": b""})],
        [("x\n", {"json": b""})],
        [("x", {"pkl": b""})],
        [("x", {})],
        [("x", {"json": b""}), ("x", {"mp4": b""})],
        [("x" * 100, {"json": b""})],
    ],
)
def test_what_no_shard_may_hold_is_not_written(tmp_path: Path, samples: list) -> None:
    with pytest.raises(ValueError, match=r"key|member"):
        write_shard(tmp_path / "x.tar", samples)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_no_file(tmp_path: Path) -> None:
    def samples():
        yield SAMPLES[0]
        raise RuntimeError("a clip broke")

    with pytest.raises(RuntimeError):
        write_shard(tmp_path / "x.tar", samples())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("members", "word"),
    [
        ([("a.pkl", b"")], "a.pkl"),
        ([("a.pyd", b"")], "a.pyd"),
        ([("/etc/passwd.json", b"")], "plain"),
        ([("../a.json", b"")], "plain"),
        ([("a/b.json", b"")], "plain"),
        ([("a", b"")], "none of"),
        ([special("a.json", tarfile.SYMTYPE, "/etc/passwd")], "symbolic link"),
        ([special("a.json", tarfile.LNKTYPE, "a.mp4")], "hard link"),
        ([special("a.json", tarfile.CHRTYPE)], "device"),
        ([special("a.json", tarfile.FIFOTYPE)], "no regular file"),
        ([special("a.json", tarfile.DIRTYPE)], "folder"),
        ([special("a.json", tarfile.CONTTYPE)], "no regular file"),
        ([("a.json", b""), ("a.json", b"")], "twice"),
        ([("a.json", b""), ("b.json", b""), ("a.mp4", b"")], "not contiguous"),
    ],
)
def test_hostile_tars_are_refused(tmp_path: Path, members: list, word: str) -> None:
    problem = refusal(make_tar(tmp_path / "x.tar", *members))
    assert problem.reason == "bad_shard"
    assert word in problem.message


def test_a_member_that_claims_too_much_is_refused_without_reading(tmp_path: Path) -> None:
    for size, reason in ((8**11 - 1, "bad_shard"), (1 << 30, "torn_shard")):
        info = tarfile.TarInfo("a.mp4")
        info.size = size
        (tmp_path / "x.tar").write_bytes(info.tobuf(tarfile.USTAR_FORMAT) + bytes(1024))
        problem = refusal(tmp_path / "x.tar")
        assert (problem.reason, "a.mp4" in problem.message) == (reason, True)


def with_field(header: bytes, start: int, value: bytes) -> bytes:
    """A header with another field, and the checksum that fits it."""
    changed = bytearray(header)
    changed[start : start + len(value)] = value
    changed[148:156] = b"%06o\0 " % (sum(changed) - sum(changed[148:156]) + 256)
    return bytes(changed)


@pytest.mark.parametrize(
    "size", [b"-0000001000\0", b"-0000000001\0", b"+0000000002\0", b"0_2\0", b"0o2\0", b"\x80\0\0\2"]
)
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_size_is_an_octal_number(size: bytes, kind: bytes) -> None:
    """A negative one would lead back to the same header, for ever."""
    header = with_field(special("a.json", kind).tobuf(tarfile.USTAR_FORMAT), 124, size.ljust(12, b"\0"))
    with pytest.raises(BadInput, match="no octal number") as caught:
        list(scan_shard(io.BytesIO(header + bytes(1024)), "x.tar"))
    assert caught.value.reason == "bad_shard"


@pytest.mark.parametrize("size", [b"          2 ", b"00000000002\0", b"2\0", b"2 \0"])
def test_a_size_may_be_padded(size: bytes) -> None:
    header = with_field(special("a.json", tarfile.REGTYPE).tobuf(tarfile.USTAR_FORMAT), 124, size.ljust(12, b"\0"))
    (member,) = scan_shard(io.BytesIO(header + b"{}" + bytes(510 + 1024)), "x.tar")
    assert member.length == 2


@pytest.mark.parametrize(
    "record", [b"11 size=+2\n", b"12 size=1_0\n", b"12 size=\xd9\xa2\n", b"+9 path=a\n", b"90 path=a\n"]
)
def test_numbers_of_an_extended_header_are_plain(record: bytes) -> None:
    info = special("pax", tarfile.XHDTYPE)
    info.size = len(record)
    data = info.tobuf(tarfile.USTAR_FORMAT) + record.ljust(512, b"\0")
    data += special("a.json", tarfile.REGTYPE).tobuf(tarfile.USTAR_FORMAT) + bytes(1024)
    with pytest.raises(BadInput, match="extended header at byte 512"):
        list(scan_shard(io.BytesIO(data), "x.tar"))


def test_sparse_members_and_global_overrides_are_refused(tmp_path: Path) -> None:
    for headers in ({"GNU.sparse.realsize": "999999999999"}, {"size": "-5"}, {"size": "x"}):
        info = tarfile.TarInfo("a.mp4")
        info.pax_headers = headers
        with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.PAX_FORMAT) as archive:
            archive.addfile(info, io.BytesIO())
        assert refusal(tmp_path / "x.tar").reason == "bad_shard"
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.PAX_FORMAT, pax_headers={"path": "b.json"}) as archive:
        archive.addfile(tarfile.TarInfo("a.mp4"))
    assert refusal(tmp_path / "x.tar").reason == "bad_shard"


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    write_shard(tmp_path / "x.tar", SAMPLES)
    data = (tmp_path / "x.tar").read_bytes()
    for length in [*range(0, len(data) - 1024, 97), len(data) - 1024]:
        (tmp_path / "cut.tar").write_bytes(data[:length])
        assert refusal(tmp_path / "cut.tar").reason == "torn_shard", length


def test_every_flipped_header_byte_that_matters_is_noticed(tmp_path: Path) -> None:
    write_shard(tmp_path / "x.tar", SAMPLES[1:2])
    data = (tmp_path / "x.tar").read_bytes()
    for at in range(500):
        flipped = bytearray(data)
        flipped[at] ^= 1
        (tmp_path / "flipped.tar").write_bytes(flipped)
        if 148 <= at < 156:  # the checksum itself: its padding may change unharmed
            continue
        assert refusal(tmp_path / "flipped.tar").reason in ("bad_shard", "torn_shard"), at


def test_scanning_reads_no_contents(tmp_path: Path) -> None:
    write_shard(tmp_path / "x.tar", [("key", {"mp4": bytes(1 << 20), "json": b"{}"})])

    class Counting(io.FileIO):
        count = 0

        def read(self, size: int = -1) -> bytes:
            data = super().read(size)
            Counting.count += len(data)
            return data

    with Counting(tmp_path / "x.tar") as file:
        assert [member.name for member in scan_shard(file, "x.tar")] == ["key.mp4", "key.json"]
    assert Counting.count == 3 * 512


def test_neither_torch_nor_webdataset_is_imported() -> None:
    import subprocess

    script = "import sys, worldloom.catalogs.shards; assert not {'torch', 'webdataset', 'av'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])
