/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * host-image.h: the image `host`: the machine's own /usr under a small generated root.
 *
 * The root holds a minimal /etc: accounts of its own, and of the host's only what programs need and
 * every user may read (alternatives, ld.so.cache, certificates, fonts, …); no keys, no host users.
 * /usr itself is mounted from the host without mapped ids, so that the kernel's own permission
 * check keeps files that only the host's root may read from every user inside.
 *
 * For --root there is a `skel` beside it: the directories of /usr and of dpkg's database without
 * their files, owned by root inside. As the upper lower layer it makes create, delete and replace
 * work over the host's files; editing one in place stays refused.
 */
#include <stdbool.h>

struct err;

/*
 * Makes DIR/root, or makes it anew if the host's files changed. To be called with the ids that
 * shall own it. True in *ret_fresh: it was made now.
 */
int host_image_prepare(const char *dir, bool *ret_fresh, struct err *err);
/* 1 if DIR/root is there and as new as the host's files, else 0. */
int host_image_current(const char *dir);
/*
 * Makes DIR/skel, or takes away from it what the host has closed to others since: a directory that
 * is in it is readable inside, whatever its mode is on the host.
 */
int host_image_skel(const char *dir, struct err *err);
/* 1 if DIR/skel was made for the host's /usr as it is, else 0. */
int host_image_skel_current(const char *dir);
