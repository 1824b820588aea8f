import pytest
import torch

from tests.model.tiny_world import chunk_of, query_of, tiny_world
from worldloom.catalogs.errors import UsageError
from worldloom.model.memory.lifecycle import Memory
from worldloom.model.memory.none import NoMemory
from worldloom.model.memory.none_config import NoMemoryConfig


def velocity(model, history, query, noisy):
    with torch.no_grad():
        return model.velocity(noisy, torch.tensor([0.4]), model.plan(history, query), query)


def test_window_zero_is_the_plain_transformer():
    noisy, query = torch.randn(1, 5, 3, 4, 4), query_of(3)
    none, everything = (tiny_world({"kind": "none", "window": window}) for window in (0, None))
    plain = velocity(none, None, query, noisy)
    assert torch.equal(velocity(none, chunk_of(7), query, noisy), plain)
    assert torch.equal(velocity(everything, None, query, noisy), plain)
    assert not torch.allclose(velocity(everything, chunk_of(7), query, noisy), plain)


def test_window_keeps_the_newest():
    model = tiny_world({"kind": "none", "window": 2})
    history, query = chunk_of(7), query_of(3)
    noisy = torch.randn(1, 5, 3, 4, 4)
    short = type(history)(history.latents[:, :, -2:], history.time[-2:])
    assert torch.equal(velocity(model, history, query, noisy), velocity(model, short, query, noisy))
    sequence = model.memory.assemble(model.plan(history, query), noisy)
    assert torch.equal(sequence.latents[:, :, :2], history.latents[:, :, -2:])
    assert sequence.extra is None and sequence.keep == slice(2, 5)
    assert [model.memory.context_frames(n) for n in (0, 1, 2, 9)] == [0, 1, 2, 2]


def test_data_without_cameras_is_refused_where_they_are_needed():
    class Seeing(NoMemory):
        name, needs_cameras = "seeing", True

    with pytest.raises(UsageError, match="'seeing' reads camera poses"):
        Seeing(NoMemoryConfig()).check(chunk_of(3), query_of(2))
    NoMemory(NoMemoryConfig()).check(chunk_of(3), query_of(2))


def test_a_memory_that_leaves_a_hook_open_cannot_be_made():
    class Forgetful(Memory):
        name = "forgetful"

    with pytest.raises(TypeError, match=r"assemble.*begin.*context_frames"):
        Forgetful()
