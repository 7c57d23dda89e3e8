"""What a script does that somebody writes with boto3: list, and download one after the other.

`python plain_boto3.py BUCKET PREFIX DIRECTORY`; endpoint and keys are in the environment.
"""

import sys
from pathlib import Path

import boto3


def main(bucket: str, prefix: str, directory: str) -> None:
    """Download all objects below the prefix."""
    client = boto3.client("s3")
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for found in page["Contents"]:
            client.download_file(bucket, found["Key"], str(Path(directory) / Path(found["Key"]).name))


if __name__ == "__main__":
    main(*sys.argv[1:])
