# syntax=docker/dockerfile:1
# docker build -t ovation --build-arg OVATION_COMMIT="$(git rev-parse HEAD)" .
# docker run -p 8080:8080 -v ovation:/data ovation

FROM rust:1-bookworm AS build
WORKDIR /source
COPY . .
# Registry and target folder are caches of the builder: a change in our sources builds only our packages again, and
# there is no layer of dependencies to keep in step with Cargo.toml by hand.
# A build argument is in the environment of what follows; cargo notices when it changes.
ARG OVATION_COMMIT=unknown
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --release --locked --package ovation --bin ovation \
    # Names of functions stay, for backtraces; the rest of the debug information is most of the size.
    && objcopy --strip-debug target/release/ovation /ovation

# The same Debian as the builder's, for its libc and libstdc++ (the video decoder is C++).
FROM debian:bookworm-slim
RUN groupadd --gid 10001 ovation \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin ovation \
    && install --directory --owner=10001 --group=10001 --mode=0700 /data
COPY --from=build /ovation /usr/local/bin/ovation
COPY LICENSE-MIT LICENSE-APACHE /usr/share/doc/ovation/
# By number, so that an orchestrator can see that it isn't root.
USER 10001:10001
WORKDIR /data
VOLUME /data
# Settings by environment hold for the health check as well, which reads the same configuration; flags would not.
ENV OVATION_LISTEN=0.0.0.0:8080 \
    OVATION_DATA_DIR=/data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["ovation", "healthcheck"]
ENTRYPOINT ["ovation"]
CMD ["serve"]
