"""Tune saves nothing of sepray's callbacks."""

import pickle

from sepray.execution.unsaved import UnsavedCallback


def test_what_a_callback_holds_is_not_pickled():
    callback = UnsavedCallback()
    callback.held = lambda: None  # which pickle refuses
    assert vars(pickle.loads(pickle.dumps(callback))) == {}
