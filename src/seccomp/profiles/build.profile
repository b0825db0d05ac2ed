# SPDX-License-Identifier: Apache-2.0
# build: strict, and what debuggers, tracers, test runners and databases add (gdb, strace, fakeroot,
# sanitizers, native asynchronous I/O, NUMA).
include  strict
allow    ptrace process_vm_readv process_vm_writev kcmp personality
allow    io_setup io_destroy io_getevents io_submit io_cancel io_pgetevents
allow    mbind set_mempolicy remap_file_pages
