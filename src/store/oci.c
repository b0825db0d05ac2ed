/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci.c: see oci.h. Digests become paths only when they have the form of one. Of the configuration
 * only the environment and the working directory are taken: users, volumes, entry points and
 * health checks have no meaning to a sandbox.
 */
#include "oci.h"

#include "buf.h"
#include "ceilings.h"
#include "err.h"
#include "fs.h"
#include "io.h"
#include "tar-check.h"

#include <fcntl.h>
#include <jansson.h>
#include <zlib.h>

#define OCI_JSON_MAX (4u << 20)
/* Zeros shrink to a thousandth: honest layers do not, once they are large. */
#define OCI_RATIO_FROM (256ull << 20)
#define OCI_RATIO      200u

static void json_free(json_t **json)
{
	json_decref(*json);
}

#define _cleanup_json_ _cleanup_(json_free)

static int malformed(struct err *err, const char *what)
{
	return err_set(err, EINVAL, "import", "the image is refused: its %s is malformed", what);
}

/* blobs/sha256/HEX of the digest that a descriptor has. */
static int blob_path(const json_t *descriptor, char *ret, size_t size, struct err *err)
{
	const char *digest = json_string_value(json_object_get(descriptor, "digest"));

	if (!digest || strlen(digest) != 71 || strncmp(digest, "sha256:", 7) != 0 ||
	    strspn(digest + 7, "0123456789abcdef") != 64)
		return malformed(err, "digest");
	snprintf(ret, size, "blobs/sha256/%s", digest + 7);
	return 0;
}

static int load(int dirfd, const char *path, const char *what, json_t **ret, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(OCI_JSON_MAX);
	_cleanup_close_ int fd = fs_open_beneath(dirfd, path, O_RDONLY | O_NONBLOCK, 0);
	int r = fd < 0 ? fd : buf_puts(&text, "");

	while (r == 0) {
		char *room;
		ssize_t n;

		r = buf_reserve(&text, 65536, &room);
		n = r == 0 ? read(fd, room, 65536) : 0;
		if (n < 0)
			r = -errno;
		if (n <= 0)
			break;
		text.len += (size_t)n;
	}
	if (r < 0)
		return err_errno(err, -r, "import", "cannot read the image's %s", what);
	*ret = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
	return json_is_object(*ret) ? 0 : malformed(err, what);
}

/* ---- the configuration ---- */

/* It goes into lines of text: what has a control character is left out. */
static bool is_plain(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return false;
	return true;
}

static int take_config(const json_t *config, struct oci_image *image, struct err *err)
{
	const json_t *inner = json_object_get(config, "config");
	const json_t *env = json_object_get(inner, "Env");
	const char *workdir = json_string_value(json_object_get(inner, "WorkingDir"));
	size_t len = 0, n = json_array_size(env);

	if (n > CEIL_IMAGE_ENV - 1)
		return err_set(err, E2BIG, "import", "the image is refused: it has %zu variables",
			       n);
	for (size_t i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(env, i));

		if (!text || text[0] == '=' || !strchr(text, '=') || !is_plain(text))
			continue;
		/* The head of a manifest is read whole from its first bytes. */
		if (strlen(text) >= 4096 || len + strlen(text) + 64 >= 12000)
			return err_set(err, E2BIG, "import",
				       "the image is refused: its environment is too large");
		len += (size_t)snprintf(image->env + len, sizeof(image->env) - len, "%s\n", text);
	}
	if (workdir && workdir[0] == '/' && strcmp(workdir, "/") != 0 && is_plain(workdir) &&
	    fs_canonical(workdir, image->workdir, sizeof(image->workdir)) < 0)
		image->workdir[0] = '\0';
	return 0;
}

/* ---- layers ---- */

struct layer {
	int fd;
	struct tar_check *tar;
	uint64_t in, out;
	unsigned char input[1 << 16], output[1 << 17];
};

static ssize_t layer_read(struct layer *layer)
{
	ssize_t n;

	do {
		n = read(layer->fd, layer->input, sizeof(layer->input));
	} while (n < 0 && errno == EINTR);
	layer->in += n > 0 ? (uint64_t)n : 0;
	return n < 0 ? -errno : n;
}

static int layer_out(struct layer *layer, size_t n, const char *name, struct err *err)
{
	layer->out += n;
	if (layer->out > OCI_RATIO_FROM && layer->out / OCI_RATIO > layer->in)
		return err_set(err, E2BIG, "import",
			       "%s is refused: it unpacks to more than %u times its size", name,
			       OCI_RATIO);
	return tar_check_feed(layer->tar, layer->output, n, err);
}

/* Members may follow each other (RFC 1952 2.2); Go's reader and ours take them all. */
static int layer_gunzip(struct layer *layer, z_stream *z, ssize_t have, const char *name,
			struct err *err)
{
	int r = 0, state = Z_OK;

	while (r == 0 && have > 0) {
		z->next_in = layer->input;
		z->avail_in = (unsigned)have;
		while (r == 0 && (z->avail_in || z->avail_out == 0)) {
			z->next_out = layer->output;
			z->avail_out = sizeof(layer->output);
			if (state == Z_STREAM_END && inflateReset(z) != Z_OK)
				return err_set(err, EINVAL, "import", "%s is damaged", name);
			state = inflate(z, Z_NO_FLUSH);
			if (state != Z_OK && state != Z_STREAM_END && state != Z_BUF_ERROR)
				return err_set(err, EINVAL, "import",
					       "%s is refused: its compression is damaged", name);
			r = layer_out(layer, sizeof(layer->output) - z->avail_out, name, err);
		}
		z->avail_out = 1; /* all has been taken */
		have = layer_read(layer);
	}
	if (r == 0 && have == 0 && state != Z_STREAM_END)
		r = err_set(err, EINVAL, "import", "%s is refused: it is cut short", name);
	return r == 0 && have < 0 ? err_errno(err, (int)-have, "import", "%s", name) : r;
}

static int layer_plain(struct layer *layer, ssize_t have, const char *name, struct err *err)
{
	int r = 0;

	while (r == 0 && have > 0) {
		r = tar_check_feed(layer->tar, layer->input, (size_t)have, err);
		have = layer_read(layer);
	}
	return r == 0 && have < 0 ? err_errno(err, (int)-have, "import", "%s", name) : r;
}

static int layer_check(struct layer *layer, const char *name, struct err *err)
{
	ssize_t have = layer_read(layer);
	z_stream z = {0};
	int r;

	tar_check_begin(layer->tar, name);
	if (have < 0)
		return err_errno(err, (int)-have, "import", "cannot read %s", name);
	if (have >= 4 && memcmp(layer->input, "\x28\xb5\x2f\xfd", 4) == 0)
		return err_set(
			err, ENOTSUP, "import",
			"%s is compressed with zstd, which umoci does not unpack; convert it "
			"with: skopeo copy --dest-compress-format gzip",
			name);
	if (have >= 2 && memcmp(layer->input, "\x1f\x8b", 2) == 0) {
		if (inflateInit2(&z, 15 + 16) != Z_OK)
			return err_errno(err, ENOMEM, "import", "zlib");
		r = layer_gunzip(layer, &z, have, name, err);
		inflateEnd(&z);
	} else {
		r = layer_plain(layer, have, name, err);
	}
	return r == 0 ? tar_check_end(layer->tar, err) : r;
}

static int check_layers(int dirfd, const json_t *layers, struct err *err)
{
	static struct layer memory; /* too large for a stack */
	struct layer *layer = &memory;
	size_t n = json_array_size(layers);
	struct tar_check *tar = NULL;
	char path[128], name[64];
	int r = tar_check_new(&tar);

	if (r < 0)
		return err_errno(err, ENOMEM, "import", "layers");
	if (n == 0 || n > CEIL_OCI_LAYERS)
		r = err_set(err, EINVAL, "import", "the image is refused: it has %zu layers", n);
	for (size_t i = 0; r == 0 && i < n; i++) {
		r = blob_path(json_array_get(layers, i), path, sizeof(path), err);
		if (r < 0)
			break;
		snprintf(name, sizeof(name), "layer %zu of %zu", i + 1, n);
		layer->fd = fs_open_beneath(dirfd, path, O_RDONLY | O_NONBLOCK, 0);
		layer->tar = tar;
		layer->in = layer->out = 0;
		r = layer->fd < 0 ? err_errno(err, -layer->fd, "import", "cannot open %s", name)
				  : layer_check(layer, name, err);
		fd_close(layer->fd);
	}
	tar_check_free(tar);
	return r;
}

int oci_check(int dirfd, struct oci_image *ret, struct err *err)
{
	_cleanup_json_ json_t *index = NULL, *manifest = NULL, *config = NULL;
	const json_t *manifests, *descriptor;
	char path[128];
	int r = load(dirfd, "index.json", "index", &index, err);

	if (r < 0)
		return r;
	manifests = json_object_get(index, "manifests");
	descriptor = json_array_get(manifests, 0);
	if (json_array_size(manifests) != 1)
		return malformed(err, "index");
	r = blob_path(descriptor, path, sizeof(path), err);
	if (r == 0)
		r = load(dirfd, path, "manifest", &manifest, err);
	if (r < 0)
		return r;
	snprintf(ret->manifest, sizeof(ret->manifest), "sha256:%.64s", path + 13);
	r = blob_path(json_object_get(manifest, "config"), path, sizeof(path), err);
	if (r == 0)
		r = load(dirfd, path, "configuration", &config, err);
	if (r == 0)
		r = take_config(config, ret, err);
	return r == 0 ? check_layers(dirfd, json_object_get(manifest, "layers"), err) : r;
}
