#!/usr/bin/env bash
# A node of smoke.sh: node.sh REPOSITORY WORK NAME PYTHON HEAD [isolated]. In a mount namespace of its own it hides the
# repository (but for the virtual environment, if that lies there), the user's folder and the files of the other nodes.
set -euo pipefail
repository=$1 work=$2 name=$3 python=$4 head=$5 isolated=${6:-}

if [ "$isolated" ]; then
    environment=$("$python" -c 'import sys; print(sys.prefix)')
    mkdir -p "$work/$name/environment"
    inside=
    case $environment/ in "$repository"/*) inside=${environment#"$repository"/} ;; esac
    [ -z "$inside" ] || mount --bind "$environment" "$work/$name/environment"
    mount -t tmpfs tmpfs "$repository"
    if [ "$inside" ]; then
        mkdir -p "$environment"
        mount --bind "$work/$name/environment" "$environment"
    fi
    mount --bind "$work/$name/ray" "$work/ray"
    mount -t tmpfs tmpfs "$work/user"
    mount -t tmpfs tmpfs "$work/home"
    cd /
    for hidden in "$repository/sepray" "$work/user/my_study.py" "$HOME/.cache"; do
        [ ! -e "$hidden" ] || { echo "the node sees $hidden" >&2; exit 1; }
    done
    if "$python" -c 'import sepray' 2> /dev/null; then
        echo "the node can import sepray before it was sent there" >&2
        exit 1
    fi
fi
echo "$name starts${isolated:+ in namespaces of its own}"
mapfile -t port < <("$python" - << 'PYTHON'
import socket
sockets = [socket.socket() for _ in range(4)]
for s in sockets:
    s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets), sep="\n")
PYTHON
)
exec ray start --block --address="$head" --node-ip-address=127.0.0.1 --num-cpus=1 --object-store-memory=100000000 \
    --dashboard-agent-listen-port="${port[0]}" --dashboard-agent-grpc-port="${port[1]}" \
    --runtime-env-agent-port="${port[2]}" --metrics-export-port="${port[3]}"
