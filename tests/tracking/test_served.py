"""A served model: whatever strangers send is answered rightly or refused, and the next request is answered rightly."""

import asyncio
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server

from sepray.contracts import Separator, Signal
from sepray.tracking import served
from sepray.tracking.connection import import_mlflow
from sepray.tracking.loader import SeparationModel
from sepray.tracking.served import ServedModel

from .scaled import EXPECTED, MIXTURES, package

SIGNAL = Signal(("a", "b"), 1, (8,), 4.0)


class Halves(Separator):
    """Halves of the mixture; refuses other lengths than eight, as separators do whose layers have a size."""

    def __init__(self):
        super().__init__(SIGNAL)
        self.gain = torch.nn.Parameter(torch.full((8,), 0.5))
        self.mixtures = 0

    def separate(self, mixture):
        self.mixtures += len(mixture)
        return torch.stack([mixture * self.gain, mixture * self.gain], dim=1)


@pytest.fixture
def halves():
    return ServedModel(SeparationModel(Halves(), SIGNAL))


def refused(model, data, params=None):
    """Return why a request is refused, where a server answers it with 400."""
    with pytest.raises(MlflowException) as refusal:
        model.predict(data, params)
    assert (refusal.value.error_code, refusal.value.get_http_status_code()) == ("INVALID_PARAMETER_VALUE", 400)
    return refusal.value.message


def answers_rightly(model):
    np.testing.assert_array_equal(model.predict(np.ones((3, 1, 8))), np.full((3, 2, 1, 8), 0.5, np.float32))


@pytest.mark.parametrize("device", ["meta", "cuda:99", "mps", "vulkan", "no device", "", "cpu\0", 3, None])
def test_a_device_that_is_not_here_is_refused_and_the_weights_stay(halves, device):
    assert "there is no device" in refused(halves, np.ones((1, 1, 8)), {"device": device})
    answers_rightly(halves)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_values_that_are_not_finite_are_refused_before_anything_is_computed(halves, value):
    assert "not finite" in refused(halves, np.array([[[0.0] * 7 + [value]]]))
    assert halves.model.separator.mixtures == 0
    answers_rightly(halves)


def test_estimates_that_are_not_finite_are_no_answer(halves):
    halves.model.separator.gain.data *= 1e3
    assert "estimates of these mixtures are not finite" in refused(halves, np.full((1, 1, 8), 1e38))


def test_other_shapes_are_refused_in_words(halves):
    assert refused(halves, np.ones((1, 2, 8))) == "expected [batch, 1 channel(s), time], got [1, 2, 8]"
    assert refused(halves, np.ones((2, 1, 0))) == "a mixture has at least one value"
    assert refused(halves, np.ones((1, 1, 7))).startswith("mixtures [1, 1, 7] cannot be separated: The size of tensor")
    assert refused(halves, [[1, 2], [3]]) == "mixtures are numbers, in arrays of one shape"
    assert halves.predict(np.ones((0, 1, 8))).shape == (0, 2, 1, 8)


def test_length_and_work_are_limited_and_the_error_says_how_to_raise_the_limit(halves, monkeypatch):
    monkeypatch.setenv(served.LENGTH, "8")
    monkeypatch.setenv(served.VALUES, "24")
    answers_rightly(halves)
    told = refused(halves, np.ones((1, 1, 9)))
    assert told.startswith("a mixture has at most 8 values in a channel here, not 9: ")
    assert "SEPRAY_SERVE_LENGTH" in told
    told = refused(halves, np.ones((4, 1, 8)))
    assert told.startswith("a request has at most 24 values here, not 32: ")
    assert "SEPRAY_SERVE_VALUES" in told
    monkeypatch.setenv(served.VALUES, "a lot")  # the default
    assert halves.predict(np.ones((4, 1, 8))).shape == (4, 2, 1, 8)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (np.full((1, 1, 8), 1 + 2j), "complex128"),
        (np.full((1, 1, 8), "2026-01-01", "datetime64[s]"), r"datetime64[s]"),
        (np.full((1, 1, 8), 3, "timedelta64[s]"), r"timedelta64[s]"),
        ([[["1"] * 8]], "<U1"),
        ([[[b"1"] * 8]], "|S1"),
    ],
)
def test_what_are_no_real_numbers_is_refused_and_not_made_into_them(halves, data, kind):
    assert refused(halves, data) == f"mixtures are real numbers, not {kind}"
    with pytest.raises(ValueError, match="mixtures are real numbers, not"):
        halves.model.predict(data)
    assert halves.model.separator.mixtures == 0
    for fine in (np.ones((3, 1, 8), bool), np.ones((3, 1, 8), np.uint8), np.ones((3, 1, 8), np.float16)):
        np.testing.assert_array_equal(halves.predict(fine), np.full((3, 2, 1, 8), 0.5, np.float32))


def test_mixtures_of_a_request_are_limited_however_short_they_are(halves, monkeypatch):
    monkeypatch.delenv(served.ITEMS, raising=False)
    told = refused(halves, np.ones((4097, 1, 8)))
    assert told.startswith("a request has at most 4096 mixtures here, not 4097: ")
    assert "SEPRAY_SERVE_ITEMS" in told
    assert halves.predict(np.ones((4096, 1, 8))).shape == (4096, 2, 1, 8)
    monkeypatch.setenv(served.ITEMS, "2")
    assert refused(halves, np.ones((3, 1, 8))).startswith("a request has at most 2 mixtures here, not 3: ")
    assert halves.predict(np.ones((2, 1, 8))).shape == (2, 2, 1, 8)


def test_limits_by_default_are_three_minutes_and_64_mib(halves, monkeypatch):
    for variable in (served.LENGTH, served.VALUES, served.ITEMS):
        monkeypatch.delenv(variable, raising=False)
    silence = np.float32(0)
    told = refused(halves, np.broadcast_to(silence, (1, 1, 2**23 + 1)))
    assert told.startswith("a mixture has at most 8388608 values in a channel here, not 8388609: ")
    told = refused(halves, np.broadcast_to(silence, (3, 1, 2**23)))
    assert told.startswith("a request has at most 16777216 values here, not 25165824: ")


def test_an_accelerator_without_memory_is_no_fault_of_the_request(halves, monkeypatch):
    def full(part):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(halves.model.separator, "separate", full)
    with pytest.raises(torch.OutOfMemoryError):
        halves.predict(np.ones((1, 1, 8)))


_numbers = st.one_of(st.floats(width=32), st.integers(-(10**40), 10**40), st.none(), st.booleans(), st.text(max_size=3))
_nested = st.recursive(_numbers, lambda inner: st.lists(inner, max_size=4), max_leaves=20)
_shaped = st.tuples(*[st.integers(0, 3)] * 3).flatmap(
    lambda shape: st.lists(st.floats(), min_size=int(np.prod(shape)), max_size=int(np.prod(shape))).map(
        lambda values: np.reshape(values, shape).tolist()
    )
)
_params = st.dictionaries(
    st.sampled_from(["device", "other"]), st.sampled_from(["meta", "cpu", "auto", "cuda", "", 1, None, ["cpu"], {}])
)
_requests = st.one_of(
    st.fixed_dictionaries({"inputs": st.one_of(_nested, _shaped)}, optional={"params": _params}).map(json.dumps),
    st.text(max_size=30),
    st.dictionaries(st.sampled_from(["inputs", "instances", "params", "dataframe_split"]), _nested).map(json.dumps),
)


def posted(app, request):
    """Status and answer of a server's application, asked without a network."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": json.dumps(request).encode(), "more_body": False}

    async def send(message):
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "http_version": "1.1", "method": "POST", "path": "/invocations", "raw_path": b""}
    scope |= {"headers": headers, "query_string": b"", "scheme": "http", "server": ("a", 1), "client": ("b", 2)}
    asyncio.run(app(scope, receive, send))
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(body)


def test_a_server_answers_what_it_refuses_with_400_and_then_what_is_right(tmp_path, separator, unchecked):
    package(tmp_path / "model", separator)
    app = scoring_server.init(import_mlflow().pyfunc.load_model(str(tmp_path / "model")))
    good = {"inputs": MIXTURES.tolist()}
    for bad, reason in (
        ({**good, "params": {"device": "meta"}}, "there is no device 'meta' here; give auto, cpu or cuda"),
        ({"inputs": [[[0.5, float("inf")]]]}, "mixtures hold NaN, infinity, or what is not finite in float32"),
        ({"inputs": [[[float("nan")]]]}, "mixtures hold NaN, infinity, or what is not finite in float32"),
    ):
        status, answer = posted(app, bad)
        assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
        assert reason in answer["message"]
    status, answer = posted(app, good)
    assert status == 200
    np.testing.assert_allclose(np.array(answer["predictions"]), EXPECTED, rtol=1e-6)


def test_after_a_thousand_random_requests_a_good_one_is_answered_rightly(tmp_path, separator, unchecked):
    package(tmp_path / "model", separator)
    model = import_mlflow().pyfunc.load_model(str(tmp_path / "model"))
    schema = model.metadata.get_input_schema()

    def answer(request):
        return scoring_server.invocations(request, "application/json", model, schema)

    @settings(max_examples=1000, deadline=None, database=None, derandomize=True)
    @given(_requests)
    def answered_or_refused(request):
        try:
            response = answer(request)
        except MlflowException as refusal:
            assert refusal.get_http_status_code() == 400  # noqa: PT017 - either is right
        else:
            assert response.status == 200
            assert np.isfinite(np.array(json.loads(response.response)["predictions"], np.float64)).all()

    answered_or_refused()
    good = json.loads(answer(json.dumps({"inputs": MIXTURES.tolist(), "params": {"device": "cpu"}})).response)
    np.testing.assert_allclose(np.array(good["predictions"]), EXPECTED, rtol=1e-6)
