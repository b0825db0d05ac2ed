/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * detached.h: runs in the background. The supervisor is an ordinary creel process without a
 * terminal; output and result are in DATA/runs/ID (stdout, stderr, result.json, exit).
 */
#include "options.h"
#include "run.h"

/* Prints the id once the command is about to start; returns what creel exits with. */
int detached_run(const struct state *state, struct options *options, struct run_spec *spec);
