# The API's image: the page's files, the API and its packages. It holds no torch, no model code's packages, no compiler.
#
#   make page && docker build -f infra/docker/api.Dockerfile -t onbrand-api .
#
# BASE is any image with Python 3.11 to 3.13, the module venv and CA certificates. infra/docker/README.md says how the
# base is made without a registry, and what was measured.
ARG BASE=python:3.13-slim

FROM ${BASE} AS packages
# pip reads these by itself: an index or a folder of wheels of one's own. They don't reach the finished image.
ARG PIP_INDEX_URL
ARG PIP_FIND_LINKS
COPY infra/docker/api.txt /tmp/requirements.txt
# Every file is compared with its hash, and only wheels are taken: nothing is compiled.
RUN python3 -m venv /tmp/pip \
 && python3 -m venv --without-pip /opt/onbrand \
 && /tmp/pip/bin/python -m pip --python /opt/onbrand/bin/python install --no-cache-dir --disable-pip-version-check \
      --progress-bar off --require-hashes --only-binary :all: -r /tmp/requirements.txt

FROM ${BASE}
COPY --from=packages /opt/onbrand /opt/onbrand
COPY onbrand /app/onbrand
COPY web/dist /app/web/dist
COPY LICENSE NOTICE /app/
# /data is the only place that is written to. Everything else may be mounted read-only.
RUN mkdir -m 0750 /data && chown 10001:10001 /data
ENV PATH=/opt/onbrand/bin:/usr/local/bin:/usr/bin:/bin PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    HOME=/data TMPDIR=/data ONBRAND_DATA_DIR=/data ONBRAND_ENV=production ONBRAND_AUTH=entra ONBRAND_HOST=0.0.0.0
WORKDIR /data
VOLUME /data
EXPOSE 8000
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "onbrand"]
CMD ["api"]
