# SPDX-License-Identifier: MIT
# fish completion of smfs: options, and directories.

function __smfs_mount_options
    printf '%s\t%s\n' access=auto 'The better way to the bytes' access=native 'The kernel reads the segment itself' \
        access=copy 'Copy the bytes' allow_other 'Let other users in' allow_root 'Let root in' \
        auto_unmount 'Unmount when the process ends, however it ends' clone_fd 'A device descriptor for each thread' \
        debug 'Print every request' files= 'Most files that one user may have open' \
        fsname= 'Name of the source in the mount table' ipcns= 'Show that IPC namespace' \
        listings= 'Most bytes of listings of open directories' \
        max_idle_threads= 'Most idle threads' max_threads= 'Most threads' \
        max_waiting= 'Most requests of all users that may wait at once' noatime 'Leave access times alone' \
        reap 'Take off the references of dead holders' reap= 'The same, within so many seconds' ro Read-only \
        rw 'Read and write' size= 'Size of an object made without one' staged= 'Most bytes of files in the making' \
        waiting= 'Most requests of one user that may wait at once'
end

complete -c smfs -f
complete -c smfs -a '(__fish_complete_directories)'
complete -c smfs -s h -l help -d 'Print help'
complete -c smfs -s V -l version -d 'Print the version'
complete -c smfs -s d -d 'Print every request'
complete -c smfs -s f -d 'Stay in the foreground'
complete -c smfs -s s -d 'One thread'
complete -c smfs -s o -x -d 'Mount options' -a '(__fish_append , (__smfs_mount_options))'
