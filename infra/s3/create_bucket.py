#!/usr/bin/env python3
"""Makes buckets of an object store unless they exist: ``create-bucket NAME...``.

Address and keys come from the environment (AWS_ENDPOINT_URL, AWS_SHARED_CREDENTIALS_FILE ...). A store that has just
been started is asked again for a minute.
"""

import sys
import time

import boto3
from botocore.exceptions import BotoCoreError, ClientError

_SECONDS = 60.0


def create(bucket: str) -> None:
    """Make a bucket unless it exists.

    Raises:
        BotoCoreError: nothing answers.
        ClientError: the store refuses, for example the keys.
    """
    try:
        boto3.client("s3").create_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
            raise


def main(buckets: list[str]) -> None:
    """Make buckets; try again for a minute where nothing answers yet."""
    last = time.monotonic() + _SECONDS
    for bucket in buckets:
        while True:
            try:
                create(bucket)
                break
            except BotoCoreError as error:
                if time.monotonic() > last:
                    sys.exit(f"bucket {bucket} cannot be made: {error}")
                time.sleep(1)
            except ClientError as error:
                sys.exit(f"bucket {bucket} cannot be made: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
