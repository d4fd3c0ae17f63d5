"""A model's own page lists its versions, whatever others have written in their place."""

import json
from types import SimpleNamespace

import pytest

from sepray.tracking import logged_models


class Client:
    """Keeps the tags of one logged model."""

    def __init__(self, tags):
        self.tags = tags

    def get_logged_model(self, model_id):
        return SimpleNamespace(tags=dict(self.tags))

    def set_logged_model_tags(self, model_id, tags):
        self.tags |= tags


@pytest.mark.parametrize("kept", [None, "", "nonsense", "[" * 100_000, "5", "{}", "[5]", '[{"name": "m"}]', "null"])
def test_what_others_have_written_gives_way_to_the_version(kept):
    client = Client({} if kept is None else {"mlflow.modelVersions": kept})
    logged_models.describe(client, "id", "m", "3", "a note")
    assert json.loads(client.tags["mlflow.modelVersions"]) == [{"name": "m", "version": "3"}]
    assert client.tags["mlflow.note.content"] == "a note"


def test_versions_that_are_listed_stay():
    listed = [{"name": "m", "version": 2}]
    client = Client({"mlflow.modelVersions": json.dumps(listed)})
    for _ in range(2):
        logged_models.describe(client, "id", "m", "3", "")
    assert json.loads(client.tags["mlflow.modelVersions"]) == [*listed, {"name": "m", "version": "3"}]
    assert client.tags.keys() == {"mlflow.modelVersions"}
