# Three images: `service` answers requests and holds no torch; `service-gpu` is the same with CUDA; `training` makes
# bundles. Built from a checkout:
#   docker build --target service --tag seqserve-service .
#
# BASE is any Debian-like image whose `python3` is 3.11 or newer and has the venv module; all stages use the same one,
# so that the virtual environment can be copied to the same path. Pin it by the digest that you resolved yourself:
#   --build-arg BASE=python:3.11-slim-bookworm@sha256:...
ARG BASE=python:3.11-slim-bookworm


# ---- what both virtual environments are built with; pip itself stays behind in this stage --------------------------
FROM ${BASE} AS build
WORKDIR /build
RUN python3 -m venv /build/pip && python3 -m venv --without-pip /opt/venv


FROM build AS service-build
# pip reads these from the environment: a mirror, or a folder of wheels and no network (deploy/image-test.sh does that).
ARG PIP_INDEX_URL="" PIP_EXTRA_INDEX_URL="" PIP_FIND_LINKS="" PIP_NO_INDEX=""
COPY requirements/service.txt requirements/service.txt
RUN /build/pip/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-compile \
        --only-binary :all: --require-hashes --requirement requirements/service.txt
# What the service never loads: `tokenizers` asks for a download client (a server downloads nothing), the onnxruntime
# wheel has its library twice (Python uses the other one), and some packages bring their tests.
RUN /build/pip/bin/pip --python /opt/venv/bin/python uninstall --yes \
        huggingface-hub hf-xet httpx2 httpcore2 h11 anyio idna truststore fsspec filelock tqdm pyyaml \
    && find /opt/venv -depth \( -type d -name tests -o -path '*/onnx/backend/test' -o -name 'libonnxruntime.so.*' \) \
        -exec rm -r {} +
WORKDIR /app
COPY LICENSE ./
COPY seqserve seqserve
COPY service service
# Compiles what a start imports, not the rest (0.5 s instead of 1.7 s, for 8 MB instead of 47). By hash, not by time:
# layers round times to seconds.
RUN ORT_DISABLE_TELEMETRY=1 /opt/venv/bin/python -B -c 'import py_compile, sys, service.__main__, service.engine_process, service.worker_process; \
    files = [getattr(module, "__file__", None) or "" for module in sys.modules.values()]; \
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH; \
    [py_compile.compile(file, doraise=True, invalidation_mode=mode) \
        for file in files if file.startswith(("/app/", "/opt/venv/")) and file.endswith(".py")]'


# The same with onnxruntime-gpu in the place of onnxruntime, and the CUDA libraries that it loads; the driver is the host's.
FROM build AS service-gpu-build
ARG PIP_INDEX_URL="" PIP_EXTRA_INDEX_URL="" PIP_FIND_LINKS="" PIP_NO_INDEX=""
COPY requirements/service-gpu.txt requirements/service-gpu.txt
RUN /build/pip/bin/pip --python /opt/venv/bin/python install --no-cache-dir \
        --only-binary :all: --require-hashes --requirement requirements/service-gpu.txt
WORKDIR /app
COPY LICENSE ./
COPY seqserve seqserve
COPY service service


FROM build AS training-build
ARG PIP_INDEX_URL="" PIP_EXTRA_INDEX_URL="" PIP_FIND_LINKS="" PIP_NO_INDEX=""
COPY requirements/training.txt requirements/training.txt
# seqeval is published as source alone.
RUN /build/pip/bin/pip --python /opt/venv/bin/python install --no-cache-dir \
        --only-binary :all: --no-binary seqeval --require-hashes --requirement requirements/training.txt
# torch comes by version, from the index that has the build for your machine (the default is pip's default).
ARG TORCH_VERSION=2.13.0
ARG TORCH_INDEX_URL=""
RUN /build/pip/bin/pip --python /opt/venv/bin/python install --no-cache-dir \
        ${TORCH_INDEX_URL:+--index-url "${TORCH_INDEX_URL}"} "torch==${TORCH_VERSION}"
# Bundles record the version of the package.
COPY LICENSE README.md pyproject.toml ./
COPY seqserve seqserve
RUN /build/pip/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-deps --no-build-isolation .


# ---- training: `docker run --volume ./out:/app/.build seqserve-training train RECIPE.toml` -------------------------
FROM ${BASE} AS training
LABEL org.opencontainers.image.title="seqserve-training" \
      org.opencontainers.image.description="Trains recurrent sequence models and exports them as bundles for seqserve." \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin seqserve
COPY --from=training-build /opt/venv /opt/venv
WORKDIR /app
COPY LICENSE ./
COPY service service
COPY training training
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    ORT_DISABLE_TELEMETRY=1 \
    SEQSERVE_RUNS=/app/.build/runs
USER 10001:10001
ENTRYPOINT ["/opt/venv/bin/python", "-m", "training"]
CMD ["--help"]


# ---- what both service images are, beside what is installed in them ------------------------------------------------
FROM ${BASE} AS service-runtime
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="seqserve-service" \
      org.opencontainers.image.description="Serves recurrent sequence models (LSTM, GRU, attention) over gRPC." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin seqserve
WORKDIR /app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ORT_DISABLE_TELEMETRY=1 \
    SEQSERVE_MODELS=/models \
    SEQSERVE_GRPC_ADDRESS=0.0.0.0:50051 \
    SEQSERVE_METRICS_ADDRESS=0.0.0.0:9464
EXPOSE 50051 9464
# By number: Kubernetes' runAsNonRoot cannot judge a name. Nothing below / needs to be writable but /tmp.
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["/opt/venv/bin/python", "-m", "service", "health"]
ENTRYPOINT ["/opt/venv/bin/python", "-m", "service"]
CMD ["serve"]


# ---- service-gpu: `docker run --gpus all ...`; not built by `make image-test` --------------------------------------
FROM service-runtime AS service-gpu
LABEL org.opencontainers.image.title="seqserve-service-gpu"
# What the NVIDIA container runtime asks of images that are not built on NVIDIA's.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    SEQSERVE_DEVICE=cuda
COPY --from=service-gpu-build /opt/venv /opt/venv
COPY --from=service-gpu-build /app /app


# ---- service: the last stage, so the one that a build without --target makes ---------------------------------------
FROM service-runtime AS service
COPY --from=service-build /opt/venv /opt/venv
COPY --from=service-build /app /app
