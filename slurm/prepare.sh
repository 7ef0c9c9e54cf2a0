#!/bin/bash
# Corpus, tokenizer and dataset as three jobs, each of which starts when the one before has ended well.
#   slurm/prepare.sh CONFIG.yaml [--section.field VALUE …]
# Prints the last job's number, for --dependency=afterok:NUMBER of a training. Options for all jobs: SBATCH_PARTITION,
# SBATCH_ACCOUNT and the other variables of sbatch.
set -euo pipefail
: "${1:?usage: slurm/prepare.sh CONFIG.yaml [--section.field VALUE …]}"
here=$(dirname "$0")
after=()
job=""
for step in corpus tokenizer data; do
  # A job whose predecessor failed can never start: it leaves the queue.
  job=$(sbatch --parsable --kill-on-invalid-dep=yes "${after[@]}" "$here/$step.sbatch" "$@")
  job=${job%%;*}
  echo "$step: job $job" >&2
  after=("--dependency=afterok:$job")
done
echo "$job"
