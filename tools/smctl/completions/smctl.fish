# SPDX-License-Identifier: MIT
# fish completion of smctl: verbs, options, and the objects that exist.

set -l verbs ls stat key create cat write decr reap rm hold wait

# The operands of the verb that are complete: words that are no options and no values of options.
function __smctl_operands
    set -l skip 0
    for word in (commandline -opc)[3..-1]
        if test $skip = 1
            set skip 0
        else if contains -- $word -o --output --owner --older-than --id --mode --refcount --timeout
            set skip 1
        else if not string match -q -- '-*' $word
            echo -- $word
        end
    end
end

function __smctl_at
    test (count (__smctl_operands)) = $argv[1]
    and not contains -- -- (commandline -opc)
end

# The key files of the objects there are. %b undoes how ls escapes names.
function __smctl_paths
    smctl ls --objects -n -o path 2>/dev/null | string match '/*' | sort -u | while read -l path
        printf '%b\n' $path
    end
end

function __smctl_projs
    set -l real (realpath -- (__smctl_operands)[1] 2>/dev/null)
    smctl ls --objects -n -o proj,path 2>/dev/null | while read -l proj path
        test (printf %b (string trim -- $path)) = "$real"
        and echo $proj
    end
end

complete -c smctl -f
complete -c smctl -n __fish_use_subcommand -s h -l help -d 'Print the verbs'
complete -c smctl -n __fish_use_subcommand -s V -l version -d 'Print the version'
complete -c smctl -n __fish_use_subcommand -a ls -d 'List segments or objects'
complete -c smctl -n __fish_use_subcommand -a stat -d 'Show all that is known of one'
complete -c smctl -n __fish_use_subcommand -a key -d 'Show both keys of an object'
complete -c smctl -n __fish_use_subcommand -a create -d 'Make an object'
complete -c smctl -n __fish_use_subcommand -a cat -d 'Write the bytes of an object to standard output'
complete -c smctl -n __fish_use_subcommand -a write -d 'Copy standard input into an object'
complete -c smctl -n __fish_use_subcommand -a decr -d 'Take one off the counter'
complete -c smctl -n __fish_use_subcommand -a reap -d 'Take leaked references off'
complete -c smctl -n __fish_use_subcommand -a rm -d 'Remove objects or segments'
complete -c smctl -n __fish_use_subcommand -a hold -d 'Hold a reference while a command runs'
complete -c smctl -n __fish_use_subcommand -a wait -d 'Wait until a counter has a value'

set -l targets stat key create cat write decr reap rm hold wait
complete -c smctl -n "__fish_seen_subcommand_from $targets; and __smctl_at 0" -a '(__smctl_paths)' -d object
complete -c smctl -n "__fish_seen_subcommand_from $targets; and __smctl_at 0" -F
complete -c smctl -n "__fish_seen_subcommand_from $targets; and __smctl_at 1" -a '(__smctl_projs)' -d proj_id

complete -c smctl -n "__fish_seen_subcommand_from $verbs" -s h -l help -d 'Tell what the verb takes'
complete -c smctl -n '__fish_seen_subcommand_from ls' -l objects -d 'Objects only'
complete -c smctl -n '__fish_seen_subcommand_from ls' -s o -l output -x -d 'Show these columns' -a '(__fish_append , id key name path proj kind state size resident swapped mode owner uid group creator cgroup nattch refcount leaked counter cpid lpid atime dtime ctime age flags holders)'
complete -c smctl -n '__fish_seen_subcommand_from ls' -s n -l no-header -d 'No line of column names'
complete -c smctl -n '__fish_seen_subcommand_from ls stat key' -l json -d 'Print JSON'
complete -c smctl -n '__fish_seen_subcommand_from ls stat' -s H -l human -d 'Sizes and times in human form'
complete -c smctl -n '__fish_seen_subcommand_from ls rm' -l leaked -d 'Objects with leaked references'
complete -c smctl -n '__fish_seen_subcommand_from ls rm' -l orphaned -d 'Objects whose holders are all gone'
complete -c smctl -n '__fish_seen_subcommand_from ls rm' -l owner -x -a '(__fish_complete_users)' -d 'What this user owns'
complete -c smctl -n '__fish_seen_subcommand_from ls rm' -l older-than -x -d 'What nobody has used for so long'
complete -c smctl -n '__fish_seen_subcommand_from stat cat write rm' -l id -x -a '(smctl ls -n -o id 2>/dev/null | string trim)' -d 'The segment with this shmid'
complete -c smctl -n '__fish_seen_subcommand_from create' -l mode -x -d Permissions
complete -c smctl -n '__fish_seen_subcommand_from reap' -l all -d 'Every object of the system'
complete -c smctl -n '__fish_seen_subcommand_from rm' -l dry-run -d 'List only'
complete -c smctl -n '__fish_seen_subcommand_from rm' -s y -l yes -d 'Do not ask'
complete -c smctl -n '__fish_seen_subcommand_from wait' -l refcount -x -d 'The value to wait for'
complete -c smctl -n '__fish_seen_subcommand_from wait' -l timeout -x -d 'Give up after so long'
