/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* result.h: how a run's result is told: the JSON object, and a line for a person. */
#include "buf.h"
#include "jsonw.h"
#include "options.h"
#include "run.h"

_must_check_ int result_json(const struct options *options, const struct run_result *result,
			     struct buf *out);
/* "error": {module, errno, message}, a part of an object. */
void result_error(struct jsonw *json, const struct err *err);
/* A line to fd, if a limit ended the run or something could not be kept. */
void result_explain(const struct options *options, const struct run_result *result, int fd);
