"""Voltage drop along a crossbar's wires, by Kirchhoff's equations: exact, and far too slow for every read."""

from __future__ import annotations

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
import torch
from jaxtyping import Float
from torch import Tensor

from ..cards.read_effects import IrDrop
from ..errors import UsageError


def solve_crossbar(
    conductance_s: Float[np.ndarray, "inputs outputs"],
    voltage_v: Float[np.ndarray, "samples inputs"],
    wire_resistance_ohm: float,
) -> Float[np.ndarray, "samples outputs"]:
    """Currents in ampere that leave the bit lines of one array.

    Drivers without resistance at the left end of every word line, zero volt at the bottom of every bit line, and one
    segment of wire between neighbouring cells, from a driver to its first cell and from a last cell to its sense.

    Args:
        conductance_s: of every cell, in siemens, >= 0; inputs along the bit lines from the top, outputs along the word
            lines from the left.
        voltage_v: of the drivers.
        wire_resistance_ohm: of one segment, > 0.

    Raises:
        UsageError: a conductance is negative, or the resistance is not above zero.
    """
    if not wire_resistance_ohm > 0:
        raise UsageError(
            f"wire_resistance_ohm: must be above 0, got {wire_resistance_ohm:g}; use a small one"
        )
    if conductance_s.size and conductance_s.min() < 0:
        raise UsageError("conductance_s: must be >= 0; solve positive and negative arrays apart")
    inputs, outputs = conductance_s.shape
    wire = 1 / wire_resistance_ohm
    word = np.arange(inputs * outputs).reshape(inputs, outputs)
    bit = word + word.size
    matrix = _laplacian(conductance_s, wire, word, bit)
    right = np.zeros((2 * word.size, voltage_v.shape[0]))
    right[word[:, 0]] = wire * voltage_v.T
    symmetric = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}
    node_v = scipy.sparse.linalg.splu(matrix, **symmetric).solve(right)
    current: np.ndarray = wire * node_v[bit[-1]].T
    return current


def _laplacian(g: np.ndarray, wire: float, word: np.ndarray, bit: np.ndarray) -> scipy.sparse.csc_matrix:
    """Kirchhoff's current law at every node: what flows out through its resistors is what the drivers feed in."""
    edges = [
        (word, bit, g),
        (word[:, :-1], word[:, 1:], np.full(word[:, 1:].shape, wire)),
        (bit[:-1], bit[1:], np.full(bit[1:].shape, wire)),
    ]
    a, b, s = (np.concatenate([edge[part].ravel() for edge in edges]) for part in range(3))
    ends = np.concatenate((word[:, 0], bit[-1]))
    rows = np.concatenate((a, b, a, b, ends))
    columns = np.concatenate((a, b, b, a, ends))
    values = np.concatenate((s, s, -s, -s, np.full(ends.shape, wire)))
    return scipy.sparse.csc_matrix((values, (rows, columns)), shape=(2 * word.size, 2 * word.size))


def exact_read(
    weight: Float[Tensor, "outputs inputs"],
    x: Float[Tensor, "samples inputs"],
    card: IrDrop,
    largest_weight: float,
) -> Float[Tensor, "samples outputs"]:
    """W x as a differential pair of arrays with resistive wires reads it, in 64-bit.

    Args:
        weight: positive ones are held by one array and negative ones by the other.
        x: inputs.
        card: resistance of a wire segment, and conductance of ``largest_weight``.
        largest_weight: the card's ``weights.max``.
    """
    siemens = card.g_max_us * 1e-6 / largest_weight
    volts = x.detach().cpu().double().numpy()
    read = np.zeros((x.shape[0], weight.shape[0]))
    for sign in (1, -1):
        cells = (sign * weight.detach().cpu().double().t()).clamp(min=0).numpy() * siemens
        read += sign * solve_crossbar(cells, volts, card.wire_resistance_ohm)
    return torch.from_numpy(read / siemens)
