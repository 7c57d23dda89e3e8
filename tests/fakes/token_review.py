"""The part of a Kubernetes API server that reviews service account tokens, for a Vault's `kubernetes` login."""

import base64
import contextlib
import json
from collections.abc import Iterator

from tests.fakes.serving import Asked, Reply, serving


def service_account_token(namespace: str, name: str, *, serial: int = 1, audience: str | None = None) -> str:
    """A JSON Web Token of the form that Kubernetes issues; only `token_review` would believe its signature."""
    claims = {
        "iss": "https://kubernetes.default.svc",
        "sub": f"system:serviceaccount:{namespace}:{name}",
        "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": f"uid-of-{name}"}},
        "jti": str(serial),
        "iat": 1577836800,
        "nbf": 1577836800,
        "exp": 4102444800,
        **({"aud": [audience]} if audience else {}),
    }
    parts = ({"alg": "RS256", "kid": "test", "typ": "JWT"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, base64.urlsafe_b64encode(b"signature" * 28).decode().rstrip("=")])


@contextlib.contextmanager
def token_review(known: dict[str, str]) -> Iterator[str]:
    """The API server's address; `known` is {token: "namespace:name"}, and every other token is refused."""

    def answer(asked: Asked) -> Reply:
        spec = json.loads(asked.body)["spec"]
        account = known.get(spec["token"])
        user = {"username": f"system:serviceaccount:{account}", "uid": f"uid-of-{(account or '').partition(':')[2]}"}
        reviewed = {"authenticated": True, "user": user, "audiences": spec.get("audiences", [])}
        status = reviewed if account else {"error": "unknown token"}
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status}
        return Reply(201, json.dumps(review).encode(), {"Content-Type": "application/json"})

    with serving(answer) as address:
        yield address
