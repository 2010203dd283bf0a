#!/usr/bin/env bash
# Serve a student, taught, at an OpenAI-compatible address (docs/deployment/serving.md):
#   scripts/serve.sh --teacher PATH --student PATH [--port 8800]
#   scripts/serve.sh --teacher NAME --teacher-url http://127.0.0.1:8765/v1 --student NAME --student-url https://…/v1 \
#       --student-key-env OPENAI_API_KEY
# Models without an address are loaded into this process. Clients need the key in ATLAS_SERVE_KEY, if it is set; to be
# reached from other machines (--host) it must be. Further options: --name --words --teacher-key-env
# --max-concurrent-requests --request-timeout-s --guidance-timeout-s --max-body-bytes --max-tokens --max-probe-tokens
# --max-completion-length --max-choices --max-connections --receive-timeout-s --allow-origin --teach-every-request
# --record DIR writes every lesson to files there, for docs/guides/traces.md: --redact --record-max-bytes
source "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/launcher.sh"
(($# > 0)) || usage "$0"
run_module trainers.service "$@"
