"""Available separators and tasks, read from their sources."""

from types import SimpleNamespace

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


def test_module_is_described_by_its_first_sentences_and_its_configurations(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "described.py").write_text(
        '"""What it is,\nin two lines.\n\nMore."""\n\nfrom sepray.contracts import Separator, Supervision\n\n\n'
        'class Config:\n    """What it takes.\n\n    More.\n    """\n\n\n'
        "class Its(Separator):\n    supervision = Supervision.OBSERVED_SOURCE\n"
    )
    monkeypatch.setattr(available.registry, "module_name", lambda package, name: "described")
    monkeypatch.setattr(available.registry, "config_names", lambda package, name: ("quick", f"{package} {name}"))
    assert available._described("p", "it", "lab 1.5") == available.Available(
        "it", "What it is, in two lines.", "What it takes.", ("observed source",), ("quick", "p it"), "lab 1.5"
    )


def test_names_are_sorted_and_plugins_that_cannot_be_used_say_why(monkeypatch):
    usable = SimpleNamespace(problem=None, origin="lab 1.5")
    broken = SimpleNamespace(problem="it has no Config", origin="hall 2.0")
    monkeypatch.setattr(available.registry, "names", lambda package: ["b", "own"])
    monkeypatch.setattr(available.registry, "announced_modules", lambda package: {"b": usable, "a": broken})
    monkeypatch.setattr(available, "_described", lambda package, name, origin: (package, name, origin))
    assert available.available("p") == [
        available.Available("a", "it has no Config", origin="hall 2.0"),
        ("p", "b", "lab 1.5"),
        ("p", "own", "sepray"),
    ]
