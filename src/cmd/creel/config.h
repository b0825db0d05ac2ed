/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * config.h: the configuration file, YAML:
 *
 *   profiles:
 *     heavy:
 *       memory: 8G
 *       cpus: 4
 *       env: [A=1, B=2]
 *       root: true
 *
 * /etc/creel/creel.yaml for root, else $XDG_CONFIG_HOME/creel/creel.yaml (~/.config). Unknown keys,
 * duplicates and wrong types refuse the whole file, with the line.
 */
struct options;
struct err;

int config_profile(const char *name, struct options *options, struct err *err);
