# The worker's image: the worker, torch with CUDA, and the packages of the image model. It holds no weights: the worker
# streams them from ONBRAND_MODEL_PATH (a container of Azure Blob Storage, or a folder that is mounted).
#
#   docker build -f infra/docker/worker.Dockerfile -t onbrand-worker .
#
# BASE as in api.Dockerfile. REQUIREMENTS is the list of packages with their hashes. Another list is for a machine
# without an NVIDIA GPU (infra/docker/README.md).
ARG BASE=python:3.13-slim

FROM ${BASE} AS packages
ARG PIP_INDEX_URL
ARG PIP_FIND_LINKS
ARG REQUIREMENTS=infra/docker/worker.txt
COPY ${REQUIREMENTS} /tmp/requirements.txt
RUN python3 -m venv /tmp/pip \
 && python3 -m venv --without-pip /opt/onbrand \
 && /tmp/pip/bin/python -m pip --python /opt/onbrand/bin/python install --no-cache-dir --disable-pip-version-check \
      --progress-bar off --no-compile --require-hashes --only-binary :all: -r /tmp/requirements.txt

FROM ${BASE}
COPY --from=packages /opt/onbrand /opt/onbrand
COPY onbrand /app/onbrand
COPY LICENSE NOTICE /app/
RUN mkdir -m 0750 /data && chown 10001:10001 /data
# The NVIDIA runtime gives a container the GPU when these are set.
ENV PATH=/opt/onbrand/bin:/usr/local/bin:/usr/bin:/bin PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    HOME=/data TMPDIR=/data ONBRAND_DATA_DIR=/data ONBRAND_ENV=production ONBRAND_AUTH=entra \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /data
VOLUME /data
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "onbrand"]
CMD ["worker"]
