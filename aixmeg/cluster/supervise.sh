# From the start of a job to its end. This text stands in every script that `aixmeg slurm submit` writes, and in
# slurm/pretrain.sbatch. Above it are set: run (folder), tool (words that start aixmeg on this node), health (words that
# look at every node), launch (words that start the ranks), max_restarts, health_seconds.
attempt=${SLURM_RESTART_COUNT:-0}
log=$run/logs/ranks-$SLURM_JOB_ID-$attempt.log
mkdir -p "$run/logs"

# The first node is the meeting point; the port differs between jobs, and between the attempts of a job.
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
if ! getent hosts "$MASTER_ADDR" >/dev/null; then
  MASTER_ADDR=$(scontrol -o show node "$MASTER_ADDR" | sed -n 's/.* NodeAddr=\([^ ]*\).*/\1/p')
fi
MASTER_PORT=$((20000 + (SLURM_JOB_ID * 7 + attempt * 101) % 12000))
export MASTER_ADDR MASTER_PORT

# USR1: SLURM's warning before the time limit or a preemption. TERM: the job is being ended. Both mean "save and stop",
# and go to the ranks as USR1, since srun and mpirun answer TERM by ending them. USR2: save and go on.
asked=""
ranks=""
# shellcheck disable=SC2317 # the traps call it
forward() { if [[ -n $ranks ]]; then kill -s "$1" "$ranks" 2>/dev/null; fi; }
trap 'asked=USR1; forward USR1' USR1
trap 'asked=${asked:-TERM}; forward USR1' TERM
trap 'forward USR2' USR2

# Is another attempt worth it? Notes its beginning, and how the one before was lost if it had no time to say so.
"${tool[@]}" slurm begin "$run" --max-restarts "$max_restarts" || exit

# Is every node fit? What each rank finds is in $checked; they meet at a port of their own. A job without its bad nodes
# is another attempt; SLURM takes other nodes once they are excluded, which is possible from the moment on in which the
# job waits again.
if ((health_seconds > 0)) && [[ -z $asked ]]; then
  checked=$run/health/$SLURM_JOB_ID-$attempt
  MASTER_PORT=$((MASTER_PORT + 1)) timeout --kill-after=5 "$health_seconds" "${health[@]}" --out "$checked" \
    >>"$log" 2>&1
  bad=$("${tool[@]}" slurm fit "$run" --checked "$checked" --max-restarts "$max_restarts" \
    --nodes "$(scontrol show hostnames "$SLURM_JOB_NODELIST" | paste -sd,)")
  verdict=$?
  if [[ $verdict -eq 75 ]]; then
    out=$(scontrol -o show job "$SLURM_JOB_ID" | sed -n 's/.* ExcNodeList=\([^ ]*\).*/\1/p')
    if [[ -n $out && $out != "(null)" ]]; then bad=$bad,$out; fi
    scontrol requeue "$SLURM_JOB_ID"
    # SLURM answers with a TERM to everything that this script runs, and scontrol would die of it before it had spoken.
    (trap '' TERM && exec scontrol update "JobId=$SLURM_JOB_ID" "ExcNodeList=$bad") ||
      echo "aixmeg: cannot exclude $bad here: scancel $SLURM_JOB_ID, then submit again, which leaves them out" >&2
  fi
  if [[ $verdict -ne 0 ]]; then exit "$verdict"; fi
fi

status=0
if [[ -z $asked ]]; then
  "${launch[@]}" >>"$log" 2>&1 &
  ranks=$!
  # A trap interrupts wait; the ranks are still running then.
  until wait "$ranks"; do
    status=$?
    kill -0 "$ranks" 2>/dev/null || break
    status=0
  done
  ranks=""
fi

# 0: the training is complete. 75: another attempt. Else it stays ended: crash loop, too many restarts, cancelled.
"${tool[@]}" slurm end "$run" --status "$status" --signal "$asked" --max-restarts "$max_restarts" --log "$log"
verdict=$?
if [[ $verdict -eq 75 ]]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$verdict"
