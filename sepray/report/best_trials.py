"""Figures of the best configurations: retrainings on new seeds, error curves, outputs of the discriminators."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..choices import measure_words
from ..contracts import Separator, Split
from ..plain_text import in_figure_label
from ..search.outcomes import is_feasible
from .figures import BLACK, GREY, SOURCES, Section, legend_above, log_where_wide, new_figure, render, whole_numbers
from .study_results import StudyResults
from .wording import number, unit

_TOLD_APART = 0.05
"""Least difference of a discriminator's median outputs (probabilities) for two kinds of input that it tells apart."""


def retrainings(results: StudyResults) -> Section | None:
    """Draw the values of the best configurations, trained again on new seeds; return None if there is no retraining."""
    groups: dict[str, list[float]] = defaultdict(list)
    for trial in results.finals:
        if is_feasible(trial) and "role" in trial.user_attrs:
            groups[trial.user_attrs["role"]].append(results.value(trial))
    if not groups:
        return None
    most = max(map(len, groups.values()))
    # As in the choice of the champion, a mean over fewer seeds, because training on the others failed, ranks below.
    ranked = sorted(groups, key=lambda role: (len(groups[role]) < most, results.sign * float(np.mean(groups[role]))))
    figure, axes = new_figure(1.3 + 0.5 * len(ranked))
    for level, role in enumerate(reversed(ranked)):
        values = groups[role]
        axes.scatter(values, [level] * len(values), color=SOURCES[0], s=42, alpha=0.8, zorder=3)
        axes.vlines(np.mean(values), level - 0.28, level + 0.28, color=BLACK, linewidth=2.2, zorder=4)
    parts = " at the settings of "
    labels = [f"\n{parts[1:]}".join(map(in_figure_label, role.split(parts))) for role in reversed(ranked)]
    axes.set_yticks(range(len(ranked)), labels)
    axes.set(xlabel=f"validation {results.axis}", ylim=(-0.6, len(ranked) - 0.4))
    first = groups[ranked[0]]
    sentence = f"{ranked[0]} reached {_span(first)}"
    if len(ranked) > 1:
        second = groups[ranked[1]]
        gap = abs(float(np.mean(first)) - float(np.mean(second)))
        sentence += f"; next comes {ranked[1]} with {_span(second)}: a difference of {number(gap)}"
        if min(len(first), len(second)) > 1:
            compared = "more" if gap > max(np.ptp(first), np.ptp(second)) else "less"
            sentence += f", {compared} than the range over seeds"
    sentence = sentence[0].upper() + sentence[1:] + "."
    note = "Each dot is one training with its own seed; the bar is their mean"
    note += ", by which the champion is chosen." if len(results.objectives) == 1 else "."
    if len(groups[ranked[-1]]) < most:
        note += " Settings with fewer trainings that ran their whole budget come last."
    return Section("seeds", "The best settings on new seeds", sentence, [render(figure, "seeds.svg", sentence)], note)


def _span(values: Sequence[float]) -> str:
    if len(values) == 1:
        return f"{number(values[0])} on a new seed"
    mean, low, high = (number(value) for value in (float(np.mean(values)), min(values), max(values)))
    return f"{mean} on average ({low} to {high}) over {len(values)} new seeds"


def error_curves(results: StudyResults, stage: str, trial: int, name: str) -> Section | None:
    """Draw the error of each source on validation by epoch (CASS section 4.2), from the trial's checkpoint.

    Args:
        results: the study.
        stage: ``"search"`` or ``"finals"``.
        trial: number of the trial in this stage.
        name: name of the trial in a sentence, e.g. ``the champion``.

    Returns:
        The section; None if the trial has no checkpoint or its epochs lack the measure.
    """
    history = results.history(stage, trial)
    metric = results.spec.metric
    keys = {source: f"validation/{source}/{metric}" for source in results.sources}
    if history:  # a source that the measure is not defined for has no curve
        keys = {source: key for source, key in keys.items() if key in history[0]}
    if not keys or not history or any(key not in entry for key in keys.values() for entry in history):
        return None
    curves = {source: [float(entry[key]) for entry in history] for source, key in keys.items()}
    epochs = [int(entry["epoch"]) for entry in history]
    figure, axes = new_figure(3.2)
    for k, (source, values) in enumerate(curves.items()):
        axes.plot(epochs, values, color=SOURCES[k % 6], marker="os^Dvp"[k % 6], markersize=4, label=source)
    log_where_wide(axes, [v for values in curves.values() for v in values])
    axes.set(xlabel="epoch (number)", ylabel=f"validation {measure_words(metric)} ({unit(metric)})")
    whole_numbers(axes)
    legend_above(axes)
    ends = " and ".join(f"from {number(v[0])} to {number(v[-1])} ({s})" for s, v in curves.items())
    sentence = f"In {len(epochs)} epochs the {measure_words(metric)} of {name} went {ends}."
    return Section("errors", f"Error curve of {name}", sentence, [render(figure, "errors.svg", sentence)])


def discriminators(separator: Separator, split: Split, sources: Sequence[str], name: str) -> Section | None:
    """Draw each discriminator's outputs for true sources, estimates of its source, and those of others (CASS Fig. 6).

    If no discriminator tells any of these apart, a sentence says so, and nothing is drawn.

    Returns:
        The section; None for a separator that does not have a discriminator for each source.
    """
    outputs = discriminator_outputs(separator, split, sources)
    if outputs is None:
        return None
    key, title = "discriminators", "Outputs of the discriminators"
    if not tells_apart(outputs):
        middles = [[float(np.median(values)) for values in shown.values()] for shown in outputs.values()]
        low, high = min(map(min, middles)), max(map(max, middles))
        sentence = (
            f"The discriminators of {name} do not tell true sources from estimates: their median outputs lie between "
            f"{low:.2f} and {high:.2f} for both, so they are not drawn."
        )
        return Section(key, title, sentence)
    figure, grid = new_figure(3.4, 1, len(sources), squeeze=False, sharey=True)
    for k, (source, shown) in enumerate(outputs.items()):
        axes = grid[0, k]
        drawn = axes.boxplot(list(shown.values()), widths=0.6, showfliers=False, patch_artist=True)
        for patch, label in zip(drawn["boxes"], shown, strict=True):
            patch.set_facecolor(
                "#CFE3F2" if label == "truth" else "#F6D9C4" if label == f"{source} estimate" else "#E8E8E8"
            )
        for line in drawn["medians"]:
            line.set_color(BLACK)
        axes.axhline(0.5, color=GREY, linewidth=0.8, linestyle=":")
        axes.set_xticks(range(1, len(shown) + 1), [label.replace(" ", "\n") for label in shown], fontsize=9)
        axes.set(title=f"D of {source}", ylim=(-0.03, 1.03))
    grid[0, 0].set_ylabel("output (probability of “real”)")
    parts = []
    for source, shown in outputs.items():
        medians = {label: float(np.median(values)) for label, values in shown.items()}
        others = [v for label, v in medians.items() if label not in ("truth", f"{source} estimate")]
        told = [f"{medians['truth']:.2f} to true sources"]
        told.append(f"{medians[f'{source} estimate']:.2f} to estimates of {source}")
        if others:
            told.append(f"at most {max(others):.2f} to estimates of another source")
        parts.append(f"that of {source} gives {', '.join(told[:-1])} and {told[-1]}")
    sentence = f"Median outputs of the discriminators of {name}: " + "; ".join(parts) + "."
    note = "As in CASS Fig. 6: boxes span the middle half of the items; the line is the median."
    figures = [render(figure, "discriminators.svg", sentence)]
    return Section(key, title, sentence, figures, note)


def tells_apart(outputs: Mapping[str, Mapping[str, NDArray[np.float64]]]) -> bool:
    """Say whether the median outputs of any discriminator differ between kinds of input.

    Args:
        outputs: what ``discriminator_outputs`` returns.
    """
    middles = [[float(np.median(values)) for values in shown.values()] for shown in outputs.values()]
    return not all(np.ptp(of_one) < _TOLD_APART for of_one in middles)


@torch.no_grad()
def discriminator_outputs(
    separator: Any, split: Split, sources: Sequence[str]
) -> dict[str, dict[str, NDArray[np.float64]]] | None:
    """Return source -> kind of input -> the discriminator's output for each item, ``[item]``, between 0 and 1.

    The separator must have ``discriminators``, one for each source. They take the images that its ``estimate(mixture)``
    and ``targets(mixture, sources)`` return, and give logits. The result is None for any other separator.
    """
    critics = getattr(separator, "discriminators", None)
    if (
        critics is None
        or len(critics) != len(sources)
        or not all(hasattr(separator, n) for n in ("estimate", "targets"))
    ):
        return None
    estimates, truths = separator.estimate(split.mixture), separator.targets(split.mixture, split.sources)
    outputs: dict[str, dict[str, NDArray[np.float64]]] = {}
    for k, source in enumerate(sources):
        shown: dict[str, Tensor] = {"truth": truths[k], f"{source} estimate": estimates[k]}
        shown |= {f"{other} estimate": estimates[j] for j, other in enumerate(sources) if j != k}
        outputs[source] = {
            label: critics[k](image).sigmoid().reshape(len(image), -1).mean(1).double().numpy()
            for label, image in shown.items()
        }
    return outputs
