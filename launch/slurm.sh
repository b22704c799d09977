#!/usr/bin/env bash
# Trains on GPUs of several nodes under Slurm, and goes on when time is over.
#
# One process a node, with all of its GPUs: the images of a node are read and
# augmented by one program that has all cores, and one process a GPU would start
# eight of them against each other.
#
# Outside of a job this submits itself; in the job it starts train.py on each
# node. Slurm sends SIGTERM to this script 120 s before the time limit, which
# hands it on to train.py, which saves. Its exit statuses 75 (interrupted, hung,
# or a peer was lost), 134 and 137 (killed) put the job back into the queue,
# where it waits for its turn and goes on; 1 comes again, and ends it.
set -euo pipefail

usage() {
  cat <<'END'
Trains on GPUs of several nodes under Slurm, one process a node.

  launch/slurm.sh --nodes=4 --gpus=8 --time=24:00:00 -- \
    --config=configs/imagenet1k.py:van_b2 --workdir=/shared/b2

After -- comes train.py's command line. The workdir is a folder that all nodes
see, or gs://.

  --nodes=N           how many (1)
  --gpus=N            of a node (8)
  --time=TIME         limit of a turn, as sbatch has it (24:00:00)
  --name=NAME         of the job (van_jax)
  --partition=NAME    of the cluster; --account=NAME likewise
  --cpus=N            cores of a node; without it all of a node's, alone there
  --python=PATH       that has van_jax (.venv/bin/python, or else python)
  --max_restarts=N    turns after the first (50)
  --log=FILE          of all turns; %j is the job (van_jax-%j.log)
  --sbatch=OPTION     any other option of sbatch; may be given again
  --print             show what would be done, do nothing
  --help              show this
END
}

fail() {
  echo "error: $*" >&2
  exit 1
}

is_number() { [[ $1 =~ ^[0-9]+$ ]]; }
is_positive() { [[ $1 =~ ^[1-9][0-9]*$ ]]; }

submit() {
  local nodes=1 gpus=8 time=24:00:00 name=van_jax partition="" account=""
  local cpus="" python="" max_restarts=50 log=van_jax-%j.log print="" value
  local options=()
  while (($#)); do
    value=${1#*=}
    case $1 in
      --nodes=*) nodes=$value ;;
      --gpus=*) gpus=$value ;;
      --time=*) time=$value ;;
      --name=*) name=$value ;;
      --partition=*) partition=$value ;;
      --account=*) account=$value ;;
      --cpus=*) cpus=$value ;;
      --python=*) python=$value ;;
      --max_restarts=*) max_restarts=$value ;;
      --log=*) log=$value ;;
      --sbatch=*) options+=("$value") ;;
      --print) print=1 ;;
      --help) usage && exit 0 ;;
      --) shift && break ;;
      *) fail "$1 is no flag of launch/slurm.sh; train.py's come after --," \
        "and sbatch's as --sbatch=OPTION." ;;
    esac
    shift
  done
  is_positive "$nodes" || fail "--nodes=$nodes must be 1 or more."
  is_positive "$gpus" || fail "--gpus=$gpus must be 1 or more."
  is_number "$max_restarts" || fail "--max_restarts=$max_restarts is no number."
  [[ -z $cpus ]] || is_positive "$cpus" || fail "--cpus=$cpus must be 1 or more."
  check_training "$@"
  if [[ -z $python ]]; then
    python=python
    [[ -x .venv/bin/python ]] && python=$PWD/.venv/bin/python
  fi
  command -v "$python" >/dev/null || fail "--python=$python is not there."

  local command=(
    sbatch "--nodes=$nodes" --ntasks-per-node=1 "--gpus-per-node=$gpus"
    "--time=$time" "--job-name=$name" "--output=$log" --open-mode=append
    --requeue --signal=B:TERM@120
    "--export=ALL,VAN_JAX_PYTHON=$python,VAN_JAX_MAX_RESTARTS=$max_restarts"
  )
  [[ -n $partition ]] && command+=("--partition=$partition")
  [[ -n $account ]] && command+=("--account=$account")
  if [[ -n $cpus ]]; then
    command+=("--cpus-per-task=$cpus")
  else
    command+=(--exclusive --mem=0)
  fi
  ((${#options[@]})) && command+=("${options[@]}")
  command+=("${BASH_SOURCE[0]}" "$@")
  if [[ -n $print ]]; then
    printf '%q ' "${command[@]}"
    printf '\n# on each node:\n'
    ((nodes > 1)) && set -- "$@" --distributed
    printf '%q ' srun --kill-on-bad-exit=0 "$python" train.py "$@"
    printf '\n# exit statuses 75, 134 and 137: scontrol requeue, at most %s times\n' \
      "$max_restarts"
    return
  fi
  command -v sbatch >/dev/null || fail "sbatch is not here; --print shows what" \
    "would be done."
  "${command[@]}"
}

check_training() {
  local word config="" workdir=""
  for word in "$@"; do
    case $word in
      --config=*) config=${word#*=} ;;
      --workdir=*) workdir=${word#*=} ;;
      --distributed | --distributed=* | --nodistributed | \
        --coordinator_address=* | --num_processes=* | --process_id=*)
        fail "${word%%=*} is set by launch/slurm.sh; leave it out."
        ;;
    esac
  done
  [[ -n $config && -n $workdir ]] || fail "after -- come train.py's flags," \
    "--config=... and --workdir=... at least."
  [[ -f train.py ]] || fail "there is no train.py in $PWD; start this from the" \
    "checkout, as launch/slurm.sh."
  [[ -f ${config%%:*} ]] || fail "--config=$config: there is no ${config%%:*}."
  case $workdir in
    /tmp/* | /dev/shm/*)
      fail "--workdir=$workdir is another folder on each node; name one that" \
        "all of them see."
      ;;
  esac
}

train() {
  local python=${VAN_JAX_PYTHON:-python} most=${VAN_JAX_MAX_RESTARTS:-50}
  local status=0 turn=${SLURM_RESTART_COUNT:-0} step
  ((${SLURM_JOB_NUM_NODES:-1} > 1)) && set -- "$@" --distributed
  # A lost node's peers stop by themselves, with a line that says so and status
  # 75; srun is not to kill them before. Left alone it binds a task to one core.
  srun --kill-on-bad-exit=0 \
    "--cpus-per-task=${SLURM_CPUS_PER_TASK:-$SLURM_CPUS_ON_NODE}" \
    "$python" train.py "$@" &
  step=$!
  trap 'kill -TERM "$step" 2>/dev/null || true' TERM
  # `wait` returns when a signal comes, and srun goes on.
  while true; do
    status=0
    wait "$step" || status=$?
    kill -0 "$step" 2>/dev/null || break
  done
  case $status in
    75 | 134 | 137)
      if ((turn >= most)); then
        echo "exit status $status after $turn restarts, --max_restarts." >&2
        exit "$status"
      fi
      echo "exit status $status: back into the queue, to go on." >&2
      scontrol requeue "$SLURM_JOB_ID"
      ;;
    *) exit "$status" ;;
  esac
}

if [[ -n ${SLURM_JOB_ID:-} && -n ${VAN_JAX_PYTHON:-} ]]; then
  train "$@"
else
  submit "$@"
fi
