"""MLflow's texts on a study and its model."""

from sepray.driver import notes
from sepray.scoring import answer_words
from sepray.scoring.answers import Answer, Contrast, Effect

from .hearts import HEARTS, SPEC

EFFECT = Effect(-0.00775, -0.013, -0.0025, 0.25, 0.008, 0.016)
CONTRAST = Contrast("trial 7", "plain", 8, 5, {"mean": EFFECT}, True, False, None)
ANSWER = answer_words.with_sentence(Answer("relative_l2", "mean", (CONTRAST,)))
RESULT = {
    "role": "trial 7",
    "metric": "relative_l2",
    "hyperparameters": {"beta": 0.123456789, "adversarial": 0},
    "rows": [{"system": "champion (trial 7)", "bold": True, "values": {"mean": [0.3, 0.2, 0.4]}}],
    "answer": ANSWER.plain(),
}


def test_description_has_answer_settings_table_and_data():
    text = notes.describe_model(SPEC, HEARTS, RESULT)
    assert text.startswith(
        f"{ANSWER}\n\n**relative L2 error on the test split: difference to plain**\n\n| arm&emsp; | mean&emsp; |"
    )
    assert (
        "\n\n**Settings of the champion, trial 7**\n\n| setting&emsp; | value |\n| --- | ---: |\n"
        "| `beta`&emsp; | 0.1235 |\n"
        "| `adversarial`&emsp; | 0 |\n\n**hearts: relative L2 error on the test split**\n\n| system&emsp; |" in text
    )
    assert "| **champion (trial 7)**&emsp; | -&emsp; | -&emsp; | 0.300\u00a0[0.200,\u00a00.400] |" in text
    assert text.endswith(f"\n\nChampion of the study `hearts`; data `{HEARTS.fingerprint}`.")


def test_result_of_an_older_version_is_described_without_an_answer():
    old = {name: value for name, value in RESULT.items() if name != "answer"}
    assert notes.describe(SPEC, HEARTS, old) == notes.describe(SPEC, HEARTS, RESULT)[2:]
    assert notes.answer_of(old) is None


def test_answer_without_arms_has_no_table():
    alone = {**RESULT, "hyperparameters": {}, "answer": {**ANSWER.plain(), "contrasts": []}}
    assert len(notes.describe(SPEC, HEARTS, alone)) == 2  # its sentence and the final table


def test_description_is_no_longer_than_mlflow_keeps():
    rows = [{**RESULT["rows"][0], "system": "x" * 100} for _ in range(50)]
    text = notes.describe_model(SPEC, HEARTS, {**RESULT, "rows": rows})
    assert len(text) <= notes.LONGEST
    assert text.startswith(str(ANSWER))
    assert text.endswith(f"data `{HEARTS.fingerprint}`.")
    assert "x" * 100 not in text


def test_description_may_have_as_many_characters_as_mlflow_keeps(monkeypatch):
    whole = notes.describe_model(SPEC, HEARTS, RESULT)
    monkeypatch.setattr(notes, "LONGEST", len(whole))
    assert notes.describe_model(SPEC, HEARTS, RESULT) == whole
    monkeypatch.setattr(notes, "LONGEST", len(whole) - 1)
    shown = notes.describe(SPEC, HEARTS, RESULT)
    assert notes.describe_model(SPEC, HEARTS, RESULT) == "\n\n".join(
        [*shown[:-1], notes.origin_paragraph(SPEC, HEARTS)]
    )
    monkeypatch.setattr(notes, "LONGEST", 5)
    assert notes.describe_model(SPEC, HEARTS, RESULT) == "Champ"


def test_metrics_and_table_of_several_objectives():
    spec = SPEC.changed(objective=("heart_rate_error", "breath/si_sdr"))
    cells = {"heart": [3.0, 2, 4], "mean": [3.0, 2, 4], "heart rate error (bpm)": [3.0, 2, 4]}
    row = {**RESULT["rows"][0], "values": {**cells, "breath SI-SDR (dB)": [9.0, 8, 10]}}
    columns = ["heart rate error (bpm)", "breath SI-SDR (dB)"]
    result = {**RESULT, "metric": "heart_rate_error", "rows": [row], "columns": columns}
    assert notes.test_metrics(spec, HEARTS, result) == {
        "test/heart/heart_rate_error": 3.0,
        "test/heart_rate_error": 3.0,
        "test/breath/si_sdr": 9.0,
    }
    title, shown, _, caption = notes.table_words(spec, HEARTS, result)
    assert (title, shown) == ("hearts: all objectives on the test split", columns)
    assert "of the heart rate error less is better, of the SI-SDR more; the champion" in caption


def test_description_of_a_study_ends_with_what_to_do_next():
    found = notes.describe(SPEC, HEARTS, RESULT)
    commands = ["sepray evaluate models:/hearts/1", "mlflow ui"]
    text = notes.describe_study(SPEC, HEARTS, RESULT, "Registered as hearts version 1.", commands, True)
    assert text.split("\n\n") == [
        *"\n\n".join(found).split("\n\n"),
        "Registered as hearts version 1.",
        f"Data: `{HEARTS.fingerprint}`.",
        "```\nsepray evaluate models:/hearts/1\nmlflow ui\n```",
        "The figures are among this run's artifacts, all of them on one page in `report.html`.",
    ]
    without = notes.describe_study(SPEC, HEARTS, RESULT, "Registered as hearts version 1.", commands, False)
    assert without == text.rpartition("\n\n")[0]
