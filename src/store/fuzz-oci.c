/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-oci.c: an image of three parts, each ended by a line "----": manifest, configuration, layer.
 * What is taken of it fits into lines of text, and a refusal says why.
 */
#include "oci.h"

#include "buf.h"
#include "err.h"
#include "fs.h"
#include "io.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "../testing/fuzz.h"

#define EIGHT(c)  c c c c c c c c
#define DIGEST(c) EIGHT(EIGHT(c))

static const char *const parts[] = {"blobs/sha256/" DIGEST("a"), "blobs/sha256/" DIGEST("b"),
				    "blobs/sha256/" DIGEST("c")};

static void put(int dirfd, const char *name, const void *data, size_t len)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	FUZZ_MUST(fd >= 0 && (len == 0 || io_write_full(fd, data, len) == 0));
	close(fd);
}

static char path[] = "/tmp/creel-fuzz-oci-XXXXXX";

static void cleanup(void)
{
	fs_remove_tree(AT_FDCWD, path);
}

/* One directory for all inputs. */
static int layout(void)
{
	static const char index[] = "{\"manifests\":[{\"digest\":\"sha256:" DIGEST("a") "\"}]}";
	static int fd = -1;

	if (fd >= 0)
		return fd;
	FUZZ_MUST(mkdtemp(path) && atexit(cleanup) == 0);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FUZZ_MUST(fd >= 0 && mkdirat(fd, "blobs", 0700) == 0 &&
		  mkdirat(fd, "blobs/sha256", 0700) == 0);
	put(fd, "index.json", index, strlen(index));
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char mark[] = "\n----\n";
	struct oci_image *image = calloc(1, sizeof(*image));
	struct err err = {0};
	int fd = layout(), r;

	FUZZ_MUST(image);
	for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
		const uint8_t *end = size ? memmem(data, size, mark, strlen(mark)) : NULL;
		size_t len = end ? (size_t)(end - data) : size;

		put(fd, parts[i], data, len);
		data += end ? len + strlen(mark) : len;
		size -= end ? len + strlen(mark) : len;
	}
	r = oci_check(fd, image, &err);
	FUZZ_MUST(r == 0 || (err.code == -r && err.text[0]));
	FUZZ_MUST(strlen(image->env) < sizeof(image->env) && strlen(image->workdir) < 256);
	FUZZ_MUST(!*image->env || image->env[strlen(image->env) - 1] == '\n');
	FUZZ_MUST(!*image->workdir || (image->workdir[0] == '/' && !strchr(image->workdir, '\n')));
	free(image);
	return 0;
}
