# API, scheduler, migrations and the `counterpoise` command, without torch. Build from the repository's root:
#   docker build -f docker/service.Dockerfile -t counterpoise-service:0.1.0 --build-arg BASE=python:3.11-slim-bookworm@sha256:... .
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
# Debian drops old versions from its mirrors: what holds tini still is the base image's digest.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends tini && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/counterpoise
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY counterpoise counterpoise
COPY pipelines pipelines
COPY service service
COPY workers workers
RUN --mount=type=cache,target=/root/.cache/pip /opt/counterpoise/bin/pip install '.[service,tracing]'

FROM ${BASE}
COPY --from=build /usr/bin/tini /usr/bin/tini
COPY --from=build /opt/counterpoise /opt/counterpoise
# Nothing is written but below /tmp, so that the root can be read-only.
ENV PATH=/opt/counterpoise/bin:$PATH HOME=/tmp COUNTERPOISE_METRICS_PORT=9464 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp counterpoise
WORKDIR /tmp
USER 10001:10001
EXPOSE 8000 9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["tini", "--", "counterpoise"]
CMD ["api", "--host", "0.0.0.0"]
