# The waits of a shell, as waits.py: `bash waits.sh SECONDS SILENT REFUSING NAME...`
seconds=$1 silent=$2
shift 3

# Seconds with a fraction of six digits, as microseconds.
microseconds() { echo "$((10#${1/[.,]/}))"; }

by_the_shell() {
  local began ended
  began=$EPOCHREALTIME
  "$@" || exit
  ended=$EPOCHREALTIME
  took=$(($(microseconds "$ended") - $(microseconds "$began")))
}

read_from_nobody() { ! read -r -t "$seconds" _ <&3; }

measure() {
  local took
  echo "begin $1"
  case $1 in
    "sleep") by_the_shell sleep "$seconds" || exit ;;
    "read -t") by_the_shell read_from_nobody || exit ;;
    "curl -m") # its own word for it: to start it takes longer than to stop it
      took=$(curl --silent --noproxy '*' --max-time "$seconds" --write-out '%{time_total}' "http://127.0.0.1:$silent/")
      [ $? = 28 ] || exit
      took=$(microseconds "$took") ;;
  esac
  echo "end $1 ${took}000"
}

exec 3<&0
echo ready
read -r _
for name; do measure "$name" & done
wait
