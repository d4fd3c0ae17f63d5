"""The content of each figure of the report and its words, as ``golden_figures.json`` has them.

To keep new values after a figure was meant to change: ``WRITE_GOLDEN=1 pytest`` on this file.
"""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from sepray.contracts import Signal
from sepray.report import best_trials, cross_weights, example_items, hyperparameters, search_progress
from sepray.separators import cass
from sepray.training.trainer import build

from .studies import EACH, SIGNAL, SPACE, data, searched, spec, study_results, trial

GOLDEN = Path(__file__).with_name("golden_figures.json")


def numbers(values: object) -> list[float]:
    """A few numbers as they are; of many their count, their root mean square and a sum by place."""
    flat = np.ma.filled(np.ma.asarray(values, dtype=float), -1.0).ravel()
    flat = np.where(np.isfinite(flat), flat, -7.0)
    if len(flat) > 24:
        flat = np.array(
            [len(flat), np.sqrt(np.square(flat).mean()), (np.cos(0.7 * np.sqrt(np.arange(len(flat)))) * flat).mean()]
        )
    return [float(f"{value:.5g}") for value in flat]


def label(artist: Artist) -> str:
    """Return the name in a legend; empty for a line that the legend leaves out, whose name depends on matplotlib."""
    return "" if str(artist.get_label()).startswith("_") else str(artist.get_label())


def described(figure: Figure) -> list[object]:
    """The size of a figure, and the texts, limits and marks of each of its panels."""
    found: list[object] = [numbers(figure.get_size_inches())]
    for axes in figure.axes:
        legend = axes.get_legend()
        panel: dict[str, object] = {
            "titles": [axes.get_title(loc=place) for place in ("left", "center", "right")],
            "labels": [axes.get_xlabel(), axes.get_ylabel(), axes.get_xscale(), axes.get_yscale()],
            "limits": numbers([*axes.get_xlim(), *axes.get_ylim()]),
            "legend": [text.get_text() for text in legend.get_texts()] if legend else None,
            "shown": [axes.axison, bool(axes.yaxis_inverted()), axes.get_aspect() == "auto"],
            "texts": [[t.get_text(), *numbers(t.get_position())] for t in axes.texts],
            "lines": [[label(x), x.get_alpha(), *numbers(x.get_xydata()), x.get_drawstyle()] for x in axes.lines],
            "patches": [[label(p), p.get_alpha(), *numbers(p.get_path().get_extents().bounds)] for p in axes.patches],
            "images": [[*i.get_array().shape, *numbers(i.get_array()), *numbers(i.get_clim())] for i in axes.images],
        }
        for axis in (axes.xaxis, axes.yaxis):
            if isinstance(axis.get_major_locator(), FixedLocator):
                ticks = [tick.get_text() for tick in axis.get_ticklabels()]
                panel[f"{axis.axis_name} ticks"] = [*numbers(axis.get_ticklocs()), *ticks]
        panel["collections"] = [
            [
                label(c),
                c.get_alpha(),
                numbers(c.get_offsets()),
                numbers(c.get_sizes() if hasattr(c, "get_sizes") else []),
                len(c.get_facecolor()),
            ]
            for c in axes.collections
        ]
        found.append(panel)
    return found


def pareto_trials() -> list:
    values = [[0.1, 0.9], [0.5, 0.5], [0.6, 0.6], [0.9, 0.1]]
    return [trial(k, [0.5], values=each) for k, each in enumerate(values)]


def crossing() -> list:
    noise = np.random.default_rng(5).permutation(12) / 12
    found = []
    for k in range(12):
        params = {"adversarial": 1, "cross.low_to_high": k / 12, "cross.high_to_low": float(noise[k])}
        found.append(trial(k, [0.5], values=[0.3 + 0.01 * float(noise[-k]), 0.9 - k / 24], params=params))
    return found


def judged() -> object:
    separator = build(cass.DEBUG, SIGNAL, seed=3).eval()
    with torch.no_grad():
        for critic in separator.discriminators:  # as sure as trained ones
            critic.head.weight.mul_(60)
    return best_trials.discriminators(separator, data().validation, SIGNAL.sources, "the champion")


def item(shape: tuple[int, ...], rate: float | None) -> list[example_items.MediaFile]:
    signal = Signal(("a", "b"), 1, shape, rate)
    count = int(np.prod(shape))
    values = torch.cos(torch.arange(5.0 * count).square() / 900).reshape(5, 1, *shape)
    made = example_items.ExampleItem("best", 3, 0.15, values[0], values[1:3], values[3:], [0.1, 0.2])
    return example_items.figures_of(made, signal, "SI-SDR (dB)")


FIGURES = {
    "history": lambda _, finished: search_progress.history(finished),
    "pruning": lambda _, finished: search_progress.pruning(finished),
    "learning": lambda _, finished: search_progress.learning(finished),
    "pareto": lambda tmp_path, _: search_progress.pareto(study_results(tmp_path, pareto_trials(), EACH)),
    "parallel": lambda tmp_path, _: hyperparameters.parallel_coordinates(study_results(tmp_path, searched())),
    "cross": lambda tmp_path, _: cross_weights.cross_weights(
        study_results(tmp_path, crossing(), EACH, data=data(), spec=spec(objective=("relative_l2:each",)))
    ),
    "cross of one objective": lambda tmp_path, _: cross_weights.cross_weights(
        study_results(
            tmp_path,
            [trial(k, [each.values[1]], params=each.params) for k, each in enumerate(crossing())],
            data=data(),
        )
    ),
    "parallel of some settings": lambda tmp_path, _: hyperparameters.parallel_coordinates(
        study_results(
            tmp_path,
            [
                trial(
                    k,
                    [k + 1.0],
                    params={"adversarial": k % 2, "learning_rate": rate},
                    distributions={name: SPACE[name] for name in ("adversarial", "learning_rate")},
                )
                for k, rate in enumerate((0.02, 0.021, 1e-4, 1e-3, 3e-4, 0.09, 5e-4, 2e-4))
            ],
        )
    ),
    "retrainings": lambda _, finished: best_trials.retrainings(finished),
    "errors": lambda _, finished: best_trials.error_curves(finished, "finals", 0, "the champion"),
    "discriminators": lambda *_: judged(),
    "sound": lambda *_: item((2048,), 4000.0),
    "long sound": lambda *_: item((9001,), 500.0),
    "image": lambda *_: item((4, 6), None),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_what_it_was(name, tmp_path, finished, drawn):
    made = FIGURES[name](tmp_path, finished)
    told = made if isinstance(made, list) else [made.key, made.title, made.sentence, made.note, *made.figures]
    words = [dataclasses.astuple(part)[2:] if dataclasses.is_dataclass(part) else part for part in told]
    found = json.loads(json.dumps({"words": words, "figures": {file: described(f) for file, f in drawn.items()}}))
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if os.environ.get("WRITE_GOLDEN"):
        each = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in sorted({**golden, name: found}.items())]
        GOLDEN.write_text("{\n" + ",\n".join(each) + "\n}\n")
        return
    assert close(found, golden[name]) == golden[name]


def close(found: object, kept: object) -> object:
    """The kept values where the found ones are as near as another version of numpy may bring them."""
    if isinstance(found, dict) and isinstance(kept, dict):
        return {key: close(value, kept.get(key)) for key, value in found.items()}
    if isinstance(found, list) and isinstance(kept, list) and len(found) == len(kept):
        return [close(*pair) for pair in zip(found, kept, strict=True)]
    return kept if isinstance(kept, float) and found == pytest.approx(kept, rel=1e-3, abs=1e-4) else found
