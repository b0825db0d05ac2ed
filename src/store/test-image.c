/* SPDX-License-Identifier: Apache-2.0 */
/* test-image.c: names lead to what was published, and nothing is removed that is in use. */
#include "image-private.h"

#include "err.h"
#include "manifest.h"

#include <sys/file.h>

#include "../testing/testing.h"

static struct test_dir *dir;

static int run_here(void *ctx, int (*fn)(void *data, struct err *err), void *data, struct err *err)
{
	(void)ctx;
	return fn(data, err);
}

static const struct image_ids ids = {.run = run_here, .userns_fd = -1};
static struct image_store store;

static int setup(void **state)
{
	int r = test_dir_setup(state);

	dir = *state;
	store = (struct image_store){.data = dir->path, .ids = &ids};
	return r < 0 ? r : mkdirat(dir->fd, "images", 0700);
}

/* An image with one file; its digest, and what had the name before. */
static void publish(const char *name, const char *content, char *digest, char *before)
{
	const struct image_source source = {.kind = "test", .reference = name, .digest = "none"};
	struct image_work work;
	struct image_made made;
	struct err err = {0};

	assert_int_equal(image_work_begin(&store, name, &work, &err), 0);
	assert_int_equal(image_work_clear(&work, &err), 0);
	assert_int_equal(mkdirat(work.dirfd, "root", 0755), 0);
	test_write(work.dirfd, "root/file", content);
	assert_int_equal(manifest_make(work.dirfd,
				       "user ann 100 /home/ann\nworkdir /srv\nenv PATH=/bin\n"
				       "env A=b c\n",
				       made.hex, &made.totals, &err),
			 0);
	if (image_publish(&work, &source, &made, digest, before, &err) < 0)
		fail_msg("%s", err.text);
	image_work_end(&work);
}

static void resolve(const char *name, int expected, const char *words, struct image *image)
{
	struct err err = {0};

	assert_int_equal(image_resolve(dir->path, name, image, &err), expected);
	if (words && !strstr(err.text, words))
		fail_msg("'%s' does not say '%s'", err.text, words);
}

static void a_name_leads_to_its_image(void **state)
{
	char digest[IMAGE_DIGEST_SIZE], before[IMAGE_DIGEST_SIZE], shorter[24];
	struct image_info info;
	struct image image;
	struct err err = {0};

	(void)state;
	publish("one", "x", digest, before);
	assert_string_equal(before, "");
	resolve("one", 0, NULL, &image);
	assert_string_equal(image.name, "one");
	assert_string_equal(image.digest, digest);
	assert_string_equal(image.user, "ann");
	assert_string_equal(image.home, "/home/ann");
	assert_string_equal(image.workdir, "/srv");
	assert_int_equal(image.gid, 100);
	assert_string_equal(image.env[0], "PATH=/bin");
	assert_string_equal(image.env[1], "A=b c");
	assert_null(image.env[2]);
	assert_int_equal(image_check(&image, &err), 0);
	image_info_read(&image, &info);
	assert_string_equal(info.reference, "one");
	assert_int_equal(info.files, 1);
	image_done(&image);
	snprintf(shorter, sizeof(shorter), "sha256:%.12s", digest + 7);
	resolve(shorter, 0, NULL, &image);
	assert_string_equal(image.digest, digest);
	assert_string_equal(image.name, "");
	image_done(&image);
}

static void what_is_missing_is_told(void **state)
{
	struct image image;

	(void)state;
	resolve("data", -ENOENT, "make it with: creel image build data", &image);
	resolve("mine", -ENOENT, "creel image pull", &image);
	resolve("../x", -EINVAL, "no name of an image", &image);
	resolve("", -EINVAL, "no name of an image", &image);
	resolve("sha256:0123456789ab", -ENOENT, "there is no image", &image);
	resolve("sha256:0123", -EINVAL, "no digest", &image);
	resolve("sha256:../../../../etc", -EINVAL, "no digest", &image);
}

static void a_corrupted_image_is_told_with_the_fix(void **state)
{
	char digest[IMAGE_DIGEST_SIZE], before[IMAGE_DIGEST_SIZE], path[200];
	struct image image;
	struct err err = {0};

	(void)state;
	publish("base", "x", digest, before);
	resolve("base", 0, NULL, &image);
	snprintf(path, sizeof(path), "images/%s/root/file", digest);
	test_write(dir->fd, path, "y");
	assert_int_equal(image_check(&image, &err), -EUCLEAN);
	assert_non_null(strstr(err.text, "image base is corrupted: file differs"));
	assert_non_null(strstr(err.text, "creel image build base"));
	image_done(&image);
	/* Made again, it is good again. */
	publish("base", "x", digest, before);
	resolve("base", 0, NULL, &image);
	assert_int_equal(image_check(&image, &err), 0);
	image_done(&image);
}

static void two_names_share_a_tree(void **state)
{
	char one[IMAGE_DIGEST_SIZE], two[IMAGE_DIGEST_SIZE], before[IMAGE_DIGEST_SIZE];
	struct image image;
	struct err err = {0};
	bool tree;

	(void)state;
	publish("one", "x", one, before);
	publish("two", "x", two, before);
	assert_string_equal(one, two);
	assert_int_equal(image_remove(&store, "one", &tree, &err), 0);
	assert_false(tree);
	resolve("one", -ENOENT, NULL, &image);
	resolve("two", 0, NULL, &image);
	image_done(&image);
	assert_int_equal(image_remove(&store, "two", &tree, &err), 0);
	assert_true(tree);
	assert_int_equal(image_remove(&store, "two", &tree, &err), -ENOENT);
}

static void the_image_before_stays(void **state)
{
	char old[IMAGE_DIGEST_SIZE], new[IMAGE_DIGEST_SIZE], before[IMAGE_DIGEST_SIZE];
	struct image image;
	struct err err = {0};
	bool tree;

	(void)state;
	publish("one", "x", old, before);
	publish("one", "y", new, before);
	assert_string_equal(before, old);
	resolve(old, 0, NULL, &image);
	image_done(&image);
	assert_int_equal(image_remove(&store, new, &tree, &err), -EINVAL); /* it has a name */
	assert_int_equal(image_remove(&store, old, &tree, &err), 0);
	assert_true(tree);
	resolve(old, -ENOENT, NULL, &image);
}

static void what_is_in_use_stays(void **state)
{
	char digest[IMAGE_DIGEST_SIZE], before[IMAGE_DIGEST_SIZE];
	struct image image;
	struct err err = {0};
	bool tree;
	int lock;

	(void)state;
	publish("one", "x", digest, before);
	resolve("one", 0, NULL, &image);
	assert_int_equal(image_lock(&image, &lock, &err), 0);
	assert_int_equal(image_remove(&store, "one", &tree, &err), -EBUSY);
	assert_non_null(strstr(err.text, "in use by a run"));
	close(lock);
	assert_int_equal(image_remove(&store, "one", &tree, &err), 0);
	assert_int_equal(image_lock(&image, &lock, &err), -ENOENT);
	image_done(&image);
}

static void one_makes_it_at_a_time(void **state)
{
	struct image_work work, second;
	struct err err = {0};
	unsigned n;

	(void)state;
	assert_int_equal(image_work_begin(&store, "one", &work, &err), 0);
	assert_int_equal(mkdirat(work.dirfd, "root", 0755), 0);
	assert_int_equal(image_work_begin(&store, "one", &second, &err), -EBUSY);
	assert_non_null(strstr(err.text, "another creel is making the image one"));
	/* It is no leftover while it is held; then it is. */
	assert_int_equal(image_sweep(&store, &n, &err), 0);
	assert_int_equal(n, 0);
	close(work.dirfd);
	close(work.images_fd);
	assert_int_equal(image_sweep(&store, &n, &err), 0);
	assert_int_equal(n, 1);
	assert_int_equal(faccessat(dir->fd, "images/.new-one", F_OK, 0), -1);
}

static int count(const struct image *image, void *data)
{
	(void)image;
	(*(int *)data)++;
	return 0;
}

static void all_are_listed(void **state)
{
	char digest[IMAGE_DIGEST_SIZE], before[IMAGE_DIGEST_SIZE];
	struct err err = {0};
	int n = 0;

	(void)state;
	publish("one", "x", digest, before);
	publish("one", "y", digest, before); /* and the one before, which has no name */
	publish("two", "y", digest, before);
	test_write(dir->fd, "images/names/broken", "nonsense");
	assert_int_equal(image_each(dir->path, count, &n, &err), 0);
	assert_int_equal(n, 4);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, test_dir_teardown)
	const struct CMUnitTest tests[] = {
		CASE(a_name_leads_to_its_image),
		CASE(what_is_missing_is_told),
		CASE(a_corrupted_image_is_told_with_the_fix),
		CASE(two_names_share_a_tree),
		CASE(the_image_before_stays),
		CASE(what_is_in_use_stays),
		CASE(one_makes_it_at_a_time),
		CASE(all_are_listed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
