"""Writes what optuna-dashboard shows beside trials: names of the objectives, and a note on the study."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import optuna

from .. import identity

_VERSION, _PART = "dashboard:note_ver", "dashboard:note_str:{}"
_LONGEST = 2045
"""System attributes in which optuna-dashboard keeps a study's note, and the characters of each part (its ``_note.py``).

They are written here, because the dashboard is a tool of the user's, which need not be installed where a study runs.
"""
_WRITTEN = "note"
"""User attribute with the digest of the note that was written last."""


def name_objectives(study: optuna.Study, keys: Sequence[str]) -> None:
    """Give a study the names of its objectives, unless it has them.

    Args:
        study: the study.
        keys: keys of the objectives, in the order of the study's directions.
    """
    names = [key.removeprefix("validation/") for key in keys]
    if study.metric_names != names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(names)


def save_note(study: optuna.Study, text: str) -> None:
    """Write the note on a study, or replace the one that this function has written; a user's own note stays.

    Args:
        study: the study.
        text: Markdown.
    """
    storage, number = study._storage, study._study_id
    kept = storage.get_study_system_attrs(number)
    before = [str(kept[name]) for k in range(len(kept)) if (name := _PART.format(k)) in kept]
    present = "".join(before)
    if present == text or (present and identity.digest(present) != study.user_attrs.get(_WRITTEN)):
        return
    study.set_user_attr(_WRITTEN, identity.digest(text))
    version = kept.get(_VERSION)  # of any type, if others have written it
    storage.set_study_system_attr(number, _VERSION, version + 1 if isinstance(version, int) else 1)
    parts = [text[start : start + _LONGEST] for start in range(0, len(text), _LONGEST)]
    for k, part in enumerate([*parts, *[""] * (len(before) - len(parts))]):
        storage.set_study_system_attr(number, _PART.format(k), part)
