# Sourced by the other scripts, from the project's root: finds a Python, makes .venv, installs into it.

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.13 python3.12 python3.11 python3 python; do
        if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "noisyhw needs Python 3.11 or newer; none was found. Name one: PYTHON=/path/to/python3.12 bash scripts/start.sh" >&2
    return 1
}

# install_noisyhw WHAT: install the checkout (WHAT is . or .[dev]) into .venv, unless nothing changed since the last time.
install_noisyhw() {
    local what=$1 python stamp known
    stamp=$(cat pyproject.toml constraints.txt scripts/environment.sh | cksum)
    known=$(cat .venv/installed 2>/dev/null || true)
    if [ "$known" = "$stamp $what" ] || [ "$known" = "$stamp .[dev]" ]; then
        return
    fi
    python=$(find_python)
    [ -x .venv/bin/python ] || "$python" -m venv .venv
    echo "installing into $(pwd)/.venv (once; a minute or two)" >&2
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable "$what" >&2
    echo "$stamp $what" > .venv/installed
}
