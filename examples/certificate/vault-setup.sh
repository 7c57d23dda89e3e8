#!/bin/sh
# What the example needs in Vault or OpenBao: a certificate authority, a role that signs for one name, a policy that
# allows exactly that, and a login for the pod's service account. Can be run again.
#
#     VAULT_ADDR=… VAULT_TOKEN=… KUBERNETES_HOST=https://kubernetes.default.svc ./vault-setup.sh
#
# Where Vault runs outside of the cluster, KUBERNETES_CA names a file with the cluster's certificate authority.
# CLI is the client to use (vault, bao). The root certificate goes to standard output.
set -eu
cli=${CLI:-vault}
name=${NAME:-web.example.com}
namespace=${NAMESPACE:-default}

has() { "$cli" "$1" list -format=json | grep -q "\"$2/\""; }

if ! has secrets pki; then
  "$cli" secrets enable -max-lease-ttl=87600h pki >&2
  "$cli" write -field=certificate pki/root/generate/internal \
    common_name="example root" key_type=ec ttl=87600h >/dev/null
fi
"$cli" write pki/roles/web \
  allowed_domains="$name" allow_bare_domains=true key_type=ec key_bits=256 max_ttl=72h >&2

"$cli" policy write refresher-web - >&2 <<POLICY
path "pki/sign/web" {
  capabilities = ["update"]
}
POLICY

has auth kubernetes || "$cli" auth enable kubernetes >&2
"$cli" write auth/kubernetes/config kubernetes_host="$KUBERNETES_HOST" \
  ${KUBERNETES_CA:+kubernetes_ca_cert=@"$KUBERNETES_CA"} >&2
"$cli" write auth/kubernetes/role/web \
  bound_service_account_names=web bound_service_account_namespaces="$namespace" \
  audience=vault token_policies=refresher-web token_ttl=1h >&2

"$cli" read -field=certificate pki/cert/ca
