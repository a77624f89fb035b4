#!/bin/bash
# The first process of a node's namespaces. It makes the node's view of the machine, then runs the lines that it reads, and when there
# are no more it ends, and with it every process of the node. It also reaps those whose parents are gone.
set -eu
name=$1 dir=$2

enter_cgroups() { # v1: one folder in each hierarchy; v2: one folder
  if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    mkdir -p "/sys/fs/cgroup/$name"
    echo 0 >"/sys/fs/cgroup/$name/cgroup.procs"
    return
  fi
  for hierarchy in /sys/fs/cgroup/*/; do
    [ -f "$hierarchy/cgroup.procs" ] || continue
    mkdir -p "$hierarchy/$name"
    if [ -f "$hierarchy/cpuset.cpus" ]; then
      cat "$hierarchy/cpuset.cpus" >"$hierarchy/$name/cpuset.cpus"
      cat "$hierarchy/cpuset.mems" >"$hierarchy/$name/cpuset.mems"
    fi
    echo 0 >"$hierarchy/$name/cgroup.procs"
  done
}

show_cgroups() { # only those below the node's own
  if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    # A group with processes of its own hands no controllers down.
    mkdir -p /sys/fs/cgroup/node
    echo 0 >/sys/fs/cgroup/node/cgroup.procs
    sed 's/\</+/g' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
    return
  fi
  local controllers
  controllers=$(awk '$2 > 0 && $4 == 1 { print $1 }' /proc/cgroups)
  mount -t tmpfs tmpfs /sys/fs/cgroup
  for c in $controllers; do
    mkdir "/sys/fs/cgroup/$c"
    mount -t cgroup -o "$c" "$c" "/sys/fs/cgroup/$c"
  done
  mkdir /sys/fs/cgroup/systemd
  mount -t cgroup -o none,name=systemd systemd /sys/fs/cgroup/systemd
}

# Kubelet wants these settings of the kernel. They belong to the whole machine, so it is shown what it wants to see.
pretend() { # FILE VALUE
  echo "$2" >"$dir/pretended/${1//\//_}"
  mount --bind "$dir/pretended/${1//\//_}" "/proc/sys/$1"
}

if [ "${3:-}" != inside ]; then
  mount --make-rprivate /
  mount -t proc proc /proc
  enter_cgroups
  exec unshare -C bash "$0" "$name" "$dir" inside
fi

mount --make-rshared /
show_cgroups
hostname "$name"
mkdir -p "$dir"/{log,pid,run,kubelet,containers,pretended} /var/lib/kubelet
mount -t tmpfs tmpfs /run
mkdir -p /run/lock
mount --bind "$dir/kubelet" /var/lib/kubelet
mount --bind "$dir/log" /var/log
pretend vm/overcommit_memory 1
pretend vm/panic_on_oom 0
pretend kernel/panic 10
pretend kernel/panic_on_oops 1
pretend kernel/keys/root_maxkeys 1000000
pretend kernel/keys/root_maxbytes 25000000

echo ready
set +e
while read -r line; do eval "$line"; done
