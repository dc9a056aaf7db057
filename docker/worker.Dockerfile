# Workers, with torch for CPU; for a GPU name another of PyTorch's indices. Build from the repository's root:
#   docker build -f docker/worker.Dockerfile -t counterpoise-worker-cuda:0.1.0 \
#     --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu126 --build-arg BASE=python:3.11-slim-bookworm@sha256:... .
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# Debian drops old versions from its mirrors: what holds tini still is the base image's digest.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends tini && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/counterpoise
# By itself, since it is large and changes seldom.
RUN --mount=type=cache,target=/root/.cache/pip /opt/counterpoise/bin/pip install --index-url "${TORCH_INDEX}" 'torch>=2.6,<2.14'
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY counterpoise counterpoise
COPY pipelines pipelines
COPY service service
COPY workers workers
RUN --mount=type=cache,target=/root/.cache/pip /opt/counterpoise/bin/pip install '.[engine,service,tracing]'

FROM ${BASE}
COPY --from=build /usr/bin/tini /usr/bin/tini
COPY --from=build /opt/counterpoise /opt/counterpoise
# Nothing is written but below /tmp and, by hub downloads, /models, so that the root can be read-only.
ENV PATH=/opt/counterpoise/bin:$PATH HOME=/tmp HF_HOME=/models COUNTERPOISE_METRICS_PORT=9464 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp counterpoise \
    && install --directory --owner=10001 --group=10001 /models
WORKDIR /tmp
USER 10001:10001
EXPOSE 9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:9464/healthz', timeout=4)"]
ENTRYPOINT ["tini", "--", "counterpoise"]
CMD ["worker"]
