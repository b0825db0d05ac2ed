/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * cell-ablation.h: included by the cell in test builds only (meson -Dablation=true). One wall is
 * left out, so that the escape suite can show which attack it held. The product has no such switch.
 */
enum cell_wall {
	CELL_WALL_SECCOMP = 1,
	CELL_WALL_NSMAX = 2,
	CELL_WALL_LANDLOCK = 4,
	CELL_WALL_CAPS = 8,
	CELL_WALL_NNP = 16,
};

#define CELL_STANDS(plan, wall) (!((plan)->omit & (wall)))
