#!/bin/bash
# Stands for the ranks' Python in tests of what happens around them: `-m aixmeg train --config RUN/config.yaml` counts
# steps, saves every tenth, and obeys signals as a training does; RUN/behave says how it fails. Everything else is left
# to the real Python, $REAL_PYTHON.
if [[ $3 != train ]]; then exec "$REAL_PYTHON" "$@"; fi
run=$(dirname "$5")
stop=""
trap 'stop=1' USR1 TERM
if [[ $SLURM_PROCID != 0 ]]; then
  while [[ -z $stop ]]; do sleep 0.05; done
  exit 0
fi
step=$(sed 's/step-0*//' "$run/checkpoints/latest" 2>/dev/null)
step=$((${step:-0}))
last=$(sed -n 's/^  steps: //p' "$run/config.yaml")
head -n "$step" "$run/metrics.jsonl" >"$run/cut" 2>/dev/null
mv "$run/cut" "$run/metrics.jsonl"
while ((step < last)); do
  sleep 0.05
  step=$((step + 1))
  printf '{"kind": "train", "step": %d, "loss": 1.5, "seconds": 0.05}\n' "$step" >>"$run/metrics.jsonl"
  read -r failing message <"$run/behave"
  if ((step == failing)); then
    echo "aixmeg: $message" >&2
    exit 2
  fi
  if ((step % 10 == 0 || step == last)) || [[ -n $stop ]]; then printf 'step-%08d\n' "$step" >"$run/checkpoints/latest"; fi
  if [[ -n $stop ]]; then exit 0; fi
done
# the other ranks end with rank 0
for rank in $(pgrep -f "train --config $run/config.yaml"); do
  if [[ $rank != "$$" ]]; then kill -USR1 "$rank"; fi
done
exit 0
