#!/usr/bin/env bash
# Optional: installs Chromium from the system's packages, for the tests that look at a report's page in a browser.
#
#   bash scripts/browser.sh
set -euo pipefail

for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name" >/dev/null; then
        echo "$name is installed already" >&2
        exit 0
    fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium fonts-dejavu-core >/dev/null
else
    echo "There is no Chromium. Install it first, for example: sudo apt-get install chromium" >&2
    exit 1
fi
