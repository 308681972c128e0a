#!/usr/bin/env bash
# Optional: builds aihwkit from its source release against the torch that is installed in .venv, and installs it there.
#
#   bash scripts/aihwkit.sh [FOLDER FOR THE WHEEL]      a few minutes; needs a C++ compiler and OpenBLAS headers
#
# A wheel of aihwkit only works with the torch that it was built against, so none from elsewhere is used.
set -euo pipefail
cd "$(dirname "$0")/.."
version=1.2.0
python=${NOISYHW_PYTHON:-.venv/bin/python}
wheels=${1:-.venv/wheels}

if "$python" -c 'import aihwkit' 2>/dev/null; then
    echo "aihwkit is installed already" >&2
    exit 0
fi
if ! ls "$wheels"/aihwkit-*.whl >/dev/null 2>&1; then
    if ! ls /usr/include/*/openblas*/cblas.h /usr/include/cblas.h /usr/include/*/cblas.h >/dev/null 2>&1; then
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            apt-get update -qq && apt-get install -y -qq libopenblas-dev g++ >/dev/null
        else
            echo "OpenBLAS headers are missing. Install them first: sudo apt-get install libopenblas-dev g++" >&2
            exit 1
        fi
    fi
    "$python" -m pip install --quiet 'setuptools>=77,<81' wheel scikit-build 'pybind11>=3.0.1' ninja 'cmake>=4.2.1' mypy
    mkdir -p "$wheels"
    PATH="$(cd "$(dirname "$python")" && pwd):$PATH" USE_CUDA=OFF \
        "$python" -m pip wheel --quiet --no-deps --no-build-isolation --no-binary aihwkit --wheel-dir "$wheels" "aihwkit==$version"
fi
"$python" -m pip install --quiet --no-deps "$wheels"/aihwkit-"$version"*.whl
"$python" -m pip install --quiet 'requests>=2.25' tqdm
