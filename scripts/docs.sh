#!/usr/bin/env bash
# Builds the site of the documentation in site/. A link or anchor that leads nowhere, or a page that the navigation in
# mkdocs.yml lacks, is an error.
#
#   bash scripts/docs.sh                           builds it
#   bash scripts/docs.sh serve                     shows it at http://127.0.0.1:8000, and what is changed meanwhile
set -euo pipefail
source "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/lib.sh"
case "${1:-}" in -h | --help) show_help "$0" && exit 0 ;; esac

install_what_is_missing
cd "$ATLAS_ROOT" || exit 1
# A notice about later versions, which pyproject.toml excludes.
export NO_MKDOCS_2_WARNING=1
(($# > 0)) || set -- build
exec python -m mkdocs "$1" --strict "${@:2}"
