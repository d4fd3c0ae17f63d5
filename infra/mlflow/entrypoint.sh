#!/usr/bin/env bash
# Starts the MLflow server with logins. What it needs stands in the environment, so that no password is in `ps`:
#   MLFLOW_BACKEND_STORE_URI        postgresql+psycopg://USER@HOST/mlflow, with the password in PGPASSWORD or PGPASSFILE
#   MLFLOW_ARTIFACTS_DESTINATION    s3://BUCKET/FOLDER, or a folder; clients reach it through the server alone
#   MLFLOW_SERVER_ALLOWED_HOSTS     names (and ports) under which clients reach the server, with commas between
#   MLFLOW_AUTH_ADMIN_PASSWORD      at least 12 characters; read at the first start, when the user `admin` is made
#   MLFLOW_FLASK_SERVER_SECRET_KEY  any random text, the same for all servers of one address
#   MLFLOW_AUTH_TEMPLATE            auth.ini (default: the image's)
#   MLFLOW_HOST, MLFLOW_PORT        where it listens (default: 127.0.0.1, 5000)
#   MLFLOW_WORKERS                  processes that answer (default: 2)
set -euo pipefail

for name in MLFLOW_BACKEND_STORE_URI MLFLOW_ARTIFACTS_DESTINATION MLFLOW_SERVER_ALLOWED_HOSTS \
    MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_FLASK_SERVER_SECRET_KEY; do
    [ -n "${!name:-}" ] || { echo "mlflow-server: set $name" >&2; exit 2; }
done

# auth.ini names the same database as the server, and the password again: MLflow before 3.16.1 knows no variable for it.
# The copy is readable by this user alone, lasts as long as the server, and % is written %% in it.
umask 077
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
text=$(<"${MLFLOW_AUTH_TEMPLATE:-/etc/sepray/mlflow-auth.ini}")
for name in MLFLOW_BACKEND_STORE_URI MLFLOW_AUTH_ADMIN_PASSWORD; do
    [[ $text != *"@$name@"* ]] || text="${text%%"@$name@"*}${!name//\%/%%}${text#*"@$name@"}"
done
printf '%s\n' "$text" > "$folder/auth.ini"
export MLFLOW_AUTH_CONFIG_PATH="$folder/auth.ini"

# Without its processes for jobs of its own (evaluation of language models), which sepray does not use.
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false

mlflow server --app-name basic-auth --workers "${MLFLOW_WORKERS:-2}" \
    --host "${MLFLOW_HOST:-127.0.0.1}" --port "${MLFLOW_PORT:-5000}" &
server=$!
trap 'kill -TERM "$server" 2> /dev/null || true' TERM INT HUP
status=0
wait "$server" || status=$?
while kill -0 "$server" 2> /dev/null; do  # a signal ends a wait before the server has ended
    status=0
    wait "$server" || status=$?
done
exit "$status"
