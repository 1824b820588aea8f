import pytest
import torch

from tests.model.tiny_world import tiny_world
from worldloom.catalogs.errors import UsageError
from worldloom.model.codecs.haar import HaarCodec
from worldloom.model.generate import chunk_actions, chunk_noise, generate

START = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def walk(frames, seed=1):
    return torch.randint(0, 9, (frames, 2), generator=torch.Generator().manual_seed(seed))


def frames_of(model, start=START, actions=None, **settings):
    settings = {"chunk_latents": 3, "steps": 2, "codec": HaarCodec(5), **settings}
    actions = walk(17) if actions is None else actions
    return list(generate(model, start=start, actions=actions, **settings))


class Watched(HaarCodec):
    """Notes how many frames were encoded each time."""

    def __init__(self):
        super().__init__(5)
        self.encoded = []

    def encode(self, video):
        self.encoded.append(video.clone())
        return super().encode(video)


@pytest.mark.parametrize("memory", [{"kind": "hpmc", "hidden": 16, "num_heads": 2, "groups": 4}, {"kind": "none"}])
def test_whole_pixel_buffer_is_encoded_anew(memory):
    codec = Watched()
    chunks = frames_of(tiny_world(memory), codec=codec, chunks=3)
    assert [chunk.shape for chunk in chunks] == [(3, 8, 16, 16)] * 3
    assert [video.shape[2] for video in codec.encoded] == [1, 9, 17]
    everything = torch.cat([START[:, None], *chunks], dim=1)
    assert torch.equal(codec.encoded[-1][0], everything[:, :17])
    assert everything.abs().max() <= 1


@pytest.mark.parametrize(
    ("actions", "start", "expected"), [(17, 1, 2), (16, 1, 2), (18, 1, 3), (2, 1, 1), (17, 9, 1), (17, 5, 2)]
)
def test_as_many_chunks_as_the_actions_take(actions, start, expected):
    video = START[:, None].expand(3, start, 16, 16)
    assert len(frames_of(tiny_world(), start=video, actions=walk(actions), steps=1)) == expected


def test_release_counts():
    """81 frames of 21 latents per chunk, each from the last frame on: 1 + 80 n frames."""
    actions = torch.arange(400)[:, None].expand(400, 2)
    for chunk in range(4):
        exists = 1 + 80 * chunk
        newest = (exists - 1) // 4
        entries = chunk_actions(actions, newest, 21)
        assert entries.shape == (85, 2)
        # What the released encoder reads: list[len(buffer) - 1 : len(buffer) - 1 + 81].
        assert entries[4:, 0].tolist() == list(range(exists - 1, exists - 1 + 81))


def test_actions_outside_the_clip():
    actions = torch.full((10, 2), 5)
    assert chunk_actions(actions, 0, 2)[:, 0].tolist() == [9] * 4 + [5] * 5
    assert chunk_actions(actions, 2, 2)[:, 0].tolist() == [5] * 6 + [0] * 3
    assert chunk_actions(actions, 5, 2)[:, 0].tolist() == [0] * 9
    assert chunk_actions(actions[:2], 0, 2)[:, 0].tolist() == [9] * 4 + [5] * 2 + [0] * 3


def test_seed_decides():
    model = tiny_world()
    first, again, other = (torch.cat(frames_of(model, seed=seed), dim=1) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.cat(frames_of(model, seed=3, chunks=1), dim=1), first[:, :8])
    assert not torch.equal(chunk_noise(0, 1, (4,)), chunk_noise(1, 0, (4,)))


def test_guidance_compares_with_unknown_actions():
    model, unknown = tiny_world(), torch.full((17, 2), 9)
    plain = torch.cat(frames_of(model, chunks=1), dim=1)
    torch.testing.assert_close(torch.cat(frames_of(model, chunks=1, guidance=1.0001), dim=1), plain, rtol=0, atol=0.01)
    assert not torch.allclose(torch.cat(frames_of(model, chunks=1, guidance=4.0), dim=1), plain, atol=0.01)
    # At 0 only the unconditional velocity counts: the actions given do not matter.
    assert torch.equal(
        frames_of(model, chunks=1, guidance=0.0)[0], frames_of(model, chunks=1, guidance=0.0, actions=walk(9, 8))[0]
    )
    # All 9 but the padding before the clip, which is 9 as well: the same as no guidance.
    guided, alone = (frames_of(model, chunks=1, guidance=g, actions=unknown)[0] for g in (3.0, 1.0))
    torch.testing.assert_close(guided, alone, rtol=0, atol=1e-4)


def test_one_plan_per_chunk_and_two_passes_with_guidance():
    model, calls = tiny_world(), []
    plan, velocity = model.plan, model.velocity
    model.plan = lambda *a, **k: calls.append("plan") or plan(*a, **k)
    model.velocity = lambda *a, **k: calls.append("velocity") or velocity(*a, **k)
    frames_of(model, chunks=1, steps=3, guidance=2.0)
    assert calls == ["plan"] + ["velocity"] * 6


def test_callbacks_tell_of_every_step():
    steps, progress = [], []
    frames_of(
        tiny_world(),
        chunks=2,
        on_step=lambda chunk, step, latents: steps.append((chunk, step, tuple(latents.shape))),
        progress=lambda done, total: progress.append((done, total)),
    )
    shape = (1, 5, 3, 2, 2)
    assert steps == [(0, 0, shape), (0, 1, shape), (1, 0, shape), (1, 1, shape)]
    assert progress[0] == (0, 4) and progress[-1] == (4, 4)
    assert progress == sorted(progress)


def test_gradients_stay_off_inside_and_on_outside():
    for chunk in generate(tiny_world(), HaarCodec(5), START, walk(17), chunk_latents=3, steps=1):
        assert torch.is_grad_enabled() and not chunk.requires_grad


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": torch.zeros(3, 16, 24)}, "multiples of 16"),
        ({"start": torch.zeros(3, 4, 16, 16)}, "1 \\+ 4n"),
        ({"actions": torch.full((4, 2), 10)}, "0 to 9 exist"),
        ({"actions": torch.zeros(4, 3)}, "move and view"),
        ({"codec": HaarCodec(6)}, "6 channels"),
        ({"chunk_latents": 1}, "at least 2"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        frames_of(tiny_world(), **change)
    with pytest.raises(UsageError, match="nothing to guide"):
        frames_of(tiny_world(actions=None), guidance=2.0)
