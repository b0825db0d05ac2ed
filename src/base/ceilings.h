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
#define CEIL_FINISHED_RUNS 100u	       /* results of detached runs that are kept */
#define CEIL_AUDIT_RECORD  (32u << 10) /* one record of the log */
#define CEIL_INPUTS	   (1ull << 30) /* bytes of --in, --ro and scripts that are hashed in one run */
#define CEIL_LOOKED                                                                                \
	(1u << 18) /* entries of one part of a sandbox that are compared for changes               \
		    */
#define CEIL_RUN_LIST	   (8u << 20) /* as text: the changes of one run; they go into its record */
#define CEIL_ACCESSED_JSON (3u << 20) /* about; the accessed files of one run, as text */
#define CEIL_ACCESSED	   10000u     /* paths in the list of accessed files of one run */
#define CEIL_MANIFEST	   (256u << 20)	 /* the manifest of one image */
#define CEIL_IMAGE_ENV	   256u		 /* variables that an image sets */
#define CEIL_CHANGES_KNOWN (64u << 20)	 /* what apply remembers of its own work, for one overlay */
#define CEIL_DIFF_TEXT	   (8u << 20)	 /* a file of which a text diff is shown */
#define CEIL_PATCH	   (64u << 20)	 /* the patch of one file */
#define CEIL_IMAGE_BYTES   (64ull << 30) /* what the layers of an imported image unpack to */
#define CEIL_OCI_LAYERS	   512u		 /* of one image */
