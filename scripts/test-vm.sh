#!/bin/sh
# What only a real Debian can show: cgroup v2 with controllers, systemd as process 1, AppArmor, another kernel. Builds a
# small guest (debootstrap), installs the release program in it as `make install` does, and runs scripts/test-vm-guest.sh
# there: the service's life, and the sandbox suite. Needs root, an x86-64 Debian and a mirror of Debian's packages.
# docs/internals/testing.md says how long it takes. Arguments go to the suite, as parts of its tests' names.
#   VM_SUITE     the release of Debian (trixie)
#   VM_MIRROR    its mirror (this host's own)
#   VM_STEPS     a pattern of the steps of test-vm-guest.sh to take (all)
#   VM_DEADLINE  seconds that the guest may run (2400)
#   VM_MEMORY    its memory in MiB (2048)
#   VM_CPUS      its processors (2)
#   VM_ACCEL     kvm or tcg, which emulates the processor (kvm where there is /dev/kvm)
# The bootstrapped system is kept in target/test-vm; remove that to have it made anew. What the last guest said lies there
# too, and what its kernel said.
set -eu
cd "$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)"

SUITE=${VM_SUITE:-trixie}
DEADLINE=${VM_DEADLINE:-2400}
MEMORY=${VM_MEMORY:-2048}
CPUS=${VM_CPUS:-2}
SIZE=4G         # of the guest's disk
PACKAGES=systemd-sysv,udev,dbus,dbus-user-session,libpam-systemd,linux-image-cloud-amd64,initramfs-tools,apparmor,iproute2,nftables,curl,ca-certificates,procps
END=sky-island-vm-status

say() { echo "sky-island: $*" >&2; }
# Not every machine can have a guest, as not every machine has a FreeBSD.
skip() { say "the tests on a Debian guest are skipped: $*"; exit 0; }

[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || skip "they need Linux on x86-64"
[ "$(id -u)" = 0 ] || skip "only root can bootstrap a system"
command -v apt-get >/dev/null 2>&1 || skip "debootstrap and a mirror come with Debian"
missing=
command -v debootstrap >/dev/null 2>&1 || missing="$missing debootstrap"
command -v qemu-system-x86_64 >/dev/null 2>&1 || missing="$missing qemu-system-x86"
command -v mke2fs >/dev/null 2>&1 || missing="$missing e2fsprogs"
if [ -n "$missing" ]; then
    say "installing with the system's packages, for the guest:$missing"
    apt-get update -qq >/dev/null
    # shellcheck disable=SC2086 # a list of names
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
# shellcheck disable=SC2016 # apt-get fills this in
MIRROR=${VM_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -n 1)}
[ -n "$MIRROR" ] || skip "this host has no mirror of packages; set VM_MIRROR"

kept=target/test-vm
base=$kept/$SUITE
if [ ! -f "$base.complete" ]; then
    say "bootstrapping $SUITE"
    rm -rf "$base"
    mkdir -p "$kept"
    debootstrap --variant=minbase --include="$PACKAGES" "$SUITE" "$base" "$MIRROR" >"$base.log" 2>&1 || {
        tail -n 20 "$base.log" >&2
        say "debootstrap failed; all that it said is in $base.log"
        exit 1
    }
    : >"$base.complete"
fi

say "compiling the program and the suite"
cargo build --release --locked
cargo test --locked --no-run --test sandbox --message-format=json >"$kept/built"
# One line of JSON for each thing that was built; the test is the one that has an executable.
test=$(sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' "$kept/built" | grep '/sandbox-[^/]*$')

case ${VM_ACCEL:-$(if [ -w /dev/kvm ]; then echo kvm; fi)} in
    kvm) accel=kvm slowness=1 ;;
    *) accel=tcg,thread=multi slowness=10 ;;
esac

work=$(mktemp -d)
guest=
# shellcheck disable=SC2317 # the trap runs it
end() {
    if [ -n "$guest" ]; then kill "$guest" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap end EXIT
trap 'exit 130' INT TERM

say "building the guest"
root=$work/root
cp -a "$base" "$root"
# As an operator installs it; the test is whether it lives.
PROGRAM=target/release/sky-island DESTDIR="$root" OS=Linux sh scripts/install.sh install >/dev/null
goroot=$(go env GOROOT)
mkdir -p "$root/usr/local/go" "$root/job/kit" "$root/job/modules"
cp -a "$goroot/." "$root/usr/local/go"
rm -rf "$root/usr/local/go/test" "$root/usr/local/go/api" "$root/usr/local/go/doc"
# What the suite would otherwise build there with an emulated compiler.
(cd tests/fixtures/hostile && CGO_ENABLED=0 GOWORK=off GOFLAGS='' GOTOOLCHAIN=local go build -trimpath -o "$root/job/kit/hostile" .)
strip -o "$root/job/kit/suite" "$test"
# Islands are made by the program that is installed.
cp target/release/sky-island "$root/job/kit/"
cp "$goroot/lib/time/zoneinfo.zip" "$root/job/kit/"
chmod -R a+rX "$root/job"
cp scripts/test-vm-guest.sh "$root/job/guest.sh"
echo "$*" >"$root/job/tests"
echo "${VM_STEPS:-.}" >"$root/job/steps"
echo "$slowness" >"$root/job/slowness"
# A module for calls, in the folder that the server knows as a mirror.
cp -R tests/fixtures/guest "$work/hello"
git init -q --initial-branch=main "$work/hello"
git -C "$work/hello" add .
git -C "$work/hello" -c user.name=vm -c user.email=vm@localhost commit -q -m hello
git clone -q --bare "$work/hello" "$root/job/modules/hello.git"
cat >"$root/etc/systemd/system/job.service" <<UNIT
[Unit]
Description=The tests of a guest
After=multi-user.target systemd-user-sessions.service
[Service]
Type=oneshot
StandardOutput=file:/dev/ttyS1
StandardError=file:/dev/ttyS1
Environment=PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
ExecStart=/bin/sh -c 'sh /job/guest.sh; echo $END \$\$?'
ExecStopPost=/bin/systemctl --no-block --force poweroff
UNIT
mkdir -p "$root/etc/systemd/system/graphical.target.wants" "$root/etc/systemd/system/multi-user.target.wants"
ln -s ../job.service "$root/etc/systemd/system/graphical.target.wants/job.service"
echo guest >"$root/etc/hostname"
echo '/dev/vda / ext4 rw 0 1' >"$root/etc/fstab"
mke2fs -q -t ext4 -d "$root" "$work/disk" "$SIZE"
kernel=$(ls "$root"/boot/vmlinuz-*)
initrd=$(ls "$root"/boot/initrd.img-*)

say "starting the guest ($accel), for at most $DEADLINE s"
: >"$kept/said"
timeout "$DEADLINE" qemu-system-x86_64 -accel "$accel" -cpu max -smp "$CPUS" -m "$MEMORY" -nodefaults -no-reboot -display none \
    -kernel "$kernel" -initrd "$initrd" -append "root=/dev/vda rw console=ttyS0 quiet systemd.show_status=false" \
    -drive "file=$work/disk,format=raw,if=virtio,cache=unsafe" -serial "file:$kept/kernel" -serial "file:$kept/said" -nic none &
guest=$!
tail -n +1 -f "$kept/said" --pid="$guest" || true
status=$(sed -n "s/^$END \([0-9]*\).*/\1/p" "$kept/said" | tail -n 1)
if [ -z "$status" ]; then
    say "the guest did not come to its end within $DEADLINE s"
    exit 1
fi
exit "$status"
