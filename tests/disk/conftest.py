"""An object store for the tests that need one, where moto is installed."""

import pytest


@pytest.fixture
def s3(monkeypatch):
    """An S3 server with the bucket ``studies``, and keys for it."""
    server = pytest.importorskip("moto.server", reason="moto is not installed").ThreadedMotoServer(
        port=0, verbose=False
    )
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")
    server.start()
    _, port = server.get_host_and_port()
    own = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in {**own, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "hidden"}.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="studies")
    yield client
    for kept in client.list_objects_v2(Bucket="studies").get("Contents", ()):  # one memory for all servers of a process
        client.delete_object(Bucket="studies", Key=kept["Key"])
    server.stop()
