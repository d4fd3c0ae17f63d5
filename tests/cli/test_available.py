"""What there is, read from the sources of separators and tasks."""

import pytest

from sepray.cli import available


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("class A(contracts.Separator): pass", ["paired"]),  # the default of the base class
        ("class A(contracts.Oracle): pass", ["none"]),
        ("class A(contracts.Separator):\n    supervision: object = contracts.Supervision.NONE", ["none"]),
        ("class B(contracts.Separator): pass\nclass A(contracts.Oracle, B): pass", ["none", "paired"]),
        ("class M: pass\nclass A(M, contracts.Oracle): pass", ["none"]),
        ("class A(contracts.Oracle):\n    supervision = chosen()", ["none"]),  # only running it would tell
        ("class A(torch.nn.Module):\n    supervision = contracts.Supervision.NONE", []),
        ("class A:\n    supervision = contracts.Supervision.NONE", []),
    ],
)
def test_needs_of_a_separator_are_found_through_its_base_classes(text, needs, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "needy.py").write_text(f"import torch\nfrom sepray import contracts\n{text}\n")
    assert available.supervisions("needy") == tuple(needs)
