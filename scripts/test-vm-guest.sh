#!/bin/sh
# Runs in the guest of scripts/test-vm.sh, as root, with systemd as process 1: what `check` says in each kind of session,
# the life of the installed service, and the sandbox suite, as root and as an ordinary user. Each step prints its name, and
# then what became of it and the seconds that it took. /job has the suite, two modules, and the steps that are wanted.
# shellcheck disable=SC2317 # step runs what the loop at the end names
set -u

PORT=3281
PATIENCE=600    # seconds; the guest may be emulated
CONFIG=/usr/local/etc/sky-island/config.json
USER=guest
UNIT=/etc/systemd/system/sky-island.service.d
failed=0

step() {
    echo "== $1"
    began=$(date +%s)
    if "$1"; then became=ok; else became=FAILED failed=1; fi
    echo "$became $1, $(($(date +%s) - began)) s"
}

# Whether a command succeeds within the patience.
eventually() {
    until_then=$(($(date +%s) + PATIENCE))
    until "$@" >/dev/null 2>&1; do
        if [ "$(date +%s)" -ge "$until_then" ]; then echo "not within $PATIENCE s: $*"; return 1; fi
        sleep 1
    done
}

main_pid() { systemctl show -P MainPID sky-island; }
is_healthy() { curl -fsS -m 10 "http://127.0.0.1:$PORT/healthcheck"; }
# What a function answers: `call Hello '"name"'`, or with further keys of the request.
call() {
    printf '{"url": "vm.test/hello.git", "call": "%s(%s)"%s}' "$1" "$(echo "$2" | sed 's/"/\\"/g')" "${3:+, $3}" |
        curl -sS -m "$PATIENCE" "http://127.0.0.1:$PORT/api/v1/function" -d @-
}
answers() {
    call Hello '"guest"' >/tmp/answer
    grep -q 'hello guest' /tmp/answer || { cat /tmp/answer; return 1; }
}
groups() { find /sys/fs/cgroup -type d -name 'sky-island-[0-9s]*'; }
no_groups() { [ -z "$(groups)" ] || { groups; return 1; }; }
# By their arguments: a function has no name.
no_processes() { ! pgrep -a -f '^(/usr/local/bin/sky-island|sky-island-launcher|function)'; }
is_in() { grep -q -e "$1" "$2" || { echo "$2 has no line with: $1"; return 1; }; }
# Whether the server is another process than the one with this number, and answers.
is_another() { [ "$(main_pid)" != 0 ] && [ "$(main_pid)" != "$1" ] && is_healthy; }
said_by_the_service() { journalctl -u sky-island -n "${1:-30}" --no-pager -o cat; }

# Requests one after the other, until `load_ended`, which fails if one failed. Some are sent before the one returns, and
# some after the other has begun.
load_begins() {
    rm -f /tmp/enough /tmp/failures /tmp/served
    : >/tmp/failures
    : >/tmp/served
    (
        until [ -e /tmp/enough ]; do
            if call Hello '"load"' 2>&1 >/tmp/load | grep . >>/tmp/failures || ! grep -q 'hello load' /tmp/load; then
                cat /tmp/load >>/tmp/failures
            fi
            echo >>/tmp/served
        done
    ) &
    load=$!
    more_are_served 2
}
more_are_served() {
    enough=$(($(wc -l </tmp/served) + $1))
    are_served() { [ "$(wc -l </tmp/served)" -ge "$enough" ]; }
    eventually are_served
}
load_ended() {
    more_are_served 3
    : >/tmp/enough
    wait "$load"
    echo "$(wc -l </tmp/served) requests"
    cat /tmp/failures
    [ ! -s /tmp/failures ]
}

the_guest_is_what_it_should_be() {
    uname -a
    systemctl --version | head -n 1
    cat /sys/kernel/security/lsm && echo
    stat -f -c %T /sys/fs/cgroup | grep -q cgroup2fs || return 1
    cat /sys/fs/cgroup/cgroup.controllers >/tmp/controllers
    cat /tmp/controllers
    for controller in cpu io memory pids; do is_in "$controller" /tmp/controllers || return 1; done
    systemctl --failed --no-legend
}

# What `check` says in a session that a command makes, which leaves no group: `check_in "su - root -c"`.
check_in() {
    "$@" 'cat /proc/self/cgroup; sky-island check; echo "status $?"' >/tmp/check 2>&1
    cat /tmp/check
    no_groups && is_in '^status 0' /tmp/check && is_in '^ok   islands' /tmp/check
}
limits_are_given() { is_in '^ok   memory limit' /tmp/check && is_in '^ok   processor share' /tmp/check; }

check_in_a_login_session_leaves_no_group() {
    check_in su - root -c && is_in 'session-.*\.scope' /tmp/check && limits_are_given
}

check_in_a_scope_with_a_shell_leaves_no_group() {
    check_in systemd-run --quiet --scope sh -c && limits_are_given
}

check_in_a_delegated_scope_with_a_shell_leaves_no_group() {
    check_in systemd-run --quiet --scope -p Delegate=yes sh -c && is_in 'run-.*\.scope' /tmp/check && limits_are_given
}

# As the ordinary user, in a scope that his manager hands over.
delegated() { su - "$USER" -c "systemd-run --user --quiet --scope -p Delegate=yes sh -c '$1'"; }

check_of_an_ordinary_user_says_what_is_weak() {
    id "$USER" >/dev/null 2>&1 || useradd -m "$USER"
    loginctl enable-linger "$USER"
    check_in su - "$USER" -c && is_in '^weak memory limit' /tmp/check && is_in 'systemd-run --user --scope' /tmp/check
}

check_of_an_ordinary_user_with_a_shell_in_the_advised_scope_has_groups() {
    check_in delegated && limits_are_given
}

the_installed_program_checks_clean() {
    cat >"$CONFIG" <<JSON
{"go": {"command": "/usr/local/go/bin/go", "warm": false},
 "jails": {"build_timeout": "15m", "exec_timeout": "10m"},
 "limits": {"fetch_timeout": "5m", "queue_wait": "15m"},
 "sources": {"mirrors": [{"prefix": "vm.test", "target": "/job/modules"}]}}
JSON
    sky-island config check -c "$CONFIG" || return 1
    sky-island check -c "$CONFIG" >/tmp/check || return 1
    cat /tmp/check
    ! grep -v '^ok ' /tmp/check
}

the_service_starts_and_answers() {
    systemctl daemon-reload
    systemctl enable --now sky-island || { said_by_the_service; return 1; }
    eventually is_healthy && answers
}

its_islands_have_groups_with_weights() {
    home=$(groups | grep 'sky-island.service/sky-island-[0-9]') || return 1
    cat "$home/cgroup.subtree_control" >/tmp/controllers
    cat /tmp/controllers
    for controller in cpu io memory pids; do is_in "$controller" /tmp/controllers || return 1; done
    [ "$(cat "$home/../sky-island-server/cgroup.procs")" != '' ] && [ -z "$(cat "$home/../cgroup.procs")" ]
}

# The command that `check` prints, as it is printed, on a system without a firewall.
the_advised_firewall_rule_closes_the_host_to_functions() {
    sed 's|^{|{"network": {"pools": [{"interface": "si-vm0", "network": "10.84.0.0/28", "gateway": "10.84.0.1"},\
 {"interface": "si-vm1", "network": "fd84::/112", "gateway": "fd84::1"}]},|' "$CONFIG" >/tmp/config.json
    cp "$CONFIG" /tmp/without-pools.json
    cp /tmp/config.json "$CONFIG"
    systemctl restart sky-island || { said_by_the_service; return 1; }
    systemd-run --quiet --unit=listener systemd-socket-activate -l 10.84.0.1:4000 --inetd -a cat || return 1
    reach() { call Reach '10, 84, 0, 1, 4000' '"ip4": true' >/tmp/answer; cat /tmp/answer; echo; grep -q "$1" /tmp/answer; }
    nft list ruleset
    eventually is_healthy && reach reached &&
        remedy=$(sky-island check -c "$CONFIG" | sed -n "s/.*remedy: close the host's services to them: //p") &&
        echo "$remedy" && echo "$remedy" | grep -q 'si-vm0.*si-vm1' && sh -ec "$remedy" && reach refused
    became=$?
    nft delete table inet sky_island
    systemctl stop listener
    cp /tmp/without-pools.json "$CONFIG"
    systemctl restart sky-island && eventually is_healthy && ! ip -o link | grep si-vm && [ "$became" = 0 ]
}

a_reload_keeps_the_server() {
    before=$(main_pid)
    systemctl reload sky-island && answers && [ "$(main_pid)" = "$before" ]
}

# It keeps its number: the process executes the program that is installed now.
hand_over() {
    before=$(main_pid)
    file() { stat -L -c %i "/proc/$before/exe"; }
    old=$(file)
    cp /usr/local/bin/sky-island /usr/local/bin/sky-island.new && mv /usr/local/bin/sky-island.new /usr/local/bin/sky-island
    load_begins
    systemctl kill --kill-whom=main -s USR2 sky-island
    is_new() { [ "$(file)" != "$old" ] && is_healthy; }
    eventually is_new
    became=$?
    load_ended && [ "$became" = 0 ] && answers && [ "$(main_pid)" = "$before" ] &&
        [ "$(systemctl is-active sky-island)" = active ]
}
a_hand_over_loses_no_request() { hand_over; }

a_restart_answers() {
    before=$(main_pid)
    systemctl restart sky-island && eventually is_another "$before" && answers
}

a_killed_server_is_restarted_and_its_leftovers_go() {
    call Wait 600 >/dev/null 2>&1 &
    runs() { sky-island ps -c "$CONFIG" | grep -q ' running  *function '; }
    eventually runs || return 1
    before=$(main_pid)
    kill -9 "$before"
    eventually is_another "$before" && answers || return 1
    [ -z "$(find /sys/fs/cgroup -type d -name "sky-island-$before*")" ] || return 1
    is_empty() { [ -z "$(ls /var/lib/sky-island/scratch)" ]; }
    eventually is_empty
}

a_server_that_hangs_is_restarted_by_the_watchdog() {
    mkdir -p "$UNIT"
    printf '[Service]\nWatchdogSec=30\n' >"$UNIT/watchdog.conf"
    systemctl daemon-reload
    systemctl restart sky-island && eventually is_healthy && answers || return 1
    before=$(main_pid)
    # Three times the limit: a server that works is left alone.
    sleep 90
    [ "$(main_pid)" = "$before" ] || return 1
    kill -STOP "$before"
    eventually is_another "$before" && answers || return 1
    said_by_the_service 200 | grep -i watchdog
    rm "$UNIT/watchdog.conf"
    systemctl daemon-reload
}

a_stop_leaves_nothing() {
    systemctl disable --now sky-island || return 1
    [ "$(systemctl show -P Result sky-island)" = success ] && no_groups && no_processes
}

systemd_listens_and_starts_the_server_for_a_request() {
    systemctl start sky-island.socket || return 1
    [ "$(systemctl is-active sky-island)" = inactive ] && answers && [ "$(systemctl is-active sky-island)" = active ]
}

a_restart_behind_the_socket_loses_no_request() {
    before=$(main_pid)
    load_begins
    systemctl restart sky-island
    became=$?
    eventually is_another "$before" || became=1
    load_ended && [ "$became" = 0 ] && answers
}

a_hand_over_behind_the_socket_loses_no_request() { hand_over; }

a_stop_of_both_leaves_nothing() {
    systemctl stop sky-island.socket sky-island || return 1
    [ "$(systemctl show -P Result sky-island)" = success ] && no_groups && no_processes && ! is_healthy 2>/dev/null
}

# Runs the suite, with these arguments, in the group of this process, which has been handed over; first it says what it has.
cat >/job/suite.sh <<'RUN'
group=$(sed -n s/^0:://p /proc/self/cgroup)
echo "$group: $(cat "/sys/fs/cgroup$group/cgroup.controllers")"
SKY_ISLAND_SUITE_KIT=/job/kit SKY_ISLAND_TEST_SKIPS=/tmp/skips SKY_ISLAND_TEST_SLOWNESS=$(cat /job/slowness)
export SKY_ISLAND_SUITE_KIT SKY_ISLAND_TEST_SKIPS SKY_ISLAND_TEST_SLOWNESS
# shellcheck disable=SC2046 # parts of names
exec /job/kit/suite --test-threads=2 --skip the_strangers_program_builds_for_each_system "$@" $(cat /job/tests)
RUN
# Whether it passes where this command runs it, with all controllers.
passes() {
    : >/tmp/skips
    chmod 666 /tmp/skips
    "$@" >/tmp/suite 2>&1
    became=$?
    cat /tmp/suite
    echo "skipped: $(cut -f 2 /tmp/skips | sort | uniq -c | sed 's/^ *//' | tr '\n' ';')"
    head -n 1 /tmp/suite >/tmp/controllers
    for controller in cpu io memory pids; do is_in "$controller" /tmp/controllers || return 1; done
    [ "$became" = 0 ]
}

the_suite_passes_as_root() {
    passes systemd-run --quiet --scope -p Delegate=yes -p TasksMax=infinity \
        sh /job/suite.sh --skip user:: --skip user_warm::
}

the_suite_passes_as_an_ordinary_user() {
    # Of his own, an ordinary user's manager has no io.
    mkdir -p /etc/systemd/system/user@.service.d
    printf '[Service]\nDelegate=cpu io memory pids\n' >/etc/systemd/system/user@.service.d/delegate.conf
    systemctl daemon-reload
    id "$USER" >/dev/null 2>&1 || useradd -m "$USER"
    loginctl enable-linger "$USER"
    systemctl restart "user@$(id -u "$USER")"
    passes delegated 'sh /job/suite.sh --skip root::'
}

steps() {
    cat <<LIST
the_guest_is_what_it_should_be
check_in_a_login_session_leaves_no_group
check_in_a_scope_with_a_shell_leaves_no_group
check_in_a_delegated_scope_with_a_shell_leaves_no_group
check_of_an_ordinary_user_says_what_is_weak
check_of_an_ordinary_user_with_a_shell_in_the_advised_scope_has_groups
the_installed_program_checks_clean
the_service_starts_and_answers
its_islands_have_groups_with_weights
a_reload_keeps_the_server
a_hand_over_loses_no_request
a_restart_answers
a_killed_server_is_restarted_and_its_leftovers_go
a_server_that_hangs_is_restarted_by_the_watchdog
the_advised_firewall_rule_closes_the_host_to_functions
a_stop_leaves_nothing
systemd_listens_and_starts_the_server_for_a_request
a_restart_behind_the_socket_loses_no_request
a_hand_over_behind_the_socket_loses_no_request
a_stop_of_both_leaves_nothing
the_suite_passes_as_root
the_suite_passes_as_an_ordinary_user
LIST
}

for name in $(steps | grep -e "$(cat /job/steps)"); do step "$name"; done
exit "$failed"
