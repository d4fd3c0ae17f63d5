"""Files go to a folder of this machine only where it is one of their experiment's."""

import pytest

from sepray.tracking.artifact_places import foreign


@pytest.mark.parametrize(
    ("place", "experiment"),
    [
        ("/a/mlruns/e/run/artifacts", "/a/mlruns/e"),
        ("file:///a/b%20c/run", "/a/b c"),
        ("mlruns/0/run/artifacts", "./mlruns/0"),
        ("s3://bucket/0/run", "s3://bucket/0"),
        ("mlflow-artifacts:/0/run", "mlflow-artifacts:/0"),
    ],
)
def test_places_of_the_experiment_are_taken(place, experiment):
    assert foreign(place, experiment) == ""


@pytest.mark.parametrize(
    ("place", "experiment"),
    [
        ("/home/me", "/a/mlruns/e"),
        ("/a/mlruns/e/../../../home/me", "/a/mlruns/e"),
        ("file:///home/me", "/a/mlruns/e"),
        ("file://host/home/me", "/a/mlruns/e"),
        ("../home", "/a/mlruns/e"),
        ("/home/me", "s3://bucket/0"),
    ],
)
def test_other_folders_are_refused(place, experiment):
    assert foreign(place, experiment).startswith(f"its files would go to {place}, which is not a place of its exp")


def test_links_below_the_experiments_folder_are_refused(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "mlruns").symlink_to("disk")
    assert foreign(f"{tmp_path}/mlruns/e/run", f"{tmp_path}/mlruns/e") == ""
    (tmp_path / "disk" / "e").mkdir()
    (tmp_path / "disk" / "e" / "run").symlink_to(tmp_path)
    assert "e/run is a link" in foreign(f"{tmp_path}/mlruns/e/run/artifacts", f"{tmp_path}/mlruns/e")
