"""Wire resistance, exactly: one effective-conductance matrix per array.

With every undriven row held at 0 V and linear cells the network of wires is linear, so the current out of column c is
Σ_i E[i, c] · V_i whatever the pulses are, and E serves every pattern and every spike time. E comes from block
elimination of the nodal equations, row by row from the far end of the bit lines to the neurons: exact, as a sparse LU
would be, and several times faster, since every step is a dense product.

Geometry: rows are driven at column 0, columns are read (at virtual ground) after the last row; one segment lies between
neighbours, between driver and first cell, and between last cell and neuron.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .circuit import Wires


def effective_conductances(arrays: Tensor, wires: Wires) -> Tensor:
    """Effective conductances of many arrays: ``[..., rows, columns]``, siemens in and out, solved in float64."""
    ohms = wires.word_line.si, wires.bit_line.si
    stack = arrays.reshape(-1, *arrays.shape[-2:])
    solved = [effective_conductance(array.to(torch.float64), *ohms).to(arrays.dtype) for array in stack]
    return torch.stack(solved).view(arrays.shape)


def effective_conductance(cells: Tensor, word_line: float, bit_line: float) -> Tensor:
    """Effective conductances of one array: ``float64 [rows, columns]``, siemens in and out; wire segments in ohm.

    Nodes of row i: word nodes w, bit nodes b, cells D_i = diag(G_i). Kirchhoff on the word line gives
    w = T_i⁻¹ (D_i b + g_w V_i e_0) with T_i = L_w + D_i (L_w: Laplacian of the line, tied to its driver); put into the
    bit nodes' equations that leaves b alone: M_i = D_i − D_i T_i⁻¹ D_i, injection D_i T_i⁻¹ e_0 g_w V_i, and ± g_b
    between neighbouring rows, a block-tridiagonal system that is eliminated downwards.
    """
    rows, columns = cells.shape
    g_bit = 1 / bit_line
    line = _line_laplacian(columns, 1 / word_line)
    injected = cells.new_zeros(columns, rows)
    carried = cells.new_zeros(columns, columns)
    for row, conductance in enumerate(cells):
        inverse = _inverse(line + torch.diag(conductance))
        neighbours = 1 if row == 0 else 2
        block = torch.diag(conductance + neighbours * g_bit) - torch.outer(conductance, conductance) * inverse
        injected[:, :row] = carried @ injected[:, :row]
        injected[:, row] = conductance * inverse[:, 0] / word_line
        carried = g_bit * _inverse(block - g_bit * carried)
    return (carried @ injected).T


def _line_laplacian(nodes: int, conductance: float) -> Tensor:
    """Laplacian of a chain of ``nodes`` whose first node is tied to a source through one more segment."""
    diagonal = torch.full((nodes,), 2 * conductance, dtype=torch.float64)
    diagonal[-1] = conductance
    beside = torch.full((nodes - 1,), -conductance, dtype=torch.float64)
    return torch.diag(diagonal) + torch.diag(beside, 1) + torch.diag(beside, -1)


def _inverse(symmetric: Tensor) -> Tensor:
    """Inverse of a positive definite matrix."""
    return torch.cholesky_inverse(torch.linalg.cholesky(symmetric))
