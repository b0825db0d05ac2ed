/* SPDX-License-Identifier: Apache-2.0 */
/* test-merkle.c: hashes and trees against other people's numbers, proofs for every small tree. */
#include "merkle.h"

#include "err.h"

#include "../testing/testing.h"

#include <sodium/crypto_hash_sha256.h>
#include <sodium/utils.h>

#define LEAVES 70u

static void expect_hash(const struct merkle_hash *hash, const char *hex)
{
	char text[2 * SHA_LEN + 1];

	sodium_bin2hex(text, sizeof(text), hash->bytes, SHA_LEN);
	assert_string_equal(text, hex);
}

static void hashes(void **state)
{
	static uint8_t data[1000];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 31 + i / 256);
	for (int plain = 0; plain < 2; plain++) {
		sha_force_plain(plain);
		for (size_t len = 0; len < sizeof(data); len++) {
			uint8_t ours[SHA_LEN], theirs[SHA_LEN];
			struct sha sha;

			sha_init(&sha);
			sha_update(&sha, data, len / 3);
			sha_update(&sha, data + len / 3, len - len / 3);
			sha_final(&sha, ours);
			crypto_hash_sha256(theirs, data, len);
			assert_memory_equal(ours, theirs, SHA_LEN);
		}
	}
	sha_force_plain(0);
}

/* The tree that implementations of RFC 6962 test themselves with. */
static void known_trees(void **state)
{
	static const char *const leaves[] = {"",	 "\0",
					     "\x10",	 "\x20\x21",
					     "\x30\x31", "\x40\x41\x42\x43",
					     "PQRSTUVW", "`abcdefghijklmno"};
	static const size_t lens[] = {0, 1, 1, 2, 2, 4, 8, 16};
	static const char *const roots[] = {
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	};
	struct merkle_tree tree = {.size = 0};
	struct merkle_hash root, leaf;

	(void)state;
	for (size_t i = 0; i <= ELEMENTSOF(leaves); i++) {
		merkle_root(&tree, &root);
		expect_hash(&root, roots[i]);
		if (i == ELEMENTSOF(leaves))
			break;
		merkle_leaf(leaves[i], lens[i], &leaf);
		merkle_add(&tree, &leaf, NULL, NULL);
	}
}

static struct merkle_hash leaf_hashes[LEAVES], roots[LEAVES + 1];

static int setup_leaves(void **state)
{
	struct merkle_tree tree = {.size = 0};

	(void)state;
	for (size_t i = 0; i < LEAVES; i++) {
		merkle_root(&tree, &roots[i]);
		merkle_leaf(&i, sizeof(i), &leaf_hashes[i]);
		merkle_add(&tree, &leaf_hashes[i], NULL, NULL);
	}
	merkle_root(&tree, &roots[LEAVES]);
	return 0;
}

static int from_leaves(void *data, unsigned height, uint64_t index, struct merkle_hash *ret)
{
	(void)data;
	if ((index + 1) << height > LEAVES)
		return -ENOENT;
	merkle_subtree(leaf_hashes + (index << height), 1u << height, ret);
	return 0;
}

static const struct merkle_source source = {.hash = from_leaves};

static void roots_of_prefixes(void **state)
{
	struct merkle_hash root;

	(void)state;
	for (uint64_t size = 0; size <= LEAVES; size++) {
		assert_int_equal(merkle_root_at(&source, size, &root), 0);
		assert_true(merkle_equal(&root, &roots[size]));
	}
	assert_int_equal(merkle_root_at(&source, LEAVES + 1, &root), -ENOENT);
}

static void inclusion(void **state)
{
	struct merkle_proof proof;

	(void)state;
	for (uint64_t size = 1; size <= LEAVES; size++)
		for (uint64_t seq = 0; seq < size; seq++) {
			assert_int_equal(merkle_inclusion(&source, seq, size, &proof), 0);
			assert_true(merkle_inclusion_check(&proof, seq, size, &leaf_hashes[seq],
							   &roots[size]));
			/* Of another place, size, leaf or length it is none. */
			for (uint64_t other = 0; other < LEAVES; other++) {
				if (other != seq) {
					assert_false(merkle_inclusion_check(&proof, other, size,
									    &leaf_hashes[seq],
									    &roots[size]));
					assert_false(merkle_inclusion_check(&proof, seq, size,
									    &leaf_hashes[other],
									    &roots[size]));
				}
				if (other != size)
					assert_false(merkle_inclusion_check(&proof, seq, size,
									    &leaf_hashes[seq],
									    &roots[other]));
			}
			proof.n++;
			assert_false(merkle_inclusion_check(&proof, seq, size, &leaf_hashes[seq],
							    &roots[size]));
		}
	assert_int_equal(merkle_inclusion(&source, 5, 5, &proof), -EINVAL);
}

static void consistency(void **state)
{
	struct merkle_proof proof;

	(void)state;
	for (uint64_t size = 0; size <= LEAVES; size++)
		for (uint64_t old = 0; old <= size; old++) {
			assert_int_equal(merkle_consistency(&source, old, size, &proof), 0);
			assert_true(merkle_consistency_check(&proof, old, size, &roots[old],
							     &roots[size]));
			for (uint64_t other = 0; old && other <= LEAVES; other++) {
				if (other != old)
					assert_false(merkle_consistency_check(
						&proof, old, size, &roots[other], &roots[size]));
				if (other != size)
					assert_false(merkle_consistency_check(
						&proof, old, size, &roots[old], &roots[other]));
			}
		}
	assert_int_equal(merkle_consistency(&source, 6, 5, &proof), -EINVAL);
}

static void tell(void *data, unsigned level, uint64_t index, const struct merkle_hash *root)
{
	unsigned *calls = data;

	(void)root;
	assert_int_equal(index, calls[level]++);
}

static void levels_are_told(void **state)
{
	struct merkle_tree tree = {.size = 0};
	struct merkle_hash leaf = {{7}};
	unsigned calls[4] = {0};

	(void)state;
	for (unsigned i = 0; i < 131072 + 300; i++)
		merkle_add(&tree, &leaf, tell, calls);
	assert_int_equal(calls[1], 513);
	assert_int_equal(calls[2], 2);
	assert_int_equal(calls[3], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes),
		cmocka_unit_test(known_trees),
		cmocka_unit_test(roots_of_prefixes),
		cmocka_unit_test(inclusion),
		cmocka_unit_test(consistency),
		cmocka_unit_test(levels_are_told),
	};

	return cmocka_run_group_tests(tests, setup_leaves, NULL);
}
