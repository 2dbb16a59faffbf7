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
# would not help, 74 if it may have been executed. (Under `set -e` write `tieline_request ... || :` and look at the outcome.) A
# connection per request: for many of them there is tieline_pipe.
#
# Variables:  TIELINE_RUN_DIR    where the daemon has its sockets         /run/tieline
#             TIELINE_DEADLINE   seconds that a request may take          40
#             TIELINE_DIALECT    line, len32 or resp                      line
#             TIELINE_COMMAND    the command, with options if need be     tieline
#             TIELINE_TOOL       nc or tieline                            nc if it can be used
#
# The command finds its daemon, and its hosts, by its configuration alone. Where TIELINE_RUN_DIR is set it needs that daemon's,
# as in TIELINE_COMMAND="tieline --config /etc/other/tieline.toml"; without, the request is refused before anything is sent.
# Names that programs have registered are reached by nc alone.

# tieline_request NAME WORD...    sets tieline_outcome and tieline_reply. By nc the first line that comes back ends it.
tieline_request() {
  _tieline_ask '' "$@"
}

# tieline_deferred NAME WORD...   the same for a request that must not be lost
tieline_deferred() {
  _tieline_ask --deferred "$@"
}

# tieline_pipe NAME    sends the lines of standard input, and prints a reply for each, in their order (dialect line). What
# each is, tieline_told says. Fewer replies than requests: the others are unknown. It ends when the other side closes, as the
# daemon does behind the last reply; for who does not, after TIELINE_DEADLINE.
tieline_pipe() {
  if [ "$(_tieline_tool)" != nc ]; then
    _tieline_is_clear || return 64
    (unset IFS; ${TIELINE_COMMAND:-tieline} send -- "$1")
    return
  fi
  _tieline_rest=$(_tieline_places "$1") || return
  # What could not connect has read nothing of the input.
  while _tieline_next; do
    _tieline_can_be "$_tieline_at" || continue
    _tieline_status=0
    _tieline_nc "$_tieline_at" || _tieline_status=$?
    [ "$_tieline_status" -eq 1 ] || break
  done
  return "${_tieline_status:-1}"
}

# tieline_told LINE    what a line of a deferred or other socket says: sets tieline_outcome and tieline_reply
tieline_told() {
  tieline_reply=
  case $1 in
    con_lost|con_timeout|con_unknown|con_busy|con_refused|con_failed) tieline_outcome=${1#con_} ;;
    *) tieline_outcome=reply tieline_reply=$1 ;;
  esac
}

# tieline_address NAME    prints where the name is: unix:/path or tcp:host:port. Without a registry: its usual socket. Of
# several instances it is the one whose turn it is.
tieline_address() {
  _tieline_rest=$(_tieline_places "$1") || return
  printf '%s\n' "${_tieline_rest%% *}"
}

# All places of a name, with blanks between them, in the order in which they are to be tried.
_tieline_places() {
  case $1 in
    ''|*[!a-z0-9_.-]*|[!a-z0-9]*|*.deferred) return 64 ;;
  esac
  _tieline_run=${TIELINE_RUN_DIR:-/run/tieline}
  _tieline_said=$(_tieline_first_line "unix:$_tieline_run/registry.sock" "RESOLVE $1")
  case $_tieline_said in
    'ok '*) printf '%s\n' "${_tieline_said#ok }" ;;
    'error unknown '*) return 69 ;;
    *) printf 'unix:%s/%s.sock\n' "$_tieline_run" "$1" ;;
  esac
}

# Takes the first place out of _tieline_rest into _tieline_at; fails if there is none.
_tieline_next() {
  [ -n "$_tieline_rest" ] || return
  _tieline_at=${_tieline_rest%% *}
  case $_tieline_rest in
    *' '*) _tieline_rest=${_tieline_rest#* } ;;
    *) _tieline_rest= ;;
  esac
}

_tieline_tool() {
  if [ -n "${TIELINE_TOOL:-}" ]; then
    printf '%s\n' "$TIELINE_TOOL"
  elif [ "${TIELINE_DIALECT:-line}" = line ] && { nc -h 2>&1 || :; } | grep -q -e '-[0-9A-Za-z]*N[0-9A-Za-z]*U'; then
    echo nc
  else
    echo tieline
  fi
}

# nc with a place and perhaps more options. Its status is 1 if it could not connect.
_tieline_nc() {
  _tieline_to=$1
  shift
  case $_tieline_to in
    unix:*) nc "$@" -N -w "${TIELINE_DEADLINE:-40}" -U "${_tieline_to#unix:}" ;;
    tcp:*) _tieline_host=${_tieline_to#tcp:}
      _tieline_port=${_tieline_host##*:} _tieline_host=${_tieline_host%:*}
      _tieline_host=${_tieline_host#[}
      nc "$@" -N -w "${TIELINE_DEADLINE:-40}" "${_tieline_host%]}" "$_tieline_port" ;;
    *) return 1 ;;
  esac
}

# Whether it is worth while to try a place. The last one is tried in any case. One that says nothing at all would cost the
# whole deadline, which the others are to have a part of: nc has but one time for connecting and for replies.
_tieline_can_be() {
  [ -n "$_tieline_rest" ] || return 0
  case $1 in
    unix:*) return 0 ;;
  esac
  (TIELINE_DEADLINE=2; _tieline_nc "$1" -z) </dev/null >/dev/null 2>&1
}

# Sends a line to a place and prints the first line that comes back; two line feeds, which are no line, if there was no
# connection. That line ends it, for nc ends when nobody reads what it prints: the other side need not close.
_tieline_first_line() (
  set +e
  {
    {
      { printf '%s\n' "$2" || :; } | _tieline_nc "$1"
      case $? in
        1|126|127) printf '\n\n' >&3 ;;
      esac
    } 2>/dev/null | head -n 1
  } 3>&1
)

_tieline_ask() {
  [ "$#" -gt 1 ] || set -- "$1" ''
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

# The words joined by blanks, whatever IFS is.
_tieline_join() {
  _tieline_text='' _tieline_blank=''
  for _tieline_word do
    _tieline_text=$_tieline_text$_tieline_blank$_tieline_word _tieline_blank=' '
  done
}

_tieline_by_nc() {
  _tieline_how=$1 _tieline_name=$2 tieline_reply='' tieline_outcome=lost
  shift 2
  _tieline_join "$@"
  case $_tieline_text in
    *'
'*) tieline_outcome=refused && return ;;
  esac
  _tieline_status=0
  _tieline_rest=$(_tieline_places "$_tieline_name") || _tieline_status=$?
  case $_tieline_status in
    0) ;;
    64) tieline_outcome=refused && return ;;
    *) return 0 ;;
  esac
  [ -z "$_tieline_how" ] || tieline_outcome=refused
  while _tieline_next; do
    if [ -n "$_tieline_how" ]; then
      _tieline_deferring || continue
    fi
    tieline_outcome=lost
    _tieline_can_be "$_tieline_at" || continue
    # What is behind the reply keeps its line feed, which says whether it is whole.
    _tieline_said=$(_tieline_first_line "$_tieline_at" "$_tieline_text"; printf x)
    _tieline_said=${_tieline_said%x}
    case $_tieline_said in
      *'

') ;;
      *'
') _tieline_heard; return 0 ;;
      *) tieline_outcome=unknown && return ;;
    esac
  done
  return 0
}

# Makes a place that of the socket for deferred requests; fails if it has none.
_tieline_deferring() {
  case $_tieline_at in
    unix:*.sock) ;;
    *) return 1 ;;
  esac
  _tieline_plain=${_tieline_at#unix:} _tieline_at=${_tieline_at%.sock}.deferred.sock
  ! [ -e "$_tieline_plain" ] || [ -e "${_tieline_at#unix:}" ]
}

_tieline_heard() {
  tieline_told "${_tieline_said%?}"
  case $_tieline_how$tieline_reply in
    --deferredcon_delayed:*) tieline_outcome=delayed tieline_reply=${tieline_reply#con_delayed:} ;;
  esac
}

# Whether the command reaches the daemon that is meant.
_tieline_is_clear() {
  case ${TIELINE_RUN_DIR:+set}:${TIELINE_COMMAND:-} in
    set:*--config*|:*) return 0 ;;
  esac
  echo "tieline.sh: TIELINE_RUN_DIR is not heeded by the command tieline: give TIELINE_COMMAND its --config" >&2
  return 1
}

# `tieline send` says what it knows in its exit status and on standard error, where nothing else is printed then.
_tieline_by_command() {
  _tieline_how=$1 tieline_reply=''
  shift
  if ! _tieline_is_clear; then
    tieline_outcome=refused
    return 0
  fi
  # Without a word the command would read standard input.
  [ "$#" -gt 1 ] || set -- "$1" ''
  # shellcheck disable=SC2086
  _tieline_said=$(set +e; unset IFS; ${TIELINE_COMMAND:-tieline} send $_tieline_how -- "$@" 2>&1; printf ':%s' "$?")
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
