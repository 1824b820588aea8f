import pytest
import torch

from tests.model.tiny_dit import TINY, FullAttention, row_of, run, tiny_dit
from worldloom.model.config import WAN_1_3B
from worldloom.model.dit import DiT, Modulation, sinusoid

WITH_MASK = TINY.model_copy(update={"extra_channels": 4})
WITHOUT_TEXT = TINY.model_copy(update={"text_dim": 0})


def latents(frames=3, seed=1, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, frames, 4, 6, generator=generator, dtype=torch.float64).to(dtype)


T = torch.tensor([0.3, 0.9])


def test_the_1_3b_model_on_meta_has_the_published_names_shapes_and_count():
    with torch.device("meta"):
        found = {name: tuple(tensor.shape) for name, tensor in DiT(WAN_1_3B).state_dict().items()}
    width, hidden = 1536, 8960
    square = {"weight": (width, width), "bias": (width,)}
    parts = {
        "patch_embedding": {"weight": (width, 16, 1, 2, 2), "bias": (width,)},
        "text_embedding.0": {"weight": (width, 4096), "bias": (width,)},
        "text_embedding.2": square,
        "time_embedding.0": {"weight": (width, 256), "bias": (width,)},
        "time_embedding.2": square,
        "time_projection.1": {"weight": (6 * width, width), "bias": (6 * width,)},
        "head": {"modulation": (1, 2, width)},
        "head.head": {"weight": (64, width), "bias": (64,)},
    }
    for i in range(30):
        parts[f"blocks.{i}"] = {"modulation": (1, 6, width)}
        parts[f"blocks.{i}.norm3"] = {"weight": (width,), "bias": (width,)}
        parts[f"blocks.{i}.ffn.0"] = {"weight": (hidden, width), "bias": (hidden,)}
        parts[f"blocks.{i}.ffn.2"] = {"weight": (width, hidden), "bias": (width,)}
        for attention in ("self_attn", "cross_attn"):
            for projection in "qkvo":
                parts[f"blocks.{i}.{attention}.{projection}"] = square
            for norm in ("norm_q", "norm_k"):
                parts[f"blocks.{i}.{attention}.{norm}"] = {"weight": (width,)}
    expected = {f"{part}.{name}": shape for part, shapes in parts.items() for name, shape in shapes.items()}
    assert found == expected
    assert len(found) == 825
    assert sum(torch.Size(shape).numel() for shape in found.values()) == 1_418_996_800


def test_a_forward_on_meta_gives_the_shape():
    with torch.device("meta"):
        dit = DiT(WITH_MASK)
        sequence = row_of(torch.empty(2, 3, 5, 4, 6), context=2, extra=torch.empty(2, 4, 5, 4, 6))
        out = run(dit, sequence, torch.empty(2), action_tokens=torch.empty(2, 3, 24), text=torch.empty(2, 4, 10))
    assert out.shape == (2, 3, 3, 4, 6)


def test_a_new_model_predicts_zero_because_its_head_is_zero():
    assert torch.equal(run(DiT(TINY), row_of(latents()), T), torch.zeros(2, 3, 3, 4, 6))


def test_only_the_kept_frames_come_back_and_they_see_the_context():
    dit = tiny_dit()
    x = latents(5)
    out = run(dit, row_of(x, context=2), T)
    assert out.shape == (2, 3, 3, 4, 6)
    x[:, :, 0] += 1
    assert (run(dit, row_of(x, context=2), T) - out).abs().max() > 1e-3


def test_patches_come_back_where_they_were_taken():
    # Without attention a token's output depends on its own patch alone.
    dit = tiny_dit(TINY.model_copy(update={"num_layers": 1}))

    class Nothing(FullAttention):
        def attend(self, layer, block, x, *rest):
            return torch.zeros_like(x)

    x = latents()
    sequence = row_of(x)
    before = dit(sequence, T, Nothing(), None)
    x[:, :, 1, 2, 5] += 1  # in the patch of rows 2, 3 and columns 4, 5 of frame 1
    changed = (dit(sequence, T, Nothing(), None) - before).abs().amax(dim=(0, 1)) > 1e-6
    expected = torch.zeros(3, 4, 6, dtype=torch.bool)
    expected[1, 2:4, 4:6] = True
    assert torch.equal(changed, expected)


def test_clean_frames_are_modulated_as_at_time_zero():
    # At t = 0 clean and noisy are the same thing; at another t they are not.
    dit, x = tiny_dit(dtype=torch.float64), latents(4, dtype=torch.float64)
    sequence = row_of(x, context=2)
    all_noisy = type(sequence)(**{**vars(sequence), "clean": torch.zeros(4, dtype=torch.bool)})
    torch.testing.assert_close(run(dit, sequence, 0 * T), run(dit, all_noisy, 0 * T))
    assert (run(dit, sequence, T) - run(dit, all_noisy, T)).abs().max() > 1e-3


def test_mixed_modulation_is_clean_on_clean_tokens_and_noisy_on_the_others():
    block = tiny_dit().blocks[0]
    is_clean = torch.tensor([True, False, False, True])
    modulation = Modulation(torch.randn(2, 6, 24), torch.randn(2, 6, 24), is_clean, mixed=True)
    x = torch.randn(2, 4, 24)
    (mixed, mixed_gate), (noisy, noisy_gate), (clean, clean_gate) = (
        block.modulated(x, modulation, which) for which in ("mixed", "noisy", "clean")
    )
    for found, of_clean, of_noisy in ((mixed, clean, noisy), (mixed_gate, clean_gate, noisy_gate)):
        expected = torch.where(is_clean[:, None], of_clean, of_noisy)
        torch.testing.assert_close(found, expected)


def test_the_self_attention_branch_is_its_parts_put_together():
    from worldloom.model.attention import attention
    from worldloom.model.rope import rotate, rotations

    block = tiny_dit().blocks[0]
    modulation = Modulation(torch.randn(2, 6, 24), torch.randn(2, 6, 24), torch.zeros(6, dtype=torch.bool), False)
    x, turns = torch.randn(2, 6, 24), rotations(torch.arange(6), torch.arange(1), torch.arange(1), 12)
    x_mod, gate = block.modulated(x, modulation, "noisy")
    q, k, v = block.self_attn.qkv(x_mod)
    expected = gate * block.self_attn.out(attention(rotate(q, turns), rotate(k, turns), v))
    torch.testing.assert_close(block.self_attention(x, modulation, turns), expected)
    slow = torch.einsum("bnhd,bmhd->bhnm", q, k).div(12**0.5).softmax(-1)
    torch.testing.assert_close(attention(q, k, v), torch.einsum("bhnm,bmhd->bnhd", slow, v))


def test_actions_reach_the_kept_frames_alone():
    dit = tiny_dit(TINY.model_copy(update={"num_layers": 1}))
    seen = []

    class Spy(FullAttention):
        def attend(self, layer, block, x, *rest):
            seen.append(x)
            return torch.zeros_like(x)

    sequence, tokens = row_of(latents(5), context=2), torch.randn(2, 3, 24)
    dit(sequence, T, Spy(), None)
    dit(sequence, T, Spy(), None, action_tokens=tokens)
    added = (seen[1] - seen[0]).unflatten(1, (5, 6))
    assert torch.equal(added[:, :2], torch.zeros(2, 2, 6, 24))
    torch.testing.assert_close(added[:, 2:], tokens[:, :, None].expand(-1, -1, 6, -1), atol=1e-5, rtol=0)


def test_the_text_is_padded_and_masked_with_zeros():
    dit, sequence = tiny_dit(), row_of(latents())
    text = torch.randn(2, 5, 10)
    mask = torch.tensor([[1, 1, 1, 0, 0]]).expand(2, -1)
    short = run(dit, sequence, T, text=text[:, :3])
    torch.testing.assert_close(run(dit, sequence, T, text=text, text_mask=mask), short)
    assert (run(dit, sequence, T, text=text) - short).abs().max() > 1e-3
    torch.testing.assert_close(run(dit, sequence, T), run(dit, sequence, T, text=torch.zeros(2, 7, 10)))


def test_a_model_without_text_has_no_cross_attention_and_refuses_a_text():
    dit = tiny_dit(WITHOUT_TEXT)
    assert not [name for name in dit.state_dict() if "cross_attn" in name or "text" in name or "norm3" in name]
    assert run(dit, row_of(latents()), T).shape == (2, 3, 3, 4, 6)
    with pytest.raises(ValueError, match="takes no text"):
        run(dit, row_of(latents()), T, text=torch.randn(2, 5, 10))


@pytest.mark.parametrize(
    ("shape", "inputs", "message"),
    [
        ((2, 4, 3, 4, 6), {}, "expected \\(batch, 3, frames"),
        ((2, 3, 3, 5, 6), {}, "a multiple of 2"),
        ((2, 3, 3, 4, 6), {"action_tokens": torch.zeros(2, 4, 24)}, "the kept frames need \\(2, 3, 24\\)"),
        ((2, 3, 3, 4, 6), {"text": torch.zeros(2, 8, 10)}, "at most 7 tokens of 10"),
    ],
)
def test_what_does_not_fit_is_refused(shape, inputs, message):
    with pytest.raises(ValueError, match=message):
        run(tiny_dit(), row_of(torch.zeros(shape)), T, **inputs)


@pytest.mark.parametrize("config", [TINY, WITHOUT_TEXT])
def test_checkpointing_gives_the_same_gradients_and_keeps_less(config):
    sequence = row_of(latents(4, dtype=torch.float64), context=1)
    text = torch.randn(2, 5, 10, dtype=torch.float64) if config.text_dim else None
    gradients, kept = [], []
    for checkpointed in (False, True):
        dit = tiny_dit(config.model_copy(update={"checkpoint_blocks": checkpointed}), dtype=torch.float64)
        saved = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, saved=saved: saved.append(x.numel()) or x, lambda x: x):
            loss = run(dit, sequence, T.double(), text=text).square().mean()
        loss.backward()
        gradients.append({name: parameter.grad for name, parameter in dit.named_parameters()})
        kept.append(sum(saved))
    assert kept[1] < kept[0] / 2
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        assert gradient is not None and gradient.abs().max() > 0, name
        torch.testing.assert_close(gradients[1][name], gradient)


def test_bfloat16_weights_run_and_stay_near_float32():
    sequence, text = row_of(latents(4), context=1), torch.randn(2, 5, 10)
    dit = tiny_dit()
    full = run(dit, sequence, T, text=text)
    low = run(dit.bfloat16(), sequence, T, text=text)
    assert low.dtype == torch.float32
    assert (low - full).norm() < 0.1 * full.norm()


def test_autocast_runs_and_gradients_reach_float32_weights():
    dit = tiny_dit()
    with torch.autocast("cpu", torch.bfloat16):
        out = run(dit, row_of(latents()), T, text=torch.randn(2, 5, 10))
    out.square().mean().backward()
    assert out.dtype == torch.float32
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in dit.parameters())


def test_the_time_is_rounded_to_the_dtype_of_the_weights():
    # 0.9 and 0.901 are 900 and 901: one and the same number in bfloat16, two in float32.
    sequence = row_of(latents())
    for dtype, same in ((torch.float32, False), (torch.bfloat16, True)):
        dit = tiny_dit(dtype=dtype)
        first, second = (run(dit, sequence, torch.tensor([t, t])) for t in (0.9, 0.901))
        assert torch.equal(first, second) is same


def test_the_sinusoid_has_cosines_first_and_starts_with_the_angle_itself():
    found = sinusoid(torch.tensor([0.0, 2.0]), 4)
    assert found[0].tolist() == [1, 1, 0, 0]
    expected = torch.tensor([2.0, 0.02], dtype=torch.float64)
    torch.testing.assert_close(found[1], torch.cat([expected.cos(), expected.sin()]))


def test_the_order_in_which_frames_are_given_does_not_matter_but_their_times_do():
    dit, x = tiny_dit(dtype=torch.float64), latents(3, dtype=torch.float64)
    order = [2, 0, 1]
    time = torch.tensor([0.0, 1.5, 7.0])
    out = run(dit, row_of(x, time=time), T)
    torch.testing.assert_close(run(dit, row_of(x[:, :, order], time=time[order]), T), out[:, :, order])
    assert (run(dit, row_of(x[:, :, order], time=time), T) - out[:, :, order]).abs().max() > 1e-4
