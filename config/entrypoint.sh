#!/bin/sh
# Gives a freshly mounted volume, which belongs to root, to the program's own account, and runs as that account.
set -eu
if [ "$(id -u)" = 0 ]; then
    chown regulars:regulars "$DATA_DIR"
    exec setpriv --reuid=regulars --regid=regulars --init-groups --no-new-privs "$@"
fi
exec "$@"
