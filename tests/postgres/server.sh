#!/usr/bin/env bash
# A throw-away PostgreSQL for the tests, from Debian's package, on a port that is free. It keeps nothing: no fsync, unless
# DURABLE=1 says that what it acknowledges must last, as for a measurement.
#   server.sh start FOLDER    makes it, starts it, prints its URL
#   server.sh stop FOLDER     stops it and removes everything
#   server.sh halt FOLDER     stops it in the middle of everything and keeps what it has
#   server.sh again FOLDER    starts it again after that
# POSTGRES_OPTIONS may hold more of its own options, like "-c synchronous_commit=on"; POSTGRES_ENVIRONMENT variables, like "A=1 B=2".
set -euo pipefail

act=$1 folder=$2
programs=${POSTGRES_PROGRAMS:-$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)}
[ -x "$programs/initdb" ] || { echo "PostgreSQL is missing: apt-get install postgresql" >&2; exit 1; }

# PostgreSQL refuses to run as root; there it runs as the user that Debian's package makes.
as_server() {
	if [ "$(id -u)" = 0 ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi
}

free_port() {
	local port
	for port in $(shuf -i 20000-29999 -n 50); do
		(: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
	done
}

run() {
	local port=$1
	local lasting="-c fsync=off -c full_page_writes=off -c synchronous_commit=off"
	[ -z "${DURABLE:-}" ] || lasting=""
	# shellcheck disable=SC2086 # several words
	as_server env ${POSTGRES_ENVIRONMENT:-} "$programs/pg_ctl" -D "$folder/data" -l "$folder/log" -w -s start -o "-p $port -k $folder -c listen_addresses=127.0.0.1 \
		$lasting -c max_connections=400 -c shared_buffers=${SHARED_BUFFERS:-128MB} -c ssl=on ${POSTGRES_OPTIONS:-}"
}

case $act in
start)
	rm -rf "$folder" && mkdir -p "$folder"
	[ "$(id -u)" != 0 ] || chown postgres "$folder"
	printf 'door' >"$folder/password"
	chmod 644 "$folder/password"
	as_server "$programs/initdb" -D "$folder/data" -U door -A scram-sha-256 --pwfile "$folder/password" -E UTF8 --locale=C.UTF-8 -N >"$folder/made"
	# An authority, and a certificate for this server that it has signed.
	printf '[req]\ndistinguished_name=name\n[name]\n' >"$folder/openssl"
	certificate() { as_server openssl req -x509 -config "$folder/openssl" -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 "$@" 2>/dev/null; }
	certificate -subj /CN=Tests -addext basicConstraints=critical,CA:TRUE -keyout "$folder/root.key" -out "$folder/root.crt"
	certificate -subj /CN=localhost -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' -CA "$folder/root.crt" -CAkey "$folder/root.key" \
		-keyout "$folder/data/server.key" -out "$folder/data/server.crt"
	chmod 644 "$folder/root.crt"
	as_server chmod 600 "$folder/data/server.key"
	port=$(free_port)
	echo "$port" >"$folder/port"
	run "$port"
	echo "postgres://door:door@127.0.0.1:$port/postgres"
	;;
halt)
	as_server "$programs/pg_ctl" -D "$folder/data" -s -m immediate stop
	;;
again)
	run "$(cat "$folder/port")"
	;;
stop)
	as_server "$programs/pg_ctl" -D "$folder/data" -s -m immediate stop || true
	rm -rf "$folder"
	;;
esac
