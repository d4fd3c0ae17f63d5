"""Trainings of published settings on the seeds of all retrainings, where no other retraining has these settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..arms import hyperparameters, of_settings
from .prepared import PreparedStudy
from .retrainings import Retraining, new_seeds


def reference_retrainings(prepared: PreparedStudy, own: Sequence[Retraining]) -> list[Retraining]:
    """Return the retrainings of published settings that are not among the others.

    Args:
        prepared: the study.
        own: all other retrainings.
    """
    seeds = new_seeds(prepared.final_seeds, prepared.spec.seed)
    found = []
    for label, point in prepared.references.items():
        arm, settings = reference_settings(prepared, point)
        epochs = prepared.reference_epochs(label)
        if epochs is None and any(each.hyperparameters == settings and each.arm == arm for each in own):
            continue
        found += [
            Retraining(f"{label} seed {k}", label, settings, seed, arm, reference=label, epochs=epochs)
            for k, seed in enumerate(seeds, 1)
        ]
    return found


def reference_settings(prepared: PreparedStudy, point: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the arm of published settings, empty if they have none, and all settings that they are trained with."""
    arm = of_settings(prepared.arms, {**prepared.separator.hyperparameters(), **point}) if prepared.arms else None
    return (arm, hyperparameters(prepared.arms[arm], point)) if arm else ("", dict(point))


def reference_roles(prepared: PreparedStudy, plan: Sequence[Retraining]) -> dict[str, str]:
    """Return the role of the retrainings that have each of the published settings, by the settings' name."""
    found = {}
    for label, point in prepared.references.items():
        arm, settings = reference_settings(prepared, point)
        same = (r for r in plan if r.reference == label or (r.hyperparameters == settings and r.arm == arm))
        fitting = [r.role for r in same if r.epochs == prepared.reference_epochs(label)]
        if fitting:
            found[label] = fitting[0]
    return found
