import pytest

from worldloom.catalogs.config import load
from worldloom.catalogs.errors import UsageError
from worldloom.model.config import WAN_1_3B, DiTConfig, ModelConfig
from worldloom.model.memory.hpmc_config import HPMCConfig
from worldloom.model.memory.none_config import NoMemoryConfig

SIZES = {"dim": 48, "ffn_dim": 96, "num_heads": 4, "num_layers": 2}


@pytest.mark.parametrize(
    ("codec", "memory", "channels"),
    [
        ("haar:48", {"kind": "none"}, (48, 0)),
        ("haar:768", {"kind": "hpmc"}, (768, 4)),
        ("wan:/weights/vae", {"kind": "hpmc"}, (16, 4)),
    ],
)
def test_channels_follow_from_codec_and_memory(codec, memory, channels):
    config = load(ModelConfig, {"codec": codec, "memory": memory, "dit": SIZES})
    assert (config.dit.in_channels, config.dit.extra_channels) == channels


def test_a_configuration_object_is_filled_like_a_mapping():
    config = ModelConfig(codec="haar:12", memory=HPMCConfig(), dit=DiTConfig(**SIZES))
    assert (config.dit.in_channels, config.dit.extra_channels) == (12, 4)
    assert config.dit.dim == 48


def test_writing_and_reading_gives_the_same_model():
    config = ModelConfig(codec="haar:12", actions=None, memory=NoMemoryConfig(window=3), dit=SIZES)
    assert load(ModelConfig, config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dit": {**SIZES, "in_channels": 16}}, "in_channels is 16, but the codec has 48"),
        ({"dit": {**SIZES, "extra_channels": 4}}, "extra_channels is 4, but the memory has 0"),
        ({"dit": DiTConfig(**SIZES, in_channels=16)}, "leave it out"),
        ({"codec": "haar:769"}, "haar:N"),
        ({"codec": "haar:x"}, "haar:N"),
        ({"codec": "wan:"}, "wan:FOLDER"),
        ({"codec": "jpeg"}, "is none of"),
        ({"memory": {"kind": "hpcm"}}, "did you mean 'hpmc'"),
        ({"dit": {**SIZES, "num_head": 4}}, "did you mean 'num_heads'"),
    ],
)
def test_what_disagrees_is_named(changes, message):
    with pytest.raises(UsageError, match=message):
        load(ModelConfig, {"codec": "haar:48", "dit": SIZES, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_heads": 5}, "not a multiple of num_heads 5"),
        ({"dim": 16}, "dim / num_heads is 4"),
        ({"dim": 36}, "dim / num_heads is 9"),
        ({"patch_size": (2, 2, 2)}, "patch_size must be"),
        ({"freq_dim": 7}, "multiple of 2"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        load(DiTConfig, {**SIZES, **changes})


def test_the_published_sizes_of_1_3b():
    assert (WAN_1_3B.head_dim, WAN_1_3B.num_layers, WAN_1_3B.ffn_dim) == (128, 30, 8960)
