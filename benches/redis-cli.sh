#!/bin/sh
# The same with redis-cli, as people write it: redis-cli.sh PORT... -- COMMAND [ARG]...
token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
ports=
while [ "$1" != -- ]; do ports="$ports $1"; shift; done
shift
granted=0 asked=0
for port in $ports; do
    asked=$((asked + 1))
    [ "$(redis-cli -p "$port" SET lock:bench "$token" NX PX 30000)" = OK ] && granted=$((granted + 1))
done
code=75
if [ $((2 * granted)) -gt "$asked" ]; then "$@"; code=$?; fi
delete="if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
for port in $ports; do redis-cli -p "$port" EVAL "$delete" 1 lock:bench "$token" >/dev/null; done
exit "$code"
