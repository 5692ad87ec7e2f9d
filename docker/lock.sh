#!/usr/bin/env bash
# Write docker/build.lock and docker/requirements.lock: the versions of constraints.txt with the hashes of all
# their files. Needs uv (pip install uv) and a package index; run it after a change of either file.
#
# torch is in docker/torch.lock, written by hand: the CPU build is in PyTorch's own index.
set -euo pipefail
cd "$(dirname "$0")/.."

compile() {
    uv pip compile --quiet --generate-hashes --no-annotate --no-header --python-version 3.11 \
        --constraint constraints.txt --override <(echo 'torch ; sys_platform == "never"') "$@"
}

# What builds packages, this one included.
printf '%s\n' hatchling pip setuptools | compile --output-file docker/build.lock -
# What the CPU build of torch needs, and everything else.
printf '%s\n' filelock fsspec jinja2 networkx setuptools sympy typing-extensions |
    compile --extra train --extra ui --extra postgres --extra plots \
        --output-file docker/requirements.lock pyproject.toml -
