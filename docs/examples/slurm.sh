#!/bin/bash
# A run on the nodes of a Slurm job: one torchrun a node, one process a GPU.
#
#   sbatch docs/examples/slurm.sh            RECIPE=base, RUN=$SCRATCH/runs/base
#   RECIPE=my.py:big RUN=/shared/big sbatch --nodes=8 docs/examples/slurm.sh
#
# Submitted again it goes on, with as many nodes as it is given then. Submitted several times with
# --dependency=singleton, one follows the other until the run is finished.
#SBATCH --job-name=m4nmt
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=96
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@180      # save before the time is up; goes to the job's steps
#SBATCH --requeue              # after preemption or the loss of a node: start again and go on
#SBATCH --open-mode=append
set -euo pipefail

first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 20000)) # two jobs that share a node take two
export OMP_NUM_THREADS=$((SLURM_CPUS_PER_TASK / SLURM_GPUS_ON_NODE))
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1

srun --kill-on-bad-exit=1 torchrun \
  --nnodes "$SLURM_NNODES" --nproc-per-node "$SLURM_GPUS_ON_NODE" --max-restarts 3 \
  --rdzv-backend c10d --rdzv-endpoint "$first:$port" --rdzv-id "$SLURM_JOB_ID" \
  -m -- m4nmt train "${RECIPE:-base}" --run "${RUN:-$SCRATCH/runs/base}"
