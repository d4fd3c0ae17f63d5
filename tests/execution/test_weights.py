"""Weights of trained separators, from the checkpoints of trials."""

from dataclasses import replace

import pytest
import torch

from sepray.contracts import Signal
from sepray.execution import checkpoint, weights
from sepray.execution.checkpoint import Checkpoint
from sepray.separators import cass
from sepray.training.trainer import Trainer, build

SIGNAL = Signal(("low", "high"), 1, (64,), 64.0)


def test_separator_is_loaded_with_the_weights_of_a_trials_newest_checkpoint(tmp_path):
    generator = torch.Generator().manual_seed(0)
    mixture = torch.randn(8, 1, 64, generator=generator)
    sources = torch.randn(8, 2, 1, 64, generator=generator)
    trainer = Trainer(
        build(cass.DEBUG, SIGNAL, 3), {"mixture": mixture, "sources": sources}, {}, 3, 4, cass.DEBUG.betas
    )
    for epoch in (1, 2):
        trainer.epoch()
        named, state = trainer.state()
        tensors = {f"0/{name}": tensor for name, tensor in named.items()}
        checkpoint.save(str(tmp_path / "trial"), epoch, tensors, {"members": [state]})
    loaded = weights.load_separator(cass.DEBUG, SIGNAL, str(tmp_path / "trial"))
    assert not loaded.training
    assert torch.equal(loaded.separate(mixture), trainer.separator.eval().separate(mixture))
    with pytest.raises(FileNotFoundError, match=r"no undamaged checkpoint in .*other"):
        weights.load_separator(cass.DEBUG, SIGNAL, str(tmp_path / "other"))
    with pytest.raises(RuntimeError, match=r"size mismatch"):
        weights.load_separator(replace(cass.DEBUG, width=8), SIGNAL, str(tmp_path / "trial"))


def test_state_of_a_member_holds_its_separator_alone():
    names = ("0/separator.a.weight", "1/separator.a.weight", "11/separator.a.weight", "1/adam.a.separator.b")
    saved = Checkpoint(1, {name: torch.tensor(float(k)) for k, name in enumerate(names)}, {})
    assert {m: {k: float(v) for k, v in weights.state_of_member(saved, m).items()} for m in (0, 1, 11)} == {
        0: {"a.weight": 0.0},
        1: {"a.weight": 1.0},
        11: {"a.weight": 2.0},
    }
    assert weights.state_of_member(saved) == weights.state_of_member(saved, 0)
