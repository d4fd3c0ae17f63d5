#!/usr/bin/env bash
# with-secrets COMMAND...: runs the command with secrets from files. Where PGPASSWORD_FILE (and so on, see below) names
# a file, PGPASSWORD is set to its content; so no secret stands in a compose file, a unit or a process list.
# Other programs read files themselves: RAY_AUTH_TOKEN_PATH, AWS_SHARED_CREDENTIALS_FILE.
set -euo pipefail

for name in PGPASSWORD MLFLOW_TRACKING_USERNAME MLFLOW_TRACKING_PASSWORD MLFLOW_AUTH_ADMIN_PASSWORD \
    MLFLOW_FLASK_SERVER_SECRET_KEY; do
    file_variable="${name}_FILE"
    file="${!file_variable:-}"
    if [ -n "$file" ]; then
        [ -r "$file" ] || { echo "with-secrets: $file_variable=$file cannot be read" >&2; exit 2; }
        export "$name=$(<"$file")"
    fi
done
exec "$@"
