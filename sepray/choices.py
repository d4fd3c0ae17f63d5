"""Values that the flags of a study accept, and the names of outcomes. Imports neither torch nor Ray."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

SCHEDULERS = ("asha", "hyperband", "median", "none", "pbt")

FAILED = ("diverged", "error", "out_of_memory", "lost")
"""Outcomes of trials that failed; the others are ``complete``, ``pruned`` (stopped early) and ``collapsed``."""

BLIND_SAMPLERS = ("random", "qmc", "grid", "bruteforce")
"""Samplers whose proposals do not depend on results. PBT needs one of these: it changes settings while a trial runs."""

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
        description: what it is, in one line (``sepray list measures``).
    """

    direction: str
    unit: str = ""
    signals: str = "any"
    every_epoch: bool = True
    centre: str = "mean"
    description: str = field(default="", repr=False)

    @property
    def in_percent(self) -> bool:
        """Say whether differences can be told in percent: those of errors without a unit, never of decibels."""
        return self.direction == "minimize" and not self.unit


def _relative(norm: str) -> Measure:
    return Measure(
        "minimize",
        description=f"{norm} norm of the error over that of the reference, in the time domain (CASS eq. 6)",
    )


def _bss_eval(ratio: str) -> Measure:
    text = f"{ratio} ratio of BSS Eval v4, median over frames of 1 s, then over items"
    return Measure("maximize", "dB", "sounds", every_epoch=False, centre="median", description=text)


def _summed(norm: str) -> Measure:
    text = f"relative {norm} norm where magnitudes are summed into the mixture and all take its phase (CASS, Table 1)"
    return Measure("minimize", signals="sounds", every_epoch=False, description=text)


MEASURES = {
    "relative_l1": _relative("L1"),
    "relative_l2": _relative("L2"),
    "relative_linf": _relative("largest absolute"),
    "si_sdr": Measure("maximize", "dB", description="scale-invariant signal-to-distortion ratio"),
    "snr": Measure(
        "maximize", "dB", "sounds", description="energy of the source over that of the error; the PSNR of NES, Table 2"
    ),
    "psnr": Measure("maximize", "dB", "images", description="peak signal-to-noise ratio, the peak being 1"),
    "ssim": Measure("maximize", signals="images", description="structural similarity, windows of 11 x 11"),
    "heart_rate_error": Measure(
        "minimize", "bpm", "hearts", description="difference of the heart rates found in estimate and reference"
    ),
    "beat_f1": Measure(
        "maximize", signals="hearts", description="F1 of the beats found in the estimate, within 50 ms of the true ones"
    ),
    "missed_beats": Measure("minimize", signals="hearts", description="share of the true beats that are not found"),
    "invented_beats": Measure("minimize", signals="hearts", description="share of the found beats that are not true"),
    "magnitude_l1": _summed("L1"),
    "magnitude_l2": _summed("L2"),
    "magnitude_linf": _summed("largest absolute"),
    "sdr": _bss_eval("signal-to-distortion"),
    "isr": _bss_eval("image-to-spatial-distortion"),
    "sir": _bss_eval("signal-to-interference"),
    "sar": _bss_eval("signal-to-artifacts"),
}
"""All measures, by name; those with ``every_epoch`` can be objectives of studies whose task they fit."""

OBJECTIVES = tuple(name for name, measure in MEASURES.items() if measure.every_epoch)
BSS_EVAL = ("sdr", "isr", "sir", "sar")
SUMMED_MAGNITUDES = ("magnitude_l1", "magnitude_l2", "magnitude_linf")
COLUMNS = (*OBJECTIVES, *SUMMED_MAGNITUDES, *BSS_EVAL)
"""Measures that a comparison can show."""


def measure_words(metric: str) -> str:
    """Return the name of a measure for a reader, e.g. ``relative L2 error``, ``SI-SDR`` or ``heart rate error``."""
    if metric == "beat_f1":
        return "beat F1"
    kind, _, norm = metric.partition("_")
    if kind in {"relative", "magnitude"}:
        return f"{kind} {norm.replace('linf', 'L∞').replace('l', 'L')} error"
    return metric.replace("_", "-").upper() if len(metric) < 8 else metric.replace("_", " ")


@dataclass(frozen=True)
class Objective:
    """An objective: a value that a study optimises.

    Attributes:
        key: name of the value in an epoch's results, e.g. ``"validation/fetal/relative_l2"``.
        direction: ``"minimize"`` or ``"maximize"``.
    """

    key: str
    direction: str

    @property
    def name(self) -> str:
        """Name of the objective as ``--objective`` takes it, e.g. ``fetal/si_sdr``."""
        return self.key.removeprefix("validation/")

    @property
    def source(self) -> str:
        """Name of the source; empty for the mean over sources."""
        return self.name.rpartition("/")[0]

    @property
    def measure(self) -> str:
        """Name of the measure, a key of ``MEASURES`` in a study."""
        return self.name.rpartition("/")[2]

    @property
    def words(self) -> str:
        """Name of the objective for a reader, e.g. ``fetal relative L2 error``."""
        return f"{self.source} {measure_words(self.measure)}".strip()

    @property
    def column(self) -> str:
        """Title of the objective's column in a table: source, measure, unit, and the direction that is better."""
        unit = f"{MEASURES[self.measure].unit}, " if MEASURES[self.measure].unit else ""
        better = "less" if self.direction == "minimize" else "more"
        return f"{self.words} ({unit}{better} is better)"

    @property
    def sign(self) -> int:
        """Sign that makes a loss of a value: 1 if less is better, -1 if more is better."""
        return 1 if self.direction == "minimize" else -1


def guide(objectives: Sequence[Objective]) -> tuple[Objective, ...]:
    """Return the guiding objectives, whose mean stands for a trial: those with the same measure as the first one.

    The mean decides which trials are stopped early, and curves show it. Values of different measures have different
    units, so a mean of all objectives would say nothing.
    """
    return tuple(o for o in objectives if o.measure == objectives[0].measure)


def guide_loss(objectives: Sequence[Objective], values: Mapping[str, float]) -> float:
    """Return the mean of the guiding objectives as a loss: its sign is turned if more is better.

    Args:
        objectives: objectives of the study.
        values: value of each objective by its key.
    """
    losses = [o.sign * values[o.key] for o in guide(objectives)]
    return sum(losses) / len(losses)


def guide_words(objectives: Sequence[Objective]) -> str:
    """Return the name of the mean of the guiding objectives for a reader, e.g. ``mean SI-SDR of low and high``."""
    first, *others = guide(objectives)
    if not others:
        return first.words
    *names, last = [o.source or "all sources" for o in (first, *others)]
    return f"mean {measure_words(first.measure)} of {', '.join(names)} and {last}"


def better_words(measures: Iterable[str]) -> str:
    """Return ``less is better`` or ``more is better``; if the measures differ in that, a clause for each of them."""
    told = {name: "less" if MEASURES[name].direction == "minimize" else "more" for name in measures}
    if len(set(told.values())) == 1:
        return f"{next(iter(told.values()))} is better"
    (first, way), *others = told.items()
    return f"of the {measure_words(first)} {way} is better" + "".join(
        f", of the {measure_words(name)} {way}" for name, way in others
    )
