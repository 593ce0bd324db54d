# SPDX-License-Identifier: MIT
# bash completion of smfs: options, and directories.

# Mount options with commas between them: the last one is completed.
_smfs_mount_options() {
	local head= cur=$1 values
	[[ $cur == *,* ]] && head=${cur%,*}, cur=${cur##*,}
	case $cur in
	access=*) head+=access= cur=${cur#*=} values='auto native copy' ;;
	ipcns=*) head+=ipcns= cur=${cur#*=} values=$(cd /proc && echo [0-9]*) ;;
	*) values='access= allow_other allow_root auto_unmount clone_fd debug files= fsname= ipcns= listings= max_idle_threads=
		max_threads= max_waiting= noatime reap reap= ro rw size= staged= waiting=' ;;
	esac
	compopt -o nospace
	mapfile -t COMPREPLY < <(compgen -P "$head" -W "$values" -- "$cur")
}

_smfs() {
	local cur=${COMP_WORDS[COMP_CWORD]} word i=$COMP_CWORD had
	COMPREPLY=()
	# bash takes words apart at `=`, and wants what is behind it only
	word=$cur
	while ((i > 1)) && [[ ${COMP_WORDS[i]} == '=' || ${COMP_WORDS[i-1]} == '=' ]]; do
		word=${COMP_WORDS[--i]}$word
	done
	[[ $cur == '=' ]] && had=$word || had=${word%"$cur"}
	if [[ ${COMP_WORDS[i-1]} == -o ]]; then
		_smfs_mount_options "$word"
		COMPREPLY=("${COMPREPLY[@]#"$had"}")
	elif [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W '-d -f -s -o -h --help -V --version' -- "$cur")
	else
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
	fi
}

complete -F _smfs smfs
