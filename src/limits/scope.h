/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * scope.h: a delegated cgroup for an ordinary user, from systemd's user manager.
 */
#include <stdbool.h>

struct cgroup_host;
struct err;

/*
 * cgroup_host_probe(), and for an ordinary user whose session is not delegated a scope that is:
 * where there is no user manager, the host is as it was.
 */
int scope_host(bool root, struct cgroup_host *ret_host, struct err *err);
