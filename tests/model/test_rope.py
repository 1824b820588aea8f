import pytest
import torch
from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed
from hypothesis import given, settings
from hypothesis import strategies as st

from worldloom.model.rope import axis_split, rotate, rotations

POSITIONS = st.floats(-50, 50)


def at(time, row, column, head_dim=32):
    return rotations(*(torch.tensor([float(value)], dtype=torch.float64) for value in (time, row, column)), head_dim)


def test_the_split_is_wans():
    assert axis_split(128) == (22, 21, 21)
    assert axis_split(32) == (6, 5, 5)
    assert axis_split(6) == (1, 1, 1)


@settings(deadline=None)
@given(st.integers(3, 200).map(lambda pairs: 2 * pairs))
def test_the_split_uses_every_pair_and_every_axis(head_dim):
    split = axis_split(head_dim)
    assert sum(split) == head_dim // 2
    assert min(split) >= 1


@pytest.mark.parametrize("head_dim", [4, 7, 33])
def test_a_head_that_cannot_be_split_is_refused(head_dim):
    with pytest.raises(ValueError, match="at least 6"):
        axis_split(head_dim)


@pytest.mark.parametrize("head_dim", [128, 32, 12])
def test_whole_positions_give_the_table_of_diffusers(head_dim):
    frames, rows, columns = 5, 3, 4
    table = WanRotaryPosEmbed(head_dim, (1, 2, 2), 64)
    cosine, sine = table(torch.zeros(1, 16, frames, 2 * rows, 2 * columns))
    ours = rotations(torch.arange(frames), torch.arange(rows), torch.arange(columns), head_dim)
    assert ours.dtype == torch.float64
    # diffusers repeats each value for both numbers of a pair
    torch.testing.assert_close(ours[..., 0].float(), cosine[0, :, 0, ::2].float(), atol=2e-6, rtol=0)
    torch.testing.assert_close(ours[..., 1].float(), sine[0, :, 0, ::2].float(), atol=2e-6, rtol=0)


def test_whole_positions_give_the_release_s_angles():
    # Written out from its description: axis a with 2 p numbers has frequencies 10000^(-2k / 2p).
    ours = rotations(torch.tensor([7]), torch.tensor([4]), torch.tensor([9]), 128)[0]
    angles = [
        position / 10_000 ** (2 * k / width)
        for position, width in ((7, 44), (4, 42), (9, 42))
        for k in range(width // 2)
    ]
    expected = torch.tensor(angles, dtype=torch.float64)
    torch.testing.assert_close(ours, torch.stack([expected.cos(), expected.sin()], -1))


@settings(max_examples=25, deadline=None)
@given(POSITIONS, POSITIONS, POSITIONS, POSITIONS, POSITIONS, POSITIONS)
def test_products_depend_on_relative_positions_alone(time, row, column, by_time, by_row, by_column):
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 1, 1, 1, 32, generator=generator, dtype=torch.float64)
    here = (rotate(q, at(1.5, 2, 3)) * rotate(k, at(time, row, column))).sum()
    moved = at(1.5 + by_time, 2 + by_row, 3 + by_column), at(time + by_time, row + by_row, column + by_column)
    there = (rotate(q, moved[0]) * rotate(k, moved[1])).sum()
    torch.testing.assert_close(here, there, atol=1e-9, rtol=0)


def test_position_zero_changes_nothing_and_no_rotation_changes_a_length():
    x = torch.randn(2, 6, 3, 12, dtype=torch.float64)
    zero = rotations(torch.zeros(6), torch.zeros(1), torch.zeros(1), 12)
    assert torch.equal(rotate(x, zero), x)
    turned = rotate(x, rotations(torch.tensor([0.5, 8.25, 300]), torch.arange(2), torch.arange(1), 12))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))


def test_tokens_run_over_columns_then_rows_then_time_and_a_slice_is_a_slice():
    time, rows, columns = torch.tensor([0.0, 2.5]), torch.arange(3), torch.arange(2)
    table = rotations(time, rows, columns, 12)
    assert table.shape == (12, 6, 2)
    torch.testing.assert_close(table[1 * 6 + 2 * 2 + 1], at(2.5, 2, 1, 12)[0])
    assert torch.equal(table[:6], rotations(time[:1], rows, columns, 12))


def test_low_precision_is_kept_outside_and_not_used_inside():
    x = torch.randn(1, 4, 2, 12)
    table = rotations(torch.arange(4) * 100.0, torch.arange(1), torch.arange(1), 12)
    low = rotate(x.bfloat16(), table)
    assert low.dtype == torch.bfloat16
    assert torch.equal(low, rotate(x.bfloat16().double(), table).bfloat16())
