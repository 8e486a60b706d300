"""A connection that is programmed to arrays: takes κ, returns potentials or spikes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from . import plain
from .cells import check_time
from .circuit import Conditions
from .events import EventReads, Kappa
from .mapping import digits, from_arrays, to_tiles
from .physics import COMPUTED, Physics
from .readout import Ramp, next_slots


@dataclass(frozen=True, eq=False, kw_only=True)
class ProgrammedConnection(Physics):
    """Integer weights ``[fan_out, fan_in]`` on a simulated chip.

    Potentials are in weight times step of κ, so an ideal chip returns the integer sums themselves. A connection never
    changes, so threads may share it.

    Attributes:
        kappa_top: longest pulse that is expected, in steps of κ.
        step: duration of a step of κ, in s.
        full_scale: potential of one array (in digit times step of κ) that charges its capacitor to the full swing.
        order: input of each row, int64 ``[fan_in]``. None: as given.
    """

    name: str
    kappa_top: int
    full_scale: float
    step: float
    order: NDArray[np.int64] | None = None

    def at(self, seconds: float) -> ProgrammedConnection:
        """Return the same connection this many seconds after programming."""
        check_time(seconds)
        return replace(self, seconds=seconds)

    def sized_for(self, kappa: NDArray[np.integer]) -> ProgrammedConnection:
        """Return the same connection with capacitors sized for the largest potential of ideal arrays on κ ``[...,
        fan_in]``.
        """
        ideal = from_arrays(digits(self.weights, self.layout), self.layout)
        reached = to_tiles(self._rows(kappa).astype(ideal.dtype), self.layout) @ ideal
        sized = replace(self, full_scale=max(float(np.abs(reached).max(initial=0)), 1.0))
        vars(sized).update((name, vars(self)[name]) for name in COMPUTED if name in vars(self))
        return sized

    def integrate(self, kappa: NDArray[np.integer], rng: np.random.Generator | None = None) -> NDArray[np.floating]:
        """Compute potentials after read-out, summed over arrays.

        Args:
            kappa: integers ``[..., fan_in]``, in steps of κ; 0 if silent.
            rng: source of read noise and jitter, which are drawn anew in each call. None: a fresh generator.

        Returns:
            ``[..., fan_out]``, float32, or float64 if float32 could not hold the largest sum exactly.
        """
        rows, rng = self._rows(kappa), rng or np.random.default_rng()
        potentials: NDArray[np.floating]
        if self._by_events(top := _longest(rows)):
            potentials = self._events.read(_narrow(rows, top), rng)
        else:
            potentials = plain.integrate(self, self.conditions, rows, rng)
        return potentials.reshape(*kappa.shape[:-1], self.layout.fan_out)

    def in_steps(
        self,
        kappa: NDArray[np.integer],
        scale: NDArray[np.float32],
        shift: NDArray[np.float32],
        rng: np.random.Generator | None = None,
    ) -> NDArray[np.int32]:
        """Run :meth:`integrate` and apply a digital scale: ``shift + scale · potential`` in whole steps of κ.

        Args:
            scale, shift: float32 ``[fan_out]``.

        Returns:
            int32 ``[..., fan_out]``.
        """
        rows = self._rows(kappa)
        if self._by_events(top := _longest(rows)):
            steps = self._events.read(_narrow(rows, top), rng or np.random.default_rng(), scale, shift)
            return steps.reshape(*kappa.shape[:-1], self.layout.fan_out)
        return np.rint(shift + scale * self.integrate(kappa, rng)).astype(np.int32)

    def fire(self, kappa: NDArray[np.integer], ramp: Ramp, rng: np.random.Generator | None = None) -> NDArray[np.uint8]:
        """Compute the next spikes directly, without a converter: slots or ``SILENT``, uint8 ``[..., fan_out]``.

        This requires that all rows and digits of a neuron are in one array. Otherwise, potentials must be summed after
        read-out.
        """
        if self.layout.tiles * self.layout.slices > 1:
            raise InputError(
                f"{self.name}: {self.layout.fan_in} inputs in {self.layout.slices} slices do not fit one array",
                cure="use integrate(), or a circuit with more rows and a device with more levels",
            )
        given, rows, rng = self.conditions, self._rows(kappa), rng or np.random.default_rng()
        charges, beside = plain.charges(self, given, rows, rng)[0, 0], plain.offsets(self, given)[0, 0]
        late = given.ramp_jitter * rng.standard_normal(charges.shape) if given.ramp_jitter else None
        return next_slots(charges, ramp, given.droop, beside, late).reshape(*kappa.shape[:-1], self.layout.fan_out)

    @property
    def conditions(self) -> Conditions:
        """The circuit in steps of κ and potentials."""
        return Conditions.of(self.circuit, self.step, self.full_scale)

    def _by_events(self, top: int) -> bool:
        """Whether the compiled reads can take pulses of up to ``top`` steps, and of up to ``kappa_top``.

        They can if one matrix describes each array, and float32 holds the largest sum exactly.
        """
        return max(self.kappa_top, top) * self._heaviest < 2**24 and not self.needs_patterns

    @cached_property
    def _heaviest(self) -> int:
        """Largest Σ |weight| of an output."""
        return int(np.abs(self.weights.astype(np.int64)).sum(1).max())

    @cached_property
    def _events(self) -> EventReads:
        return EventReads.of(self, self.conditions)

    def placed(self, kappa: NDArray[np.integer]) -> NDArray[np.integer]:
        """Return κ ``[..., fan_in]`` in the order of the rows that they drive."""
        return kappa if self.order is None else kappa[..., self.order]

    def _rows(self, kappa: NDArray[np.integer]) -> NDArray[np.integer]:
        if kappa.dtype.kind not in "iu":
            raise InputError(f"{self.name}: κ of type {kappa.dtype}", field="kappa", cure="give integers")
        if kappa.shape[-1] != self.layout.fan_in:
            cure = f"give {self.layout.fan_in} neurons last"
            raise InputError(f"{self.name}: κ of {kappa.shape[-1]} neurons", field="kappa", cure=cure)
        return self.placed(kappa).reshape(-1, self.layout.fan_in)


def _longest(kappa: NDArray[np.integer]) -> int:
    """Largest |κ|."""
    return max(int(kappa.max(initial=0)), -int(kappa.min(initial=0)))


def _narrow(kappa: NDArray[np.integer], top: int) -> Kappa:
    """Return κ, of magnitude up to ``top``, as int8 or int16, which the compiled reads take."""
    if kappa.dtype in (np.int8, np.int16):
        return kappa
    if top >= 2**15:
        raise InputError(f"|κ| = {top}", field="kappa", cure=f"give pulses shorter than {2**15} steps")
    return kappa.astype(np.int8 if top < 2**7 else np.int16)
