import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.model.tiny_world import chunk_of, query_of, tiny_config, tiny_world
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.model.world import WorldModel

MEMORIES = [{"kind": "hpmc", "hidden": 16, "num_heads": 2, "groups": 4}, {"kind": "none", "window": 3}]


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_saved_model_comes_back_bit_for_bit(memory, dtype, tmp_path):
    model = tiny_world(memory).to(dtype)
    model.save(tmp_path)
    back = WorldModel.load(tmp_path)
    assert back.config == model.config and back.dtype == dtype
    for name, value in model.state_dict().items():
        assert torch.equal(back.state_dict()[name], value), name
    assert all(parameter.requires_grad for parameter in back.parameters())
    history, query = chunk_of(5), query_of(2)
    noisy, t = torch.randn(1, 5, 2, 4, 4).to(dtype), torch.tensor([0.5])
    with torch.no_grad():
        found = [m.velocity(noisy, t, m.plan(history, query), query) for m in (model, back)]
    assert torch.equal(*found) and found[0].dtype == torch.float32


@pytest.mark.parametrize("fault", ["missing", "extra", "shape"])
def test_other_tensors_are_named(fault, tmp_path):
    tiny_world().save(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    name = "memory.latent_encoder.conv_in.bias"
    if fault == "missing":
        del tensors[name]
    else:
        name = "surplus" if fault == "extra" else name
        tensors[name] = torch.zeros(3)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(BadInput, match=name):
        WorldModel.load(tmp_path)


def test_broken_configurations_are_named(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        WorldModel.load(tmp_path)
    tiny_world().save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "codex": 1}))
    with pytest.raises(UsageError, match="did you mean 'codec'"):
        WorldModel.load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BadInput, match="JSON"):
        WorldModel.load(tmp_path)


def test_batches_do_not_mix():
    model = tiny_world()
    history, query, noisy = chunk_of(9, batch=2), query_of(2, batch=2), torch.randn(2, 5, 2, 4, 4)
    t = torch.tensor([0.2, 0.8])
    with torch.no_grad():
        both = model.velocity(noisy, t, model.plan(history, query), query)
        for k in range(2):
            one = slice(k, k + 1)
            past = type(history)(history.latents[one], history.time)
            ask = type(query)(query.time, query.size, actions=query.actions[one])
            alone = model.velocity(noisy[one], t[one], model.plan(past, ask), ask)
            torch.testing.assert_close(both[one], alone, rtol=1e-4, atol=1e-4)


def test_actions_are_read_or_asked_for():
    model, query, noisy = tiny_world(), query_of(2), torch.randn(1, 5, 2, 4, 4)
    t, other = torch.tensor([0.5]), query_of(2, seed=9)
    plan = model.plan(None, query)
    with torch.no_grad():
        assert not torch.allclose(model.velocity(noisy, t, plan, query), model.velocity(noisy, t, plan, other))
        with pytest.raises(UsageError, match="takes actions"):
            model.velocity(noisy, t, plan, type(query)(query.time, query.size))
        deaf = tiny_world(actions=None)
        plan = deaf.plan(None, query)
        assert torch.equal(deaf.velocity(noisy, t, plan, query), deaf.velocity(noisy, t, plan, other))


def test_whole_model_on_meta():
    with torch.device("meta"):
        model = WorldModel(tiny_config())
    assert {name for name, _ in model.named_children()} == {"dit", "memory", "action_encoder"}
    assert all(parameter.is_meta for parameter in model.parameters())
