#!/usr/bin/env bash
# A real Slurm on this machine: one controller, a few nodes that differ in port, spool and /dev/shm, each with two GPUs
# that are none (Slurm counts device files).  As root; loopback only; no munge, accounting or cgroups.  DIR must be new:
# a used one still holds PMIx sockets.
# While it is up, the kernel's autogroup is off (docs/decisions.md, 28).
# usage: cluster.sh up DIR [NODES] [CPUS]      then export SLURM_CONF=DIR/slurm.conf
#        cluster.sh down DIR
set -euo pipefail
folder=$(realpath -m "$2")
export SLURM_CONF=$folder/slurm.conf
autogroup=/proc/sys/kernel/sched_autogroup_enabled

write_configuration() {  # write_configuration NODES CPUS
  local port=$((20000 + $$ % 1000 * 10)) node
  cat <<END
ClusterName=tightrope
SlurmctldHost=localhost
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool.%n
TmpFS=$folder/tmp.%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=sched_min_interval=200000,bf_interval=2
ReturnToService=2
KillWait=5
GresTypes=gpu
MailProg=/bin/true
END
  for node in $(seq "$1"); do
    echo "NodeName=n$node NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=$((port + node)) CPUs=$2 Gres=gpu:2 \
State=UNKNOWN"
  done
  echo "PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP"
}

up() {  # up NODES CPUS
  local node gpu
  if [ -e "$folder" ]; then
    echo "$folder exists (an earlier cluster's sockets would be in the way) give a new folder"
    exit 1
  fi
  mkdir -p "$folder/state"
  if [ -w $autogroup ]; then
    cat $autogroup >"$folder/autogroup"
    echo 0 >$autogroup
  fi
  write_configuration "$1" "$2" >"$SLURM_CONF"
  for gpu in 0 1; do mknod "$folder/gpu$gpu" c 1 3; done
  echo "NodeName=n[1-$1] Name=gpu File=$folder/gpu[0-1]" >"$folder/gres.conf"
  slurmctld -c -f "$SLURM_CONF"
  for node in $(seq "$1"); do
    mkdir "$folder/spool.n$node" "$folder/tmp.n$node"
    # A /dev/shm of its own keeps Open MPI from taking two nodes for one.
    unshare -m sh -c "mount -t tmpfs -o size=2g tmpfs /dev/shm; exec slurmd -N n$node -f '$SLURM_CONF'"
  done
  for _ in $(seq 100); do
    [ "$(sinfo -h -t idle -o %D 2>/dev/null)" = "$1" ] && return
    sleep 0.1
  done
  echo "the nodes did not come up:"
  tail -n 5 "$folder"/*.log
  exit 1
}

still_running() {  # still_running PID...: zombies, which somebody else must reap, do not count
  local pid
  for pid in "$@"; do
    grep -qs '^State:[[:space:]]*[^Z]' "/proc/$pid/status" && return 0
  done
  return 1
}

down() {
  local pid pids
  [ ! -s "$folder/autogroup" ] || cat "$folder/autogroup" >$autogroup
  scancel -u root 2>/dev/null || true
  for _ in $(seq 50); do
    [ -z "$(squeue -h 2>/dev/null)" ] && break
    sleep 0.1
  done
  pids=$(cat "$folder"/slurmd.n*.pid "$folder/slurmctld.pid" 2>/dev/null || true)
  for pid in $pids; do kill "$pid" 2>/dev/null || true; done
  for _ in $(seq 50); do
    still_running $pids || return 0
    sleep 0.1
  done
  for pid in $pids; do kill -9 "$pid" 2>/dev/null || true; done
}

case $1 in
  up) up "${3:-2}" "${4:-8}" ;;
  down) down ;;
esac
