"""What the tests of S3 share: a bucket in a real store, and providers of what is in it."""

import uuid
from typing import TYPE_CHECKING, Any

from providers.s3.clients import Clients
from providers.s3.options import S3Options
from providers.s3.provider import S3Provider
from refresher.demo.seaweed import SeaweedFS

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PART = 5 * 1024 * 1024
"""Bytes of a part but the last, at least (S3 API, UploadPart)."""


class Store:
    """A bucket of its own for each test, and providers of it."""

    def __init__(self, seaweed: SeaweedFS, client: "S3Client", clients: Clients) -> None:
        self.server, self.client, self.clients = seaweed, client, clients
        self.bucket = f"test-{uuid.uuid4().hex}"
        client.create_bucket(Bucket=self.bucket)

    def put(self, key: str, body: bytes, **settings: Any) -> str | None:
        return self.client.put_object(Bucket=self.bucket, Key=key, Body=body, **settings).get("VersionId")

    def put_parts(self, key: str, *parts: bytes, algorithm: str, **kind: str) -> None:
        """One object of several parts; `kind` as CreateMultipartUpload takes it."""
        client: Any = self.client
        where = {"Bucket": self.bucket, "Key": key}
        upload = client.create_multipart_upload(**where, ChecksumAlgorithm=algorithm, **kind)["UploadId"]
        done = []
        for number, part in enumerate(parts, 1):
            answer = client.upload_part(
                **where, UploadId=upload, PartNumber=number, Body=part, ChecksumAlgorithm=algorithm
            )
            names = ("ETag", f"Checksum{algorithm}")
            done.append({"PartNumber": number, **{name: answer[name] for name in names}})
        client.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": done}, **kind)

    def versioned(self) -> None:
        self.client.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})

    def provider(self, *, clients: Clients | None = None, **options: Any) -> S3Provider:
        given = {"bucket": self.bucket, "endpoint_url": self.server.endpoint_url, "region": "us-east-1", **options}
        return S3Provider(S3Options(**given), shared=clients or self.clients)
