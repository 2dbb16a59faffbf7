# tieline for POSIX shells: one file of functions, to be copied or sourced. It needs `nc` with -U and -N (OpenBSD's), or,
# where that is missing and for every dialect but `line`, the command `tieline`.
#
#     . ./tieline.sh
#     tieline_request ledger "book 12 EUR"              # by name: the registry says where
#     case $tieline_outcome in
#       reply)                     echo "$tieline_reply" ;;              # ok 4711
#       lost|timeout|busy|refused) echo "the host has seen nothing of it" ;;
#       unknown|failed)            echo "it may have been executed" ;;
#     esac
#
#     tieline_deferred ledger "book 13 EUR"             # reply, or delayed: on disk under $tieline_reply
#
# What it promises: each request has one outcome, within TIELINE_DEADLINE. It is sent once: what may have been sent and has no
# reply is `unknown`. The exit status is 0 for `reply` and `delayed`, 75 if nothing was sent (try again later), 64 if that
# would not help, 74 if it may have been executed. A connection per request: for many of them there is tieline_pipe.
#
# Variables:  TIELINE_RUN_DIR    where the daemon has its sockets         /run/tieline
#             TIELINE_DEADLINE   seconds that a request may take          40
#             TIELINE_DIALECT    line, len32 or resp                      line
#             TIELINE_COMMAND    the command, with options if need be     tieline
#             TIELINE_TOOL       nc or tieline                            nc if it can be used

# tieline_request NAME WORD...    sets tieline_outcome and tieline_reply
tieline_request() {
  _tieline_ask '' "$@"
}

# tieline_deferred NAME WORD...   the same for a request that must not be lost
tieline_deferred() {
  _tieline_ask --deferred "$@"
}

# tieline_pipe NAME    sends the lines of standard input, and prints a reply for each, in their order (dialect line). What
# each is, tieline_told says. Fewer replies than requests: the others are unknown.
tieline_pipe() {
  if [ "$(_tieline_tool)" = nc ]; then
    _tieline_nc "$(tieline_address "$1")"
  else
    ${TIELINE_COMMAND:-tieline} send "$1"
  fi
}

# tieline_told LINE    what a line of a deferred or other socket says: sets tieline_outcome and tieline_reply
tieline_told() {
  tieline_reply=
  case $1 in
    con_lost|con_timeout|con_unknown|con_busy|con_refused|con_failed) tieline_outcome=${1#con_} ;;
    *) tieline_outcome=reply tieline_reply=$1 ;;
  esac
}

# tieline_address NAME    prints where the name is: unix:/path or tcp:host:port. Without a registry: its usual socket.
tieline_address() {
  case $1 in
    ''|*[!a-z0-9_.-]*|[!a-z0-9]*|*.deferred) return 64 ;;
  esac
  _tieline_run=${TIELINE_RUN_DIR:-/run/tieline}
  _tieline_line=$(printf 'RESOLVE %s\n' "$1" | _tieline_nc "unix:$_tieline_run/registry.sock" 2>/dev/null)
  case $_tieline_line in
    'ok '*) _tieline_line=${_tieline_line#ok } && printf '%s\n' "${_tieline_line%% *}" ;;
    'error unknown '*) return 69 ;;
    *) printf 'unix:%s/%s.sock\n' "$_tieline_run" "$1" ;;
  esac
}

_tieline_tool() {
  if [ -n "${TIELINE_TOOL:-}" ]; then
    printf '%s\n' "$TIELINE_TOOL"
  elif [ "${TIELINE_DIALECT:-line}" = line ] && nc -h 2>&1 | grep -q -e '-[0-9A-Za-z]*N[0-9A-Za-z]*U'; then
    echo nc
  else
    echo tieline
  fi
}

_tieline_nc() {
  case $1 in
    unix:*) nc -N -w "${TIELINE_DEADLINE:-40}" -U "${1#unix:}" ;;
    tcp:*) _tieline_host=${1#tcp:}
      _tieline_port=${_tieline_host##*:} _tieline_host=${_tieline_host%:*}
      _tieline_host=${_tieline_host#[}
      nc -N -w "${TIELINE_DEADLINE:-40}" "${_tieline_host%]}" "$_tieline_port" ;;
    *) return 69 ;;
  esac
}

_tieline_ask() {
  if [ "$(_tieline_tool)" = nc ]; then
    _tieline_by_nc "$@"
  else
    _tieline_by_command "$@"
  fi
  case $tieline_outcome in
    reply|delayed) return 0 ;;
    lost|timeout|busy) return 75 ;;
    refused) return 64 ;;
    *) return 74 ;;
  esac
}

_tieline_by_nc() {
  _tieline_how=$1 _tieline_name=$2 tieline_reply='' tieline_outcome=lost
  shift 2
  case $* in
    *'
'*) tieline_outcome=refused && return ;;
  esac
  _tieline_at=$(tieline_address "$_tieline_name") || return 0
  if [ -n "$_tieline_how" ]; then
    case $_tieline_at in
      unix:*.sock) _tieline_plain=${_tieline_at#unix:} _tieline_at=${_tieline_at%.sock}.deferred.sock ;;
      *) tieline_outcome=refused && return ;;
    esac
    if [ -e "$_tieline_plain" ] && ! [ -e "${_tieline_at#unix:}" ]; then
      tieline_outcome=refused && return
    fi
  fi
  # The status behind the reply keeps its line feed, which says whether it is whole.
  _tieline_said=$(printf '%s\n' "$*" | _tieline_nc "$_tieline_at" 2>/dev/null; printf ':%s' "$?")
  _tieline_status=${_tieline_said##*:} _tieline_said=${_tieline_said%:*}
  case $_tieline_how$_tieline_said in
    *'
') ;;
    '') [ "$_tieline_status" -eq 0 ] && tieline_outcome=unknown; return ;;
    --deferred) [ "$_tieline_status" -eq 0 ] && tieline_outcome=unknown; return ;;
    *) tieline_outcome=unknown && return ;;
  esac
  tieline_told "${_tieline_said%?}"
  case $_tieline_how$tieline_reply in
    --deferredcon_delayed:*) tieline_outcome=delayed tieline_reply=${tieline_reply#con_delayed:} ;;
  esac
}

# `tieline send` says what it knows in its exit status and on standard error, where nothing else is printed then.
_tieline_by_command() {
  _tieline_how=$1
  shift
  # shellcheck disable=SC2086
  _tieline_said=$(${TIELINE_COMMAND:-tieline} send $_tieline_how "$@" 2>&1; printf ':%s' "$?")
  _tieline_status=${_tieline_said##*:} _tieline_said=${_tieline_said%:*} tieline_reply=
  case $_tieline_status:$_tieline_said in
    0:*) tieline_outcome=reply tieline_reply=$_tieline_said
      [ "${TIELINE_DIALECT:-line}" = len32 ] || tieline_reply=${_tieline_said%
} ;;
    *:'tieline: con_'*) _tieline_said=${_tieline_said#tieline: con_} && tieline_outcome=${_tieline_said%%:*} ;;
    64:*|77:*|78:*) tieline_outcome=refused ;;
    69:*|75:*) tieline_outcome=lost ;;
    *) tieline_outcome=unknown ;;
  esac
  case $_tieline_how$tieline_reply in
    --deferredcon_delayed:*) tieline_outcome=delayed tieline_reply=${tieline_reply#con_delayed:} ;;
    '--deferredDELAYED '*) tieline_outcome=delayed tieline_reply=${tieline_reply#DELAYED } ;;
  esac
}
