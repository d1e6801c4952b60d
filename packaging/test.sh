#!/usr/bin/env bash
# Builds the Debian package, installs it, runs the server as its unit would, and purges it. Changes this machine: run it
# as root, on one to throw away. PROFILE=dev takes a program that is built quickly; the package is the same.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    echo "package-test: $*" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || fail "it installs a package: run it as root, on a machine to throw away"
! dpkg -s vestibule >/dev/null 2>&1 || fail "vestibule is installed here already; it would be purged"
[ ! -e /var/lib/vestibule ] || fail "/var/lib/vestibule is there already"
cargo deb --version >/dev/null 2>&1 || fail "cargo-deb is missing: cargo install cargo-deb --locked"

echo "building the package"
package=$(cargo deb --profile "${PROFILE:-release}" --no-dbgsym -q | tail -n 1)
[ -f "$package" ] || fail "there is no package"

log=$(mktemp)
server=
cleanup() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    dpkg --purge vestibule >/dev/null 2>&1 || true
    rm -rf /var/lib/vestibule "$log"
    deluser --quiet --system vestibule >/dev/null 2>&1 || true
}
trap cleanup EXIT

echo "installing $package"
dpkg -i "$package" >/dev/null
unit=/lib/systemd/system/vestibule.service
[ -f "$unit" ] || fail "the unit is not installed"
[ -z "$(find /etc/systemd/system -name 'vestibule*' 2>/dev/null)" ] || fail "installing has enabled the server"
[ "$(stat -c '%U:%G %a' /etc/vestibule/vestibule.toml)" = "root:vestibule 640" ] || fail "the settings are readable by others"
dpkg-query -W -f '${Conffiles}' vestibule | grep -q /etc/vestibule/vestibule.toml || fail "the settings are no conffile"
if command -v systemd-analyze >/dev/null; then
    systemd-analyze verify "$unit"
fi

# What systemd does before and when it starts the unit.
value() { sed -n "s/^$1=-\{0,1\}//p" "$unit"; }
user=$(value User)
state=/var/lib/$(value StateDirectory)
install -d -m "$(value StateDirectoryMode)" -o "$user" -g "$user" "$state"
echo "VESTIBULE_LISTEN=127.0.0.1:0" >"$(value EnvironmentFile)"
start() {
    local command environment
    read -ra command <<<"$(value ExecStart)"
    mapfile -t environment <"$(value EnvironmentFile)"
    cd "$(value WorkingDirectory)"
    umask "$(value UMask)"
    exec setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all \
        env -i PATH=/usr/bin:/bin "${environment[@]}" "${command[@]}"
}
start >"$log" 2>&1 &
server=$!

echo "waiting for the server"
for _ in $(seq 100); do
    address=$(sed -n 's/.*Vestibule is ready listening=\([^ ]*\).*/\1/p' "$log")
    [ -z "$address" ] || break
    kill -0 "$server" 2>/dev/null || fail "it has ended: $(cat "$log")"
    sleep 0.1
done
[ -n "$address" ] || fail "it does not get ready: $(cat "$log")"
exec 3<>"/dev/tcp/${address%:*}/${address##*:}"
printf 'GET /readyz HTTP/1.1\r\nhost: %s\r\nconnection: close\r\n\r\n' "$address" >&3
head -n 1 <&3 | grep -q ' 200 ' || fail "/readyz is not 200"
exec 3>&-
grep -q 'Set up your organization: http' "$log" || fail "there is no set-up address"
! grep -q 'normal priority' "$log" || fail "the hash threads could not lower their priority"
[ "$(stat -c '%U %a' "$state/key")" = "$user 600" ] || fail "the key is readable by others"
[ "$(ps -o user= -p "$server")" = "$user" ] || fail "it runs as somebody else"

echo "a command beside it, as the guide says"
setpriv --reuid "$user" --regid "$user" --clear-groups env -i PATH=/usr/bin:/bin \
    vestibule --config /etc/vestibule/vestibule.toml org create --name Acme --slug acme --manager mia@acme.com >/dev/null

echo "stopping"
kill -TERM "$server"
wait "$server" || fail "it has not stopped in good order: $(cat "$log")"
server=

echo "purging"
dpkg --purge vestibule >/dev/null
[ ! -e /usr/bin/vestibule ] && [ ! -e "$unit" ] && [ ! -e /etc/vestibule ] && [ ! -e /etc/default/vestibule ] ||
    fail "something is left of the package"
[ -f "$state/vestibule.sqlite" ] || fail "the purge has taken the data away"
echo "package-test: passed ($(basename "$package"))"
