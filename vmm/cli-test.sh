#!/bin/sh
# SPDX-License-Identifier: MIT
# cli-test.sh THESEUS-VMM VERSION MANPAGE: --help, --version, usage errors, and that help and
# manual know the same options.
set -u
vmm=$1 version=$2 man=$3
failed=0

fail() {
	echo "FAIL: $*" >&2
	failed=1
}

# usage_error TEXT ARGS...: status 2, TEXT on stderr, nothing on stdout
usage_error() {
	text=$1
	shift
	out=$("$vmm" "$@" 2>/dev/null)
	status=$?
	err=$("$vmm" "$@" 2>&1 >/dev/null)
	[ $status -eq 2 ] || fail "$* gives status $status"
	[ -z "$out" ] || fail "$* writes to stdout"
	case $err in *"$text"*) ;; *) fail "$* says \"$err\", not \"$text\"" ;; esac
}

[ "$("$vmm" --version)" = "theseus-vmm $version" ] || fail "--version"
help=$("$vmm" --help) || fail "--help gives status $?"
case $help in "Usage: theseus-vmm"*) ;; *) fail "--help has no usage" ;; esac

in_help=$(echo "$help" | sed -n 's/^  --\([a-z-]*\).*/\1/p' | sort)
in_man=$(sed -n 's/^\.It Fl -\([a-z-]*\).*/\1/p' "$man" | sort)
[ "$in_help" = "$in_man" ] || fail "options in --help and manual differ:
$in_help
--
$in_man"

usage_error "--name is missing"
usage_error "--guest is missing" --name a
usage_error "no name for a VM" --name ../a --guest x
usage_error "--cpus takes a number from 1 to 16" --name a --guest x --cpus 0
usage_error "--cpus takes a number from 1 to 16" --name a --guest x --cpus 17
usage_error "--cpus takes a number from 1 to 16" --name a --guest x --cpus 1x
usage_error "--cpus takes a number from 1 to 16" --name a --guest x --cpus -1
usage_error "--mem takes a number of MiB" --name a --guest x --mem lots
usage_error "--mem takes a number of MiB" --name a --guest x --mem 99999999999999999999
usage_error "--accel is kvm, tcg or auto" --name a --guest x --accel xen
usage_error "use --cpus" --name a --guest x --cmdline "log=4 cpus=2"
usage_error "number of an open descriptor" --name a --guest x --ready-fd 77
usage_error "is no option" --name a --guest x stray
usage_error "unrecognized option" --name a --guest x --colour
usage_error "requires an argument" --name
exit $failed
