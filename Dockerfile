# One image for every service: the command says which, for example `headwater run receiver`.
FROM python:3.13-slim AS build
WORKDIR /build
COPY requirements.lock requirements-dev.lock ./
# The build tools come from the lock too, and stay behind in this stage.
RUN python -m venv /opt/headwater \
 && /opt/headwater/bin/pip install --no-cache-dir --no-deps --requirement requirements.lock \
 && pip install --no-cache-dir --constraint requirements-dev.lock hatchling
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY services services
COPY schemas schemas
COPY rabbitmq rabbitmq
COPY examples examples
RUN pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
 && /opt/headwater/bin/pip install --no-cache-dir --no-deps dist/*.whl \
 && /opt/headwater/bin/pip uninstall --yes pip

FROM python:3.13-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/headwater headwater
COPY --from=build /opt/headwater /opt/headwater
COPY tools/healthcheck.py /opt/headwater/healthcheck.py
ENV PATH=/opt/headwater/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HEADWATER_BIND=0.0.0.0:8080 \
    HEADWATER_DATA_DIR=/var/lib/headwater
USER 10001:10001
WORKDIR /var/lib/headwater
EXPOSE 8080
# A service may take 30 s to end: it finishes the page in hand.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-I", "/opt/headwater/healthcheck.py"]
CMD ["headwater", "up"]
