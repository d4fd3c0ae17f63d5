"""The model that comes with sepray on real records: DaISy's five abdominal leads, and an adult without a fetus."""

import shutil

import pytest

from sepray.models.real_recordings import evaluate_recordings
from sepray.tracking import pretrained

from ..tasks.sounds import DATA

NAME = "pretrained:ecg"
KNOWN = "record,source,rate,leads\nFOETAL_ECG.dat,maternal,81,1-5\nFOETAL_ECG.dat,fetal,134,\n100,fetal,0,\n"


def test_is_there_and_small_and_of_the_flagship():
    described = pretrained.describe(NAME)
    assert described["study"] == "cass-ecg-varied"
    assert described["task"].endswith("ecg_varied")
    weights = pretrained.folder_of(NAME) / pretrained.DATA / "weights.safetensors"
    assert weights.stat().st_size <= 2 * 2**20


def scores(folder, record, files):
    """Score one record; return its scores by source."""
    if not (DATA / "ecg").is_dir():
        pytest.skip("needs ../shared/data/ecg")
    for name in files:
        shutil.copy(DATA / "ecg" / name, folder)
    lines = [line for line in KNOWN.splitlines() if line.startswith(("record,", record.partition(".hea")[0]))]
    (folder / "rates.csv").write_text("\n".join(lines) + "\n")
    [result] = evaluate_recordings(NAME, folder).records
    assert result.record == record
    return {source: systems[NAME] for source, systems in result.scores.items()}


def test_finds_the_fetus_in_leads_of_a_patient(tmp_path):
    abdomen = scores(tmp_path, "FOETAL_ECG.dat", ["FOETAL_ECG.dat"])
    assert abdomen["maternal"].leads == abdomen["fetal"].leads == 5
    assert abdomen["maternal"].leads_right == 5
    assert abdomen["fetal"].leads_right >= 4


@pytest.mark.slow  # half an hour of ECG
@pytest.mark.timeout(300)
def test_finds_no_fetus_in_an_adult(tmp_path):
    adult = scores(tmp_path, "100.hea", [f"mitbih/100.{end}" for end in ("hea", "dat", "atr")])
    assert adult["fetal"].segments == 360
    assert adult["fetal"].invented <= 0.05
    assert adult["maternal"].beat_f1 > 0.99
