"""Files that others have written in the place of a study's result count as absent."""

import json

import pytest

from sepray.report.kept_result import read_registration, read_result

EFFECT = {"difference": -0.1, "low": -0.2, "high": None, "control": 1.0, "p": 0.01, "p_holm": 0.02}
CONTRAST = {"arm": "a", "control": "b", "seeds": 3, "items": 2, "effects": {"mean": EFFECT}, "claim": True}
CONTRAST |= {"items_decide": False, "seeds_needed": None}
ANSWER = {"metric": "si_sdr", "column": "mean", "contrasts": [CONTRAST], "importance": None, "sentence": "It is."}
MEMBER = {"trial": 3, "base": 0, "seed": 1, "scores": [[1.0, 2.0], [3.0, 4.0]]}
STEP = {"change": {"name": "beta", "old": 1, "new": "x", "brought": {"c": [None, 2]}}, "mean": 1.0, "gap": None}
STEP |= {"share": None}
EXPLANATION = {"origin": "control", "start": "it", "measure": "SI-SDR", "direction": "maximize", "order": "given"}
EXPLANATION |= {
    "seeds": 2,
    "epochs": 3,
    "first": None,
    "steps": [STEP],
    "total": {"difference": 1.0, "low": None, "high": 2},
}
OLD = {
    "member": 3,
    "role": "rank 1",
    "hyperparameters": {"beta": 0.5, "kind": "x", "none": None, "on": True},
    "validation": 3.5,
    "metric": "si_sdr",
    "scores": {"si_sdr": [[1.0, 2.0], [3.0, 4.0]]},
    "rows": [{"system": "champion", "values": {"a": [1.0, 0.5, 1.5], "mean": [1, 0, 2]}, "bold": True}],
}
NEW = {
    **OLD,
    "validation_scores": {"si_sdr": [[1.0, 2.0]]},
    "units": {"names": ["pieces"], "of_items": [["a"], ["b"]], "told": True},
    "scored": "test items",
    "columns": ["a", "mean"],
    "pairs": {"contrasts": [["a", "b"]], "systems": {"a": [MEMBER], "b": [{**MEMBER, "scores": None}]}},
    "best_of_arms": [1],
    "answer": ANSWER,
    "edges": ["beta is at its edge"],
    "samples": "",
    "references": [4],
    "explanation": EXPLANATION,
}


@pytest.mark.parametrize("result", [OLD, NEW, {**NEW, "answer": None, "explanation": None}, {**OLD, "later": 5}])
def test_result_is_read(tmp_path, result):
    assert read_result(tmp_path) is None
    (tmp_path / "result.json").write_text(json.dumps(result))
    assert read_result(tmp_path) == result


CHANGES = [
    *(("member", "3"), ("member", True), ("role", 5), ("hyperparameters", []), ("hyperparameters", {"a": [1]})),
    *(("validation", "x"), ("metric", 5), ("metric", "nothing"), ("metric", "mse"), ("scores", {}), ("scores", [])),
    *(("scores", {"si_sdr": table}) for table in ([], [[]], [[1], [1, 2]], [["a"]], 5)),
    *(("rows", rows) for rows in ([], [5], [{}], [{**OLD["rows"][0], "values": {"a": [1, 2, 3]}}])),
    *(("rows", [{**OLD["rows"][0], "values": {"mean": value}}]) for value in (5, [1, 2], ["a", 1, 2])),
    ("rows", [OLD["rows"][0], {**OLD["rows"][0], "values": {"a": [1, 2, 3]}}]),
    *(("validation_scores", 5), ("validation_scores", {"si_sdr": 5}), ("columns", "a"), ("columns", [5]), ("edges", 5)),
    *(("units", value) for value in (5, {}, {**NEW["units"], "of_items": [[], []]}, {**NEW["units"], "names": []})),
    *(("scored", 5), ("scored", "other"), ("samples", 5), ("references", ["a"]), ("best_of_arms", 5)),
    *(("pairs", value) for value in (5, {}, {"contrasts": [["a", "c"]], "systems": {"a": []}}, {"contrasts": []})),
    *(("pairs", {"contrasts": [], "systems": {"a": [value]}}) for value in (5, {}, {**MEMBER, "scores": [[]]})),
    *(("answer", value) for value in (5, {}, {**ANSWER, "contrasts": 5}, {**ANSWER, "metric": "x"})),
    *(("answer", value) for value in ({**ANSWER, "column": "b"}, {**ANSWER, "sentence": 5}, {**ANSWER, "others": [5]})),
    *(("answer", {**ANSWER, "contrasts": [value]}) for value in ({}, {**CONTRAST, "effects": {"mean": 5}})),
    *(("explanation", value) for value in (5, {"a": 1}, {**EXPLANATION, "steps": [5]}, {**EXPLANATION, "seeds": "x"})),
]


@pytest.mark.parametrize(("name", "value"), CHANGES)
def test_what_sepray_does_not_write_is_no_result(tmp_path, name, value):
    (tmp_path / "result.json").write_text(json.dumps({**NEW, name: value}))
    assert read_result(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", "5", "null", "[" * 100_000, "{}", '{"member": 3}', "\xff"])
def test_what_is_no_object_is_none(tmp_path, text):
    for name in ("result.json", "registration.json"):
        (tmp_path / name).write_text(text, encoding="latin-1")
    assert read_result(tmp_path) is None
    assert read_registration(tmp_path) == {}


def test_registration_is_read_or_absent(tmp_path):
    told = {"name": "m", "version": "3", "champion": True, "sentence": "Registered.", "waits": False, "commands": ["a"]}
    for value in (told, {**told, "version": None}, {"sentence": ""}):
        (tmp_path / "registration.json").write_text(json.dumps(value))
        assert read_registration(tmp_path) == value
    for name, value in (
        ("name", 5),
        ("version", 3),
        ("commands", "rm"),
        ("commands", [5]),
        ("sentence", []),
        ("more", 1),
    ):
        (tmp_path / "registration.json").write_text(json.dumps({**told, name: value}))
        assert read_registration(tmp_path) == {}
