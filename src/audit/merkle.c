/* SPDX-License-Identifier: Apache-2.0 */
/* merkle.c: see merkle.h. The proofs follow RFC 6962, 2.1; the checks RFC 9162, 2.1.3 and 2.1.4. */
#include "merkle.h"

#include "banned.h"

#include <errno.h>

void merkle_leaf(const void *data, size_t len, struct merkle_hash *ret)
{
	sha_prefixed(0, data, len, NULL, 0, ret->bytes);
}

void merkle_node(const struct merkle_hash *left, const struct merkle_hash *right,
		 struct merkle_hash *ret)
{
	sha_prefixed(1, left->bytes, SHA_LEN, right->bytes, SHA_LEN, ret->bytes);
}

void merkle_subtree(const struct merkle_hash *hashes, size_t n, struct merkle_hash *ret)
{
	struct merkle_tree tree = {.size = 0};

	for (size_t i = 0; i < n; i++)
		merkle_add(&tree, &hashes[i], NULL, NULL);
	merkle_root(&tree, ret);
}

void merkle_add(struct merkle_tree *tree, const struct merkle_hash *leaf,
		void (*fn)(void *data, unsigned level, uint64_t index,
			   const struct merkle_hash *root),
		void *data)
{
	struct merkle_hash hash = *leaf;
	unsigned height = 0;

	for (; tree->size >> height & 1; height++) {
		if (fn && height && height % 8 == 0)
			fn(data, height / 8, tree->size >> height, &hash);
		merkle_node(&tree->peaks[height], &hash, &hash);
	}
	if (fn && height && height % 8 == 0)
		fn(data, height / 8, tree->size >> height, &hash);
	tree->peaks[height] = hash;
	tree->size++;
}

void merkle_root(const struct merkle_tree *tree, struct merkle_hash *ret)
{
	bool any = false;

	if (tree->size == 0) {
		struct sha sha;

		sha_init(&sha);
		sha_final(&sha, ret->bytes);
	}
	for (unsigned height = 0; height < 64; height++) {
		if (!(tree->size >> height & 1))
			continue;
		if (any)
			merkle_node(&tree->peaks[height], ret, ret);
		else
			*ret = tree->peaks[height];
		any = true;
	}
}

/* The largest power of two below n (n >= 2). */
static uint64_t split(uint64_t n)
{
	return 1ull << (63 - __builtin_clzll(n - 1));
}

/* MTH(D[lo:hi]); lo is a multiple of the largest power of two in the range. */
static int range(const struct merkle_source *source, uint64_t lo, uint64_t hi,
		 struct merkle_hash *ret)
{
	struct merkle_hash left, right;
	uint64_t n = hi - lo, k;
	int r;

	if ((n & (n - 1)) == 0) {
		unsigned height = (unsigned)__builtin_ctzll(n);

		return source->hash(source->data, height, lo >> height, ret);
	}
	k = split(n);
	r = range(source, lo, lo + k, &left);
	if (r == 0)
		r = range(source, lo + k, hi, &right);
	if (r == 0)
		merkle_node(&left, &right, ret);
	return r;
}

int merkle_root_at(const struct merkle_source *source, uint64_t size, struct merkle_hash *ret)
{
	static const struct merkle_tree empty = {.size = 0};

	if (size)
		return range(source, 0, size, ret);
	merkle_root(&empty, ret);
	return 0;
}

/* Walks from the root down to where stop holds; what it leaves aside goes into the proof. */
static int walk(const struct merkle_source *source, uint64_t lo, uint64_t hi, uint64_t seq,
		struct merkle_proof *proof)
{
	uint64_t bounds[MERKLE_PROOF_MAX][2];
	size_t n = 0;
	int r = 0;

	while (hi - lo > 1) {
		uint64_t k = split(hi - lo);
		bool left = seq - lo < k;

		bounds[n][0] = left ? lo + k : lo;
		bounds[n++][1] = left ? hi : lo + k;
		if (left)
			hi = lo + k;
		else
			lo += k;
	}
	for (; r == 0 && n; n--)
		r = range(source, bounds[n - 1][0], bounds[n - 1][1], &proof->hashes[proof->n++]);
	return r;
}

int merkle_inclusion(const struct merkle_source *source, uint64_t seq, uint64_t size,
		     struct merkle_proof *ret)
{
	ret->n = 0;
	return seq < size ? walk(source, 0, size, seq, ret) : -EINVAL;
}

/* SUBPROOF(m, D[n], b): down to the subtree whose last leaf is the old tree's last one. */
int merkle_consistency(const struct merkle_source *source, uint64_t old, uint64_t size,
		       struct merkle_proof *ret)
{
	uint64_t lo = 0, hi = size, bounds[MERKLE_PROOF_MAX][2];
	size_t n = 0;
	int r = 0;

	ret->n = 0;
	if (old > size)
		return -EINVAL;
	if (old == 0 || old == size)
		return 0;
	while (hi != old) {
		uint64_t k = split(hi - lo);
		bool left = old - lo <= k;

		bounds[n][0] = left ? lo + k : lo;
		bounds[n++][1] = left ? hi : lo + k;
		if (left)
			hi = lo + k;
		else
			lo += k;
	}
	/* The old tree is a complete subtree of the new one: who checks has its root already. */
	if (lo != 0)
		r = range(source, lo, hi, &ret->hashes[ret->n++]);
	for (; r == 0 && n; n--)
		r = range(source, bounds[n - 1][0], bounds[n - 1][1], &ret->hashes[ret->n++]);
	return r;
}

bool merkle_inclusion_check(const struct merkle_proof *proof, uint64_t seq, uint64_t size,
			    const struct merkle_hash *leaf, const struct merkle_hash *root)
{
	struct merkle_hash hash = *leaf;
	uint64_t fn = seq, sn = size - 1;

	if (seq >= size)
		return false;
	for (size_t i = 0; i < proof->n; i++) {
		if (sn == 0)
			return false;
		if (fn & 1 || fn == sn) {
			merkle_node(&proof->hashes[i], &hash, &hash);
			for (; !(fn & 1) && fn; fn >>= 1)
				sn >>= 1;
		} else {
			merkle_node(&hash, &proof->hashes[i], &hash);
		}
		fn >>= 1;
		sn >>= 1;
	}
	return sn == 0 && merkle_equal(&hash, root);
}

bool merkle_consistency_check(const struct merkle_proof *proof, uint64_t old, uint64_t size,
			      const struct merkle_hash *old_root, const struct merkle_hash *root)
{
	struct merkle_hash from, to;
	uint64_t fn = old - 1, sn = size - 1;
	size_t i = 0;

	if (old == 0 || old == size)
		return proof->n == 0 && (old == 0 || merkle_equal(old_root, root));
	if (old > size || (proof->n == 0 && (old & (old - 1))))
		return false;
	for (; fn & 1; fn >>= 1)
		sn >>= 1;
	from = to = fn ? proof->hashes[i++] : *old_root;
	for (; i < proof->n; i++) {
		if (sn == 0)
			return false;
		if (fn & 1 || fn == sn) {
			merkle_node(&proof->hashes[i], &from, &from);
			merkle_node(&proof->hashes[i], &to, &to);
			for (; !(fn & 1) && fn; fn >>= 1)
				sn >>= 1;
		} else {
			merkle_node(&to, &proof->hashes[i], &to);
		}
		fn >>= 1;
		sn >>= 1;
	}
	return sn == 0 && merkle_equal(&from, old_root) && merkle_equal(&to, root);
}
