# Osiris in a small image, from what `make dist` built: make dist && docker build -t osiris .
# It runs as a user without rights, on a read-only root, and writes to the project and to /tmp only:
#   docker run --rm --read-only --tmpfs /tmp --user "$(id -u):$(id -g)" -v "$PWD:/project" osiris run pipelines/example.yaml

FROM debian:trixie-slim AS build
RUN apt-get update && apt-get install -qy --no-install-recommends ca-certificates python3 python3-venv
COPY dist/requirements.txt dist/osiris_data-*.whl /dist/
RUN python3 -m venv --without-pip /opt/osiris && python3 -m venv /opt/pip
RUN /opt/pip/bin/pip --python /opt/osiris/bin/python install --no-cache-dir --require-hashes --only-binary :all: \
        -r /dist/requirements.txt && \
    /opt/pip/bin/pip --python /opt/osiris/bin/python install --no-deps --no-index /dist/osiris_data-*.whl

FROM debian:trixie-slim
RUN apt-get update && apt-get install -qy --no-install-recommends ca-certificates python3 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/osiris /opt/osiris
ENV PATH=/opt/osiris/bin:/usr/bin:/bin HOME=/tmp LANG=C.UTF-8
USER 10001:10001
WORKDIR /project
ENTRYPOINT ["osiris"]
