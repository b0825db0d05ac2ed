/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recipe-gen.c: build-time program that prints recipes as a C table, so that creel has them
 * wherever it is started from.
 *
 * usage: recipe-gen FILE.recipe…
 */
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	printf("#include \"recipe.h\"\n\nconst struct recipe_text recipe_texts[] = {");
	for (int i = 1; i < argc; i++) {
		const char *slash = strrchr(argv[i], '/'), *name = slash ? slash + 1 : argv[i];
		FILE *file = fopen(argv[i], "rbe");
		int c;

		if (!file) {
			perror(argv[i]);
			return 1;
		}
		printf("\n\t{\"%.*s\",\n\t \"", (int)strcspn(name, "."), name);
		while ((c = getc(file)) != EOF) {
			if (c == '\n')
				printf("\\n\"\n\t \"");
			else if (c == '"' || c == '\\')
				printf("\\%c", c);
			else
				putchar(c);
		}
		printf("\"},");
		if (fclose(file))
			return 1;
	}
	printf("\n};\nconst size_t n_recipe_texts = %d;\n", argc - 1);
	return 0;
}
