# Drives clients/tieline.sh: driver.sh DIALECT. One step per line of standard input, one line per outcome.
. "$(dirname "$0")/../../clients/tieline.sh"
TIELINE_DIALECT=$1
tab=$(printf '\t')

tell() {
  body=$(printf '%s\n' "$tieline_reply" | sed 's/\\/\\\\/g' | awk 'NR > 1 { printf "\\n" } { printf "%s", $0 }')
  printf '%s\t%s\n' "$tieline_outcome" "$body"
}

# ask FUNCTION NAME REQUEST; the words of a request of resp are parted by single blanks
ask() {
  if [ "$TIELINE_DIALECT" = resp ]; then
    set -f
    # shellcheck disable=SC2086
    "$1" "$2" $3
  else
    "$1" "$2" "$3"
  fi
  tell
}

while IFS= read -r step; do
  verb=${step%%"$tab"*} rest=${step#*"$tab"}
  name=${rest%%"$tab"*} rest=${rest#*"$tab"}
  case $verb in
    ask) ask tieline_request "$name" "$rest" ;;
    deferred) ask tieline_deferred "$name" "$rest" ;;
    pipeline)
      printf '%s\n' "$rest" | tr '\t' '\n' | tieline_pipe "$name" | while IFS= read -r line; do
        tieline_told "$line"
        tell
      done ;;
  esac
done
