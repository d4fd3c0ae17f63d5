"""Values that the flags of a study accept, and their properties. Imports neither torch nor Ray."""

from __future__ import annotations

from dataclasses import dataclass, field

SCHEDULERS = ("asha", "hyperband", "median", "none", "pbt")

BLIND_SAMPLERS = ("random", "qmc", "grid", "bruteforce")
"""Samplers whose proposals do not depend on results. PBT needs one: it changes a trial's settings as the trial runs."""

ONE_SPACE_SAMPLERS = ("qmc", "grid", "bruteforce", "QMCSampler", "GridSampler", "BruteForceSampler")
"""Samplers that lay out their points in one search space, which a study with arms does not have."""


@dataclass(frozen=True)
class Measure:
    """Properties of a measure of separation; ``scoring.metrics`` and ``scoring.bss_eval`` compute it.

    Attributes:
        direction: ``"minimize"`` or ``"maximize"``.
        unit: unit of its values; empty for a ratio.
        signals: signals that it is defined for: ``"any"``, ``"images"``, ``"sounds"``, or ``"hearts"`` (sources that
            the task declares to have a heart rate).
        every_epoch: whether it is quick enough for the validation of every epoch, and so may be an objective.
        centre: whether tables show the ``"mean"`` or the ``"median"`` over items.
        description: one line for the user.
    """

    direction: str
    unit: str = ""
    signals: str = "any"
    every_epoch: bool = True
    centre: str = "mean"
    description: str = field(default="", repr=False)

    @property
    def in_percent(self) -> bool:
        """Whether a difference can be told in percent: an error without a unit, never decibels or a similarity."""
        return self.direction == "minimize" and not self.unit


def _relative(norm: str) -> Measure:
    return Measure(
        "minimize",
        description=f"{norm} norm of the error over that of the reference, in the time domain (CASS eq. 6)",
    )


def _bss_eval(ratio: str) -> Measure:
    text = f"{ratio} ratio of BSS Eval v4, median over frames of 1 s, then over items"
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
"""All measures, by name; those with ``every_epoch`` can be objectives of studies whose task they fit."""

OBJECTIVES = tuple(name for name, measure in MEASURES.items() if measure.every_epoch)
BSS_EVAL = tuple(name for name, measure in MEASURES.items() if not measure.every_epoch)


CHOSEN_BY_MEAN = "The champion has the least mean of these on validation, the sign turned where more is better."
"""How the champion is chosen where there are several objectives, for the user."""


def measure_words(metric: str) -> str:
    """Return the name of a measure for a reader, e.g. ``relative L2 error``, ``SI-SDR`` or ``heart rate error``."""
    if metric.startswith("relative_"):
        return f"relative {metric.removeprefix('relative_').replace('linf', 'L∞').replace('l', 'L')} error"
    return metric.replace("_", "-").upper() if len(metric) < 8 else metric.replace("_", " ")


@dataclass(frozen=True)
class Objective:
    """One value that a study optimises.

    Attributes:
        key: name of the value in an epoch's results, e.g. ``"validation/fetal/relative_l2"``.
        direction: ``"minimize"`` or ``"maximize"``.
    """

    key: str
    direction: str

    @property
    def column(self) -> str:
        """Title of its column in a table: source, measure, unit, and which direction is better."""
        source, _, metric = self.key.removeprefix("validation/").rpartition("/")
        unit = f"{MEASURES[metric].unit}, " if MEASURES[metric].unit else ""
        better = "less" if self.direction == "minimize" else "more"
        return f"{source} {measure_words(metric)} ({unit}{better} is better)".strip()

    @property
    def sign(self) -> int:
        """1 if less is better, -1 if more is better."""
        return 1 if self.direction == "minimize" else -1
