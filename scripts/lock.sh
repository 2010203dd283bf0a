#!/usr/bin/env bash
# Regenerates every lock in requirements/ from pyproject.toml. Needs uv (https://docs.astral.sh/uv/): on PATH, or
# in the virtual environment that the installation scripts made.
#
#   bash scripts/lock.sh              keeps the locked versions that still satisfy pyproject.toml
#   bash scripts/lock.sh --upgrade    takes the newest versions that do
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

uv="$(command -v uv || true)"
[[ -n "$uv" ]] || uv=".venv/bin/uv"
if [[ ! -x "$uv" ]]; then
    echo "lock.sh: uv was not found on PATH nor in .venv/bin. Remedy: pip install -r requirements/uv.in" >&2
    exit 1
fi

compile() { # compile OUTPUT PYTHON_VERSION [uv arguments]
    local output="$1" python_version="$2"
    shift 2
    echo "Resolving $output"
    UV_PYTHON_DOWNLOADS=never UV_CUSTOM_COMPILE_COMMAND="bash scripts/lock.sh" "$uv" pip compile --quiet \
        --python-version "$python_version" --python-platform x86_64-manylinux_2_28 \
        --generate-hashes --no-annotate --output-file "$output" "$@" > /dev/null
}

compile requirements/uv.txt 3.11 requirements/uv.in "$@"
for python_version in 3.11 3.12; do
    suffix="py${python_version/./}"
    compile "requirements/cpu-$suffix.txt" "$python_version" --extra cpu --extra dev --extra docs \
        --overrides requirements/cpu-overrides.txt pyproject.toml requirements/torch-needs.in "$@"
    compile "requirements/gpu-$suffix.txt" "$python_version" --extra gpu --extra dev --extra docs pyproject.toml "$@"
done
