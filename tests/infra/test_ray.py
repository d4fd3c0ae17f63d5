"""infra/ray/cluster.yaml, by what `ray up` checks."""

import pytest

from .conftest import INFRA, documents

PATH = INFRA / "ray" / "cluster.yaml"


def validated(config):
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(config)
    validate_config(prepared)
    return prepared


def test_ray_takes_it():
    (config,) = documents(PATH)
    prepared = validated(config)
    types = prepared["available_node_types"]
    assert types["worker"]["max_workers"] == prepared["max_workers"]  # it grows
    assert types["worker"]["min_workers"] < types["worker"]["max_workers"]
    assert types["head"]["resources"]["CPU"] == 0
    assert any("--autoscaling-config=~/ray_bootstrap_config.yaml" in c for c in prepared["head_start_ray_commands"])


def test_a_field_that_ray_does_not_know_is_refused():
    (config,) = documents(PATH)
    with pytest.raises(Exception, match="'worker_types' was unexpected"):
        validated(config | {"worker_types": {}})


def test_the_token_reaches_every_node():
    (config,) = documents(PATH)
    assert config["file_mounts"] == {"/home/sepray/.ray/auth_token": "~/.ray/auth_token"}
    assert "--env RAY_AUTH_MODE=token" in config["docker"]["run_options"]
    image = (INFRA / "Dockerfile").read_text()
    assert "--create-home sepray" in image  # the home of the mounted token
    assert "rsync" in image  # `ray up` copies files into the container with it
