# Sourced by run.sh: how a command is run. Both take 'LOGFILE COMMAND ...'.
# Replace these with your cluster's wrappers of the same form.
export train_cmd="local/run_local.sh"
export decode_cmd="local/run_local.sh"
