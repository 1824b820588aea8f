"""Hostile input, end to end: what docs/threats.md promises and no test beside a module shows."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tests.pipeline.conftest import write_video
from worldloom.catalogs.config import read_yaml
from worldloom.catalogs.containers import open_video
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.redact import redacted, without_secrets
from worldloom.catalogs.sandbox import Child, Limits
from worldloom.pipeline.layout import Layout
from worldloom.pipeline.ledger import wanted_rows
from worldloom.pipeline.passes.ingest_video import ingest_video
from worldloom.pipeline.quarantine import write_case
from worldloom.pipeline.settings import Ingest
from worldloom.pipeline.sources.folder import FolderSource


def ingest(folder: Path, name: str, out: Path) -> dict:
    source = FolderSource(kind="folder", path=folder)
    item = next(item for item in source.items() if Path(item.path).name == name or item.uri == name)
    from dataclasses import asdict

    return ingest_video({"item": asdict(item), "ingest": Ingest().model_dump(mode="json"), "out": str(out)})


def test_file_names_are_never_commands_or_addresses(tmp_path: Path) -> None:
    """Names with options, shell signs, protocols and line breaks in them are names of files."""
    names = [
        "-i x.mp4",
        "$(touch hacked).mp4",
        "concat:a|b.mp4",
        "http:a.mp4",
        "a\nb.mp4",
        "%03d.mp4",
        "subfile,,start,0,end,9,,:a.mp4",
    ]
    folder = tmp_path / "videos"
    folder.mkdir()
    for number, name in enumerate(names):
        write_video(folder / name, 20, number)
    found = [ingest(folder, name, tmp_path / "out") for name in names]
    assert all(len(one["facts"]["clips"]) == 1 for one in found)
    assert not [path for path in (tmp_path, Path.cwd(), folder) if (path / "hacked").exists()]
    keys = {one["facts"]["clips"][0]["key"] for one in found}
    assert {path.stem for path in (tmp_path / "out" / "clips").rglob("*.mp4")} == keys, "our own names on our own disk"


def test_a_name_that_is_no_text_costs_one_row(tmp_path: Path) -> None:
    write_video(tmp_path / "good.mp4", 20, 0)
    os.link(tmp_path / "good.mp4", os.fsencode(tmp_path) + b"/bad\xff.mp4")
    items = list(FolderSource(kind="folder", path=tmp_path).items())
    assert [item.problem[0] if item.problem else None for item in items] == ["bad_name", None]
    wanted_rows((item.id, "ingest", "recipe", item.fingerprint()) for item in items)
    assert "bad\\udcff.mp4" in items[0].uri


def test_a_pipe_in_the_folder_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with Child("tests.test_threats:open_pipe", Limits(deadline_s=60)) as child, pytest.raises(BadInput) as refusal:
        child.call({"folder": str(tmp_path), "out": str(tmp_path / "out")}, deadline_s=20)
    assert refusal.value.reason == "not_video"
    with pytest.raises(BadInput):
        open_video(tmp_path / "pipe.mp4")


def open_pipe(payload: dict) -> None:
    """Runs in a child: without the check it hangs."""
    ingest(Path(payload["folder"]), "pipe.mp4", Path(payload["out"]))


def test_links_lead_nowhere_outside(tmp_path: Path) -> None:
    folder, secret = tmp_path / "videos", tmp_path / "secret.mp4"
    folder.mkdir()
    write_video(secret, 20, 0)
    (folder / "link.mp4").symlink_to(secret)
    (folder / "loop").symlink_to(folder)
    assert list(FolderSource(kind="folder", path=folder).items()) == []


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n"
        "d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e]\n",
        "a: &a {x: 1, y: 2, z: 3}\n"
        + "".join(
            f"{chr(at + 1)}: &{chr(at + 1)} {{<<: [{','.join([f'*{chr(at)}'] * 9)}]}}\n" for at in range(97, 107)
        ),
        "a: &a {" + ", ".join(f"k{i}: 1" for i in range(500)) + "}\nb: {<<: [" + ", ".join(["*a"] * 500) + "]}\n",
        "a: &a {" + ", ".join(f"k{i}: 1" for i in range(500)) + "}\nb: [" + ", ".join(["{<<: *a}"] * 500) + "]\n",
        "vars: &v {x: *v}\n",
        "a: " + "[" * 5000 + "]" * 5000,
        "a: " + "[" * 200 + "]" * 200,
        "a: 2024-13-45\n",
        "a: " + "9" * 6000 + "\n",
        "a: !!python/object/apply:os.system ['false']\n",
        "a: !!timestamp x\n",
    ],
)
def test_hostile_yaml_is_usage(tmp_path: Path, text: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"job\.yaml"):
        read_yaml(path)


def test_secrets_are_taken_out_of_addresses_and_nothing_else_is() -> None:
    assert without_secrets("https://me:word@h.org:8080/a.mp4?sig=1#x") == "https://h.org:8080/a.mp4?..."
    assert without_secrets("s3://key:secret@bucket/prefix") == "s3://bucket/prefix"
    for name in ("walks/what?.mp4", "token=5.mp4", "a@b.mp4", "C:/videos/a.mp4", "s3://bucket/a.mp4"):
        assert without_secrets(name) == name
    assert "hush" not in redacted("AWS_SECRET_ACCESS_KEY=hush and {'api_key': 'hush'}; Authorization: Bearer hush")
    assert redacted("token budget: 5, keys are 26 characters") == "token budget: 5, keys are 26 characters"


@pytest.mark.parametrize("text", ["-1" * 50_000, "a://" * 50_000, "_-" * 50_000 + "=", "http://" + "a@" * 50_000])
def test_taking_secrets_out_of_a_long_text_ends(text: str) -> None:
    with Child("tests.test_threats:redact_child", Limits(deadline_s=30)) as child:
        assert child.call(text) > 0


def redact_child(text: str) -> int:
    return len(redacted(text))


def test_secrets_reach_no_file_of_a_job(tmp_path: Path) -> None:
    from worldloom.pipeline.envelope import Envelope
    from worldloom.pipeline.ledger import Entry

    envelope = Envelope("tests.test_threats:raise_with_secret", deadline_s=60, memory_mb=500, recycle_after=10)
    try:
        endings = [envelope.call({"what": what}) for what in ("refuse", "raise", "die")]
    finally:
        envelope.close()
    for number, ending in enumerate(endings):
        assert "example.org/a.mp4" in ending.error + ending.trace and "hush" not in ending.error + ending.trace
        entry = Entry(str(number), "pose", "r", "s", "failed", ending.reason, ending.error)
        assert "hush" not in (tmp_path / write_case(Layout(tmp_path), entry, ending.evidence())).read_text()


def raise_with_secret(payload: dict) -> None:
    address = "https://me:hush@example.org/a.mp4?sig=hush"
    if payload["what"] == "refuse":
        raise BadInput("unreachable", f"cannot be fetched from {address}", where=address)
    if payload["what"] == "raise":
        raise RuntimeError(f"no answer from {address}")
    print(f"fetching {address}", flush=True)
    os._exit(3)


def test_a_message_made_of_a_hostile_file_is_short() -> None:
    error = BadInput("bad_poses", "x" * 10**6)
    assert len(str(error)) < 3000 and len(str(error.args)) < 3000


def test_a_clip_says_where_it_comes_from(tmp_path: Path) -> None:
    """Poisoned or unlicensed data can be found again: address, digest, time, licence and the tools that made it."""
    from worldloom.catalogs.sample import members_to_clip
    from worldloom.pipeline.parcel import unpack_parcel

    folder = tmp_path / "videos"
    folder.mkdir()
    write_video(folder / "a.mp4", 20, 0)
    found = ingest(folder, "a.mp4", tmp_path / "out")
    key = found["facts"]["clips"][0]["key"]
    members = {name.removeprefix(f"{key}/"): data for name, data in unpack_parcel(found["payload"]).items()}
    told = members_to_clip(key, members).provenance
    import hashlib

    assert told.sha256 == hashlib.sha256((folder / "a.mp4").read_bytes()).hexdigest()
    assert told.uri == "a.mp4" and told.retrieved_at.endswith("Z") and told.kind == "folder"
    assert str(tmp_path) not in json.dumps(json.loads(members["json"])), (
        "where it lay on this machine is nobody's business"
    )


def test_numbers_that_would_take_all_memory_are_refused(tmp_path: Path) -> None:
    from worldloom.catalogs.formats import mot

    (tmp_path / "seqinfo.ini").write_text("[Sequence]\nframeRate=1e999999999\nseqLength=5\nimWidth=640\nimHeight=480\n")
    with pytest.raises(BadInput, match="frame rate"):
        mot.read_seqinfo(tmp_path / "seqinfo.ini")
    (tmp_path / "gt.txt").write_text("2000000000,1,0,0,5,5,1,1,1\n")
    with pytest.raises(BadInput, match="too many"):
        mot.read_mot(tmp_path / "gt.txt")


def test_every_test_that_the_page_names_is_there() -> None:
    root = Path(__file__).parent
    rows = [line for line in (root.parent / "docs" / "threats.md").read_text().splitlines() if line.startswith("| ")]
    for row in rows[1:]:
        named = re.findall(r"`([a-z0-9_/]+\.py|[a-z_0-9]+/)`((?:(?::|,) `[a-z0-9_]+`)*)", row.split("|")[-2])
        assert named, row
        for path, words in named:
            assert (root / path).exists() or path.startswith("benchmarks/"), path
            for word in re.findall(r"`(\w+)`", words):
                assert re.search(rf"^def test_\w*{word}", (root / path).read_text(), re.MULTILINE), (path, word)
