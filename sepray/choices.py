"""Names that a study's flags may have, and what is known of them without importing torch or Ray."""

from __future__ import annotations

from dataclasses import dataclass, field

SCHEDULERS = ("asha", "hyperband", "median", "none", "pbt")

BLIND_SAMPLERS = ("random", "qmc", "grid", "bruteforce")
"""Samplers whose proposals do not depend on values, which PBT's perturbations would falsify."""


@dataclass(frozen=True)
class Measure:
    """What a measure of separation is; ``metrics`` computes it.

    Attributes:
        direction: ``"minimize"`` or ``"maximize"``.
        unit: of its values.
        description: for the reader.
    """

    direction: str
    unit: str = ""
    description: str = field(default="", repr=False)


def _relative(norm: str) -> Measure:
    return Measure(
        "minimize",
        description=f"{norm} norm of the error over that of the reference, in the time domain (CASS eq. 6)",
    )


MEASURES = {
    "relative_l1": _relative("L1"),
    "relative_l2": _relative("L2"),
    "relative_linf": _relative("largest absolute"),
    "si_sdr": Measure("maximize", "dB", "scale-invariant signal-to-distortion ratio"),
}
"""Every measure that can be a study's objective."""
