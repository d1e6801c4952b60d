#!/usr/bin/env bash
# Builds the Debian package, installs it in a Debian of its own, boots that under systemd, and does what the guide says: start it,
# set it up, kill it, upgrade it, stop it, purge it. Nothing of this machine changes. As root, with cargo-deb, debootstrap and
# systemd-nspawn (apt-get install debootstrap systemd-container). PROFILE=dev takes a program that is built quickly; the package
# is the same.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    echo "package-test: $*" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || fail "it boots a system of its own: run it as root"
for program in cargo-deb debootstrap systemd-nspawn; do
    command -v "$program" >/dev/null || fail "$program is missing (cargo install cargo-deb --locked; apt-get install debootstrap systemd-container)"
done

echo "building the package"
package=$(cargo deb --profile "${PROFILE:-release}" --no-dbgsym -q | tail -n 1)
[ -f "$package" ] || fail "there is no package"

machine=$(mktemp -d)
nspawn=
# The first process of the machine; everything in it ends with it.
init() { pgrep --parent "$nspawn" --exact systemd | head -n 1; }
cleanup() {
    if [ -n "$nspawn" ]; then
        kill -KILL "$(init)" 2>/dev/null || true
        wait "$nspawn" 2>/dev/null || true
    fi
    rm -rf --one-file-system "$machine"
}
trap cleanup EXIT

release=$(. /etc/os-release && echo "$VERSION_CODENAME")
echo "making a Debian $release"
# Its root, which others than root must be able to enter.
chmod 755 "$machine"
debootstrap --variant=minbase --include=systemd-sysv,dbus,adduser,curl,procps "$release" "$machine" >"$machine.log" 2>&1 ||
    fail "debootstrap: $(tail -n 3 "$machine.log")"
rm -f "$machine.log"

echo "installing $(basename "$package")"
cp "$package" "$machine/vestibule.deb"
chroot "$machine" dpkg -i /vestibule.deb >/dev/null
[ "$(chroot "$machine" systemctl is-enabled vestibule)" = disabled ] || fail "installing has enabled the server"
settings=$(chroot "$machine" stat -c '%U:%G %a' /etc/vestibule/vestibule.toml)
[ "$settings" = "root:vestibule 640" ] || fail "the settings are readable by others: $settings"
[[ "$(chroot "$machine" dpkg-query -W -f '${Conffiles}' vestibule)" == */etc/vestibule/vestibule.toml* ]] || fail "the settings are no conffile"

echo "booting it"
# With a network of its own, so that no port of this machine is taken.
systemd-nspawn --quiet --directory="$machine" --boot --private-network --register=no --keep-unit --console=read-only \
    </dev/null >"$machine/console" 2>&1 &
nspawn=$!
inside() { nsenter --target "$(init)" --all -- "$@"; }
says() { inside journalctl --unit vestibule --output cat --no-pager; }
eventually() {
    local what=$1
    shift
    for _ in $(seq 300); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.2
    done
    fail "$what: $(says 2>&1 | tail -n 20; tail -n 5 "$machine/console")"
}
is_up() { [[ "$(inside systemctl is-system-running)" =~ ^(running|degraded)$ ]]; }
ask() { inside curl --silent --fail --max-time 10 "$@"; }
is_ready() { ask http://127.0.0.1:8080/readyz; }
field() { inside systemctl show vestibule --property "$1" --value; }
eventually "it does not boot" is_up

echo "starting the server"
inside systemctl enable --quiet --now vestibule
eventually "it does not get ready" is_ready
inside systemd-analyze verify vestibule.service
inside systemd-analyze security --no-pager --threshold=20 vestibule.service >/dev/null || fail "the unit is open to more than it needs"
[ "$(inside ps -o user= -p "$(field MainPID)")" = vestibule ] || fail "it runs as somebody else"
[ "$(inside stat -c '%U %a' /var/lib/vestibule/key)" = "vestibule 600" ] || fail "the key is readable by others"

echo "setting it up"
set_up=$(says | sed -n 's/^Set up your organization: //p')
[ -n "$set_up" ] || fail "there is no set-up address"
jar=/root/cookies
ask --output /dev/null --location --cookie-jar $jar "$set_up"
ask --output /dev/null --cookie $jar --cookie-jar $jar --header 'Sec-Fetch-Site: same-origin' \
    --data-urlencode organization_name=Acme --data slug=acme --data-urlencode 'full_name=Mia Meyer' --data email=mia@acme.com \
    --data-urlencode 'password=seven purple herons dance' http://127.0.0.1:8080/setup
signed_in() { [[ "$(ask --cookie $jar http://127.0.0.1:8080/account)" == *'Mia Meyer'* ]]; }
signed_in || fail "the manager is not signed in: $(says | tail -n 5)"
[[ "$(says)" != *'normal priority'* ]] || fail "the hash threads could not lower their priority"

echo "a command beside it, as the guide says"
link=$(inside runuser -u vestibule -- vestibule --config /etc/vestibule/vestibule.toml link show --org acme)
[[ "$link" == */join/* ]] || fail "the command does not see the organization: $link"

echo "killing it"
before=$(field MainPID)
inside systemctl kill --signal=KILL vestibule
comes_back() { [ "$(field MainPID)" != "$before" ] && is_ready; }
eventually "it does not come back" comes_back
signed_in || fail "it has forgotten who is signed in"

echo "upgrading it"
before=$(field MainPID)
inside dpkg -i /vestibule.deb >/dev/null
eventually "the new one does not take over" comes_back
signed_in || fail "the new one does not know who is signed in"

echo "stopping it"
inside systemctl stop vestibule
[ "$(field Result) $(field ExecMainStatus)" = "success 0" ] || fail "it has not stopped in good order: $(says | tail -n 5)"
[[ ! "$(says)" =~ panicked|ERROR ]] || fail "its log: $(says | tail -n 20)"

echo "purging it"
inside dpkg --purge vestibule >/dev/null 2>&1
for gone in /usr/bin/vestibule /lib/systemd/system/vestibule.service /etc/vestibule /etc/default/vestibule; do
    ! inside test -e "$gone" || fail "$gone is left"
done
inside test -f /var/lib/vestibule/vestibule.sqlite || fail "the purge has taken the data away"
echo "package-test: passed ($(basename "$package"))"
