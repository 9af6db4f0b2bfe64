#!/bin/sh
# Debian packages that the tests drive for real: a browser, an MQTT broker and a database. Root installs them, others are told.
set -eu
missing=""
[ -x /usr/bin/chromium ] || missing="$missing chromium"
[ -x /usr/sbin/mosquitto ] || command -v mosquitto >/dev/null 2>&1 || missing="$missing mosquitto"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null 2>&1 || missing="$missing postgresql"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ]; then
  echo "the tests need Debian's packages:$missing (apt-get install$missing)" >&2
  exit 2
fi
apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing fonts-dejavu-core >/dev/null
# Debian starts these on their default ports; the tests start their own on free ports.
if command -v service >/dev/null 2>&1; then
  for name in mosquitto postgresql; do service "$name" stop >/dev/null 2>&1 || true; done
fi
