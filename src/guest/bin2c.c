/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bin2c.c: build-time program that prints a file as a C array, NAME and NAME_size.
 *
 * usage: bin2c NAME FILE
 */
#include <stdio.h>

int main(int argc, char **argv)
{
	FILE *file = argc == 3 ? fopen(argv[2], "rbe") : NULL;
	int c, n = 0;

	if (!file) {
		fprintf(stderr, "usage: bin2c NAME FILE\n");
		return 2;
	}
	printf("#include \"%s.h\"\n\nconst unsigned char %s[] = {", "init-image", argv[1]);
	while ((c = getc(file)) != EOF)
		printf("%s%d,", n++ % 20 ? "" : "\n\t", c);
	printf("\n};\nconst size_t %s_size = sizeof(%s);\n", argv[1], argv[1]);
	return fclose(file) ? 1 : 0;
}
