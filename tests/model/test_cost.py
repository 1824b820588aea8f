import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tests.model.tiny_dit import row_of, run, tiny_dit
from worldloom.model.config import WAN_1_3B, DiTConfig
from worldloom.model.cost import Cost, dit_activation_bytes, dit_cost
from worldloom.model.dit import DiT

SMALL = DiTConfig(dim=48, ffn_dim=128, num_heads=4, num_layers=3, freq_dim=32, in_channels=5, text_dim=20, text_len=9)
VARIANTS = [
    {},
    {"text_dim": 0},
    {"extra_channels": 4, "patch_size": (1, 1, 2)},
    {"qk_norm": False, "cross_attn_norm": False},
]


@pytest.mark.parametrize("changes", VARIANTS)
def test_parameters_are_those_of_the_module(changes):
    config = SMALL.model_copy(update=changes)
    with torch.device("meta"):
        assert dit_cost(config, 1).parameters == sum(p.numel() for p in DiT(config).parameters())


def test_the_1_3b_model_has_1_42_billion_parameters():
    assert dit_cost(WAN_1_3B, 1).parameters == 1_418_996_800


@pytest.mark.parametrize("changes", VARIANTS)
@pytest.mark.parametrize("context", [0, 2])
def test_operations_are_those_torch_counts(changes, context):
    config = SMALL.model_copy(update=changes)
    frames, per_frame = 5, 8 * 6 // (config.patch_size[1] * config.patch_size[2])
    x, extra = torch.randn(1, 5, frames, 8, 6), torch.randn(1, config.extra_channels, frames, 8, 6)
    # The counter knows attention by its matrix products; it does not know the CPU's fused kernel.
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        run(tiny_dit(config), row_of(x, context, extra), torch.tensor([0.5]))
    counted = dit_cost(config, (frames - context) * per_frame, context * per_frame).flops
    assert counted == counter.get_total_flops()


def test_another_self_attention_replaces_the_full_one():
    plain, without = dit_cost(SMALL, 100), dit_cost(SMALL, 100, self_attention_flops=0)
    one_layer = 4 * 2 * 100 * 48 * 48 + 2 * 2 * 100 * 100 * 48
    assert plain.flops - without.flops == 3 * one_layer


def kept_by_autograd(config, context, dtype):
    """Bytes that a forward pass over 576 tokens leaves for the backward pass, weights aside."""
    dit = tiny_dit(config, dtype=dtype)
    weights = {parameter.untyped_storage().data_ptr() for parameter in dit.parameters()}
    kept = {}

    def keep(x):
        storage = x.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = (storage.nbytes(), x)  # held, so that no other tensor takes its address
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        run(dit, row_of(torch.randn(1, 5, 4, 24, 24), context), torch.tensor([0.5]))
    return sum(size for size, _ in kept.values())


@pytest.mark.parametrize("changes", [{}, {"text_dim": 0}])
@pytest.mark.parametrize("context", [0, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_activations_are_about_what_autograd_keeps(changes, context, dtype):
    # Without the norms of q and k: the CPU has no fused kernel for them and keeps more than a GPU.
    config = SMALL.model_copy(update={"qk_norm": False, **changes})
    expected = dit_activation_bytes(config, 576, mixed=context > 0, value_bytes=dtype.itemsize)
    assert kept_by_autograd(config, context, dtype) == pytest.approx(expected, rel=0.05)


def test_the_norms_of_q_and_k_keep_at_least_what_is_counted():
    expected = dit_activation_bytes(SMALL, 576, value_bytes=4)
    assert expected <= kept_by_autograd(SMALL, 0, torch.float32) <= 1.25 * expected


def test_checkpointed_blocks_keep_their_inputs_and_one_block_is_recomputed():
    config = SMALL.model_copy(update={"qk_norm": False, "checkpoint_blocks": True})
    layers = [config.model_copy(update={"num_layers": count, "checkpoint_blocks": False}) for count in (1, 2)]
    one_block = dit_activation_bytes(layers[1], 576, value_bytes=4) - dit_activation_bytes(
        layers[0], 576, value_bytes=4
    )
    between_passes = dit_activation_bytes(config, 576, value_bytes=4) - one_block
    assert kept_by_autograd(config, 0, torch.float32) == pytest.approx(between_passes, rel=0.15)


def test_costs_add_up():
    assert Cost(1, 2, 3, 4) + Cost(10, 20, 30, 40) == Cost(11, 22, 33, 44)
    assert sum([Cost(flops=1), Cost(flops=2)], Cost()) == Cost(flops=3)
