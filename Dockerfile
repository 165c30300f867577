# Two stages: what builds stays behind. The second runs as nobody in particular, on a root file system that may be read-only.
FROM python:3.11.13-slim-bookworm AS build
RUN python -m venv /opt/footnote
COPY requirements/production.txt /tmp/production.txt
RUN /opt/footnote/bin/pip install --no-cache-dir --no-deps -r /tmp/production.txt
COPY . /src
RUN /opt/footnote/bin/pip install --no-cache-dir --no-deps --no-build-isolation /src

FROM python:3.11.13-slim-bookworm
RUN useradd --uid 10001 --create-home --home-dir /var/lib/footnote footnote
COPY --from=build /opt/footnote /opt/footnote
ENV PATH=/opt/footnote/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    FOOTNOTE_DATA_DIR=/var/lib/footnote/data FOOTNOTE_LOG_FORMAT=json
USER 10001
WORKDIR /var/lib/footnote
VOLUME /var/lib/footnote
EXPOSE 8321
CMD ["footnote", "serve", "--host", "0.0.0.0", "--port", "8321"]
