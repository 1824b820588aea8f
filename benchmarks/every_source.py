"""One job over every kind of source: what is there of real data, and files made in the real layouts of the rest.

    python benchmarks/every_source.py                      # into runs/every-source: files, job, dataset
    python benchmarks/every_source.py --out DIR --data ../shared/data

Made are, from rendered worlds whose truth is known: shots of Movie Render Queue (PNG + EXR, multilayer EXR), HM-World
samples, Context-as-Memory scenes, MultiCamVideo, ViPE's artifacts, a COLMAP model, foreign WebDataset shards, a LeRobot
dataset, EgoDex in its own HDF5, RealEstate10K rows about a whole video, and a small web site on loopback. Then the job
runs twice (the second time has nothing to do), the dataset is verified, and the counts by kind are printed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shutil
import sys
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.catalogs.formats.egodex_layout import from_tables, write_layout  # noqa: E402
from tests.pipeline.oddities import make_all  # noqa: E402
from tests.pipeline.sources import unreal_files as unreal  # noqa: E402
from worldloom.catalogs.cameras import invert_poses  # noqa: E402
from worldloom.catalogs.dataset import ShardDataset  # noqa: E402
from worldloom.catalogs.formats.colmap import write_colmap  # noqa: E402
from worldloom.catalogs.formats.context_as_memory import write_context_as_memory  # noqa: E402
from worldloom.catalogs.formats.hm_world import Check, write_check  # noqa: E402
from worldloom.catalogs.formats.hydra import write_hydra_json  # noqa: E402
from worldloom.catalogs.formats.lerobot_tables import NewEpisode, VideoPlace, video_file, write_lerobot  # noqa: E402
from worldloom.catalogs.formats.trajectory import Trajectory  # noqa: E402
from worldloom.catalogs.formats.unreal import write_recam  # noqa: E402
from worldloom.catalogs.formats.vipe import write_vipe  # noqa: E402
from worldloom.catalogs.statistics import picture_histogram, picture_stats  # noqa: E402
from worldloom.catalogs.verify import verify  # noqa: E402
from worldloom.catalogs.video import Encoder, encode_frames  # noqa: E402
from worldloom.pipeline.job import load_job  # noqa: E402
from worldloom.pipeline.run import run_job  # noqa: E402
from worldloom.synth.planner import plan_worlds  # noqa: E402

WIDTH, HEIGHT, FPS, FRAMES = 416, 240, 15, 33
FOV_DEG = 80.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/every-source"))
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--annotate", default="quality,actions,subjects,events,fingerprint")
    args = parser.parse_args()
    out, data = args.out.absolute(), args.data.absolute()
    shutil.rmtree(out, ignore_errors=True)
    files = out / "files"
    files.mkdir(parents=True)
    with serving(files / "site") as address:
        sources = [*made(files, data, address), *real(files, data)]
        job = {
            "name": "every-source",
            "out": str(out / "run"),
            "sources": sources,
            "ingest": {"height": 240, "min_seconds": 0.3, "max_seconds": 10},
            "annotate": args.annotate.split(","),
            "compose": {"split": {"by": "scene", "test": 0.2}},
        }
        (out / "job.yaml").write_text(yaml.safe_dump(job, sort_keys=False), encoding="utf-8")
        job = load_job(out / "job.yaml")
        first = run_job(job)
        again = run_job(job)
    report(first, again, out)


def report(first: Any, again: Any, out: Path) -> None:
    """What came of it, as a table by kind of source."""
    for tally in first.tables:
        lost = {**tally.dropped, **tally.failed}
        print(
            f"{tally.name:<12} {tally.inputs:4d} in, {tally.ok:4d} ok, absent {sum(tally.absent.values())}, lost {lost}"
        )
    print(f"again: {again.ran or 'nothing to do'}, Ray {'started' if again.ray_started else 'not started'}")
    dataset = ShardDataset(out / "run" / "dataset")
    rows = dataset.table.select(["source", "seconds", "pose", "subjects", "depth", "hands", "captions"]).to_pylist()
    kinds: dict[str, Counter[str]] = {}
    for row in rows:
        counted = kinds.setdefault(row["source"]["kind"], Counter())
        counted["clips"] += 1
        counted["seconds"] += row["seconds"]
        for name in ("pose", "subjects", "depth", "hands", "captions"):
            told = row[name] or {}
            counted[name] += told.get("status") == "ok" and str(told.get("method")).startswith("source:")
    print(f"\n{'kind':<20} clips seconds  given: pose subjects depth hands captions")
    for kind, counted in sorted(kinds.items()):
        given = "  ".join(f"{counted[name]:5.0f}" for name in ("pose", "subjects", "depth", "hands", "captions"))
        print(f"{kind:<20} {counted['clips']:5.0f} {counted['seconds']:7.1f}         {given}")
    checked = verify(out / "run" / "dataset")
    print(f"\nverify: {checked.samples} samples in {checked.shards} shards, {len(checked.problems)} problems")
    for problem in checked.problems[:10]:
        print(f"  {problem}")
    print(f"\nnext: worldloom inspect {out / 'run'}")


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A web site of a folder on loopback; gives its address."""
    folder.mkdir(parents=True, exist_ok=True)
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


def shots(count: int) -> list[unreal.Shot]:
    """Rendered walks, no two alike."""
    settings = {"width": WIDTH, "height": HEIGHT, "fps": FPS, "frames": FRAMES, "fov_deg": FOV_DEG}
    return [unreal.render_shot(plan) for plan in plan_worlds(count, seed=11, **settings)]


def made(files: Path, data: Path, address: str) -> list[dict[str, Any]]:
    """Files in the layouts that no real data are there of."""
    walks = shots(7)
    sources = [queue(files / "unreal", walks[0]), hm_world(files / "hm_world", walks[1])]
    sources += [context_as_memory(files / "context_as_memory", walks[2]), multi_cam(files / "multicam", walks[:2])]
    sources += [vipe(files / "vipe", walks[3]), colmap(files / "colmap", walks[4]), shards(files / "shards", walks[5])]
    sources += [
        lerobot(files / "lerobot", walks[6]),
        egodex(files / "egodex", data),
        real_estate(files / "re10k", walks[5]),
    ]
    for number, walk in enumerate(walks[2:4]):
        unreal.write_video(files / "site" / f"walk-{number}.mp4", walk)
    lines = [
        f"{address}/walk-0.mp4,a park,120,yes",
        f"{address}/walk-1.mp4,a house,7,no",
        f"{address}/gone.mp4,lost,0,no",
    ]
    (files / "urls.csv").write_text("url,Title,views,indoor\n" + "\n".join(lines) + "\n")
    web = {"kind": "web", "list": str(files / "urls.csv"), "licence": "CC-BY-4.0", "allow_http": True}
    sources.append({**web, "allow_hosts": ["127.0.0.1"]})
    make_all(files / "odd")
    sources.append({"kind": "folder", "path": str(files / "odd"), "licence": "CC0-1.0"})
    sources.append({"kind": "worlds", "count": 2, "seed": 3, "give": ["pose", "subjects"], "licence": "CC0-1.0",
                    "settings": {"width": WIDTH, "height": HEIGHT, "fps": FPS, "frames": FRAMES}})  # fmt: skip
    return sources


def real(files: Path, data: Path) -> list[dict[str, Any]]:
    """What is there of real data."""
    found: list[dict[str, Any]] = []
    if not data.is_dir():
        return found
    poses, videos = data / "re10k" / "pose_files", data / "re10k" / "videos"
    found.append({"kind": "realestate10k", "poses": str(poses), "videos": str(videos), "licence": "CC-BY-4.0"})
    found.append({"kind": "hydra", "path": str(data / "ue5_hydra"), "licence": "Apache-2.0"})
    found.append({"kind": "egodex", "path": str(data / "egodex")})
    found.append({"kind": "folder", "path": str(data / "odd"), "licence": ""})
    found.append({"kind": "folder", "path": str(data / "walk_clips"), "licence": ""})
    found.append({"kind": "folder", "path": str(data / "people"), "licence": "CC-BY-4.0"})
    fox = files / "fox" / "fox"
    fox.mkdir(parents=True)
    (fox / "images").symlink_to(data / "static_fox" / "images")
    (fox / "transforms.json").symlink_to(data / "static_fox" / "transforms.json")
    found.append({"kind": "colmap", "path": str(data / "static_fox"), "fps": 5, "licence": "LicenseRef-NVIDIA-NC"})
    shutil.rmtree(files / "fox")
    return found


def queue(folder: Path, walk: unreal.Shot) -> dict[str, Any]:
    """Movie Render Queue: pictures with passes beside them, and multilayer EXR."""
    one = folder / "Court" / "TakeA"
    unreal.write_pictures(one / "FinalImage", walk)
    unreal.write_depth(one / "WorldDepth", walk)
    unreal.write_ids(one / "ObjectId", walk)
    unreal.write_cameras(one / "camera.json", walk)
    return {"kind": "unreal", "path": str(folder), "fps": FPS, "licence": "CC0-1.0",
            "depth": {"name": "WorldDepth"}, "ids": {"name": "ObjectId"}}  # fmt: skip


def hm_world(folder: Path, walk: unreal.Shot) -> dict[str, Any]:
    """A sample of two clips with masks of its subjects."""
    sample, half = folder / "0001", FRAMES // 2
    sample.mkdir(parents=True)
    parts = {"cond": slice(0, half), "tgt": slice(half, 2 * half)}
    checks = {}
    for part, span in parts.items():
        shot = unreal.Shot(walk.plan, walk.c2w[span], walk.intrinsics, walk.frames[span])
        unreal.write_video(sample / f"{part}.mp4", shot)
        with Encoder(sample / f"{part}_mask.mp4", WIDTH, HEIGHT, Fraction(FPS), 12, "veryfast") as encoder:
            for frame in shot.frames:
                encoder.write(np.where(frame.mask[..., None] > 0, np.uint8([255, 0, 0]), np.uint8(0)))
        inside = np.array([[bool((frame.mask > 0).sum() >= 16) for frame in shot.frames]])
        checks[part] = Check(["BP_Actor_3"], ["Quinn"], inside)
    cond, tgt = (walk.trajectory.take(span) for span in parts.values())
    write_hydra_json(sample / "camera.json", cond, tgt)
    write_check(sample / "check.json", checks)
    (sample / "character.json").write_text(json.dumps({"mesh": "Quinn"}))
    (folder / "caption.txt").write_text("0001.mp4\tA person walks by.\n")
    return {"kind": "hm_world", "path": str(folder), "licence": "Apache-2.0", "hfov_deg": FOV_DEG}


def context_as_memory(folder: Path, walk: unreal.Shot) -> dict[str, Any]:
    """A scene of numbered pictures; the order of the angles is for the source to find out."""
    scene = folder / "frames" / "Scene_01"
    scene.mkdir(parents=True)
    for number, frame in enumerate(walk.frames):
        cv2.imwrite(str(scene / f"{number:04d}.png"), frame.rgb[..., ::-1])
    (folder / "jsons").mkdir()
    write_context_as_memory(folder / "jsons" / "Scene_01.json", walk.trajectory, "pitch_yaw_roll")
    return {"kind": "context_as_memory", "path": str(folder), "rotation": "auto", "doubt": "note", "hfov_deg": FOV_DEG,
            "fps": FPS, "licence": "CC-BY-NC-4.0"}  # fmt: skip


def multi_cam(folder: Path, walks: list[unreal.Shot]) -> dict[str, Any]:
    """Two cameras of one scene."""
    scene = folder / "train" / "f24_aperture5" / "scene1"
    (scene / "cameras").mkdir(parents=True)
    names = [f"cam{number + 1:02d}" for number in range(len(walks))]
    write_recam(
        scene / "cameras" / "camera_extrinsics.json", dict(zip(names, (w.trajectory for w in walks), strict=True))
    )
    for name, walk in zip(names, walks, strict=True):
        unreal.write_video(scene / "videos" / f"{name}.mp4", walk)
    return {"kind": "recammaster", "path": str(folder), "licence": "Apache-2.0"}


def vipe(folder: Path, walk: unreal.Shot) -> dict[str, Any]:
    """Artifacts about a video: cameras, depth, instance masks."""
    from worldloom.catalogs.clip import Depth

    camera = walk.trajectory.camera(WIDTH, HEIGHT)
    z = np.stack([frame.depth for frame in walk.frames]).astype(np.float32)
    valid = np.isfinite(z) & (z > 0) & (z < 1000)
    depth = Depth(
        np.arange(FRAMES, dtype=np.int32), np.where(valid, z, 1), valid, np.ones(FRAMES, np.float32), "metric", 0.1
    )
    masks = np.stack([frame.mask for frame in walk.frames]).astype(np.uint8)
    phrases = {int(one): "a person" for one in np.unique(masks) if one}
    write_vipe(folder, "walk", camera, depth=depth, masks=masks, phrases=phrases)
    unreal.write_video(folder / "rgb" / "walk.mp4", walk)
    return {"kind": "vipe", "path": str(folder), "licence": "CC-BY-4.0"}


def colmap(folder: Path, walk: unreal.Shot) -> dict[str, Any]:
    """A scene of photos with a model."""
    scene = folder / "garden"
    (scene / "images").mkdir(parents=True)
    trajectory = walk.trajectory
    trajectory.names = [f"{number:04d}.png" for number in range(FRAMES)]
    for name, frame in zip(trajectory.names, walk.frames, strict=True):
        cv2.imwrite(str(scene / "images" / name), frame.rgb[..., ::-1])
    write_colmap(scene / "sparse" / "0", trajectory)
    return {"kind": "colmap", "path": str(folder), "fps": FPS, "licence": "CC-BY-4.0"}


def shards(folder: Path, walk: unreal.Shot) -> dict[str, Any]:
    """A tar of somebody else: video, JSON with a caption, cameras as world-to-camera."""
    unreal.write_video(folder / "draft.mp4", walk)
    cameras = io.BytesIO()
    np.savez(cameras, extrinsics=invert_poses(walk.c2w), K=np.tile(walk.intrinsics, (FRAMES, 1)))
    record = json.dumps({"text": "a walk", "meta": {"place": "street", "view_count": 5}}).encode()
    members = {"a.mp4": (folder / "draft.mp4").read_bytes(), "a.json": record, "a.cam.npz": cameras.getvalue()}
    with tarfile.open(folder / "00000.tar", "w") as archive:
        for name, value in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(value)
            archive.addfile(info, io.BytesIO(value))
    (folder / "draft.mp4").unlink()
    return {"kind": "webdataset", "path": str(folder), "licence": "CC-BY-4.0", "caption_key": "text",
            "attributes": {"views": "meta.view_count", "place": "meta.place"},
            "camera": {"member": "cam.npz", "poses": "extrinsics", "direction": "w2c", "intrinsics": "K"}}  # fmt: skip


def lerobot(folder: Path, walk: unreal.Shot) -> dict[str, Any]:
    """Two episodes in one mp4, with the camera's pose as a column."""
    from worldloom.catalogs.cameras import quaternion_from_rotation

    key, lengths = "observation.images.head", (16, FRAMES - 16)
    video_file(folder, key, 0).parent.mkdir(parents=True)
    encode_frames(video_file(folder, key, 0), (frame.rgb for frame in walk.frames), Fraction(FPS))
    pose = np.concatenate([walk.c2w[:, :3, 3], quaternion_from_rotation(walk.c2w[:, :3, :3])], axis=1).astype(
        np.float32
    )
    stats = picture_stats(picture_histogram([walk.frames[0].rgb]), 1)
    names = ["x", "y", "z", "qx", "qy", "qz", "qw"]
    features = {
        key: {"dtype": "video", "shape": [HEIGHT, WIDTH, 3], "names": ["height", "width", "channels"]},
        "observation.head_pose": {"dtype": "float32", "shape": [7], "names": names},
    }
    episodes = []
    for first, length in zip((0, lengths[0]), lengths, strict=True):
        arrays = {"observation.head_pose": pose[first : first + length]}
        episodes.append(NewEpisode("look around", arrays, {key: VideoPlace(0, first, stats)}))
    write_lerobot(folder, Fraction(FPS), features, episodes)
    camera = {"feature": "observation.head_pose", "form": "xyz_xyzw", "intrinsics": walk.intrinsics.tolist()}
    return {"kind": "lerobot", "path": str(folder), "licence": "Apache-2.0", "camera_pose": camera}


def egodex(folder: Path, data: Path) -> dict[str, Any]:
    """HDF5 in the released layout, from the real tables of an episode where they are there."""
    tables = data / "egodex" / "add_remove_lid"
    task = folder / "part1" / "add_remove_lid"
    task.mkdir(parents=True)
    if tables.is_dir():
        camera, joints = from_tables(tables / "0_camera_trajectory.csv", tables / "0_hand_poses.csv")
    else:
        camera, joints = Trajectory(np.tile(np.eye(4), (94, 1, 1)), "metric"), {}
    write_layout(task / "0.hdf5", camera, joints, intrinsic=False)
    noise = np.random.default_rng(1).integers(0, 255, (9, 16, 3), np.uint8)
    still = cv2.resize(noise, (640, 360), interpolation=cv2.INTER_CUBIC)
    encode_frames(task / "0.mp4", (np.roll(still, 3 * number, axis=1) for number in range(len(camera))), Fraction(30))
    return {"kind": "egodex", "path": str(folder)}


def real_estate(folder: Path, walk: unreal.Shot) -> dict[str, Any]:
    """Rows about some frames of a whole video, by their times."""
    (folder / "poses").mkdir(parents=True)
    unreal.write_video(folder / "videos" / "abcdefghijk.mp4", walk)
    w2c = invert_poses(walk.c2w)
    fx, fy, cx, cy = walk.intrinsics / [WIDTH, HEIGHT, WIDTH, HEIGHT]
    lines = ["https://www.youtube.com/watch?v=abcdefghijk"]
    for number in range(4, FRAMES - 4):
        pose = " ".join(f"{value:.9f}" for value in w2c[number, :3].ravel())
        lines.append(f"{round(number * 1e6 / FPS)} {fx:.9f} {fy:.9f} {cx:.9f} {cy:.9f} 0 0 {pose}")
    (folder / "poses" / "0123456789abcdef.txt").write_text("\n".join(lines) + "\n")
    return {"kind": "realestate10k", "poses": str(folder / "poses"), "videos": str(folder / "videos"), "align": "pts",
            "licence": "CC-BY-4.0"}  # fmt: skip


if __name__ == "__main__":
    main()
