/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * ceilings.h: the ceilings of everything that a peer or a user can make large, in one place.
 * Bytes unless the name says otherwise.
 */
#define CEIL_FRAME	  (4u << 20)   /* one guest protocol message: argv and environment */
#define CEIL_FRAME_FDS	  8u	       /* descriptors with one message */
#define CEIL_ARGS	  (1u << 16)   /* strings in one argv or environment */
#define CEIL_SMALL_FILE	  (256u << 10) /* /proc, /sys and cgroup files */
#define CEIL_CONFIG	  (1u << 20)   /* creel.yaml */
#define CEIL_OUTPUT	  (1ull << 32) /* --output */
#define CEIL_CHANGES	  10000u       /* entries of `changes` in a result */
#define CEIL_CHANGES_JSON (64u << 20)  /* all of them as text */
#define CEIL_HASHED	  (4ull << 30) /* bytes of changed files that are hashed in one run */
#define CEIL_TREE_ENTRIES (1u << 20)   /* entries looked at in one tree */
#define CEIL_TREE_PATHS	  (64u << 20)  /* their paths together */
#define CEIL_TREE_DEPTH                                                                            \
	128u /* directories below each other that are walked with open descriptors */
#define CEIL_PATH	   4096u
#define CEIL_MOUNTS	   64u	 /* --ro of one run */
#define CEIL_LABELS	   64u	 /* --label of one run */
#define CEIL_ATTEMPTS	   1000u /* recorded refused system calls of one run */
#define CEIL_RESULT	   (1ull << 33)
#define CEIL_FINISHED_RUNS 100u /* results of detached runs that are kept */
