"""What is fuzzed: for each kind of file a good one, what damages it, and what reads it."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tests.catalogs.example_clip import example_clip, example_dataset
from tests.catalogs.formats.test_damaged_files import FORMATS, TRAJECTORY
from tests.fuzz.mutators import (
    Mutate,
    damage_boxes,
    damage_bytes,
    damage_json,
    damage_npz,
    damage_parquet,
    damage_tar,
    damage_text,
    damage_yaml,
)
from worldloom.catalogs.clip import Hands
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats import egodex

Read = Callable[[Path, Path], Any]


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes:
        name: in the table.
        prepare: writes good files into a folder.
        targets: which of them are damaged, patterns relative to that folder.
        mutate: the damage.
        read: given the folder and the damaged file, reads it as worldloom does.
        contains: read only inside a child process by worldloom too, so a child that dies there is an ending as well.
    """

    name: str
    prepare: Callable[[Path], Any]
    targets: tuple[str, ...]
    mutate: Mutate
    read: Read
    contains: bool = False


def _video(suffix: str, codec: str, options: dict[str, str] | None = None, container: str | None = None) -> Kind:
    def prepare(folder: Path) -> None:
        import av

        rng = np.random.default_rng(1)
        with av.open(str(folder / f"a{suffix}"), "w", format=container, options=options or {}) as out:
            stream = out.add_stream(codec, rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.codec_context.gop_size = 8
            stream.codec_context.thread_count = 1
            small = rng.integers(30, 220, (6, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
            for t in range(24):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(small, 2 * t, 1), format="rgb24")))
            out.mux(stream.encode(None))

    mutate = damage_boxes if suffix in (".mp4", ".mov") else damage_bytes
    name = f"{suffix[1:]}{'_fragments' if options else ''}"
    return Kind(name, prepare, ("a*",), mutate, _read_video, contains=True)


def _read_video(folder: Path, path: Path) -> None:
    """All that ingest does with a video, and what a reader of the dataset does."""
    from worldloom.catalogs.video import Frames, cfr_index, conforms, decode_source, probe, reencode

    info = probe(path)
    source = decode_source(path, info.stream, exact=False)
    pts = [time for time, _ in source]
    if pts:
        cfr_index(np.asarray(pts, np.int64) * float(info.time_base), info.fps)
    conforms(path)
    with Frames(path) as frames:
        count = len(frames)
        frames[count // 2], frames[[count - 1, 0]]
    reencode(path, [0, count - 1], folder / "again.mp4", Fraction(10))


def _text(name: str) -> Kind:
    file, write, read = FORMATS[name]
    suffix = Path(file).suffix
    mutate = damage_json if suffix == ".json" else damage_bytes if suffix in (".npy", ".exr") else damage_text
    return Kind(name, lambda folder: write(folder / file), (file,), mutate, lambda folder, path: read(path))


def _hands() -> Kind:
    hands = Hands(["a", "b"], np.ones((len(TRAJECTORY), 2, 3), np.float32), np.ones((len(TRAJECTORY), 2), np.float32))

    def prepare(folder: Path) -> None:
        egodex.write_egodex_hands_csv(folder / "hands.csv", hands, TRAJECTORY)

    read: Read = lambda folder, path: egodex.read_egodex_hands_csv(path, TRAJECTORY)  # noqa: E731
    return Kind("egodex_hands", prepare, ("hands.csv",), damage_text, read)


def _members(folder: Path) -> None:
    from worldloom.catalogs.sample import clip_to_members

    for extension, data in clip_to_members(example_clip(), b"video").items():
        (folder / f"a.{extension}").write_bytes(data)


def _read_members(folder: Path, path: Path) -> None:
    """A sample as `verify` sees it."""
    from worldloom.catalogs.sample import members_to_clip
    from worldloom.catalogs.verify import clip_problems

    members = {one.name.removeprefix("a."): one.read_bytes() for one in folder.glob("a.*")}
    clip_problems(members_to_clip(example_clip().key, members))


def _read_shard(folder: Path, path: Path) -> None:
    from worldloom.catalogs.sample import clip_to_members, members_to_clip
    from worldloom.catalogs.shards import read_shard

    for key, members in read_shard(path):
        clip_to_members(members_to_clip(key, members))


def _read_dataset(folder: Path, path: Path) -> None:
    """As a training loop does: manifest, catalog, condition, samples."""
    from worldloom.catalogs.dataset import ShardDataset

    for clip in ShardDataset(folder / "dataset", where="frames > 0"):
        len(clip.pts_s)


def _read_catalog(folder: Path, path: Path) -> None:
    """With a manifest that fits the damage: an accident ends at the digest, and nothing behind it is tried."""
    from worldloom.catalogs.manifest import manifest_name

    manifest = folder / "dataset" / manifest_name(1)
    values = json.loads(manifest.read_text())
    data = path.read_bytes()
    values["catalog"] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest.write_text(json.dumps(values))
    _read_dataset(folder, path)


def _job(folder: Path) -> None:
    (folder / "videos").mkdir(exist_ok=True)
    (folder / "job.yaml").write_text(
        "name: walks\nout: runs/walks\nvars: {data: videos}\n"
        "sources:\n  - {kind: folder, path: '${data}', licence: CC-BY-4.0}\n"
        "ingest: {fps: 16, height: 480, min_seconds: 2, max_seconds: 60, crf: 18}\n"
        "annotate: [quality, {actions: {window_s: 0.25}}, pose]\n"
        "compose:\n  require: [pose]\n  where: 'quality.sharpness > 0.2'\n"
        "  derive: [{reverse: loop, share: 0.5}]\n  split: {by: source, test: 0.02}\n"
        "pack: {target_mb: 512, bucket_by: [resolution, frames]}\n"
    )


def _read_job(folder: Path, path: Path) -> None:
    from worldloom.pipeline.job import job_yaml, load_job

    job_yaml(load_job(path))


def _case(folder: Path) -> None:
    from worldloom.pipeline.layout import Layout
    from worldloom.pipeline.ledger import Entry
    from worldloom.pipeline.quarantine import write_case

    evidence = {"entry": "a:b", "payload": {"x": [1]}, "limits": {"deadline_s": 5.0}, "trace": ["a"]}
    write_case(Layout(folder), Entry("a", "pose", "r", "s", "failed", "crashed", "gone"), evidence)


def _read_case(folder: Path, path: Path) -> None:
    from worldloom.catalogs.storage import FolderStore
    from worldloom.pipeline.quarantine import read_case

    read_case(FolderStore(path.parent), path.name)


def _dataset(name: str, target: str, mutate: Mutate, read: Read) -> Kind:
    return Kind(name, lambda folder: example_dataset(folder, clips=3), (target,), mutate, read)


def _manifest_without_card(folder: Path) -> None:
    example_dataset(folder, clips=2)
    shutil.rmtree(folder / "dataset" / "shards")


def _read_manifest(folder: Path, path: Path) -> None:
    from worldloom.catalogs.manifest import latest, read_manifest

    read_manifest(folder / "dataset", 1)
    latest(folder / "dataset")


def _episode(folder: Path) -> None:
    from tests.catalogs.formats.test_egodex_hdf5 import write_episode

    write_episode(folder / "0.hdf5")


def _read_episode(folder: Path, path: Path) -> None:
    from worldloom.catalogs.formats.egodex_hdf5 import read_egodex_hdf5

    read_egodex_hdf5(path)


def _colmap_model(folder: Path) -> None:
    from tests.catalogs.formats.test_colmap import write_binary

    write_binary(folder)


def _read_colmap_model(folder: Path, path: Path) -> None:
    from worldloom.catalogs.formats.colmap import read_colmap

    read_colmap(folder)


def _vipe(folder: Path) -> None:
    from tests.catalogs.formats.test_vipe import artifacts

    artifacts(folder)


def _read_vipe(folder: Path, path: Path) -> None:
    from tests.catalogs.formats.test_vipe import FRAMES, SIZE
    from worldloom.catalogs.formats.vipe import read_vipe_camera, read_vipe_depth, read_vipe_masks

    read_vipe_camera(folder, "a", FRAMES, SIZE)
    read_vipe_depth(folder, "a", FRAMES)
    read_vipe_masks(folder, "a", FRAMES, SIZE)


def _lerobot(folder: Path) -> None:
    from tests.catalogs.formats.lerobot_example import lerobot_dataset

    lerobot_dataset(folder / "set")


def _read_lerobot(folder: Path, path: Path) -> None:
    """What `meta/` tells, and the rows of every episode."""
    from worldloom.catalogs.formats.lerobot import read_lerobot
    from worldloom.catalogs.formats.lerobot_state import camera_of, hands_of

    dataset = read_lerobot(folder / "set")
    for episode in dataset.episodes:
        rows = dataset.rows(episode)
        camera_of(dataset.features, rows, (64, 48))
        hands_of(dataset.features, rows)


def _tar_of_others(folder: Path) -> None:
    import tarfile

    with tarfile.open(folder / "a.tar", "w") as archive:
        for name, data in (
            ("x.mp4", b"v" * 600),
            ("x.json", b'{"caption": "a", "n": 1}'),
            ("y.mp4", b"v"),
            ("y.txt", b"b"),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def _read_tar_of_others(folder: Path, path: Path) -> None:
    """Listed as the driver does, and each sample opened as a worker does."""
    from worldloom.catalogs.errors import BadInput
    from worldloom.pipeline.sources.footage import Workplace
    from worldloom.pipeline.sources.webdataset import WebDatasetSource

    source = WebDatasetSource(kind="webdataset", path=folder)
    items = list(source.items())
    if any(item.problem for item in items):
        raise BadInput(*next(item.problem for item in items if item.problem), where=path)
    for item in items:
        source.footage(item, Workplace(folder, folder))


def _lists(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"url": f"https://a.org/{n}.mp4", "views": n, "tags": ["x", "y"], "title": f"walk {n}"} for n in range(20)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "a.parquet")
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = "".join(f'{row["url"]},{row["views"]},"a, ""b""","{row["title"]}"\n' for row in rows)
    (folder / "a.csv").write_text("url,views,tags,title\n" + lines)


def _read_list(folder: Path, path: Path) -> None:
    """As a run does; the first row with a problem stands for all of them."""
    from worldloom.pipeline.sources.web import WebSource

    source = WebSource(kind="web", list=path)
    source.check("sources.0", None, None, 60.0)
    items = list(source.listed())
    assert len({item.id for item in items}) == len(items) and all(item.fingerprint() for item in items)
    for item in items:
        "".join((item.uri, item.licence, *map(str, item.attributes.values()))).encode()
        if item.problem is not None:
            raise BadInput(item.problem[0], item.problem[1].encode().decode(), where=item.uri)


_HDF5 = (Kind("hdf5", _episode, ("0.hdf5",), damage_bytes, _read_episode, contains=True),)

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        _video(".mp4", "libx264"),
        _video(".mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}),
        _video(".mov", "mpeg4"),
        _video(".mkv", "libx264"),
        _video(".webm", "libvpx"),
        _video(".avi", "mpeg4"),
        _video(".ts", "mpeg2video", container="mpegts"),
        *(_text(name) for name in sorted(FORMATS)),
        _hands(),
        Kind("sample_json", _members, ("a.json",), damage_json, _read_members),
        Kind("sample_npz", _members, ("a.*.npz",), damage_npz, _read_members),
        Kind("shard", lambda folder: example_dataset(folder, 3), ("dataset/shards/train*",), damage_tar, _read_shard),
        _dataset("dataset_shard", "dataset/shards/train*", damage_tar, _read_dataset),
        _dataset("catalog", "dataset/catalog-*", damage_parquet, _read_catalog),
        Kind("manifest", _manifest_without_card, ("dataset/manifests/*",), damage_json, _read_manifest),
        Kind("job_yaml", _job, ("job.yaml",), damage_yaml, _read_job),
        Kind("colmap_binary", _colmap_model, ("*.bin",), damage_bytes, _read_colmap_model),
        Kind("vipe_npz", _vipe, ("pose/a.npz", "intrinsics/a.npz"), damage_npz, _read_vipe),
        Kind("vipe_zip", _vipe, ("depth/a.zip", "mask/a.zip"), damage_bytes, _read_vipe, contains=True),
        Kind("vipe_text", _vipe, ("mask/a.txt", "intrinsics/a_camera.txt"), damage_text, _read_vipe),
        Kind("lerobot_json", _lerobot, ("set/meta/info.json",), damage_json, _read_lerobot),
        Kind("lerobot_tables", _lerobot, ("set/meta/**/*.parquet", "set/data/*/*"), damage_parquet, _read_lerobot),
        Kind("tar_of_others", _tar_of_others, ("a.tar",), damage_tar, _read_tar_of_others),
        *(_HDF5 if find_spec("h5py") else ()),
        Kind("list_text", _lists, ("a.csv", "a.jsonl"), damage_text, _read_list),
        Kind("list_bytes", _lists, ("a.csv", "a.jsonl"), damage_bytes, _read_list),
        Kind("list_parquet", _lists, ("a.parquet",), damage_parquet, _read_list),
        Kind("quarantine", _case, ("quarantine/pose/a.json",), damage_json, _read_case),
    )
}
