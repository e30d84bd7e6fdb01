# SPDX-License-Identifier: MIT
# bash completion for theseusctl(1); a test checks it against the command table.

# Values that only a VM knows; nothing when it does not answer at once.
_theseusctl_ask() {
	timeout 2 theseusctl "$@" --json 2>/dev/null | grep -o '"name":"[^"]*"' | cut -d'"' -f4
}

# Options of a command, by its verb.
_theseusctl_options() {
	case $1 in
	run) echo "--accel --cpus --mem --guest --bundle --cmdline --timeout --detach --verbose" ;;
	status) echo "--verbose" ;;
	stop) echo "--timeout" ;;
	console) echo "--timeout" ;;
	log) echo "--follow --since" ;;
	"cell deps") echo "--reverse --dot" ;;
	"cell new") echo "--sdk" ;;
	"cell build") echo "--output --sdk --define --sequence --debug" ;;
	push) echo "--timeout" ;;
	swap-cell) echo "--stage --dry-run --expect-generation --timeout" ;;
	exec) echo "--timeout" ;;
	bench) echo "--accel --cpus --rounds --time" ;;
	"demo swap") echo "--accel --cpus" ;;
	esac
}

_theseusctl() {
	local verbs="run ls status stop kill console log cells cell tasks task push swap-cell exec symbols metrics bench demo help"
	local cell_verbs="show deps new build inspect"
	local task_verbs="show"
	local demo_verbs="swap"
	local globals="--name --socket --domain --connect --json --quiet --help --version"
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local -a target=()
	local verb="" word i

	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		-n | --name | --socket | --domain | --connect)
			target+=("$word" "${COMP_WORDS[i + 1]}")
			((i++))
			;;
		-*) ;;
		*)
			if [[ -z $verb ]]; then
				verb=$word
			elif [[ $verb == cell || $verb == task || $verb == demo ]]; then
				verb="$verb $word"
			fi
			;;
		esac
	done

	case $prev in
	-n | --name)
		mapfile -t COMPREPLY < <(compgen -W "$(_theseusctl_ask ls)" -- "$cur")
		return
		;;
	--accel)
		mapfile -t COMPREPLY < <(compgen -W "auto kvm tcg" -- "$cur")
		return
		;;
	--socket | --guest | --bundle | -o | --output | --sdk | --debug)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	esac

	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$globals $(_theseusctl_options "$verb")" -- "$cur")
		return
	fi
	case $verb in
	"" | help) mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$cur") ;;
	cell) mapfile -t COMPREPLY < <(compgen -W "$cell_verbs" -- "$cur") ;;
	task) mapfile -t COMPREPLY < <(compgen -W "$task_verbs" -- "$cur") ;;
	demo) mapfile -t COMPREPLY < <(compgen -W "$demo_verbs" -- "$cur") ;;
	"cell show" | "cell deps")
		mapfile -t COMPREPLY < <(compgen -W "$(_theseusctl_ask "${target[@]}" cells)" -- "$cur")
		;;
	"task show")
		mapfile -t COMPREPLY < <(compgen -W "$(_theseusctl_ask "${target[@]}" tasks)" -- "$cur")
		;;
	"cell build" | "cell inspect") mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	push | swap-cell) mapfile -t COMPREPLY < <(compgen -f -- "${cur#*=}") ;;
	esac
}

complete -F _theseusctl theseusctl
