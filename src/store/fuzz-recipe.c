/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-recipe.c: a recipe. What is taken of it has the form that its users rely on. */
#include "recipe.h"

#include "err.h"

#include "../testing/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	struct recipe recipe;
	struct err err = {0};

	if (recipe_parse("recipe", text, &recipe, &err) < 0) {
		FUZZ_MUST(err.code && err.text[0] && !strchr(err.text, '\n'));
		free(text);
		return 0;
	}
	if (recipe.packages.len)
		for (const char *p = recipe.packages.data; *p; p = strchr(p, '\n') + 1)
			FUZZ_MUST(*p != '-' && !strchr(" ,\t'\"$", *p));
	FUZZ_MUST(!recipe.env.len || recipe.env.data[recipe.env.len - 1] == '\n');
	recipe_done(&recipe);
	free(text);
	return 0;
}
