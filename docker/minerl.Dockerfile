# Minecraft 1.16.5 as MineRL 1.0 builds it, under a virtual screen, listening on port 9000.
#
#   docker build -t basalt-minerl -f docker/minerl.Dockerfile docker
#   docker run --rm --init -p 127.0.0.1:9000:9000 basalt-minerl
#
# The port takes commands from anyone who reaches it: publish it to trusted networks only.
# docs/minerl.md says what of this has been run, and what has not.

FROM ubuntu:22.04 AS build
ARG MINERL_REF=v1.0.2
ENV DEBIAN_FRONTEND=noninteractive JAVA_HOME=/usr/lib/jvm/java-8-openjdk-amd64
RUN apt-get update && apt-get install -y --no-install-recommends \
        ca-certificates git openjdk-8-jdk patch python3 python3-pip \
    && rm -rf /var/lib/apt/lists/*
# The package's set-up fetches, patches and builds the game in its source folder. Its Python
# dependencies (gym, an old numpy) are not installed: nothing of the package runs here.
RUN git clone --depth 1 --branch "$MINERL_REF" https://github.com/minerllabs/minerl /opt/minerl \
    && cd /opt/minerl \
    && python3 -m pip install --no-deps . \
    && ls minerl/MCP-Reborn/build/libs/mcprec-*.jar

FROM ubuntu:22.04
ENV DEBIAN_FRONTEND=noninteractive PORT=9000 MAX_MEMORY=4G
# The game's window library wants the X client libraries; Mesa draws without a graphics card.
RUN apt-get update && apt-get install -y --no-install-recommends \
        libgl1 libgl1-mesa-dri libglx-mesa0 libx11-6 libxcursor1 libxext6 libxi6 libxrandr2 \
        libxxf86vm1 openjdk-8-jre xauth xvfb \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home player
COPY --from=build --chown=player /opt/minerl/minerl/MCP-Reborn /opt/minecraft
USER player
WORKDIR /opt/minecraft
EXPOSE 9000
CMD exec xvfb-run -a -s "-screen 0 1024x768x24 +extension GLX -ac" \
    bash launchClient.sh -port "$PORT" -env -runDir run -maxMem "$MAX_MEMORY"
