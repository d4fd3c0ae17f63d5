#!/usr/bin/env bash
# Runs a user's study on a small cluster of this machine, with failures, and checks what sepray promises:
#     make test-cluster        (or: PYTHON=.venv/bin/python infra/smoke.sh, with requirements/test-cluster.txt installed)
# It starts PostgreSQL, an S3 server (moto) and MLflow with logins on 127.0.0.1, a head of Ray without CPUs and two nodes
# of one CPU each (Ray listens on all interfaces, with a token), in mount and process namespaces: they see neither this
# repository, nor the user's folder, nor a cache. A node is killed and comes back, PostgreSQL is gone for 20 seconds. In the end it ends all it has started.
# SMOKE_SECONDS (600) is the limit of all, SMOKE_KEEP=1 keeps the folder with all logs.
set -euo pipefail

repository=$(cd "$(dirname "$0")/.." && pwd)
infra=$repository/infra
python=$(command -v "${PYTHON:-python}") || { echo "set PYTHON to a Python with sepray's dependencies" >&2; exit 2; }
python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python")
limit=${SMOKE_SECONDS:-600}
work=$(mktemp -d /tmp/sepray-smoke-XXXXXX)
export SEPRAY_SMOKE=$work  # everything that is started inherits it, and is found by it in the end
study=
SECONDS=0

say() { printf '%4ds  %s\n' $SECONDS "$*"; }
fail() { say "FAILED: $*"; exit 1; }
check() { PYTHONPATH=$repository "$python" "$infra/smoke/checks.py" "$@"; }
wait_for() {  # SECONDS WHAT COMMAND...
    local last=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" > /dev/null 2>&1; do
        [ $SECONDS -lt $last ] && [ $SECONDS -lt "$limit" ] || fail "$what: waited in vain"
        [ -z "$study" ] || kill -0 "$study" 2> /dev/null || { tail -n 20 "$work/logs/study"; fail "$what: the study has ended"; }
        sleep 0.5
    done
}
started() {  # ids of the processes of this run, but for this shell and the programs that look for them
    (unset SEPRAY_SMOKE
    grep -l --null-data --fixed-strings --line-regexp "SEPRAY_SMOKE=$work" /proc/[0-9]*/environ 2> /dev/null | cut -d / -f 3)
}
end() {
    local status=$?
    trap - EXIT
    local signal tries
    for signal in TERM KILL; do
        for tries in 1 2 3 4 5 6 7 8; do
            mapfile -t running < <(started)
            [ ${#running[@]} -gt 0 ] || break 2
            [ $tries -gt 1 ] && [ $signal = TERM ] || kill -$signal "${running[@]}" 2> /dev/null || true
            sleep 0.5
        done
    done
    mapfile -t running < <(started)
    [ ${#running[@]} -eq 0 ] || { say "FAILED: still running: ${running[*]}"; status=1; }
    if [ "${SMOKE_KEEP:-}" ] || [ $status -ne 0 ]; then
        say "logs are in $work"
    else
        rm -rf "$work"
    fi
    [ $status -ne 0 ] || say "all promises held, and nothing that was started still runs"
    exit $status
}
trap end EXIT
trap 'exit 130' INT TERM

# --- programs, ports, secrets, accounts ---------------------------------------------------------------------------
PATH=$(dirname "$python"):$PATH
for bin in "$(command -v initdb > /dev/null && dirname "$(command -v initdb)")" /usr/lib/postgresql/*/bin /usr/pgsql-*/bin; do
    [ -x "$bin/initdb" ] && PATH=$PATH:$bin
done
command -v initdb > /dev/null || fail "PostgreSQL's programs are missing: apt-get install postgresql, or as your system has it"
for program in moto_server mlflow ray; do
    command -v $program > /dev/null || fail "$program is missing: pip install --require-hashes -r requirements/test-cluster.txt"
done
export PATH
chmod 711 "$work"
mkdir "$work"/{home,user,logs,ray,postgres,socket}
"$infra/make-secrets.sh" "$work/secrets" > "$work/logs/secrets"
cp "$infra"/smoke/my_*.py "$work/user"
read -r postgres_port s3_port mlflow_port head_port client_port <<< "$(check ports 5)"
as_postgres=()
if [ "$(id -u)" = 0 ]; then  # PostgreSQL refuses to run as root
    account=$(id -u postgres > /dev/null 2>&1 && echo postgres || echo nobody)
    as_postgres=(setpriv --reuid "$account" --regid "$(id -g "$account")" --clear-groups)
    chown "$account" "$work/postgres" "$work/socket"
fi

export HOME=$work/home RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$work/secrets/ray_token RAY_USAGE_STATS_ENABLED=0
export AWS_ENDPOINT_URL=http://127.0.0.1:$s3_port AWS_REGION=us-east-1 AWS_SHARED_CREDENTIALS_FILE=$work/secrets/s3_credentials
export MLFLOW_DISABLE_TELEMETRY=true PYTHONUNBUFFERED=1
unset RAY_ADDRESS PYTHONPATH AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY PGPASSWORD MLFLOW_TRACKING_URI

# --- PostgreSQL, S3, MLflow ---------------------------------------------------------------------------------------
postgres() {
    (cd / && "${as_postgres[@]}" pg_ctl --pgdata "$work/postgres/data" --silent "$@" >> "$work/logs/postgres" 2>&1)
}
start_postgres() {
    postgres --options "-p $postgres_port -k $work/socket -c listen_addresses=127.0.0.1" --log "$work/postgres/log" --wait start
}
install -m 0644 "$work/secrets/postgres_password" "$work/postgres/password"
(cd / && "${as_postgres[@]}" initdb --pgdata "$work/postgres/data" --username sepray --pwfile "$work/postgres/password" \
    --auth scram-sha-256 --no-sync > "$work/logs/initdb" 2>&1) || fail "initdb: see $work/logs/initdb"
rm "$work/postgres/password"
start_postgres || fail "PostgreSQL does not start: see $work/postgres/log"
printf '127.0.0.1:%s:*:sepray:%s\n' "$postgres_port" "$(<"$work/secrets/postgres_password")" > "$work/secrets/pgpass"
chmod 600 "$work/secrets/pgpass"
export PGPASSFILE=$work/secrets/pgpass
PGHOST=127.0.0.1 PGPORT=$postgres_port POSTGRES_USER=sepray "$infra/postgres/create-databases.sh"
database=postgresql+psycopg://sepray@127.0.0.1:$postgres_port
say "PostgreSQL answers, with two databases"

moto_server --host 127.0.0.1 --port "$s3_port" > "$work/logs/s3" 2>&1 & disown
"$python" "$infra/s3/create_bucket.py" studies mlflow
say "the S3 server has two buckets"

MLFLOW_PORT=$mlflow_port MLFLOW_BACKEND_STORE_URI=$database/mlflow MLFLOW_ARTIFACTS_DESTINATION=s3://mlflow/artifacts \
    MLFLOW_SERVER_ALLOWED_HOSTS=127.0.0.1:$mlflow_port MLFLOW_AUTH_TEMPLATE=$infra/mlflow/auth.ini \
    MLFLOW_AUTH_ADMIN_PASSWORD_FILE=$work/secrets/mlflow_password MLFLOW_WORKERS=1 \
    MLFLOW_FLASK_SERVER_SECRET_KEY_FILE=$work/secrets/mlflow_key \
    "$infra/with-secrets.sh" "$infra/mlflow/entrypoint.sh" > "$work/logs/mlflow" 2>&1 & disown
export MLFLOW_TRACKING_URI=http://127.0.0.1:$mlflow_port

# --- Ray ----------------------------------------------------------------------------------------------------------
(cd "$work/user" && exec ray start --head --block --node-ip-address=127.0.0.1 --port="$head_port" --num-cpus=0 \
    --ray-client-server-port="$client_port" --include-dashboard=false --object-store-memory=100000000 \
    --temp-dir="$work/ray") > "$work/logs/head" 2>&1 & disown
wait_for 300 "the head of Ray" ray health-check --address "127.0.0.1:$head_port"
say "the head of Ray answers, to who has the token"

isolate=(unshare --mount --pid --fork --kill-child --mount-proc)
[ "$(id -u)" = 0 ] || isolate+=(--user --map-root-user)
"${isolate[@]}" true 2> /dev/null || { isolate=(); say "NOTE: no namespaces here (unshare is refused): the nodes are processes that see this machine's files"; }
declare -A node
start_node() {  # NAME
    mkdir -p "$work/$1"/{home,ray}
    # A node has no password of the database or of MLflow; it needs the object store alone.
    env --unset PGPASSFILE --unset MLFLOW_TRACKING_URI HOME="$work/$1/home" \
        "${isolate[@]}" bash "$infra/smoke/node.sh" "$repository" "$work" "$1" "$python" "127.0.0.1:$head_port" ${isolate[0]:+isolated} \
        >> "$work/logs/$1" 2>&1 &
    node[$1]=$!
    disown
}
joined() {  # `ray start` gives up after 30 seconds, which a busy machine may need: then it is called again
    local name
    for name in node1 node2; do kill -0 "${node[$name]}" || start_node $name; done
    check nodes "127.0.0.1:$head_port" 3
}
for name in node1 node2; do start_node $name; done
wait_for 300 "two nodes of Ray" joined
say "two nodes have joined${isolate[0]:+, in namespaces without repository, user and cache}"
wait_for 300 "MLflow" check answers "$MLFLOW_TRACKING_URI/health"
MLFLOW_PASSWORD_FILE=$work/secrets/mlflow_password check user "$MLFLOW_TRACKING_URI" alice "$work/secrets/alice"
say "MLflow asks for a login, and has a user"

# --- the study, and what happens to it ----------------------------------------------------------------------------
cd "$work/user"
storage=$database/optuna
MLFLOW_TRACKING_USERNAME=alice MLFLOW_TRACKING_PASSWORD_FILE=$work/secrets/alice PYTHONPATH=$repository \
    "$infra/with-secrets.sh" timeout --signal=INT --kill-after=30 $((limit - SECONDS)) \
    "$python" my_study.py --address "127.0.0.1:$head_port" --storage "$storage" --storage-path s3://studies/sepray \
    > "$work/logs/study" 2>&1 &
study=$!
trained() { [ "$(check running "$storage" "$2")" -ge "$1" ]; }  # TRIALS EPOCHS
wait_for 300 "two trials that have trained 10 epochs" trained 2 10
ps -eo args > "$work/logs/processes"
say "two trials are trained, one on each node"

kill -KILL "${node[node2]}"  # unshare, and the kernel kills the namespace with it
say "node 2 was killed, with all its processes"
wait_for 300 "Ray to notice" check nodes "127.0.0.1:$head_port" 2
say "Ray has noticed"
start_node node2
wait_for 300 "the node that comes back" joined
say "node 2 is back, as an empty machine"
wait_for 300 "a trial that goes on" trained 1 3

postgres --mode immediate stop
say "PostgreSQL was stopped, without a goodbye"
sleep 20
kill -0 $study 2> /dev/null || fail "the study did not survive 20 seconds without PostgreSQL: see $work/logs/study"
start_postgres
say "PostgreSQL is back"

status=0
wait $study || status=$?
say "the study ended, exit status $status"
[ $status -eq 0 ] || { tail -n 20 "$work/logs/study"; fail "the study"; }

# --- what is promised ---------------------------------------------------------------------------------------------
MLFLOW_TRACKING_USERNAME=alice MLFLOW_TRACKING_PASSWORD_FILE=$work/secrets/alice \
    "$infra/with-secrets.sh" env PYTHONPATH="$repository" "$python" "$infra/smoke/checks.py" \
    promises "$work" "$storage" "127.0.0.1:$head_port" || fail "a promise"
[ $SECONDS -lt "$limit" ] || fail "it took longer than $limit seconds"
