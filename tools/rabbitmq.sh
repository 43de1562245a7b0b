#!/bin/sh
# Sees to it that the tests find a RabbitMQ, then runs the command given: tools/rabbitmq.sh COMMAND...
# In this order: HEADWATER_TEST_AMQP_URL, the machine's own rabbitmq-server, Debian's package (as root), Docker.
# The tests start private nodes of their own from the installed programs; no system service is started.
set -eu

say() { printf 'headwater: %s\n' "$*"; }

have_server() { command -v rabbitmq-server || [ -x /usr/sbin/rabbitmq-server ] || [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]; }

install_package() (
    policy=/usr/sbin/policy-rc.d
    log=$(mktemp)
    # Debian starts services at installation unless this file says no (101); it is ours for this call only.
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy" "$log"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    else
        trap 'rm -f "$log"' EXIT
    fi
    export DEBIAN_FRONTEND=noninteractive
    say "installing rabbitmq-server from Debian's packages (its service is not started)"
    if apt-get update -qq >"$log" 2>&1 &&
        apt-get install -qq -y --no-install-recommends rabbitmq-server >>"$log" 2>&1; then
        return 0
    fi
    tail -n 5 "$log" >&2
    return 1
)

run_in_docker() {
    name=headwater-test-$$
    say "starting rabbitmq:4-management in Docker"
    docker run --detach --rm --name "$name" --publish 127.0.0.1::5672 --publish 127.0.0.1::15672 \
        rabbitmq:4-management >/dev/null || return 1
    trap 'docker rm --force "$name" >/dev/null 2>&1' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    docker exec "$name" rabbitmqctl await_startup >/dev/null
    HEADWATER_TEST_AMQP_URL="amqp://guest:guest@$(docker port "$name" 5672/tcp)/"
    HEADWATER_TEST_MANAGEMENT_URL="http://guest:guest@$(docker port "$name" 15672/tcp)"
    export HEADWATER_TEST_AMQP_URL HEADWATER_TEST_MANAGEMENT_URL
}

if [ -n "${HEADWATER_TEST_AMQP_URL:-}" ]; then
    say "testing against the RabbitMQ of HEADWATER_TEST_AMQP_URL"
elif have_server >/dev/null; then
    :
elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && install_package; then
    :
elif command -v docker >/dev/null && docker info >/dev/null 2>&1 && run_in_docker; then
    "$@"
    exit
else
    say "no RabbitMQ here, so its tests cannot run. One of these helps:
  apt-get install --no-install-recommends rabbitmq-server     (Debian, Ubuntu; as root)
  brew install rabbitmq                                       (macOS)
  HEADWATER_TEST_AMQP_URL=amqp://user:password@host/ make test"
fi
exec "$@"
