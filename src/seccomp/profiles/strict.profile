# SPDX-License-Identifier: Apache-2.0
# strict: what interpreters, compilers and servers need, and nothing that widens the kernel's attack
# surface without them. Anything that is not named here answers ENOSYS, so that a library falls back.
#
# A line is an action and the calls that get it:
#   allow            whatever the arguments are
#   record           EPERM by the supervisor, which notes the attempt: no honest program makes these
#   clone socket ioctl mode1 mode2 open openat rename2
#                    allowed after a look at the arguments (seccomp-gen.c says which)
# name=NUMBER is for calls that an older libseccomp does not know; numbers from 424 on are the same
# on every architecture.

allow    read write close stat fstat lstat poll lseek mmap mprotect munmap brk
allow    rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigqueueinfo
allow    rt_sigsuspend rt_tgsigqueueinfo sigaltstack pread64 pwrite64 readv writev access pipe select
allow    sched_yield mremap msync mincore madvise shmget shmat shmctl shmdt dup dup2 dup3 pause
allow    nanosleep getitimer alarm setitimer getpid sendfile connect accept accept4 sendto recvfrom
allow    sendmsg recvmsg sendmmsg recvmmsg shutdown bind listen getsockname getpeername
allow    setsockopt getsockopt fork vfork execve execveat exit exit_group wait4 waitid kill uname
allow    semget semop semctl semtimedop msgget msgsnd msgrcv msgctl fcntl flock fsync fdatasync
allow    truncate ftruncate getdents getdents64 getcwd chdir fchdir rename renameat mkdir
allow    mkdirat rmdir link linkat unlink unlinkat symlink symlinkat readlink readlinkat chown fchown
allow    lchown fchownat umask gettimeofday getrlimit setrlimit prlimit64 getrusage sysinfo times
allow    getuid getgid setuid setgid geteuid getegid setpgid getppid getpgrp setsid setreuid setregid
allow    getgroups setgroups setresuid getresuid setresgid getresgid getpgid setfsuid setfsgid getsid
allow    capget capset utime utimes futimesat utimensat statfs fstatfs getpriority setpriority
allow    sched_setparam sched_getparam sched_setscheduler sched_getscheduler sched_get_priority_max
allow    sched_get_priority_min sched_rr_get_interval sched_setattr sched_getattr sched_setaffinity
allow    sched_getaffinity mlock mlock2 munlock mlockall munlockall prctl arch_prctl gettid readahead
allow    setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
allow    removexattr lremovexattr fremovexattr tkill tgkill time futex epoll_create epoll_create1
allow    epoll_ctl epoll_wait epoll_pwait epoll_pwait2 set_tid_address restart_syscall fadvise64
allow    timer_create timer_settime timer_gettime timer_getoverrun timer_delete clock_gettime
allow    clock_getres clock_nanosleep get_mempolicy mq_open mq_unlink mq_timedsend mq_timedreceive
allow    mq_notify mq_getsetattr ioprio_get ioprio_set inotify_init inotify_init1 inotify_add_watch
allow    inotify_rm_watch newfstatat faccessat faccessat2 pselect6 ppoll set_robust_list
allow    get_robust_list splice tee vmsplice sync_file_range signalfd signalfd4 timerfd_create
allow    timerfd_settime timerfd_gettime eventfd eventfd2 fallocate pipe2 preadv pwritev preadv2
allow    pwritev2 syncfs getcpu seccomp getrandom memfd_create membarrier copy_file_range
allow    pkey_mprotect pkey_alloc pkey_free statx rseq pidfd_send_signal pidfd_open close_range
allow    landlock_create_ruleset landlock_add_rule landlock_restrict_self futex_waitv
allow    map_shadow_stack=453 futex_wake=454 futex_wait=455 futex_requeue=456 process_madvise
# These need a capability of the host for anything but reading.
allow    adjtimex clock_settime clock_adjtime name_to_handle_at sysfs

clone    clone
socket   socket socketpair
ioctl    ioctl
mode1    chmod fchmod creat mknod
mode2    fchmodat fchmodat2=452 mknodat
open     open
openat   openat
rename2  renameat2

# sync(2) is not here: it flushes every filesystem of the host. syncfs(2) and fsync(2) do the same
# for the sandbox's own files.

record   mount umount2 pivot_root chroot setns unshare open_tree move_mount fsopen fsconfig fsmount
record   fspick mount_setattr open_by_handle_at bpf perf_event_open userfaultfd ptrace kcmp
record   process_vm_readv process_vm_writev pidfd_getfd add_key request_key keyctl kexec_load
record   kexec_file_load init_module finit_module delete_module create_module get_kernel_syms
record   query_module reboot swapon swapoff iopl ioperm modify_ldt acct vhangup _sysctl settimeofday
record   sethostname setdomainname quotactl quotactl_fd nfsservctl getpmsg putpmsg afs_syscall tuxcall
record   security syslog fanotify_init
