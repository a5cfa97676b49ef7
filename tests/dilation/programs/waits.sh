# The waits of a shell, as waits.py: `bash waits.sh SECONDS SILENT REFUSING NAME...`
seconds=$1 silent=$2
shift 3

row() {
  case $1 in
    "sleep") sleep "$seconds" ;;
    "read -t") ! read -r -t "$seconds" _ <&3 ;;
    "curl -m") curl --silent --noproxy '*' --max-time "$seconds" "http://127.0.0.1:$silent/" ; [ $? = 28 ] ;;
  esac
}

measure() {
  local began ended
  echo "begin $1"
  began=${EPOCHREALTIME/[.,]/}
  row "$1" || exit
  ended=${EPOCHREALTIME/[.,]/}
  echo "end $1 $(( (ended - began) * 1000 ))"
}

exec 3<&0
echo ready
read -r _
for name; do measure "$name" & done
wait
