"""Notes on what was left out survive the cache and are listed."""

from pathlib import Path

import pytest
import torch

from sepray.data import left_out


@pytest.mark.parametrize("reasons", [[], ["ä is cut short", "b: 2 < 3"]])
def test_reasons_are_kept_as_a_tensor_and_listed(reasons: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    tensor = left_out.to_tensor(reasons)
    assert tensor.dtype == torch.uint8
    assert left_out.from_tensor(tensor) == reasons
    left_out.report(reasons, Path("folder"), 9, "pictures")
    expected = "folder: left out 2 of 9 pictures\n  ä is cut short\n  b: 2 < 3\n" if reasons else ""
    assert capsys.readouterr() == ("", expected)
