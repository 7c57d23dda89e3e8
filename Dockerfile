# Both stages have the same Python at the same path; RUNTIME_IMAGE may be a smaller image than BASE_IMAGE, without shell.
ARG BASE_IMAGE=python:3.12-slim
ARG RUNTIME_IMAGE=${BASE_IMAGE}

FROM ${BASE_IMAGE} AS builder
WORKDIR /build
COPY requirements.lock requirements-dev.lock ./

# What builds the wheel is pinned by hash too, and stays behind in this stage.
RUN awk '/^[a-z]/ { wanted = /^setuptools==/ } wanted' requirements-dev.lock > build.lock \
 && python3 -m venv --without-pip /opt/build \
 && python3 -m pip --python /opt/build/bin/python install --quiet --no-cache-dir --require-hashes -r build.lock \
 && python3 -m venv --without-pip /opt/venv \
 && python3 -m pip --python /opt/venv/bin/python install --quiet --no-cache-dir --no-compile --require-hashes -r requirements.lock

# botocore describes 400 services, pygments colours 500 languages: these are the services that S3 and its logins use,
# and nothing here is coloured. A plugin for another service names it in the build argument.
ARG AWS_SERVICES="s3 signin sso sso-oidc sts"
RUN cd /opt/venv/lib/python3*/site-packages \
 && find pygments/lexers -name '*.py' ! -name __init__.py ! -name _mapping.py -exec rm {} + \
 && mkdir kept && cd botocore/data && mv $AWS_SERVICES ../../kept/ && rm -r */ && mv ../../kept/* . && rmdir ../../kept

COPY pyproject.toml README.md LICENSE ./
COPY refresher refresher
COPY providers providers
# Compiled here and never checked against the source again: the root file system is read-only where this runs.
RUN python3 -m pip --python /opt/build/bin/python wheel --quiet --no-deps --no-build-isolation --wheel-dir wheels . \
 && python3 -m pip --python /opt/venv/bin/python install --quiet --no-cache-dir --no-compile --no-deps wheels/*.whl \
 && /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib

FROM ${RUNTIME_IMAGE}
LABEL org.opencontainers.image.title="refresher" \
      org.opencontainers.image.description="A sidecar that keeps files fresh: pulls them, verifies them, publishes them atomically, and tells the app until it has heard" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
COPY --from=builder /opt/venv /opt/venv
# Two arenas: with one for each of many threads, malloc keeps memory that nobody uses.
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MALLOC_ARENA_MAX=2
# So that refresher.yaml is found where a ConfigMap is mounted.
WORKDIR /etc/refresher
USER 65532:65532
ENTRYPOINT ["refresher"]
CMD ["run"]
