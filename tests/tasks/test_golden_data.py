"""Every task's ``DEBUG`` has the signals of ``golden_data.json``: levels and places, of each source in each split.

They change only where a task's data are meant to change; then its ``VERSION`` changes too.
To add a task, or to keep new values: ``python -m tests.tasks.test_golden_data --write NAME ...`` (without names: all).
"""

import dataclasses
import json
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from sepray import registry
from sepray.contracts import SPLITS
from sepray.loading import load_task

GOLDEN = Path(__file__).with_name("golden_data.json")
PACKAGE = "sepray.tasks"
NAMES = [
    *(f"{name}:debug" for name in registry.names(PACKAGE)),
    *(f"{n}:{c}" for n in registry.names(PACKAGE) for c in registry.config_names(PACKAGE, n) if c.endswith("_debug")),
]


def described(name: str, cache: Path) -> dict[str, object]:
    """Return the signal, and for each split the root mean square of mixture and sources, and their sum by place."""
    data = load_task(registry.config(PACKAGE, name), cache)
    found: dict[str, object] = {
        "signal": dataclasses.asdict(data.signal),
        "augmentation": dataclasses.asdict(data.augmentation),
        "units": [*data.unit_names, *(len(set(getattr(data, split).units)) for split in SPLITS)],
    }
    for split in SPLITS:
        items = getattr(data, split)
        for label, values in (
            ("mixture", items.mixture),
            *zip(data.signal.sources, items.sources.unbind(1), strict=True),
        ):
            flat = values.double().flatten(1)
            places = torch.cos(0.7 * torch.arange(flat.numel(), dtype=torch.float64).reshape(flat.shape).sqrt())
            level = flat.square().mean().sqrt()
            found[f"{split}/{label}"] = [float(level), float((places * flat).mean() / level)]
    return json.loads(json.dumps(found))


@pytest.mark.parametrize("name", NAMES)
def test_debug_has_the_signals_that_it_had(name, tmp_path):
    kept = json.loads(GOLDEN.read_text())[name]
    found = described(name, tmp_path)
    command = f"python -m tests.tasks.test_golden_data --write {name}"
    close = {k: pytest.approx(v, rel=1e-3, abs=1e-5) if "/" in k else v for k, v in kept.items()}
    assert found == close, f"if that is meant: {command}"


if __name__ == "__main__":
    if sys.argv[1:2] != ["--write"]:
        sys.exit("usage: python -m tests.tasks.test_golden_data --write [NAME ...]")
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    for each in sys.argv[2:] or NAMES:
        with tempfile.TemporaryDirectory() as folder:
            golden[each] = described(each, Path(folder))
    GOLDEN.write_text(json.dumps(dict(sorted(golden.items())), indent=1) + "\n")
