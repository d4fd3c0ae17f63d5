#!/usr/bin/env bash
# Makes the databases of Optuna and MLflow, with one owner. PostgreSQL's image runs it once, in an empty data folder;
# elsewhere an administrator runs it: PGHOST=... PGUSER=postgres SEPRAY_DATABASE_USER=sepray ./create-databases.sh
set -euo pipefail

owner=${SEPRAY_DATABASE_USER:-${POSTGRES_USER:?set SEPRAY_DATABASE_USER, the role that studies connect as}}
export PGUSER=${POSTGRES_USER:-${PGUSER:-postgres}}
for database in optuna mlflow; do
    exists=$(psql --dbname postgres --no-align --tuples-only --set database="$database" <<< \
        "SELECT 1 FROM pg_database WHERE datname = :'database'")
    [ "$exists" = 1 ] || createdb --owner "$owner" "$database"
done
