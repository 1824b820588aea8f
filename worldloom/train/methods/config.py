"""What a recipe says about the method; `kind` chooses it. No torch here, so that a misspelt key answers at once."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from worldloom.catalogs.config import Strict


class FlowMatchingConfig(Strict):
    """Flow matching on windows from anywhere in a clip, with a history of at most 80 latents.

    Attributes:
        kind: `flow_matching`.
        times: how noise times are drawn: `uniform` (Infinite-World, released code) or `logit_normal` (SD3).
        shift: moves times towards noise, s t / (1 + (s - 1) t). Infinite-World takes 3 at 256 pixels and 7 at 627.
    """

    kind: Literal["flow_matching"] = "flow_matching"
    times: Literal["uniform", "logit_normal"] = "uniform"
    shift: float = Field(default=3.0, gt=0)


class RevisitDenseConfig(Strict):
    """The same loss on windows whose target sees again what their history saw; the history may be of any length.

    Attributes:
        kind: `revisit_dense`.
        times: as in `flow_matching`.
        shift: as in `flow_matching`.
        min_overlap: overlap in [0, 1] from which a pair of frames counts (default ours: what the dataset counts).
    """

    kind: Literal["revisit_dense"] = "revisit_dense"
    times: Literal["uniform", "logit_normal"] = "uniform"
    shift: float = Field(default=3.0, gt=0)
    min_overlap: float = Field(default=0.0, ge=0, le=1)


MethodConfig = Annotated[FlowMatchingConfig | RevisitDenseConfig, Field(discriminator="kind")]
"""Every method a recipe can choose."""
