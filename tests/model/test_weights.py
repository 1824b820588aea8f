import json

import pytest
import torch
from diffusers import WanTransformer3DModel
from safetensors.torch import save_file

from tests.model.tiny_dit import TINY, row_of, run, tiny_dit
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.model.config import WAN_1_3B
from worldloom.model.dit import DiT
from worldloom.model.weights import load_dit, read_tensors, save_dit, to_diffusers, to_original

WITH_MASK = TINY.model_copy(update={"extra_channels": 4, "text_len": 512})


def foreign_model(seed=0):
    """diffusers' Wan, tiny, with weights of order one everywhere."""
    torch.manual_seed(seed)
    model = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=7,
        out_channels=3,
        text_dim=10,
        freq_dim=16,
        ffn_dim=40,
        num_layers=2,
        rope_max_seq_len=64,
    )
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def both_outputs(foreign, ours, config):
    """Velocities of the two models on the same latents, text and times."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(2, 7, 3, 4, 6, generator=generator)
    text = torch.randn(2, config.text_len, 10, generator=generator)
    t = torch.tensor([0.25, 0.8])
    with torch.no_grad():
        theirs = foreign(x, 1000 * t, text, return_dict=False)[0]
        mine = run(ours, row_of(x[:, :3], extra=x[:, 3:]), t, text=text)
    return mine, theirs


def test_a_model_of_diffusers_gives_the_same_velocities_here(tmp_path):
    foreign = foreign_model()
    foreign.save_pretrained(tmp_path / "transformer")
    config, state = load_dit(tmp_path)
    assert (config.num_heads, config.in_channels, config.extra_channels, config.text_dim) == (2, 3, 4, 10)
    ours = DiT(config)
    ours.load_state_dict(state)
    mine, theirs = both_outputs(foreign, ours, config)
    assert theirs.abs().max() > 0.1
    torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


def test_a_model_from_here_gives_the_same_velocities_in_diffusers(tmp_path):
    config = WITH_MASK.model_copy(update={"eps": 1e-5})
    ours = tiny_dit(config, seed=3)
    save_dit(tmp_path, config, ours.state_dict(), layout="diffusers")
    foreign = WanTransformer3DModel.from_config(WanTransformer3DModel.load_config(tmp_path)).eval()
    foreign.load_state_dict(read_tensors(tmp_path / "diffusion_pytorch_model.safetensors"))
    assert foreign.config.eps == 1e-5
    mine, theirs = both_outputs(foreign, ours, config)
    torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("layout", "text_len"), [("original", 9), ("diffusers", 512)])  # diffusers has no text_len
def test_saved_and_loaded_is_the_same(tmp_path, layout, text_len):
    written = WITH_MASK.model_copy(update={"eps": 1e-5, "text_len": text_len})
    dit = tiny_dit(written)
    save_dit(tmp_path, written, dit.state_dict(), layout)
    config, state = load_dit(tmp_path)
    assert config == written
    assert state.keys() == dit.state_dict().keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in dit.state_dict().items())


def test_the_names_are_those_of_diffusers_one_to_one():
    with torch.device("meta"):
        ours = list(DiT(WAN_1_3B).state_dict())
        foreign = WanTransformer3DModel(num_attention_heads=12, ffn_dim=8960, num_layers=30)
    theirs = [to_diffusers(name) for name in ours]
    assert sorted(theirs) == sorted(foreign.state_dict())
    assert [to_original(name) for name in theirs] == ours


@pytest.mark.parametrize("name", ["blocks.0.norm2.weight", "img_emb.proj.0.weight", "blocks.0.cross_attn.k_img.bias"])
def test_a_name_that_the_transformer_lacks_is_no_name(name):
    with pytest.raises(KeyError, match=name):
        to_diffusers(name)


def test_a_lone_file_of_the_release_is_read_by_its_shapes(tmp_path):
    config = TINY.model_copy(update={"dim": 256, "ffn_dim": 32, "num_layers": 1, "text_len": 512})
    state = tiny_dit(config).state_dict()
    save_file(state, tmp_path / "model.safetensors")
    found, _ = load_dit(tmp_path / "model.safetensors")
    assert found == config  # heads of 128, so two of them


def test_an_infinite_world_checkpoint_gives_its_transformer(tmp_path):
    config = TINY.model_copy(update={"dim": 128, "num_heads": 1, "extra_channels": 4, "text_len": 512})
    state = tiny_dit(config).state_dict()
    beside = {
        "pos_embed": torch.zeros(1),
        "action_encoder.proj.weight": torch.ones(2),
        "latent_encoder.a": torch.ones(1),
    }
    torch.save({"state_dict": {**state, **beside}}, tmp_path / "model.ckpt")
    found, tensors = load_dit(tmp_path / "model.ckpt")
    assert found == config
    assert tensors.keys() == state.keys()
    assert read_tensors(tmp_path / "model.ckpt").keys() == {*state, *beside}


def test_shards_are_read_together(tmp_path):
    dit = tiny_dit()
    save_dit(tmp_path, TINY, dit.state_dict())
    whole = tmp_path / "diffusion_pytorch_model.safetensors"
    items = list(read_tensors(whole).items())
    whole.unlink()
    for number, part in enumerate((items[:10], items[10:]), start=1):
        save_file(dict(part), tmp_path / f"diffusion_pytorch_model-0000{number}-of-00002.safetensors")
    assert load_dit(tmp_path)[1].keys() == dit.state_dict().keys()


class Harm:
    """Makes a file when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (str(self.file), "w")


def test_a_checkpoint_that_would_run_code_does_not(tmp_path):
    torch.save({"a": torch.zeros(1), "b": Harm(tmp_path / "harm")}, tmp_path / "model.pth")
    with pytest.raises(BadInput, match="cannot be read as tensors"):
        load_dit(tmp_path / "model.pth")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("content", ["noise", "empty", "list", "number"])
def test_a_file_without_plain_tensors_is_refused(tmp_path, content):
    file = tmp_path / "model.pth"
    if content in ("list", "number"):
        torch.save({"a": 1} if content == "number" else [torch.zeros(1)], file)
    else:
        file.write_bytes(b"noise" * 50 if content == "noise" else b"")
    with pytest.raises(BadInput, match=r"model\.pth"):
        load_dit(file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("blocks.1.ffn.0.bias"), "missing blocks.1.ffn.0.bias"),
        (lambda state: state.update(extra=torch.zeros(1)), "unknown extra"),
        (lambda state: state.update({"head.head.bias": torch.zeros(5)}), r"head.head.bias is \(5,\), expected \(12,\)"),
        (lambda state: state.update({"img_emb.proj.0.bias": torch.zeros(1)}), "image-to-video"),
        (lambda state: state.pop("patch_embedding.weight"), "missing patch_embedding.weight"),
    ],
)
def test_tensors_that_do_not_fit_are_named(tmp_path, change, message):
    save_dit(tmp_path, TINY, tiny_dit().state_dict())
    state = read_tensors(tmp_path / "diffusion_pytorch_model.safetensors")
    state = {name: tensor.clone() for name, tensor in state.items()}
    change(state)
    save_file(state, tmp_path / "diffusion_pytorch_model.safetensors")
    with pytest.raises(BadInput, match=message):
        load_dit(tmp_path)


def test_a_damaged_file_or_configuration_is_refused(tmp_path):
    save_dit(tmp_path, TINY, tiny_dit().state_dict())
    assert json.loads((tmp_path / "config.json").read_text())["num_heads"] == 2
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BadInput, match=r"config\.json: not valid JSON"):
        load_dit(tmp_path)
    (tmp_path / "config.json").unlink()
    weights = tmp_path / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BadInput, match="cannot be read as tensors"):
        load_dit(tmp_path)


def test_a_path_that_holds_nothing_says_what_to_give(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        load_dit(tmp_path / "absent")
    with pytest.raises(UsageError, match="name the weight file itself"):
        load_dit(tmp_path)


def test_a_model_that_diffusers_cannot_hold_is_not_written_for_it(tmp_path):
    config = TINY.model_copy(update={"text_dim": 0})
    with pytest.raises(UsageError, match="original layout"):
        save_dit(tmp_path / "out", config, tiny_dit(config).state_dict(), layout="diffusers")
    assert not (tmp_path / "out").exists()
    save_dit(tmp_path / "out", config, tiny_dit(config).state_dict())
    assert load_dit(tmp_path / "out")[0] == config
