#!/bin/sh
# Runs in the guest of scripts/test-vm.sh, as root, with systemd as process 1: the life of the installed service, and then
# the sandbox suite. Each step prints its name and what became of it. /job has the suite and a module.
# shellcheck disable=SC2317 # step runs what the loop at the end names
set -u

PORT=3281
PATIENCE=300    # seconds; the guest may be emulated
CONFIG=/usr/local/etc/sky-island/config.json
CALL='{"url": "vm.test/hello.git", "call": "Hello(\"guest\")"}'
failed=0

step() {
    echo "== $1"
    if "$1"; then echo "ok $1"; else echo "FAILED $1"; failed=1; fi
}

# Whether a command succeeds within the patience.
eventually() {
    waited=0
    until "$@" >/dev/null 2>&1; do
        waited=$((waited + 1))
        if [ "$waited" -ge "$PATIENCE" ]; then echo "not within $PATIENCE s: $*"; return 1; fi
        sleep 1
    done
}

main_pid() { systemctl show -P MainPID sky-island; }
answers() { curl -fsS -m "$PATIENCE" "http://127.0.0.1:$PORT/api/v1/function" -d "$CALL" | grep -q 'hello guest'; }
is_healthy() { curl -fsS -m 10 "http://127.0.0.1:$PORT/healthcheck"; }
groups() { find /sys/fs/cgroup -type d -name 'sky-island-[0-9s]*'; }
no_groups() { [ -z "$(groups)" ] || { groups; return 1; }; }

the_guest_is_what_it_should_be() {
    uname -a
    systemctl --version | head -n 1
    stat -f -c %T /sys/fs/cgroup | grep -q cgroup2fs || return 1
    cat /sys/fs/cgroup/cgroup.controllers
}

# As a login session is: others in the group, and not handed over.
check_in_a_shared_scope_leaves_nothing() {
    systemd-run --quiet --scope sh -c "sky-island check; true" >/tmp/check || return 1
    cat /tmp/check
    grep -q '^ok   memory limit' /tmp/check && no_groups
}

check_in_a_delegated_scope_with_a_shell_has_groups_and_leaves_nothing() {
    systemd-run --quiet --scope -p Delegate=yes sh -c "sky-island check; true" >/tmp/check || return 1
    cat /tmp/check
    grep -q '^ok   memory limit' /tmp/check && grep -q '^ok   processor share' /tmp/check && no_groups
}

the_service_starts_and_answers() {
    cat >"$CONFIG" <<JSON
{"go": {"command": "/usr/local/go/bin/go", "warm": false},
 "jails": {"build_timeout": "5m", "exec_timeout": "1m"},
 "limits": {"fetch_timeout": "5m", "queue_wait": "5m"},
 "sources": {"mirrors": [{"prefix": "vm.test", "target": "/job/modules"}]}}
JSON
    systemctl daemon-reload
    systemctl enable --now sky-island || { journalctl -u sky-island -n 30 --no-pager; return 1; }
    eventually is_healthy && answers
}

its_islands_have_groups_with_weights() {
    home=$(groups | grep 'sky-island-[0-9]') || return 1
    cat "$home/cgroup.controllers"
    grep -q cpu "$home/cgroup.subtree_control" && [ -f "$home/../sky-island-server/cgroup.procs" ]
}

a_killed_server_is_restarted_and_its_leftovers_go() {
    before=$(main_pid)
    kill -9 "$before"
    is_new() { [ "$(main_pid)" != 0 ] && [ "$(main_pid)" != "$before" ] && is_healthy; }
    eventually is_new && answers || return 1
    [ -z "$(find /sys/fs/cgroup -type d -name "sky-island-$before*")" ] || return 1
    [ -z "$(ls /var/lib/sky-island/scratch)" ]
}

a_hand_over_loses_no_request() {
    before=$(main_pid)
    systemctl kill --kill-whom=main -s USR2 sky-island
    is_other() { [ "$(main_pid)" != "$before" ] && is_healthy; }
    eventually is_other && answers
}

a_reload_keeps_the_server() {
    before=$(main_pid)
    systemctl reload sky-island && answers && [ "$(main_pid)" = "$before" ]
}

a_stop_leaves_nothing() {
    systemctl stop sky-island || return 1
    [ "$(systemctl show -P Result sky-island)" = success ] && no_groups && ! pgrep -x sky-island
}

# In a group that is handed over, so that islands have limits.
the_sandbox_suite_passes() {
    # shellcheck disable=SC2046 # parts of names
    systemd-run --quiet --scope -p Delegate=yes -p TasksMax=infinity env SKY_ISLAND_SUITE_KIT=/job/kit \
        /job/kit/suite --test-threads=2 --skip the_strangers_program_builds_for_each_system $(cat /job/tests)
}

for name in the_guest_is_what_it_should_be check_in_a_shared_scope_leaves_nothing \
    check_in_a_delegated_scope_with_a_shell_has_groups_and_leaves_nothing the_service_starts_and_answers \
    its_islands_have_groups_with_weights a_killed_server_is_restarted_and_its_leftovers_go a_reload_keeps_the_server \
    a_hand_over_loses_no_request a_stop_leaves_nothing the_sandbox_suite_passes; do
    step "$name"
done
exit "$failed"
