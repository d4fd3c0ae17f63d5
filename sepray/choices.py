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
        signals: what it is defined for: ``"any"`` signal, ``"images"``, ``"sounds"``, or ``"hearts"``: sources of which
            the task says that they have a heart rate.
        every_epoch: whether it is quick enough for the validation of every epoch, and so for an objective.
        centre: what a table shows of many items, their ``"mean"`` or their ``"median"``.
        description: for the reader.
    """

    direction: str
    unit: str = ""
    signals: str = "any"
    every_epoch: bool = True
    centre: str = "mean"
    description: str = field(default="", repr=False)


def _relative(norm: str) -> Measure:
    return Measure(
        "minimize",
        description=f"{norm} norm of the error over that of the reference, in the time domain (CASS eq. 6)",
    )


def _bss_eval(words: str) -> Measure:
    text = f"{words} ratio of BSS Eval v4, median over frames of 1 s, then over items"
    return Measure("maximize", "dB", "sounds", every_epoch=False, centre="median", description=text)


MEASURES = {
    "relative_l1": _relative("L1"),
    "relative_l2": _relative("L2"),
    "relative_linf": _relative("largest absolute"),
    "si_sdr": Measure("maximize", "dB", description="scale-invariant signal-to-distortion ratio"),
    "psnr": Measure("maximize", "dB", "images", description="peak signal-to-noise ratio, the peak being 1"),
    "ssim": Measure("maximize", signals="images", description="structural similarity, windows of 11 x 11"),
    "heart_rate_error": Measure(
        "minimize", "bpm", "hearts", description="difference of the heart rates found in estimate and reference"
    ),
    "sdr": _bss_eval("signal-to-distortion"),
    "isr": _bss_eval("image-to-spatial-distortion"),
    "sir": _bss_eval("signal-to-interference"),
    "sar": _bss_eval("signal-to-artifacts"),
}
"""Every measure, by name; those of every epoch can be a study's objective, where they fit its task."""

OBJECTIVES = tuple(name for name, measure in MEASURES.items() if measure.every_epoch)
BSS_EVAL = tuple(name for name, measure in MEASURES.items() if not measure.every_epoch)


@dataclass(frozen=True)
class Objective:
    """One value that a study optimises.

    Attributes:
        key: of an epoch's result, e.g. ``"validation/fetal/relative_l2"``.
        direction: ``"minimize"`` or ``"maximize"``.
    """

    key: str
    direction: str

    @property
    def sign(self) -> int:
        """1 where less is better, -1 where more is better."""
        return 1 if self.direction == "minimize" else -1
