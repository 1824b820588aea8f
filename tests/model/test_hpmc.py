import itertools
import math

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tests.model.tiny_world import HPMC as TINY_HPMC
from tests.model.tiny_world import chunk_of, query_of, tiny_world
from worldloom.catalogs.config import load
from worldloom.catalogs.errors import UsageError
from worldloom.model.config import WAN_1_3B, DiTConfig
from worldloom.model.memory.hpmc import HPMC, window_starts
from worldloom.model.memory.hpmc_config import HPMCConfig
from worldloom.model.memory.none import NoMemory
from worldloom.model.memory.none_config import NoMemoryConfig
from worldloom.model.memory.registry import build_memory
from worldloom.model.memory.temporal_encoder import TemporalEncoder

DEFAULT = HPMCConfig()


def encoder_on_meta(**sizes):
    with torch.device("meta"):
        return TemporalEncoder(HPMCConfig(**sizes), 16)


def res_block(name):
    names = itertools.product(("norm1", "conv1", "norm2", "conv2"), ("weight", "bias"))
    return {f"{name}.{part}.{kind}" for part, kind in names}


def test_released_parameters_and_names():
    encoder = encoder_on_meta()
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 25_267_984
    names = {f"{part}.{kind}" for part in ("conv_in", "norm_out", "conv_out") for kind in ("weight", "bias")}
    for stage in ("down_block1", "down_block2"):
        names |= res_block(f"{stage}.0") | res_block(f"{stage}.1") | {f"{stage}.2.conv.weight", f"{stage}.2.conv.bias"}
    names |= res_block("mid_block.0") | res_block("mid_block.2")
    names |= {f"mid_block.1.attn.{part}.{kind}" for part in "qkvo" for kind in ("weight", "bias")}
    names |= {"mid_block.1.attn.norm_q.weight", "mid_block.1.attn.norm_k.weight"}
    assert set(encoder.state_dict()) == names
    assert encoder.conv_in.weight.shape == (256, 16, 3, 3, 3)
    assert encoder.mid_block[1].attn.norm_q.weight.shape == (256,)


def test_encoder_shortens_to_a_quarter_rounded_up():
    encoder = TemporalEncoder(HPMCConfig(hidden=12, num_heads=2, groups=2), 2)
    with torch.no_grad():
        for length in range(1, 82):
            assert encoder(torch.zeros(1, 2, length, 1, 1)).shape == (1, 2, math.ceil(length / 4), 1, 1)


def test_compressed_length_of_every_history(monkeypatch):
    config = HPMCConfig(hidden=12, num_heads=2, groups=2)
    memory = HPMC(config, DiTConfig(dim=24, ffn_dim=24, num_heads=2, num_layers=1, extra_channels=4))
    given = []

    def quarter(latents):  # as long as what the encoder returns: see the test above
        given.append(latents.shape[2])
        return latents[:, :, ::4]

    monkeypatch.setattr(memory.latent_encoder, "forward", quarter)
    for length in range(1, 401):
        given.clear()
        expected = math.ceil(length / 4) if length <= 80 else 20
        assert memory.compress(torch.zeros(1, 16, length, 1, 1)).shape[2] == expected
        assert given == ([length] if length <= 80 else [64] * 5 + [80])
        assert memory.context_frames(length) == expected + 1
    assert memory.context_frames(0) == 0


@pytest.mark.parametrize(("latents", "stride", "gap"), [(81, 4, 0), (161, 24, 0), (321, 64, 0), (341, 69, 5)])
def test_windows_of_long_histories(latents, stride, gap):
    starts = window_starts(DEFAULT, latents)
    assert starts == [stride * i for i in range(5)]
    ends = [start + 64 for start in starts]
    assert ends[-1] == latents - 1  # the newest latent is left to the local memory
    assert max(after - end for after, end in zip(starts[1:], ends[:-1], strict=True)) <= gap
    seen = {k for start in starts for k in range(start, start + 64)}
    assert (latents - 1 - len(seen)) == 4 * gap


def test_short_histories_have_no_windows():
    assert window_starts(DEFAULT, 80) is None
    assert all(window_starts(DEFAULT, n)[-1] + 64 <= n for n in range(81, 401))


def test_long_history_is_its_windows_encoded_twice():
    memory = tiny_world().memory
    latents = chunk_of(85, h=2, w=2).latents
    with torch.no_grad():
        windows = [memory.latent_encoder(latents[:, :, 5 * i : 5 * i + 64]) for i in range(5)]
        assert [window.shape[2] for window in windows] == [16] * 5
        expected = memory.latent_encoder(torch.cat(windows, dim=2))
        assert torch.equal(memory.compress(latents), expected)


@pytest.mark.parametrize("frames", [1, 6, 81])
def test_newest_latent_is_the_local_memory(frames):
    model = tiny_world()
    history, query = chunk_of(frames, h=2, w=2), query_of(2, h=2, w=2)
    changed = chunk_of(frames, h=2, w=2)
    changed.latents[:, :, -1] += 1
    with torch.no_grad():
        plan, other = model.plan(history, query), model.plan(changed, query)
    assert torch.equal(plan.context[:, :, -1], history.latents[:, :, -1])
    same = torch.equal(plan.context[:, :, :-1], other.context[:, :, :-1])
    assert same == (frames == 81)  # 1 + 20 n: Mode 2 leaves the newest latent out of the compressed ones


def test_frames_mask_and_times_of_the_sequence():
    model = tiny_world()
    plan = model.plan(chunk_of(21), query_of(3))
    sequence = model.memory.assemble(plan, torch.randn(1, 5, 3, 4, 4))
    assert sequence.latents.shape[2] == 6 + 1 + 3
    assert sequence.keep == slice(7, 10)
    assert sequence.extra.shape == (1, 4, 10, 4, 4)
    assert (sequence.extra[:, :, :7] == 1).all() and (sequence.extra[:, :, 7:] == 0).all()
    assert sequence.time.tolist() == list(range(10))
    assert sequence.clean.tolist() == sequence.context.tolist() == [True] * 7 + [False] * 3


def hidden_of_history(model, plan, noisy, t, query):
    """What each block makes of the history's tokens: after its self-attention branch, and after the whole block."""
    found, past = [], plan.context.shape[2] * 4
    branch = model.memory.attend

    def attend(layer, block, x, *rest):
        dx = branch(layer, block, x, *rest)
        found.append((x + dx)[:, :past])
        return dx

    model.memory.attend = attend
    hooks = [
        block.register_forward_hook(lambda module, inputs, output: found.append(output[:, :past]))
        for block in model.dit.blocks
    ]
    with torch.no_grad():
        velocity = model.velocity(noisy, t, plan, query)
    for hook in hooks:
        hook.remove()
    del model.memory.attend
    return found, velocity


@pytest.mark.parametrize("text_dim", [0, 6])
def test_history_does_not_feel_the_target(text_dim):
    dit = {
        "dim": 24,
        "ffn_dim": 40,
        "num_heads": 2,
        "num_layers": 2,
        "freq_dim": 16,
        "text_dim": text_dim,
        "text_len": 3,
    }
    model = tiny_world(dit=dit)
    query = query_of(3)
    with torch.no_grad():
        plan = model.plan(chunk_of(9), query)
    generator = torch.Generator().manual_seed(3)
    first, second = (torch.randn(1, 5, 3, 4, 4, generator=generator) for _ in range(2))
    once, velocity = hidden_of_history(model, plan, first, torch.tensor([0.9]), query)
    again, other = hidden_of_history(model, plan, second, torch.tensor([0.2]), query)
    assert len(once) == len(again) == 4
    for a, b in zip(once, again, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    assert not torch.allclose(velocity, other)


def test_target_feels_the_history_and_the_noise_of_its_keys():
    model = tiny_world()
    query, noisy, t = query_of(3), torch.randn(1, 5, 3, 4, 4), torch.tensor([0.5])
    with torch.no_grad():
        near = model.velocity(noisy, t, model.plan(chunk_of(9), query), query)
        far = model.velocity(noisy, t, model.plan(chunk_of(9, seed=7), query), query)
    assert not torch.allclose(near, far)


def test_attention_is_two_passes_written_out():
    """A slow twin: one softmax over all tokens for each of the two roles, straight from the definition."""
    model = tiny_world()
    block = model.dit.blocks[0]
    query, t = query_of(2), torch.tensor([0.6])
    plan = model.plan(chunk_of(5), query)
    seen = {}

    def attend(layer, chosen, x, modulation, sequence, plan, turns):
        dx = type(model.memory).attend(model.memory, layer, chosen, x, modulation, sequence, plan, turns)
        if layer == 0:
            seen.update(x=x, modulation=modulation, turns=turns, dx=dx)
        return dx

    model.memory.attend = attend
    with torch.no_grad():
        model.velocity(torch.randn(1, 5, 2, 4, 4), t, plan, query)
        x, modulation, turns = seen["x"], seen["modulation"], torch.view_as_complex(seen["turns"].double())
        past = plan.context.shape[2] * 4

        def branch(e, tokens):
            shift, scale, gate = (block.modulation + e)[:, :3].unbind(1)
            y = torch.nn.functional.layer_norm(x[:, :tokens], (24,), eps=1e-6) * (1 + scale) + shift
            parts = []
            for layer, norm in (
                (block.self_attn.q, block.self_attn.norm_q),
                (block.self_attn.k, block.self_attn.norm_k),
            ):
                pairs = torch.view_as_complex(norm(layer(y)).double().unflatten(-1, (2, 6, 2)))
                parts.append(torch.view_as_real(pairs * turns[:tokens, None]).flatten(-2))
            weights = (torch.einsum("bnhd,bmhd->bhnm", *parts) / 12**0.5).softmax(-1)
            values = block.self_attn.v(y).double().unflatten(-1, (2, 12))
            attended = torch.einsum("bhnm,bmhd->bnhd", weights, values).flatten(2).float()
            return gate * block.self_attn.o(attended)

        expected = torch.cat([branch(modulation.clean, past), branch(modulation.noisy, x.shape[1])[:, past:]], dim=1)
    torch.testing.assert_close(seen["dx"], expected, rtol=1e-4, atol=1e-4)


def test_without_history_it_is_the_plain_transformer():
    model, query = tiny_world(), query_of(3)
    noisy, t = torch.randn(1, 5, 3, 4, 4), torch.tensor([0.7])
    with torch.no_grad():
        plan = model.plan(None, query)
        sequence = model.memory.assemble(plan, noisy)
        tokens = model.action_encoder(query.actions)
        plain = model.dit(sequence, t, NoMemory(NoMemoryConfig()), plan, tokens)
        empty = chunk_of(3)
        empty = type(empty)(empty.latents[:, :, :0], empty.time[:0])
        assert torch.equal(model.velocity(noisy, t, plan, query), plain)
        assert torch.equal(model.velocity(noisy, t, model.plan(empty, query), query), plain)
    assert sequence.latents.shape == noisy.shape and (sequence.extra == 0).all()


def test_gradients_reach_the_encoder_and_checkpointing_keeps_them():
    gradients = []
    for checkpointed in (False, True):
        dit = {"dim": 24, "ffn_dim": 40, "num_heads": 2, "num_layers": 2, "freq_dim": 16}
        model = tiny_world(dit={**dit, "checkpoint_blocks": checkpointed})
        query = query_of(2)
        noisy = torch.randn(1, 5, 2, 4, 4, generator=torch.Generator().manual_seed(4))
        velocity = model.velocity(noisy, torch.tensor([0.5]), model.plan(chunk_of(9), query), query)
        velocity.square().mean().backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], msg=lambda text, name=name: f"{name}: {text}")
    assert all(gradient.abs().sum() > 0 for name, gradient in gradients[0].items() if "latent_encoder.conv" in name)


@pytest.mark.parametrize("frames", [9, 90])
def test_operations_are_counted(frames):
    model = tiny_world()
    history, query, noisy = chunk_of(frames), query_of(3), torch.randn(1, 5, 3, 4, 4)
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        model.velocity(noisy, torch.tensor([0.5]), model.plan(history, query), query)
    cost = model.cost(3, 4, 4, frames)
    assert cost.flops == counter.get_total_flops()
    assert cost.parameters == sum(parameter.numel() for parameter in model.parameters())


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match="multiple of groups"):
        load(HPMCConfig, {"hidden": 100})
    with pytest.raises(UsageError, match="direct_latents is 60"):
        load(HPMCConfig, {"direct_latents": 60})
    with pytest.raises(UsageError, match="do not fit"):
        load(HPMCConfig, {"window_latents": 4, "windows": 2, "direct_latents": 2})
    with pytest.raises(ValueError, match="room for 0"):
        build_memory(HPMCConfig(**TINY_HPMC), WAN_1_3B)


def test_smaller_windows_compress_as_configured():
    config = HPMCConfig(**TINY_HPMC, direct_latents=6, window_latents=4, windows=3, strides=(2, 1))
    memory = build_memory(config, DiTConfig(dim=24, ffn_dim=24, num_heads=2, num_layers=1, extra_channels=4))
    for length in (1, 5, 6, 7, 20, 50):
        compressed = memory.compress(torch.zeros(1, 16, length, 2, 2))
        assert compressed.shape[2] + 1 == memory.context_frames(length) == min(3, math.ceil(length / 2)) + 1
