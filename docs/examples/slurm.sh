#!/usr/bin/env bash
# A batch on one node of a cluster with SLURM. Print it, adapt it, submit it: sbatch slurm.sh
# At the time limit SLURM warns with SIGTERM, the batch ends in order, and the job is put back into
# the queue; --resume goes on where it was.
#
# For more than one node leave the workers to Dask instead, from a shell on the login node:
#   emrecon batch jobs.toml --resume --engine slurm --jobs 8 --threads 4 --memory-mb 8000 \
#     --walltime 08:00:00 --queue long --scratch /scratch/$USER
# and with --dry-run it prints what it would submit for each worker.
#SBATCH --job-name=emrecon
#SBATCH --nodes=1
#SBATCH --cpus-per-task=16
#SBATCH --mem=64G
#SBATCH --time=08:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --output=emrecon-%j.log
set -uo pipefail

emrecon batch "${JOBS:-jobs.toml}" --resume \
  --jobs "${SLURM_CPUS_PER_TASK:-2}" --threads 1 --memory-mb "${SLURM_MEM_PER_NODE:-4000}" &
batch=$!
trap 'kill -TERM $batch; wait $batch; scontrol requeue "$SLURM_JOB_ID"; exit 130' TERM
wait $batch
