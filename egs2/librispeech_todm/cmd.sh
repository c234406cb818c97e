# Sourced by run.sh: where commands run. Set cmd_backend here or in the environment.
#   local  this machine
#   slurm  each command is a job (sbatch); decoding is an array with a job for each size; --num_nodes N spans nodes
#   ssh    training runs on the hosts below, through a shared file system; all else runs here
cmd_backend=${cmd_backend:-local}

# slurm: options of sbatch for every job, and for jobs with GPUs.
export SLURM_OPTIONS=${SLURM_OPTIONS:-}
export SLURM_GPU_OPTIONS=${SLURM_GPU_OPTIONS:-}

# ssh: host names with a comma between them, each with its GPUs, as in host1:0:1,host2:0:1; without GPUs, one process each on the CPU.
train_hosts=${train_hosts:-}

case $cmd_backend in
local | ssh)
    export train_cmd="local/run_local.sh"
    export decode_cmd="local/run_local.sh"
    ;;
slurm)
    export train_cmd="local/slurm.pl"
    export decode_cmd="local/slurm.pl"
    ;;
*)
    echo "error: cmd_backend '$cmd_backend' in cmd.sh is not one of local, slurm, ssh" >&2
    exit 1
    ;;
esac
if [ "$cmd_backend" = ssh ]; then
    [ -n "$train_hosts" ] || {
        echo "error: cmd_backend 'ssh' needs train_hosts in cmd.sh" >&2
        exit 1
    }
else
    train_hosts=
fi
