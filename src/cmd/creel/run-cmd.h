/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* run-cmd.h: a run by the words of the command line, for commands that are not `creel run`. */
#include "run.h"

/*
 * argv begins with "run" and is NULL-terminated; with --json among it output is captured. 0: it
 * ran, and run_result_done() is due.
 */
int run_words(int argc, char **argv, struct run_result *ret, struct err *err);
