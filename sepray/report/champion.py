"""Figures of the best configurations: the same on several seeds, their error by epoch, their discriminators."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..contracts import Separator, Split
from .drawing import BLACK, GREY, SOURCES, Section, legend_above, log_where_wide, new, picture, whole_numbers
from .record import Record, is_sound, number, unit, words


def seeds(record: Record) -> Section | None:
    """Return the best configurations trained again on new seeds; None where there are none."""
    groups: dict[str, list[float]] = defaultdict(list)
    for trial in record.finals:
        if is_sound(trial) and "role" in trial.user_attrs:
            groups[trial.user_attrs["role"]].append(record.value(trial))
    if not groups:
        return None
    ranked = sorted(groups, key=lambda role: record.sign * float(np.mean(groups[role])))
    figure, axes = new(1.3 + 0.5 * len(ranked))
    for place, role in enumerate(reversed(ranked)):
        values = groups[role]
        axes.scatter(values, [place] * len(values), color=SOURCES[0], s=42, alpha=0.8, zorder=3)
        axes.vlines(np.mean(values), place - 0.28, place + 0.28, color=BLACK, linewidth=2.2, zorder=4)
    labels = [role.replace(" at the settings of ", "\nat the settings of ") for role in reversed(ranked)]
    axes.set_yticks(range(len(ranked)), labels)
    axes.set(xlabel=f"validation {record.axis}", ylim=(-0.6, len(ranked) - 0.4))
    first = groups[ranked[0]]
    sentence = f"{ranked[0]} reached {_span(first)} over {len(first)} new seeds"
    if len(ranked) > 1:
        second = groups[ranked[1]]
        gap = abs(float(np.mean(first)) - float(np.mean(second)))
        clear = "more" if gap > max(np.ptp(first), np.ptp(second)) else "less"
        sentence += f"; next comes {ranked[1]} with {_span(second)}: a difference of {number(gap)}, {clear} than the "
        sentence += "seeds differ among themselves"
    sentence = sentence[0].upper() + sentence[1:] + "."
    note = "A dot is a training from a seed of its own, the bar their mean, which chooses the champion."
    return Section("seeds", "The best again, on new seeds", sentence, [picture(figure, "seeds.svg", sentence)], note)


def _span(values: Sequence[float]) -> str:
    return f"{number(float(np.mean(values)))} on average ({number(min(values))} to {number(max(values))})"


def errors(record: Record, stage: str, trial: int, name: str) -> Section | None:
    """Return the error curve of each source on validation (CASS 4.2), from the trial's checkpoint."""
    history = record.history(stage, trial)
    metric = record.spec.metric
    keys = {source: f"validation/{source}/{metric}" for source in record.sources}
    if history:  # a measure that some sources have not, has no curve of theirs
        keys = {source: key for source, key in keys.items() if key in history[0]}
    if not keys or not history or any(key not in entry for key in keys.values() for entry in history):
        return None
    curves = {source: [float(entry[key]) for entry in history] for source, key in keys.items()}
    epochs = [int(entry["epoch"]) for entry in history]
    figure, axes = new(3.2)
    for k, (source, values) in enumerate(curves.items()):
        axes.plot(epochs, values, color=SOURCES[k % 6], marker="os^Dvp"[k % 6], markersize=4, label=source)
    log_where_wide(axes, [v for values in curves.values() for v in values])
    axes.set(xlabel="epoch (number)", ylabel=f"validation {words(metric)} ({unit(metric)})")
    whole_numbers(axes)
    legend_above(axes)
    ends = " and ".join(f"from {number(v[0])} to {number(v[-1])} ({s})" for s, v in curves.items())
    sentence = f"In {len(epochs)} epochs the {words(metric)} of {name} went {ends}."
    return Section("errors", "Error curve of the champion", sentence, [picture(figure, "errors.svg", sentence)])


def discriminators(separator: Separator, split: Split, sources: Sequence[str], name: str) -> Section | None:
    """Return what each discriminator makes of the truth, of its own estimate and of the others' (CASS Fig. 6).

    None for a separator without a discriminator a source.
    """
    outputs = discriminator_outputs(separator, split, sources)
    if outputs is None:
        return None
    figure, grid = new(3.4, 1, len(sources), squeeze=False, sharey=True)
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
    told = []
    for source, shown in outputs.items():
        middle = {label: float(np.median(values)) for label, values in shown.items()}
        others = [v for label, v in middle.items() if label not in ("truth", f"{source} estimate")]
        told.append(
            f"{source}'s gives a median of {middle['truth']:.2f} to the truth, "
            f"{middle[f'{source} estimate']:.2f} to its own estimates and {max(others):.2f} to those of another source"
        )
    sentence = f"Of the discriminators of {name}, " + "; ".join(told) + "."
    note = "As CASS Fig. 6: boxes hold the middle half of the items, the line is the median."
    drawn_figure = [picture(figure, "discriminators.svg", sentence)]
    return Section("discriminators", "What the discriminators make of it", sentence, drawn_figure, note)


@torch.no_grad()
def discriminator_outputs(
    separator: Any, split: Split, sources: Sequence[str]
) -> dict[str, dict[str, NDArray[np.float64]]] | None:
    """Return source -> what its discriminator is shown -> its output for each item, between 0 and 1.

    A separator takes part by having ``discriminators``, one a source, that return logits of the images which
    ``estimate(mixture)`` and ``targets(mixture, sources)`` give.
    """
    critics = getattr(separator, "discriminators", None)
    if (
        critics is None
        or len(critics) != len(sources)
        or not all(hasattr(separator, n) for n in ("estimate", "targets"))
    ):
        return None
    estimates, truths = separator.estimate(split.mixture), separator.targets(split.mixture, split.sources)
    found: dict[str, dict[str, NDArray[np.float64]]] = {}
    for k, source in enumerate(sources):
        shown: dict[str, Tensor] = {"truth": truths[k], f"{source} estimate": estimates[k]}
        shown |= {f"{other} estimate": estimates[j] for j, other in enumerate(sources) if j != k}
        found[source] = {
            label: critics[k](image).sigmoid().reshape(len(image), -1).mean(1).double().numpy()
            for label, image in shown.items()
        }
    return found
