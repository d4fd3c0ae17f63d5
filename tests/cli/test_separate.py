"""``sepray separate``: recordings in, recordings of each source out."""

import io
import json
import sys

import mlflow.pyfunc
import numpy as np
import pytest
import soundfile

from sepray.cli import main as cli
from sepray.models.model import Model
from sepray.tracking.packaged_model import PackagedModel

from .conftest import slow_wave


def test_length_rate_type_and_level_of_each_channel_are_kept(models, tmp_path, run):
    wave = slow_wave(8000, 3.2174, channels=2)
    soundfile.write("belly.wav", wave.T, 8000, subtype="PCM_24")
    out = run("separate", models.half, "belly.wav", "-o", "deep/out")
    assert "3 s at 8000 Hz, separated at 128 Hz" in out
    files = sorted(p.name for p in (tmp_path / "deep/out").iterdir())
    assert files == ["belly.fetal.wav", "belly.maternal.wav", "belly.png"]
    for name in ("fetal", "maternal"):
        estimate, rate = soundfile.read(f"deep/out/belly.{name}.wav")
        assert (rate, estimate.shape) == (8000, (25739, 2))
        assert soundfile.info(f"deep/out/belly.{name}.wav").subtype == "PCM_24"
        # half of it, but for the ends, where the change of rate misses what lies beyond
        np.testing.assert_allclose(estimate.T[:, 1000:-1000], wave[:, 1000:-1000] / 2, atol=1e-3)
    assert (tmp_path / "deep/out/belly.png").read_bytes().startswith(b"\x89PNG")


def test_at_the_models_own_rate_there_are_no_seams(models, run):
    wave = slow_wave(128, 20).astype(np.float32)
    np.save("wave.npy", wave[0])
    shown = json.loads(run("separate", models.most, "wave.npy", "--rate", 128, "--no-picture", "--json"))
    assert shown["files"] == ["wave.fetal.npy", "wave.maternal.npy"]
    assert (shown["rate"], shown["frames"], shown["channels"]) == (128, 2560, 1)
    np.testing.assert_allclose(np.load("wave.maternal.npy"), 0.9 * wave[0], atol=1e-6)
    np.testing.assert_allclose(np.load("wave.fetal.npy"), 0.1 * wave[0], atol=1e-6)


def test_standard_input_to_standard_output(models, tmp_path, monkeypatch):
    wave = slow_wave(128, 2)[0]
    typed = io.TextIOWrapper(io.BytesIO("".join(f"{v:.6f}\n" for v in wave).encode()))
    printed = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdin", typed)
    monkeypatch.setattr(sys, "stdout", printed)
    arguments = ["separate", models.most, "-", "--rate", "128", "-o", "-", "--source", "fetal"]
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 0
    printed.flush()
    estimate = np.loadtxt(io.BytesIO(printed.buffer.getvalue()))
    np.testing.assert_allclose(estimate, 0.1 * wave, atol=1e-6)
    assert not list(tmp_path.iterdir())


def test_number_type_is_kept_and_quiet_prints_nothing(models, run):
    np.save("counts.npy", (100 * slow_wave(128, 2)[0]).astype(np.int8))
    assert run("separate", models.most, "counts.npy", "--rate", "128", "--quiet") == ""
    expected = np.rint(np.float32(0.9) * np.load("counts.npy").astype(np.float32))
    assert np.abs(np.load("counts.maternal.npy") - expected).max() <= 1
    assert np.load("counts.maternal.npy").dtype == np.int8


def test_clipped_samples_are_counted(models, monkeypatch, capsys):
    """A model that makes louder signals than the recording's numbers can hold."""
    separate = Model.separate
    monkeypatch.setattr(Model, "separate", lambda self, mixtures: 3 * separate(self, mixtures))
    counts = (100 * slow_wave(128, 2)[0]).astype(np.int8)
    np.save("counts.npy", counts)
    with pytest.raises(SystemExit) as end:
        cli.main(["separate", models.most, "counts.npy", "--rate", "128"])
    assert end.value.code == 0
    beyond = np.abs(2.7 * counts.astype(np.float32))
    clipped = np.count_nonzero(beyond > 128)
    assert 20 < clipped == np.count_nonzero(beyond > 126)  # none where rounding decides
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note:")]
    assert notes == [f"note: {clipped} samples of maternal are clipped: the input's number type ends below them"]
    assert np.load("counts.maternal.npy").max() == 127


def test_failed_separation_leaves_nothing(models, tmp_path, run, monkeypatch):
    np.save("wave.npy", slow_wave(128, 2)[0])

    def broken(*arguments):
        raise ValueError("the picture cannot be drawn")

    monkeypatch.setattr("sepray.models.separation.draw", broken)
    printed = run("separate", models.most, "wave.npy", "--rate", "128", "-o", "a/b", status=3)
    assert "the picture cannot be drawn" in printed
    assert [p.name for p in tmp_path.iterdir()] == ["wave.npy"]


def test_window_and_device_reach_the_model(models, run, monkeypatch):
    asked = []
    predict = PackagedModel.predict

    def recorded(self, data, params):
        asked.append((data.shape[-1], params))
        return predict(self, data, params)

    monkeypatch.setattr(PackagedModel, "predict", recorded)
    np.save("wave.npy", slow_wave(128, 4)[0])
    run("separate", models.most, "wave.npy", "--rate", 128, "--window", 0.5, "--device", "cpu")
    assert set(map(str, asked)) == {"(64, {'device': 'cpu'})"}  # 0.5 s at the model's 128 Hz
    asked.clear()
    run("separate", models.most, "wave.npy", "--rate", 128)
    assert set(map(str, asked)) == {"(96, {'device': 'auto'})"}  # as in training


def test_source_rate_and_picture_choose_the_files(models, tmp_path, run):
    np.save("wave.npy", slow_wave(64, 4)[0])
    shown = json.loads(run("separate", models.most, "wave.npy", "--rate", 64, "--source", "fetal", "--json"))
    assert shown["files"] == ["wave.fetal.npy", "wave.png"]
    assert shown["rate"] == 64
    run("separate", models.most, "wave.npy", "--rate", 64, "-o", "bare", "--no-picture")
    assert sorted(p.name for p in (tmp_path / "bare").iterdir()) == ["wave.fetal.npy", "wave.maternal.npy"]


def test_tracking_uri_is_where_the_model_is_loaded_from(models, run, monkeypatch):
    from sepray.tracking import models as registry

    load, asked = registry.load, []
    monkeypatch.setattr(registry, "load", lambda model, uri: asked.append(uri) or load(model, uri))
    np.save("wave.npy", slow_wave(128, 2)[0])
    run("separate", models.most, "wave.npy", "--rate", 128, "--tracking-uri", "sqlite:///elsewhere.db")
    assert asked == ["sqlite:///elsewhere.db"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--source", "foetal"], "{model} has no source 'foetal'; it separates maternal, fetal"),
        (["--window", "0.1"], "window must be at least 0.125 s at the model's 128 Hz, not 0.1"),
        (["--window", "0"], "window must be more than 0 seconds, not 0"),
        (["--window", "inf"], "window must be more than 0 seconds, not inf"),
    ],
)
def test_what_the_model_cannot_do_is_refused(models, run, arguments, line):
    np.save("wave.npy", slow_wave(128, 2)[0])
    printed = run("separate", models.most, "wave.npy", "--rate", 128, *arguments, status=2)
    assert printed == f"sepray: {line.format(model=models.most)}\n"


def test_brackets_in_a_name_are_printed_as_they_are(models, run):
    np.save("take[bold].npy", slow_wave(128, 2)[0])
    assert "  take[bold].fetal.npy\n" in run("separate", models.most, "take[bold].npy", "--rate", 128)


def test_model_of_another_maker_is_refused(run, tmp_path):
    class Constant(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return model_input

    mlflow.pyfunc.save_model(tmp_path / "other", python_model=Constant())
    np.save("wave.npy", slow_wave(128, 2)[0])
    line = "sepray: other is a model of MLflow, but not one that sepray packaged\n"
    assert run("separate", "other", "wave.npy", "--rate", 128, status=2).endswith(line)
    assert run("evaluate", "other", status=2).endswith(line)


def test_folder_keeps_its_subfolders_and_the_model_is_loaded_once(models, tmp_path, run, monkeypatch):
    from sepray.tracking import models as registry

    load, asked = registry.load, []
    monkeypatch.setattr(registry, "load", lambda model, uri: asked.append(model) or load(model, uri))
    for name in ("in/b.npy", "in/x/a.npy"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(name, slow_wave(128, 2)[0])
    printed = run("separate", models.most, "in", "-o", "out", "--rate", 128, "--source", "fetal", "--no-picture")
    assert printed.splitlines() == [
        *("in/b.npy: 2 s at 128 Hz, separated at 128 Hz into", "  out/b.fetal.npy"),
        *("in/x/a.npy: 2 s at 128 Hz, separated at 128 Hz into", "  out/x/a.fetal.npy"),
    ]
    assert asked == [models.most]
    np.testing.assert_allclose(np.load("out/x/a.fetal.npy"), 0.1 * np.load("in/x/a.npy"), atol=1e-6)


def test_unreadable_recordings_are_told_at_the_end_and_the_others_are_done(models, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    np.save("in/b.npy", slow_wave(128, 2)[0])
    (tmp_path / "in/a.csv").write_text("1,2\n3\n")
    (tmp_path / "in/c.wav").touch()
    described = {"input": "in/b.npy", "rate": 128.0, "frames": 256, "channels": 1, "model": models.most}
    for flags, quiet in ((["--json"], False), (["--quiet"], True)):
        with pytest.raises(SystemExit) as end:
            cli.main(["separate", models.most, "in", "-o", "out", "--rate", "128", *flags])
        assert end.value.code == 2
        printed = capsys.readouterr()
        assert printed.err.splitlines() == [
            "sepray: 2 of 3 recordings could not be separated:",
            "  in/a.csv has 1 columns in line 2, but 2 before",
            "  in/c.wav is empty",
        ]
        if quiet:
            assert printed.out == ""
            continue
        assert json.loads(printed.out) == [
            {"input": "in/a.csv", "error": "in/a.csv has 1 columns in line 2, but 2 before"},
            described | {"files": ["out/b.fetal.npy", "out/b.maternal.npy", "out/b.png"], "notes": []},
            {"input": "in/c.wav", "error": "in/c.wav is empty"},
        ]


def test_several_recordings_are_separated_and_clipping_names_its_own(models, monkeypatch, capsys):
    separate = Model.separate
    monkeypatch.setattr(Model, "separate", lambda self, mixtures: 3 * separate(self, mixtures))
    np.save("soft.npy", (30 * slow_wave(128, 2)[0]).astype(np.int8))
    np.save("loud.npy", np.array([0, 127, 0, -128] * 64, dtype=np.int8))
    with pytest.raises(SystemExit) as end:
        cli.main(
            ["separate", models.half, "soft.npy", "loud.npy", "--rate", "128", "--no-picture", "--source", "fetal"]
        )
    assert end.value.code == 0
    printed = capsys.readouterr()
    assert printed.out.count("separated at 128 Hz into") == 2
    assert printed.err == "note: loud.npy: 128 samples of fetal are clipped: the input's number type ends below them\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["wave.npy", "-"], "standard input and output (-) take one recording, not several or a folder"),
        (["folder", "-o", "-", "--source", "fetal"], "standard input and output (-) take one recording, not several"),
        ([], "no recording to separate; give a file, a folder, or - for standard input"),
        (["folder"], "there are no recordings in folder: no file named *.wav"),
        (["wave.npy", "folder/../wave.npy"], "wave.npy and folder/../wave.npy would both be separated into ."),
        (["wave.npy", "other.npy", "--source", "lung"], "{model} has no source 'lung'; it separates maternal, fetal"),
        (["wave.npy", "other.npy", "--window", "0.1"], "window must be at least 0.125 s at the model's 128 Hz, not"),
    ],
)
def test_what_does_not_go_together_is_refused(models, tmp_path, run, arguments, line):
    (tmp_path / "folder").mkdir()
    for name in ("wave.npy", "other.npy"):
        np.save(name, slow_wave(128, 2)[0])
    printed = run("separate", models.most, *arguments, "--rate", 128, status=2)
    assert printed.startswith(f"sepray: {line.format(model=models.most)}")
    assert printed.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "other.npy", "wave.npy"]


def test_bar_is_on_standard_error_of_a_terminal_alone(models, monkeypatch, capsys):
    np.save("wave.npy", slow_wave(128, 40)[0])
    np.save("other[bold].npy", slow_wave(128, 40)[0])
    for terminal, quiet, shown in ((True, [], True), (False, [], False), (True, ["--quiet"], False)):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal, raising=False)
        with pytest.raises(SystemExit) as end:
            cli.main(["separate", models.most, "wave.npy", "other[bold].npy", "--rate", "128", "--no-picture", *quiet])
        assert end.value.code == 0
        printed = capsys.readouterr()
        assert ("100%" in printed.err) == shown
        assert ("other[bold].npy" in printed.err) == shown
        assert "%" not in printed.out
