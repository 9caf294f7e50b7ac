#!/bin/sh
# The gate: opens a way for every provider whose key is here, and ends with the lab.
set -eu

NAMESERVER=$(awk '$1 == "nameserver" { print $2; exit }' /etc/resolv.conf)
export NAMESERVER
mkdir -p /tmp/ways
open_way() { # provider, key
    if [ -n "$2" ]; then
        envsubst '$ANTHROPIC_API_KEY $OPENAI_API_KEY $GEMINI_API_KEY $COMPATIBLE_API_KEY
            $ANTHROPIC_UPSTREAM $OPENAI_UPSTREAM $GEMINI_UPSTREAM $COMPATIBLE_UPSTREAM' \
            < "/gate/$1.conf" > "/tmp/ways/$1.conf"
    fi
}
open_way anthropic "${ANTHROPIC_API_KEY:-}"
open_way openai "${OPENAI_API_KEY:-}"
open_way gemini "${GEMINI_API_KEY:-}"
open_way compatible "${COMPATIBLE_UPSTREAM:-}" # a local server needs no key
envsubst '$NAMESERVER' < /gate/nginx.conf > /tmp/nginx.conf

# The kernel takes the lab's lock away when the lab ends, by whatever means.
gate=$$
(flock --shared /meet/alive true; kill "$gate") &
exec nginx -c /tmp/nginx.conf
