# SPDX-License-Identifier: Apache-2.0
# browser: strict, and what Chromium and Firefox add when their own sandbox is off: comparing and
# advising their child processes, and reading their own on a crash.
include  strict
allow    kcmp memfd_secret=447 ptrace mbind set_mempolicy
