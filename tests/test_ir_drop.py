"""Voltage drop along wires: the exact network against hand-solved ones, and the fast form against the exact network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from support import generator, make_card, make_tile, normal
from torch import Tensor

from noisyhw.cards.read_effects import IrDrop
from noisyhw.devices.ir_drop import WireDrop, bit_line_drop, word_line_drop
from noisyhw.devices.ir_drop_exact import exact_read, solve_crossbar
from noisyhw.errors import UsageError


def wires(ohm: float, us: float = 25.0) -> IrDrop:
    return IrDrop(wire_resistance_ohm=ohm, g_max_us=us)


def uniform(outputs: int, inputs: int, seed: int = 1) -> Tensor:
    return torch.rand((outputs, inputs), generator=generator(seed)) * 2 - 1


def sparse(outputs: int, inputs: int) -> Tensor:
    return normal(outputs, inputs, seed=2, std=0.2).clamp_(-1, 1)


CELLS: dict[str, Callable[[int, int], Tensor]] = {
    "uniform": uniform,
    "few large": sparse,
    "all at max": lambda outputs, inputs: torch.ones(outputs, inputs),
}


def test_one_cell_is_its_conductance_in_series_with_two_segments() -> None:
    g, r = 0.3, 0.7
    read = solve_crossbar(np.array([[g]]), np.array([[1.0], [-2.0]]), r)
    np.testing.assert_allclose(read[:, 0], np.array([1, -2]) / (r + 1 / g + r), rtol=1e-12)


def test_one_word_line_with_two_cells_is_the_hand_solved_ladder() -> None:
    g, r = np.array([[0.3, 0.8]]), 0.7
    branch = 1 / (1 / g[0] + r)  # a cell and the segment down to its sense
    far = 1 / (r + 1 / branch[1])  # the second branch, seen from the first node
    first = (1 / r) / (1 / r + branch[0] + far)
    second = first * (1 / r) / (1 / r + branch[1])
    np.testing.assert_allclose(solve_crossbar(g, np.ones((1, 1)), r)[0], branch * [first, second], rtol=1e-12)


def test_one_bit_line_with_two_cells_is_the_same_ladder_driven_from_its_sense() -> None:
    """By reciprocity; input 2 is next to the sense."""
    g, r = np.array([[0.3], [0.8]]), 0.7
    ladder = solve_crossbar(g[::-1].T.copy(), np.ones((1, 1)), r)[0]
    np.testing.assert_allclose(solve_crossbar(g, np.eye(2), r)[:, 0], ladder[::-1], rtol=1e-12)


def test_a_two_by_two_network_of_unit_resistors_has_the_hand_solved_currents() -> None:
    """Kirchhoff's eight equations, solved in fractions by hand; node voltages of the bottom row are the currents."""
    read = solve_crossbar(np.ones((2, 2)), np.eye(2), 1.0)
    np.testing.assert_allclose(read, [[7 / 44, 3 / 22], [5 / 22, 7 / 44]], rtol=1e-12)


def test_the_exact_network_is_reciprocal_and_linear() -> None:
    g, x = np.abs(uniform(4, 5).numpy()).astype(float), np.asarray(normal(3, 4, seed=3).double())
    there = solve_crossbar(g, np.eye(4), 0.2)
    back = solve_crossbar(g.T[::-1, ::-1].copy(), np.eye(5), 0.2)
    np.testing.assert_allclose(there, back.T[::-1, ::-1], rtol=1e-10)
    np.testing.assert_allclose(solve_crossbar(g, x, 0.2), x @ there, rtol=1e-10)


@pytest.mark.parametrize(("ohm", "low", "high"), [(1e-6, 1e-10, 1e-7), (1.0, 1e-4, 1e-1)])
def test_without_wire_resistance_the_exact_network_reads_the_product(
    ohm: float, low: float, high: float
) -> None:
    w, x = 0.5 * uniform(9, 12), normal(4, 12)
    error = exact_read(w, x, wires(ohm), 0.5) - x.double() @ w.double().T
    assert low < float(error.norm() / (x @ w.T).norm()) < high


def test_an_exact_solve_of_negative_cells_or_ideal_wires_is_refused_with_the_fix() -> None:
    with pytest.raises(UsageError, match="positive and negative arrays apart"):
        solve_crossbar(np.array([[-1.0]]), np.ones((1, 1)), 1.0)
    with pytest.raises(UsageError, match="must be above 0, got 0"):
        solve_crossbar(np.ones((1, 1)), np.ones((1, 1)), 0.0)


@pytest.mark.parametrize(("outputs", "inputs"), [(3, 5), (32, 2), (70, 33)])
def test_the_drops_are_the_sums_that_they_stand_for(outputs: int, inputs: int) -> None:
    g = torch.rand((2, outputs, inputs), generator=generator(3), dtype=torch.float64)
    j = torch.arange(1.0, outputs + 1, dtype=torch.float64)
    i = torch.arange(inputs, 0, -1, dtype=torch.float64)
    torch.testing.assert_close(word_line_drop(g), torch.minimum(j[:, None], j) @ g)
    torch.testing.assert_close(bit_line_drop(g), g @ torch.minimum(i[:, None], i))


def test_the_fast_form_is_exact_for_one_cell() -> None:
    w, card = torch.tensor([[-0.6]]), wires(2e3)
    fast = WireDrop(card, 0.8).weights(w)
    torch.testing.assert_close(fast.double(), exact_read(w, torch.ones(1, 1), card, 0.8))
    assert float(fast / w) < 0.95


def test_the_fast_form_is_right_to_first_order_in_the_wire_resistance() -> None:
    """Its error falls fourfold, and the drop itself twofold, as the resistance halves."""
    w, x = uniform(10, 12).double(), torch.eye(12, dtype=torch.float64)
    errors, drops = [], []
    for ohm in (2.0, 1.0):
        exact = exact_read(w, x, wires(ohm, 100), 1.0).T
        errors.append(float((WireDrop(wires(ohm, 100), 1.0).weights(w) - exact).norm()))
        drops.append(float((w - exact).norm()))
    assert 3.8 < errors[0] / errors[1] < 4.2
    assert 1.9 < drops[0] / drops[1] < 2.1


BOUNDS = {
    ("uniform", 32, 1.0): (5e-5, 200),
    ("few large", 128, 1.0): (4e-4, 80),
    ("uniform", 128, 1.0): (3e-3, 35),
    ("all at max", 128, 1.0): (6e-3, 50),
    ("uniform", 128, 5.0): (0.04, 10),
    ("all at max", 128, 5.0): (0.06, 20),
}
"""Kind of cells, size, ohm a segment at 25 uS: largest relative error, and least gain over ignoring the drop."""


@pytest.mark.parametrize(("kind", "size", "ohm"), BOUNDS)
def test_the_fast_forms_read_out_keeps_its_stated_error_for_random_and_for_full_inputs(
    kind: str, size: int, ohm: float
) -> None:
    bound, gain = BOUNDS[kind, size, ohm]
    w, card = CELLS[kind](size, size), wires(ohm)
    x = torch.cat((uniform(6, size, seed=4), torch.ones(1, size))).double()
    exact = exact_read(w, x, card, 1.0)
    fast, ideal = x @ WireDrop(card, 1.0).weights(w).double().T, x @ w.double().T
    for inputs in (slice(6), slice(6, 7)):
        error, ignored = ((y - exact)[inputs].norm() / exact[inputs].norm() for y in (fast, ideal))
        assert bound / 12 < float(error) < bound
        assert gain < float(ignored / error)


@pytest.mark.parametrize(
    ("kind", "ohm", "bound", "gain"),
    [("uniform", 1.0, 0.004, 25), ("all at max", 1.0, 0.007, 40), ("all at max", 5.0, 0.08, 15)],
)
def test_the_fast_forms_error_is_bounded_for_the_worst_input_of_an_output(
    kind: str, ohm: float, bound: float, gain: float
) -> None:
    """Over all |x| <= 1 an output errs at most by the sum of its weights' errors; in shares of its full scale."""
    size, outputs = 128, [0, 64, 127]
    w, card = CELLS[kind](size, size), wires(ohm)
    exact = _rows(w.clamp(min=0), outputs, card) - _rows(w.neg().clamp(min=0), outputs, card)
    scale = exact.abs().sum(1)
    error = (WireDrop(card, 1.0).weights(w)[outputs] - exact).abs().sum(1) / scale
    ignored = (w[outputs] - exact).abs().sum(1) / scale
    assert bound / 12 < float(error.max()) < bound
    assert gain < float(ignored.max() / error.max())


def _rows(w: Tensor, outputs: list[int], card: IrDrop) -> Tensor:
    """Exact weights of some outputs, by reciprocity: drive their senses and read the drivers."""
    siemens = card.g_max_us * 1e-6
    turned = w.double().numpy()[::-1, ::-1].copy() * siemens
    drive = np.eye(w.shape[0])[[w.shape[0] - 1 - j for j in outputs]]
    return torch.from_numpy(solve_crossbar(turned, drive, card.wire_resistance_ohm)[:, ::-1] / siemens)


def ir_card(ohm: float = 40.0) -> dict[str, dict[str, float]]:
    return {"ir_drop": {"wire_resistance_ohm": ohm, "g_max_us": 25.0}}


def test_a_tile_with_wires_reads_nearly_what_the_exact_network_reads_also_after_writes() -> None:
    card = make_card(weights={"min": -0.5, "max": 0.5}, periphery=ir_card())
    tile = make_tile(card, 0.5 * uniform(20, 30))
    x = normal(1, 6, 30, seed=5)
    for _ in range(2):
        exact = exact_read(tile.twin(), x[0], wires(40.0), 0.5)
        read = tile.forward(x)[0].double()
        assert float((read - exact).norm() / exact.norm()) < 0.004
        assert float((x[0] @ tile.twin().T - exact).norm() / exact.norm()) > 0.05
        tile.write(-1.5 * tile.twin())


def test_long_wires_never_turn_a_weights_sign() -> None:
    w = uniform(50, 60)
    seen = WireDrop(wires(1e4), 1.0).weights(w)
    assert bool((seen * w >= 0).all())
    assert bool((seen.abs() < w.abs()).all())


def test_the_cell_nearest_to_driver_and_sense_loses_least_and_the_farthest_most() -> None:
    seen = WireDrop(wires(5.0), 1.0).weights(torch.ones(20, 30))
    assert float(seen[0, -1]) == float(seen.max())
    assert float(seen[-1, 0]) == float(seen.min())
