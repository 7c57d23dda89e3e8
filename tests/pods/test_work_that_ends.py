"""Pods without an app that runs for ever: a Job, what a CronJob starts, and one on each node for all others there."""

import hashlib
from pathlib import Path
from signal import SIGTERM
from typing import Any

from refresher.demo.seaweed import SeaweedFS
from tests.pods.conftest import StartPod
from tests.pods.inside import seconds_to_end
from tests.pods.manifests import Documents, example, find_outside, volume
from tests.pods.site import Site
from tests.pods.vault import Vault

LOGIN = "secret/data/report/login"
READS_LOGIN = (
    f'path "{LOGIN}" {{ capabilities = ["read"] }} path "sys/internal/ui/mounts/*" {{ capabilities = ["read"] }}'
)


def test_a_jobs_pod_ends_with_its_work(vault: Vault, start_pod: StartPod) -> None:
    vault.bao.kv("secret", 2)
    vault.bao.write(LOGIN, {"data": {"username": "alice", "password": "made up"}})
    vault.allow("report", READS_LOGIN)
    documents = example("kubernetes/job.yaml")
    vault.lead(documents)
    pod = start_pod(documents)
    assert pod.wait_phase(timeout=120) == "Succeeded"
    assert pod.logs("report").splitlines() == [f"page {page} as alice" for page in (1, 2, 3)]
    assert pod.containers["refresher"].exit_code == 0


def test_an_init_container_that_waits_for_its_source_ends_within_two_seconds_of_a_sigterm(
    site: Site, start_pod: StartPod
) -> None:
    documents = example("kubernetes/init-and-sidecar.yaml")
    site.lead(documents)
    with site.silent() as asked:
        pod = start_pod(documents)
        asked.wait(60)
        assert seconds_to_end(pod, "first-files", SIGTERM) < 2


class Store:
    """A bucket, and a way to it from a pod."""

    def __init__(self, seaweed: SeaweedFS, bucket: str, secret: str) -> None:
        self._seaweed, self._bucket, self._secret = seaweed, seaweed.bucket(bucket), secret

    def put(self, prefix: str, content: bytes, *, promised: bytes) -> None:
        """One file, and a list of checksums that is right if `promised` is the content."""
        client = self._seaweed.client()
        client.put_object(Bucket=self._bucket, Key=f"{prefix}/data", Body=content)
        listed = f"{hashlib.sha256(promised).hexdigest()}  data\n".encode()
        client.put_object(Bucket=self._bucket, Key=f"{prefix}/SHA256SUMS", Body=listed)
        client.close()

    def lead(self, documents: Documents) -> None:
        """Have the pod find this server, and give it the Secret that the example's README makes."""
        host, port = "s3.default.svc", self._seaweed.endpoint_url.rpartition(":")[2]
        find_outside(documents, host, {"REFRESHER_PROVIDERS__S3__ENDPOINT_URL": f"http://{host}:{port}"})
        keys = {
            "AWS_ACCESS_KEY_ID": self._seaweed.access_key,
            "AWS_SECRET_ACCESS_KEY": self._seaweed.secret_key,
            "AWS_DEFAULT_REGION": self._seaweed.region,
        }
        documents.append({"kind": "Secret", "metadata": {"name": self._secret}, "stringData": keys})


def test_what_a_cron_job_starts_brings_a_whole_set_or_fails_and_leaves_the_last(
    seaweed: SeaweedFS, start_pod: StartPod, tmp_path: Path
) -> None:
    store = Store(seaweed, "rules", "rules-s3")

    def run() -> Any:
        documents = example("kubernetes/cronjob.yaml")
        store.lead(documents)
        return start_pod(documents, pvc={"rules": tmp_path}).wait_phase(timeout=120)

    store.put("current", b"first", promised=b"first")
    assert run() == "Succeeded"
    store.put("current", b"torn", promised=b"second")
    assert run() == "Failed"
    assert (tmp_path / "rules/data").read_bytes() == b"first"
    store.put("current", b"second", promised=b"second")
    assert run() == "Succeeded"
    assert (tmp_path / "rules/data").read_bytes() == b"second"


def test_a_node_has_its_models_once_the_pod_is_ready_and_root_keeps_nothing_of_them(
    seaweed: SeaweedFS, run_pod: StartPod, tmp_path: Path
) -> None:
    store = Store(seaweed, "models", "models-s3")
    store.put("fraud/current", b"model", promised=b"model")
    documents = example("kubernetes/daemonset.yaml")
    store.lead(documents)
    volume(documents, "models")["hostPath"]["path"] = str(tmp_path / "models")
    run_pod(documents)
    assert (tmp_path / "models/fraud/data").read_bytes() == b"model"
    assert {path.lstat().st_uid for path in (tmp_path / "models").rglob("*")} == {65532}
