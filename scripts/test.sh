#!/usr/bin/env bash
# The gate: format, lint, types, tests (two files at once, on one thread each). The same here and in CI.
#
#   bash scripts/test.sh           everything
#   bash scripts/test.sh --quick   without the slow tests
#   bash scripts/test.sh -n 8      eight tests at once; whatever else there is goes to pytest
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
install_noisyhw ".[dev]"
select=()
if [ "${1:-}" = "--quick" ]; then
    select=(-m "not slow")
    shift
fi
.venv/bin/ruff format --check --quiet . || { echo "some files are not formatted; run: .venv/bin/ruff format ." >&2; exit 1; }
.venv/bin/ruff check --quiet .
.venv/bin/mypy
OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2 --dist loadfile "${select[@]}" "$@"
