#!/bin/sh
# Runs an image's entry point without a container engine, where none may run (no cgroups): as root on Linux, with buildah.
#
#   infra/docker/in_image.sh IMAGE [ARGUMENT…]        the environment: ONBRAND_* of the caller, and the image's own
#
# The root is read-only, /data is a memory file system of the image's user, and nothing can gain privileges. SIGTERM
# reaches the process, because every step replaces itself by the next. MODELS=FOLDER is read-only at /models.
set -eu
image=$1
shift
if [ -z "${IN_IMAGE:-}" ]; then
    container=$(buildah from --pull=never "$image")
    trap 'buildah umount "$container" >/dev/null; buildah rm "$container" >/dev/null' EXIT
    root=$(buildah mount "$container")
    settings=$(buildah inspect --type image --format '{{range .OCIv1.Config.Env}}{{.}}{{"\n"}}{{end}}' "$image")
    IN_IMAGE=$root SETTINGS=$settings unshare --mount --propagation private "$0" "$image" "$@" &
    child=$!
    trap 'kill -TERM "$child"' TERM INT
    code=0
    wait "$child" || code=$?
    # A signal ends the first wait; the process itself ends later.
    if kill -0 "$child" 2>/dev/null; then code=0; wait "$child" || code=$?; fi
    exit "$code"
fi
mount --bind "$IN_IMAGE" "$IN_IMAGE"
mkdir -p "$IN_IMAGE/proc" "$IN_IMAGE/dev"
mount --bind -o ro /proc "$IN_IMAGE/proc"
mount --rbind /dev "$IN_IMAGE/dev"
if [ -n "${MODELS:-}" ]; then # a folder of the caller, read-only at /models
    mkdir -p "$IN_IMAGE/models"
    mount --bind -o ro "$MODELS" "$IN_IMAGE/models"
fi
for file in /etc/hosts /etc/resolv.conf; do # names, as an engine gives them
    touch "$IN_IMAGE$file"
    mount --bind "$file" "$IN_IMAGE$file"
done
mount -t tmpfs -o mode=0750,uid=10001,gid=10001 tmpfs "$IN_IMAGE/data"
mount -o remount,ro,bind "$IN_IMAGE"
# `--shell COMMAND` looks around inside instead of running the entry point.
if [ "${1:-}" = --shell ]; then shift; set -- /bin/sh -c "$@"; else set -- /opt/onbrand/bin/python -m onbrand "$@"; fi
settings=$SETTINGS
unset SETTINGS # it has several lines, and the next one would take them for the caller's
IFS='
'
# shellcheck disable=SC2086
exec env -i $settings $(env | grep '^ONBRAND_' || true) \
    "$(command -v chroot)" --userspec=10001:10001 --groups=10001 "$IN_IMAGE" /usr/bin/setpriv --no-new-privs \
    "$@"
