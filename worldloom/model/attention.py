"""The one function that attends.

Shapes: B batch, N query tokens, M key tokens.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """softmax(q k^T / sqrt(head_dim)) v; torch picks the fastest kernel the machine has.

    Args:
        q: (B, N, heads, head_dim).
        k: (B, M, heads, head_dim).
        v: like `k`.
        mask: bool, broadcastable to (B, heads, N, M), true where a query may look; None: everywhere.

    Returns:
        (B, N, heads, head_dim).
    """
    attended = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask)
    return attended.transpose(1, 2)
