#!/usr/bin/env bash
# The steps of docker/Dockerfile; on a server without containers they do the same.
#
#   docker/install.sh packages         install the Debian packages of the embedded world (as root)
#   docker/install.sh python FOLDER    install this checkout into a virtual environment, everything by its hash
#
#   TORCH_INDEX   URL of the index of torch's CPU builds, or a folder of wheels (PyTorch's own index);
#                 none leaves torch out, as a server that only shows and rates needs none
set -euo pipefail
folder=$(realpath --canonicalize-missing -- "${2:-.}") # of the caller, before the folder changes
cd "$(dirname "$0")/.."
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1

packages() {
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends make
    make packages-run
}

# Each step by hashes; with the tools of build.lock nothing else is fetched to build a package.
locked() {
    "$venv/bin/python" -m pip install --quiet --require-hashes --no-build-isolation "$@"
}

python() {
    venv=$1
    version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' || true)
    if [ "$version" != 3.11 ]; then
        echo "$0: expected Python 3.11 as python3, which the hashes are of, got ${version:-none}; use Debian 12" >&2
        exit 1
    fi
    torch=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}
    python3 -m venv "$venv"
    locked -r docker/build.lock
    if [ -d "$torch" ]; then
        locked --no-deps --no-index --find-links "$torch" -r docker/torch.lock
    elif [ "$torch" != none ]; then
        locked --no-deps --index-url "$torch" -r docker/torch.lock
    fi
    locked -r docker/requirements.lock
    "$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation .
}

case "$*" in
packages) packages ;;
"python "*) python "$folder" ;;
*) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
