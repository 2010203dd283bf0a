#!/usr/bin/env bash
# Installs what is missing, then checks everything: style, types, fast tests, slow tests.
#
#   bash scripts/test.sh                  everything, as CI does
#   bash scripts/test.sh -k reward -x     the same checks; the arguments choose the tests as for pytest
#
# ATLAS_TEST_SEED=N shuffles the tests, and whatever they draw, by that seed.
set -euo pipefail
source "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/lib.sh"
case "${1:-}" in -h | --help) show_help "$0" && exit 0 ;; esac

install_what_is_missing
cd "$ATLAS_ROOT" || exit 1
# Containers often ask for no bytecode; then every one of hundreds of processes compiles the project's modules anew.
unset PYTHONDONTWRITEBYTECODE
# Nothing that is tested may depend on a model hub or upload anything.
export HF_HUB_OFFLINE=1 WANDB_MODE=offline TOKENIZERS_PARALLELISM=false OMP_WAIT_POLICY=PASSIVE

shuffled=()
[[ -z "${ATLAS_TEST_SEED:-}" ]] || shuffled=(-p randomly "--randomly-seed=$ATLAS_TEST_SEED")

failed=()
check() { # check NAME COMMAND…
    local name="$1" started="$SECONDS"
    shift
    printf '\n== %s: %s\n' "$name" "$*"
    "$@" || failed+=("$name")
    printf '== %s: %s s\n' "$name" "$(seconds_since "$started")"
}

check "style" ruff check .
check "format" ruff format --check .
check "types" mypy
if (($# > 0)); then
    check "chosen tests" python -m pytest "${shuffled[@]}" "$@"
else
    check "fast tests" python -m pytest "${shuffled[@]}" -q -n auto --dist loadfile -m "not slow and not servers"
    # Each process starts servers of its own, of which two processes keep two cores busy and 16 GB of memory full.
    # The files that took longest are begun first (tests/support/longest_first.py), not those with most tests.
    check "slow tests" python -m pytest -v -n 2 --dist loadfile --no-loadscope-reorder --durations=40 -m "slow or servers"
fi

if ((${#failed[@]} > 0)); then
    printf '\nFailed after %s s: %s\n' "$SECONDS" "${failed[*]}" >&2
    exit 1
fi
printf '\nAll checks passed in %s s\n' "$SECONDS"
