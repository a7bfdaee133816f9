#!/usr/bin/env bash
# Spreads a leave-one-subject-out over the machines of a SLURM allocation.
#
#   sbatch --nodes=2 --gpus-per-node=4 launch/slurm.sh --dataset=samm --data_dir=DIR --workdir=DIR
#
# Submit it from the root of this repository, on a disk that every machine sees, with the environment
# of the README and of its extra `launch` installed. The arguments are those of `python -m
# launch.loso`. If the time limit ends the run, submit the same line again: finished folds are kept,
# the others resume from their last checkpoints.
#SBATCH --job-name=fdp
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@60
#SBATCH --output=fdp-%j.log
set -euo pipefail

source .venv/bin/activate
export RAY_USAGE_STATS_ENABLED=0
# Anyone who reaches an open cluster can run code as you; the token keeps others out.
export RAY_AUTH_MODE=token
ray get-auth-token --generate >/dev/null

head=$(hostname)
# Other jobs on the same machine use other ports.
port=$((20000 + SLURM_JOB_ID % 20000))
cpus=${SLURM_CPUS_PER_TASK:-1}
gpus=${SLURM_GPUS_ON_NODE:-0}

# All run as children of this script, so that it stops only what it started.
ray start --head --node-ip-address="$head" --port="$port" --num-cpus="$cpus" --num-gpus="$gpus" \
    --include-dashboard=false --block &
for _ in {1..60}; do
    (: >"/dev/tcp/$head/$port") 2>/dev/null && break
    sleep 1
done
if ((SLURM_JOB_NUM_NODES > 1)); then
    srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) \
        --ntasks-per-node=1 --exclude="$head" \
        ray start --address="$head:$port" --num-cpus="$cpus" --num-gpus="$gpus" --block &
fi

python -m launch.loso --address="$head:$port" "$@" &
launcher=$!
trap 'kill -TERM $launcher' TERM
status=0
wait $launcher || status=$?
while kill -0 $launcher 2>/dev/null; do # the signal ended the wait, not the launcher
    status=0
    wait $launcher || status=$?
done
kill $(jobs -p) 2>/dev/null || true
wait || true
exit $status
