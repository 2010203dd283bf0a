# shellcheck shell=bash
# Shared by the batch scripts, which source it: run a launch on every node of the job, pass Slurm's signals on, and queue
# the job again.

MADE_ROOM=75 # what a launch ends with that has made room, and that the same command continues

addresses() { # addresses: those of the job's nodes, in their order, with commas between
    local node listed=""
    for node in $(scontrol show hostnames "$SLURM_JOB_NODELIST"); do
        listed+=",$(scontrol show node "$node" --oneliner | sed -n 's/.*NodeAddr=\([^ ]*\).*/\1/p')"
    done
    printf '%s\n' "${listed#,}"
}

own_job() { # own_job: what Slurm knows this job by
    # The last task of an array has the number of the whole array, by which finished tasks would be queued again, too.
    printf '%s\n' "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"
}

launch_and_requeue() { # launch_and_requeue COMMAND…: ends this script with the status of the launch
    local launch status=0 heard="" ended="" warned=""
    local command=("$@")
    if ((${SLURM_JOB_NUM_NODES:-1} > 1)); then
        # One host that fails must not have the others killed: they tell each other, and save.
        command=(srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 --kill-on-bad-exit=0 --wait=0)
        command+=(${SLURM_CPUS_PER_TASK:+--cpus-per-task="$SLURM_CPUS_PER_TASK"} "$@" --hosts "$(addresses)")
    fi
    # In the background, as a shell waits for what runs in front before it hears a signal.
    "${command[@]}" &
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
        printf 'requeue: job %s waits for its next turn\n' "$(own_job)" >&2
        scontrol requeue "$(own_job)" ||
            printf 'requeue: Slurm refused; sbatch with the same arguments continues the run\n' >&2
    fi
    exit "$status"
}
