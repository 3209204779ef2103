#!/bin/bash
# slurm_cluster.sh NODES FOLDER: a Slurm cluster in namespaces of its own, whose first process this is.
# The cluster ends with this process.
# Each node has a host name, a network address and a /tmp/ray of its own; nothing listens outside of the namespaces.
set -e
nodes=$1 folder=$2
hostname controller
ip link set lo up
ip link add name bridge type bridge
ip addr add 10.77.0.254/24 dev bridge
ip link set bridge up
{
  echo "127.0.0.1 localhost"
  echo "10.77.0.254 controller"
  for i in $(seq "$nodes"); do echo "10.77.0.$i n$i"; done
} > "$folder/hosts"
mount --bind "$folder/hosts" /etc/hosts
mkdir -p "$folder/state" /tmp/ray
cat > "$folder/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=controller
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool-%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
ReturnToService=2
SlurmdParameters=config_overrides
NodeName=n[1-$nodes] CPUs=2
PartitionName=all Nodes=ALL Default=YES State=UP
CONF
export SLURM_CONF=$folder/slurm.conf
(umask 077; head -c 1024 /dev/urandom > "$folder/key")
munged --force --foreground --socket="$folder/munge" --key-file="$folder/key" --pid-file="$folder/munged.pid" \
  --log-file="$folder/munged.log" --seed-file="$folder/seed" &
until munge -n -S "$folder/munge" > /dev/null 2>&1; do sleep 0.1; done
slurmctld -D &
for i in $(seq "$nodes"); do
  unshare --mount --net --uts --pid --fork --kill-child --mount-proc bash -ec "
    hostname n$i
    mount -t tmpfs tmpfs /tmp/ray
    echo > '$folder/unshared-$i'
    until ip link show v$i; do sleep 0.1; done > /dev/null 2>&1
    ip link set lo up
    ip addr add 10.77.0.$i/24 dev v$i
    ip link set v$i up
    exec slurmd -D" &
  until [ -e "$folder/unshared-$i" ]; do sleep 0.1; done
  ip link add name h$i type veth peer name v$i
  ip link set v$i netns "$(pgrep -P $!)"
  ip link set h$i master bridge
  ip link set h$i up
done
until [ "$(sinfo -h -t idle -o %D)" = "$nodes" ]; do sleep 0.2; done
touch "$folder/ready"
wait
