"""Matrix products in float32, by the faster of the libraries that PyTorch carries for the processor."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

LARGE = 10**6
"""Multiply-adds from which on oneDNN is asked; below, its longer start costs more than it saves."""

_wide = "AVX2" not in torch.backends.cpu.get_cpu_capability()
_onednn = torch.ops.mkldnn._linear_pointwise if torch._C._has_mkldnn and _wide else None


def rounded_product(
    a: Float[Tensor, "rows inner"], b: Float[Tensor, "inner columns"]
) -> Float[Tensor, "rows columns"]:
    """Return a b of factors that are rounded to bfloat16 (8 bits); the result is rounded so too, and then float32."""
    return torch.mm(a.bfloat16(), b.bfloat16()).float()


def product(
    a: Float[Tensor, "*rows inner"], b: Float[Tensor, "inner columns"]
) -> Float[Tensor, "*rows columns"]:
    """Return a b, summed in float32.

    PyTorch multiplies float32 matrices on x86 processors with MKL. On processors of other makers than its own MKL does
    not use AVX-512, and takes about twice as long there as oneDNN, which PyTorch carries too (for convolutions and
    compiled code). Large products on a CPU with AVX-512 therefore go to oneDNN. With AVX2 alone MKL is as fast, and
    twice as fast for an outer product, whose factor oneDNN has to copy first. Both sum in float32; their last bits
    differ.
    """
    if _onednn is None or not _suits(a, b):
        return torch.matmul(a, b)
    flat: Tensor = _onednn(a.reshape(-1, a.shape[-1]), b.t(), None, "none", [], "")
    return flat.view(*a.shape[:-1], b.shape[1])


def _suits(a: Tensor, b: Tensor) -> bool:
    plain = a.device.type == "cpu" and a.dtype == b.dtype == torch.float32
    large = a.numel() * b.shape[-1] >= LARGE
    return plain and large and not (torch.is_grad_enabled() and (a.requires_grad or b.requires_grad))
