#!/usr/bin/env bash
# One command on a fresh machine: make an environment of its own, install noisyhw, and train a network on the RRAM card.
# Whatever is given is handed to `noisyhw train` instead of the default job.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
install_noisyhw .
if [ $# -eq 0 ]; then
    set -- --device rram --rule danp
fi
exec .venv/bin/noisyhw train "$@"
