"""The codec of a name."""

from __future__ import annotations

from worldloom.catalogs.errors import UsageError
from worldloom.model.codecs.codec import Codec
from worldloom.model.config import codec_channels


def codec_from(name: str) -> Codec:
    """The codec of a name, on the CPU: `haar:N` or `wan:FOLDER`.

    Args:
        name: as in `ModelConfig.codec`.

    Raises:
        UsageError: no such codec, or its weights are missing.
    """
    try:
        channels = codec_channels(name)
    except ValueError as error:
        raise UsageError(str(error)) from None
    family, _, rest = name.partition(":")
    # Imported here: Wan's needs diffusers, which the default installation does without.
    if family == "haar":
        from worldloom.model.codecs.haar import HaarCodec

        return HaarCodec(channels)
    from worldloom.model.codecs.wan import WanCodec

    return WanCodec(rest)
