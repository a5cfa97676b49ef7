# fake-control-plane serve: a fake MachineID control plane for a staging fleet, an ordinary user, and an end.
#
#   docker build -t fake-control-plane .
#   docker run --rm -p 127.0.0.1:8080:8080 fake-control-plane
#   docker run --rm -p 127.0.0.1:8080:8080 -v fake-state:/state fake-control-plane --expires 8h --state /state/state.db
#
# The admin port stays on the container's loopback (docker exec NAME fake-control-plane revoke …). To publish it, it needs a token:
#   … -p 127.0.0.1:8081:8081 fake-control-plane --expires 2h --admin-host 0.0.0.0 --admin-token-file /state/token

# Any image that has python3 (3.11 or later) with venv.
ARG BASE=python:3.13-slim

FROM ${BASE} AS install
WORKDIR /source
COPY . .
# What to install, and from where: CI has the wheels in its build context, and no network.
ARG PACKAGE=.[serve]
ARG PIP_ARGUMENTS=
RUN python3 -m venv /opt/fake-control-plane \
    && /opt/fake-control-plane/bin/pip install --no-cache-dir --disable-pip-version-check ${PIP_ARGUMENTS} "${PACKAGE}" \
    && install -d -o 10001 -g 10001 /state

FROM ${BASE}
COPY --from=install /opt/fake-control-plane /opt/fake-control-plane
COPY --from=install --chown=10001:10001 /state /state
ENV PATH=/opt/fake-control-plane/bin:$PATH PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /state
VOLUME /state
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
# A server that cannot write its state or its journal any more answers 503, which is an error to urllib.
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8081/healthz', timeout=2)"]
ENTRYPOINT ["fake-control-plane", "serve", "--host", "0.0.0.0", "--port", "8080", "--admin-port", "8081"]
CMD ["--expires", "2h"]
