/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * places.h: the directories of the store that one run writes to: its layer, an agent's own files, a
 * named workspace, the changes of an overlay.
 *
 *   DATA/layers/ID           a layer that is too large for memory; removed with the run
 *   DATA/kept/ORG/NAME       a whole layer that the next run with --keep NAME goes on with
 *   DATA/agents/ORG/AGENT    home, root and workspace of --agent
 *   DATA/workspaces/ORG/NAME --workspace NAME
 *   DATA/overlays/ORG/ID     what a run with --overlay DIR changed (changes.h)
 *
 * Root has them in the pool, each a subvolume with a hard limit and with the ids that are seen
 * inside; without root, or where no pool can be had, they are plain directories and the limit is
 * creel's to watch. All lie below a directory that no other user of the host can enter.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Of what is kept, where --disk is not named: the default of a layer is half of the memory. */
#define PLACE_BYTES (10ull << 30)

struct err;
struct pool;
struct sandbox;
struct sandbox_keeps;
struct state;

enum place_kind { PLACE_LAYER, PLACE_AGENT, PLACE_WORKSPACE, PLACE_OVERLAY, PLACE_MAX };

struct place {
	char path[768]; /* on the host; "": this run has none */
	char name[256]; /* below the pool or DATA */
	int fd;		/* the directory, locked; -1: none */
	uint64_t limit; /* bytes */
};

struct places {
	struct place of[PLACE_MAX];
	struct pool *pool;	  /* NULL: plain directories */
	int64_t changes_start_ns; /* of a new overlay (changes_await()) */
};

#define PLACES_INIT ((struct places){.of = {{.fd = -1}, {.fd = -1}, {.fd = -1}, {.fd = -1}}})

/*
 * Finds out what the sandbox's spec needs, and enters the mount namespace of the pool: directories
 * of the host that are to be mounted are opened after it.
 */
int places_enter(struct sandbox *sandbox, struct err *err);
/*
 * Opens, makes and locks what the sandbox's spec names. -EBUSY: another run has the layer or the
 * overlay; an agent's files and workspaces are shared by any number of runs.
 */
int places_open(struct sandbox *sandbox, struct err *err);
/* Closes all; removes what is not kept. A failure leaves the layer for a sweep. */
int places_close(struct sandbox *sandbox, struct err *err);
/* Removes the layer of a killed run from the pool. */
int places_sweep(const struct state *state, const char *id, struct err *err);
/* The name of what was changed over a project, of SANDBOX_ID_LEN; or nothing. */
void places_overlay_id(const struct sandbox *sandbox, char *ret);
bool place_is_there(const struct places *places, enum place_kind kind);
/* A subvolume is at its limit: a write was refused, or the next will be. */
bool places_full(const struct places *places);
/* The plain directories that creel must watch: whether there is any. */
bool places_watched(const struct places *places);
/* The directory of an overlay that was kept: keeps->org's run keeps->overlay_id. */
int places_find_overlay(const struct state *state, const struct sandbox_keeps *keeps, char *ret,
			size_t size, struct err *err);
