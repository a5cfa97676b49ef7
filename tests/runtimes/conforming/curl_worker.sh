#!/bin/sh
# A queue worker as a shell script: curl and jq.
set -u
base=https://machineid.io/api/v1/devices

control() {
    curl --silent --show-error --max-time 2 --write-out '\n%{http_code}' \
        --header "x-org-key: $MACHINEID_ORG_KEY" --header 'Content-Type: application/json' \
        --data "{\"deviceId\": \"$MACHINEID_DEVICE_ID\"}" "$base/$1" 2>&1
}

log() {
    jq --null-input --compact-output --arg event "$1" --arg boundary "$2" --arg device "$MACHINEID_DEVICE_ID" \
        --arg code "$3" --arg request_id "$4" --arg reason "$5" '$ARGS.named'
}

gate() {
    answer=$(control validate) || { log validate-failed "$1" '' '' "$answer"; exit 1; }
    status=${answer##*
}
    body=${answer%
*}
    [ "$status" = 200 ] || { log validate-failed "$1" '' '' "HTTP $status"; exit 1; }
    allowed=$(printf '%s' "$body" | jq --raw-output 'if type == "object" then (.allowed | tojson) else "none" end' 2>&1)
    [ "$allowed" = true ] && return
    [ "$allowed" = false ] || { log validate-failed "$1" '' '' "no decision: $allowed"; exit 1; }
    log denied "$1" "$(printf '%s' "$body" | jq --raw-output .code)" \
        "$(printf '%s' "$body" | jq --raw-output .request_id)" 'allowed: false'
    exit 1
}

registered=$(control register) || { echo "register failed: $registered"; exit 1; }
[ "${registered##*
}" = 200 ] || { echo "register was refused: $registered"; exit 1; }
gate startup
while job=$(curl --silent --show-error --fail https://queue.example/next) && [ -n "$job" ]; do
    gate task
    curl --silent --show-error --output /dev/null --header 'Content-Type: application/json' --data "$job" \
        https://api.example/charge
done
