# shellcheck shell=bash
# Shared by the batch scripts, which source it: run a launch, pass Slurm's signals on, and queue the job again.

MADE_ROOM=75 # what a launch ends with that has made room, and that the same command continues

launch_and_requeue() { # launch_and_requeue COMMAND…: ends this script with the status of the launch
    local launch status=0 heard="" ended="" warned=""
    # In the background, as a shell waits for what runs in front before it hears a signal.
    "$@" &
    launch=$!
    trap 'heard=1 warned=1; kill -USR1 "$launch" 2> /dev/null' USR1
    trap 'heard=1; kill -TERM "$launch" 2> /dev/null' TERM
    while [[ -z "$ended" ]]; do
        heard=""
        wait "$launch"
        status=$?
        # A signal ends the waiting, too, with a status that is not the launch's.
        [[ -n "$heard" ]] && kill -0 "$launch" 2> /dev/null || ended=1
    done
    if [[ -n "$heard" ]]; then
        wait "$launch"
        status=$?
    fi
    # TERM alone is Slurm's end of the job: it knows whether it was preempted, and starts again, or cancelled.
    if [[ -n "$warned" ]] && ((status == MADE_ROOM)); then
        printf 'requeue: job %s waits for its next turn\n' "$SLURM_JOB_ID" >&2
        scontrol requeue "$SLURM_JOB_ID" ||
            printf 'requeue: Slurm refused; sbatch with the same arguments continues the run\n' >&2
    fi
    exit "$status"
}
