import pytest
import torch

from worldloom.model.actions_encoder import ActionEncoder
from worldloom.model.config import ActionConfig

FRAMES = 8


def encoder(kind, seed=0):
    torch.manual_seed(seed)
    return ActionEncoder(ActionConfig(kind=kind, dim_embed=6), 10).eval().double()


def reach(model):
    """(F, 4F + 1): which vector changes with which entry, by gradients, so that a ReLU of zero hides little."""
    actions = torch.randint(0, 10, (1, 4 * FRAMES + 1, 2), generator=torch.Generator().manual_seed(5))
    changed = torch.zeros(FRAMES, 4 * FRAMES + 1, dtype=torch.bool)
    with torch.no_grad():
        before = model(actions)
        for entry in range(4 * FRAMES + 1):
            for shift in range(1, 10):
                other = actions.clone()
                other[:, entry] = (other[:, entry] + shift) % 10
                changed[:, entry] |= (model(other) != before).any(-1)[0]
    return changed


def test_released_parameters_and_names():
    with torch.device("meta"):
        model = ActionEncoder(ActionConfig(), 1536)
    assert sum(parameter.numel() for parameter in model.parameters()) == 2_369_024
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    stages = {}
    for stage in ("encode_1", "encode_2"):
        stages |= {f"{stage}.0.weight": (512, 512, 3), f"{stage}.0.bias": (512,)}
        stages |= {f"{stage}.1.weight": (512,), f"{stage}.1.bias": (512,)}
    assert shapes == {
        "embedding_move.weight": (10, 256),
        "embedding_view.weight": (10, 256),
        **stages,
        "proj.weight": (1536, 512),
        "proj.bias": (1536,),
    }
    assert model.encode_1[1].num_groups == 2


@pytest.mark.parametrize("kind", ["released", "causal"])
def test_one_vector_per_latent(kind):
    for frames in (1, 2, 21):
        actions = torch.zeros(2, 4 * frames + 1, 2, dtype=torch.long)
        assert encoder(kind)(actions).shape == (2, frames, 10)
    with pytest.raises(ValueError, match="4 frames"):
        encoder(kind)(torch.zeros(2, 4, 2, dtype=torch.long))


def test_released_sees_three_frames_to_both_sides():
    model = encoder("released")
    # Without its norms, which mix all time, the receptive field is that of the convolutions.
    model.encode_1[1] = model.encode_2[1] = torch.nn.Identity()
    changed = reach(model)
    for j in range(FRAMES):  # entry 4j + 4 of the list is frame 4j of the chunk
        expected = {k for k in range(4 * j + 1, 4 * j + 8) if 4 <= k <= 4 * FRAMES}
        assert set(changed[j].nonzero()[:, 0].tolist()) == expected


def test_norms_of_the_released_mix_all_time():
    assert reach(encoder("released"))[:, 4:].all()
    assert not reach(encoder("released"))[:, :4].any()


def test_causal_leaves_latents_up_to_an_action_unchanged():
    changed = reach(encoder("causal"))
    for j in range(FRAMES):
        # Of latents t = 0 .. F - 1 list entry k is action k - 4.
        actions = {k - 4 for k in changed[j].nonzero()[:, 0].tolist()}
        assert actions == {k for k in range(4 * j - 7, 4 * j) if k >= -4}


def test_both_kinds_have_the_same_parameters():
    assert {n: p.shape for n, p in encoder("released").named_parameters()} == {
        n: p.shape for n, p in encoder("causal").named_parameters()
    }
