/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image.c: see image.h. Names and digests are checked before they become paths; what an image says
 * about itself is believed as far as its digest covers it, which image_check() proves.
 */
#include "image.h"

#include "ceilings.h"
#include "err.h"
#include "fs.h"
#include "image-private.h"
#include "io.h"
#include "manifest.h"
#include "parse.h"
#include "recipe.h"

#include <fcntl.h>
#include <sys/file.h>

#define DIGEST_PREFIX	"sha256-"
#define DIGEST_SHORTEST 12

static bool is_digest(const char *text)
{
	return strlen(text) == IMAGE_DIGEST_SIZE - 1 &&
	       strncmp(text, DIGEST_PREFIX, strlen(DIGEST_PREFIX)) == 0 &&
	       strspn(text + strlen(DIGEST_PREFIX), "0123456789abcdef") == 64;
}

int image_open_dir(const char *data, int *ret_fd, struct err *err)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/images", data);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || (mkdirat(fd, "names", 0700) < 0 && errno != EEXIST)) {
		err_errno(err, errno, "image", "cannot use %s", path);
		fd_close(fd);
		return -err->code;
	}
	*ret_fd = fd;
	return 0;
}

/* The digest that a name stands for. */
int image_name_read(int images, const char *name, char *ret_digest)
{
	_cleanup_buf_ struct buf text = BUF_INIT(256);
	char path[IMAGE_NAME_MAX + 16];
	int r;

	snprintf(path, sizeof(path), "names/%s", name);
	r = io_read_file(images, path, &text);
	if (r < 0)
		return r;
	text.data[strcspn(text.data, "\n")] = '\0';
	if (!is_digest(text.data))
		return -EBADMSG;
	memcpy(ret_digest, text.data, IMAGE_DIGEST_SIZE);
	return 0;
}

/* The one digest that starts with these digits. -EEXIST: more than one does. */
static int digest_find(int images, const char *digits, char *ret_digest)
{
	_cleanup_closedir_ DIR *dir = fs_opendir(images);
	char found[IMAGE_DIGEST_SIZE] = "";
	struct dirent *entry;

	while (dir && (entry = fs_next(dir))) {
		if (!is_digest(entry->d_name) ||
		    strncmp(entry->d_name + strlen(DIGEST_PREFIX), digits, strlen(digits)) != 0)
			continue;
		if (*found)
			return -EEXIST;
		memcpy(found, entry->d_name, sizeof(found));
	}
	if (!*found)
		return -ENOENT;
	memcpy(ret_digest, found, sizeof(found));
	return 0;
}

static int missing(const char *name, struct err *err)
{
	if (recipe_exists(name))
		return err_set(err, ENOENT, "image",
			       "there is no image %s; make it with: creel image build %s", name,
			       name);
	return err_set(err, ENOENT, "image",
		       "there is no image %s; make it with: creel image pull docker://REFERENCE "
		       "%s, or creel image import; creel image ls tells what there is",
		       name, name);
}

int image_find(int images, const char *name, char *ret_digest, bool *ret_by_name, struct err *err)
{
	int r;

	*ret_by_name = false;
	if (strncmp(name, "sha256", 6) == 0 && (name[6] == ':' || name[6] == '-')) {
		const char *digits = name + 7;

		if (strlen(digits) < DIGEST_SHORTEST || strlen(digits) > 64 ||
		    digits[strspn(digits, "0123456789abcdef")])
			return err_set(err, EINVAL, "image",
				       "%.80s is no digest: sha256: and 12 to 64 hex digits", name);
		r = digest_find(images, digits, ret_digest);
		if (r == -ENOENT)
			return err_set(err, ENOENT, "image", "there is no image %s", name);
		return r < 0 ? err_errno(err, -r, "image", "%s fits more than one image", name) : 0;
	}
	if (parse_name(name) < 0)
		return err_set(err, EINVAL, "image",
			       "%.80s is no name of an image: letters, digits, '.', '_', '-', at "
			       "most 64, a letter or digit first",
			       name);
	*ret_by_name = true;
	r = image_name_read(images, name, ret_digest);
	if (r == -ENOENT)
		return missing(name, err);
	return r < 0 ? err_errno(err, -r, "image", "cannot read the name %s", name) : 0;
}

static int corrupted(const struct image *image, struct err *err)
{
	struct err why = *err;
	const char *name = *image->name ? image->name : image->digest;

	if (recipe_exists(image->name))
		return err_set(err, EUCLEAN, "image",
			       "image %s is corrupted: %s; make it anew: creel image build %s",
			       name, why.text, name);
	return err_set(err, EUCLEAN, "image",
		       "image %s is corrupted: %s; remove it with creel image rm %s and pull or "
		       "import it again",
		       name, why.text, name);
}

/* ---- the head of its manifest ---- */

static int take_text(char *ret, size_t size, const char *text)
{
	size_t len = strlen(text);

	if (len >= size)
		return -EBADMSG;
	memcpy(ret, text, len + 1);
	return 0;
}

/* user NAME GID HOME */
static int take_user(struct image *image, char *words)
{
	char *gid = strchr(words, ' '), *home = gid ? strchr(gid + 1, ' ') : NULL, *end;
	unsigned long value;

	if (!home)
		return -EBADMSG;
	*gid++ = '\0';
	*home++ = '\0';
	value = strtoul(gid, &end, 10);
	if (end == gid || *end || value > 65534 || home[0] != '/')
		return -EBADMSG;
	image->gid = (uint32_t)value;
	return take_text(image->user, sizeof(image->user), words) < 0 ||
			       take_text(image->home, sizeof(image->home), home) < 0
		       ? -EBADMSG
		       : 0;
}

static int take_env(struct image *image, const char *text)
{
	size_t n = 0;
	char **grown;

	while (image->env && image->env[n])
		n++;
	if (n >= CEIL_IMAGE_ENV || !strchr(text, '='))
		return -EBADMSG;
	grown = realloc(image->env, (n + 2) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	image->env = grown;
	grown[n] = strdup(text);
	grown[n + 1] = NULL;
	return grown[n] ? 0 : -ENOMEM;
}

static int take_line(struct image *image, char *line)
{
	if (strncmp(line, "user ", 5) == 0)
		return take_user(image, line + 5);
	if (strncmp(line, "workdir ", 8) == 0)
		return take_text(image->workdir, sizeof(image->workdir), line + 8);
	if (strncmp(line, "env ", 4) == 0)
		return take_env(image, line + 4);
	return -EBADMSG;
}

static int load(struct image *image, struct err *err)
{
	_cleanup_close_ int fd = open(image->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_buf_ struct buf head = BUF_INIT(CEIL_SMALL_FILE);
	int r = fd < 0 ? -errno : manifest_head(fd, &head);

	for (char *line = head.data, *end; r == 0 && line && (end = strchr(line, '\n'));
	     line = end + 1) {
		*end = '\0';
		r = take_line(image, line);
	}
	if (r == 0 && (!*image->user || !image->env))
		r = -EBADMSG;
	if (r < 0) {
		err_errno(err, -r, "image", "its manifest cannot be read");
		return corrupted(image, err);
	}
	return 0;
}

static void place(struct image *image, const char *data)
{
	snprintf(image->dir, sizeof(image->dir), "%.400s/images/%s", data, image->digest);
	snprintf(image->root, sizeof(image->root), "%s/root", image->dir);
}

int image_resolve(const char *data, const char *name, struct image *ret, struct err *err)
{
	_cleanup_image_ struct image image = IMAGE_INIT;
	_cleanup_close_ int images = -EBADF;
	bool by_name = false;
	int r = image_open_dir(data, &images, err);

	if (r == 0)
		r = image_find(images, name, image.digest, &by_name, err);
	if (r < 0)
		return r;
	if (by_name)
		snprintf(image.name, sizeof(image.name), "%s", name);
	place(&image, data);
	r = load(&image, err);
	if (r < 0)
		return r;
	*ret = image;
	image = IMAGE_INIT;
	return 0;
}

void image_done(struct image *image)
{
	for (size_t i = 0; image->env && image->env[i]; i++)
		free(image->env[i]);
	free(image->env);
	*image = IMAGE_INIT;
}

int image_lock(const struct image *image, int *ret_fd, struct err *err)
{
	_cleanup_close_ int fd = open(image->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat locked, named;

	/* Whoever removes or replaces it holds the lock for that moment only. */
	while (fd >= 0 && flock(fd, LOCK_SH) < 0)
		if (errno != EINTR)
			return err_errno(err, errno, "image", "cannot lock %s", image->dir);
	if (fd < 0 || fstat(fd, &locked) < 0 || stat(image->dir, &named) < 0 ||
	    locked.st_ino != named.st_ino)
		return err_set(err, ENOENT, "image", "image %s was removed meanwhile",
			       *image->name ? image->name : image->digest);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int image_check(const struct image *image, struct err *err)
{
	_cleanup_close_ int fd = open(image->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err why = {0};
	int r;

	if (fd < 0)
		return err_errno(err, errno, "image", "cannot open %s", image->dir);
	r = manifest_check(fd, image->digest + strlen(DIGEST_PREFIX), &why);
	if (r == 0)
		return 0;
	if (err)
		*err = why;
	return err && r == -EUCLEAN ? corrupted(image, err) : r;
}

/* ---- all of them ---- */

unsigned image_names_of(int images, const char *digest)
{
	_cleanup_close_ int fd = openat(images, "names", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fs_opendir(fd);
	char target[IMAGE_DIGEST_SIZE];
	struct dirent *entry;
	unsigned n = 0;

	while (dir && (entry = fs_next(dir)))
		n += parse_name(entry->d_name) == 0 &&
		     image_name_read(images, entry->d_name, target) == 0 &&
		     strcmp(target, digest) == 0;
	return n;
}

static int each_in(const char *data, int images, bool names,
		   int (*fn)(const struct image *image, void *data), void *fn_data)
{
	_cleanup_close_ int fd =
		openat(images, names ? "names" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fs_opendir(fd);
	struct dirent *entry;
	int r = 0;

	while (dir && r >= 0 && (entry = fs_next(dir))) {
		_cleanup_image_ struct image image = IMAGE_INIT;
		struct err ignored;

		if (names ? parse_name(entry->d_name) < 0
			  : !is_digest(entry->d_name) || image_names_of(images, entry->d_name))
			continue;
		/* What cannot be read is listed too: it has a name that can be removed. */
		if (image_resolve(data, entry->d_name, &image, &ignored) < 0) {
			snprintf(image.name, sizeof(image.name), "%.64s",
				 names ? entry->d_name : "");
			if (names && image_name_read(images, entry->d_name, image.digest) < 0)
				image.digest[0] = '\0';
		}
		r = fn(&image, fn_data);
	}
	return r;
}

int image_each(const char *data, int (*fn)(const struct image *image, void *data), void *fn_data,
	       struct err *err)
{
	_cleanup_close_ int images = -EBADF;
	int r = image_open_dir(data, &images, err);

	if (r < 0)
		return r;
	r = each_in(data, images, true, fn, fn_data);
	if (r >= 0)
		r = each_in(data, images, false, fn, fn_data);
	return r < 0 ? err_errno(err, -r, "image", "cannot list the images") : 0;
}
