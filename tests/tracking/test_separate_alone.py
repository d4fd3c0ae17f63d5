"""The script that separates in a process of its own: what it says of errors, and the bytes of its answers."""

import io
import json

import numpy as np

from sepray.tracking import separate_alone


class Doubling:
    def predict(self, mixtures, params):
        self.params = params
        return 2 * mixtures[:, None]


def test_array_is_separated_with_its_parameters():
    content, model = io.BytesIO(), Doubling()
    np.save(content, np.full((3, 1, 4), 0.25, np.float32))
    found = np.load(io.BytesIO(separate_alone._separate(model, content.getvalue(), {"device": "cpu"})))
    assert (found.shape, found.dtype, found.min(), found.max()) == ((3, 1, 1, 4), np.float32, 0.5, 0.5)
    assert model.params == {"device": "cpu"}


def test_errors_have_their_kind_and_missing_modules_their_name():
    assert separate_alone._told(ValueError("shapes")) == {"error": "ValueError: shapes", "missing": None}
    missing = ModuleNotFoundError("No module named 'x'", name="x")
    assert separate_alone._told(missing) == {"error": "ModuleNotFoundError: No module named 'x'", "missing": "x"}
    assert separate_alone._told(ImportError("cannot import", name="x"))["missing"] is None


def test_answer_is_a_line_and_then_its_content():
    answers = io.BytesIO()
    separate_alone._say(answers, {"bytes": 2}, b"ab")
    line, _, content = answers.getvalue().partition(b"\n")
    assert (json.loads(line), content) == ({"bytes": 2}, b"ab")
