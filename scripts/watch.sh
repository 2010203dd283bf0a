#!/usr/bin/env bash
# Show a run as it goes, from its files, in a browser of this machine (docs/guides/watching.md):
#   scripts/watch.sh OUTPUT [--port 8900]
#   scripts/watch.sh results/teacher_rcl
# Curves, alarms and the last lessons. From another machine: ssh -L 8900:127.0.0.1:8900 HOST. Other addresses (--host)
# are refused without --allow-outside, because the page asks for no key.
source "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/launcher.sh"
(($# > 0)) || usage "$0"
run_module trainers.watching "$@"
