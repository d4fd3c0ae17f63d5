#!/usr/bin/env bash
# Makes the random secrets of compose.yaml and k8s/ in a folder (default: secrets/ beside this script). What exists
# stays. The folder is open to its owner alone; the files can be read by the users of the containers they are mounted in.
set -euo pipefail

folder=${1:-"$(cd "$(dirname "$0")" && pwd)/secrets"}
mkdir -p "$folder"
chmod 700 "$folder"
umask 022

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
make() { [ -e "$folder/$1" ] || printf '%s' "$2" > "$folder/$1"; }

for name in postgres_password mlflow_password mlflow_key ray_token; do
    make "$name" "$(random)"
done
access=$(random) secret=$(random)
if [ ! -e "$folder/s3_credentials" ] && [ ! -e "$folder/s3_identities.json" ]; then
    make s3_credentials "[default]
aws_access_key_id = $access
aws_secret_access_key = $secret
"
    make s3_identities.json "{\"identities\": [{\"name\": \"sepray\", \"actions\": [\"Admin\", \"Read\", \"Write\", \"List\", \"Tagging\"],
  \"credentials\": [{\"accessKey\": \"$access\", \"secretKey\": \"$secret\"}]}]}
"
fi
# A certificate that nobody has signed, for trying the profile `tls`; replace it by your own.
if [ ! -e "$folder/tls.crt" ] && command -v openssl > /dev/null; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
        -keyout "$folder/tls.key" -out "$folder/tls.crt" 2> /dev/null
    chmod 644 "$folder/tls.key"
fi
echo "secrets are in $folder"
