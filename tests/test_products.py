"""Matrix products: whichever library multiplies, the sums are those of single precision."""

from __future__ import annotations

import pytest
import torch
from support import normal

import noisyhw.products as products
from noisyhw.products import product


@pytest.mark.parametrize("large", [0, 10**12], ids=["onednn", "matmul"])
@pytest.mark.parametrize("shape", [(30, 20), (2, 30, 20)], ids=["one pass", "two passes"])
def test_a_product_is_exact_to_single_precision(
    monkeypatch: pytest.MonkeyPatch, large: int, shape: tuple[int, ...]
) -> None:
    monkeypatch.setattr(products, "LARGE", large)
    a, b = normal(*shape, seed=1), normal(40, 20, seed=2)
    found = product(a, b.t())
    expected = a.double() @ b.t().double()
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) < 20 * 1.2e-7 * float((a.abs() @ b.t().abs()).max())


def test_transposed_factors_are_multiplied_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "LARGE", 0)
    d, x = normal(50, 8, seed=1), normal(50, 9, seed=2)
    torch.testing.assert_close(product(d.t(), x), d.t() @ x)


def test_gradients_flow_through_a_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "LARGE", 0)
    a, b = normal(5, 6, seed=1).requires_grad_(), normal(6, 7, seed=2)
    product(a, b).sum().backward()  # type: ignore[no-untyped-call]
    assert a.grad is not None
    torch.testing.assert_close(a.grad, b.sum(1).expand(5, -1))
