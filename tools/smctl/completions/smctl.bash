# SPDX-License-Identifier: MIT
# bash completion of smctl: verbs, options, and the objects that exist.

_smctl_options() {
	case $1 in
	ls) echo --objects --leaked --orphaned --owner --older-than -o --output --json -H --human -n --no-header ;;
	stat) echo --id --json -H --human ;;
	key) echo --json ;;
	create) echo --mode ;;
	cat|write) echo --id ;;
	reap) echo --all ;;
	rm) echo --id --leaked --orphaned --owner --older-than --dry-run -y --yes ;;
	wait) echo --refcount --timeout ;;
	esac
	echo -h --help
}

_smctl_words() {
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2")
}

# Names with commas between them: the last one is completed.
_smctl_columns() {
	local columns head= cur=$1
	columns='id key name path proj kind state size resident swapped mode owner uid group creator cgroup nattch refcount
		leaked counter cpid lpid atime dtime ctime age flags holders'
	[[ $cur == +* ]] && head=+ cur=${cur#+}
	[[ $cur == *,* ]] && head+=${cur%,*}, cur=${cur##*,}
	mapfile -t COMPREPLY < <(compgen -P "$head" -W "$columns" -- "$cur")
	compopt -o nospace
}

# The key files of the objects there are, and files: any may become one. %b undoes how ls escapes names.
_smctl_paths() {
	local path
	compopt -o filenames
	mapfile -t COMPREPLY < <(compgen -f -- "$1")
	while IFS= read -r path; do
		printf -v path %b "$path"
		[[ $path == /* && $path == "$1"* ]] && COMPREPLY+=("$path")
	done < <(smctl ls --objects -n -o path 2>/dev/null | sort -u)
}

_smctl_projs() {
	local real proj path
	real=$(realpath -- "$1" 2>/dev/null) || return
	while read -r proj path; do
		printf -v path %b "$path"
		[[ $path == "$real" && $proj == "$2"* ]] && COMPREPLY+=("$proj")
	done < <(smctl ls --objects -n -o proj,path 2>/dev/null)
}

# Sets `operands`, those before the word that is being completed, and `command`, where hold's begins (0: not yet).
_smctl_operands() {
	local i word skip=
	operands=() command=0
	for ((i = 2; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $skip$word in
		--) command=$((i + 1)); return ;;
		-o|--output|--owner|--older-than|--id|--mode|--refcount|--timeout) skip=skip ;;
		skip*) skip= ;;
		-*) ;;
		*) operands+=("$word") ;;
		esac
	done
}

_smctl() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]-} operands command
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		_smctl_words 'ls stat key create cat write decr reap rm hold wait --help --version' "$cur"
		return
	fi
	_smctl_operands
	if ((command)); then
		if declare -F _command_offset >/dev/null; then
			_command_offset "$command"
		else
			mapfile -t COMPREPLY < <(compgen -c -f -- "$cur")
		fi
		return
	fi
	case $prev in
	-o|--output) _smctl_columns "$cur"; return ;;
	--owner) mapfile -t COMPREPLY < <(compgen -u -- "$cur"); return ;;
	--id) _smctl_words "$(smctl ls -n -o id 2>/dev/null)" "$cur"; return ;;
	--older-than|--mode|--refcount|--timeout) return ;;
	esac
	if [[ $cur == -* ]]; then
		_smctl_words "$(_smctl_options "$verb")" "$cur"
	elif [[ $verb != ls ]]; then
		case ${#operands[@]} in
		0) _smctl_paths "$cur" ;;
		1) _smctl_projs "${operands[0]}" "$cur" ;;
		esac
	fi
}

complete -F _smctl smctl
