/* SPDX-License-Identifier: Apache-2.0 */
/* sha.c: see sha.h. */
#include "sha.h"

#include "banned.h"

#include "banned.h"

#include <string.h>

#if defined(__x86_64__) && __has_include(<sys/platform/x86.h>)
#include <immintrin.h>
#include <sys/platform/x86.h>
#define SHA_X86 1
#endif
#include <sys/stat.h>

#define SHA_HOLES_MAX (16u << 20) /* small ones are read all the same */

static const uint32_t k[64] __attribute__((aligned(16))) = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2,
};

static int forced_plain;

void sha_force_plain(int on)
{
	forced_plain = on;
}

static uint32_t rotr(uint32_t x, unsigned n)
{
	return x >> n | x << (32 - n);
}

static uint32_t load_be(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void store_be(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static void blocks_plain(uint32_t state[8], const uint8_t *data, size_t n)
{
	for (; n; n--, data += 64) {
		uint32_t w[64], s[8];

		for (size_t t = 0; t < 16; t++)
			w[t] = load_be(data + 4 * t);
		for (size_t t = 16; t < 64; t++) {
			uint32_t a = w[t - 15], b = w[t - 2];

			w[t] = w[t - 16] + w[t - 7] + (rotr(a, 7) ^ rotr(a, 18) ^ a >> 3) +
			       (rotr(b, 17) ^ rotr(b, 19) ^ b >> 10);
		}
		memcpy(s, state, sizeof(s));
		/* The eight words stay where they are; their roles move on by one each round. */
		for (size_t t = 0; t < 64; t++) {
#define S(i) s[((i)-t) & 7]
			uint32_t t1 = S(7) + (rotr(S(4), 6) ^ rotr(S(4), 11) ^ rotr(S(4), 25)) +
				      ((S(4) & S(5)) ^ (~S(4) & S(6))) + k[t] + w[t];
			uint32_t t2 = (rotr(S(0), 2) ^ rotr(S(0), 13) ^ rotr(S(0), 22)) +
				      ((S(0) & S(1)) ^ (S(0) & S(2)) ^ (S(1) & S(2)));

			S(3) += t1;
			S(7) = t1 + t2;
#undef S
		}
		for (size_t i = 0; i < 8; i++)
			state[i] += s[i];
	}
}

#ifdef SHA_X86
#define SHA_TARGET __attribute__((target("sha,sse4.1,ssse3")))

/* Four rounds with the message words in w; the instruction wants the state as ABEF and CDGH. */
SHA_TARGET static inline void rounds(__m128i *abef, __m128i *cdgh, __m128i w, size_t t)
{
	__m128i wk = _mm_add_epi32(w, _mm_load_si128((const __m128i *)(const void *)(k + t)));

	*cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, wk);
	*abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32(wk, 0x0e));
}

/* The next four words of the message schedule from the last sixteen. */
SHA_TARGET static inline __m128i schedule(__m128i w0, __m128i w1, __m128i w2, __m128i w3)
{
	__m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4));

	return _mm_sha256msg2_epu32(sum, w3);
}

SHA_TARGET static void blocks_x86(uint32_t state[8], const uint8_t *data, size_t n)
{
	const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
	__m128i *at = (__m128i *)(void *)state;
	__m128i badc = _mm_shuffle_epi32(_mm_loadu_si128(at), 0xb1);
	__m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128(at + 1), 0x1b);
	__m128i abef = _mm_alignr_epi8(badc, hgfe, 8);
	__m128i cdgh = _mm_blend_epi16(hgfe, badc, 0xf0);

	for (; n; n--, data += 64) {
		__m128i old_abef = abef, old_cdgh = cdgh, w[4];

		for (size_t i = 0; i < 4; i++) {
			w[i] = _mm_loadu_si128((const __m128i *)(const void *)(data + 16 * i));
			w[i] = _mm_shuffle_epi8(w[i], swap);
			rounds(&abef, &cdgh, w[i], 4 * i);
		}
#pragma GCC unroll 12
		for (size_t i = 4; i < 16; i++) {
			w[i % 4] =
				schedule(w[i % 4], w[(i + 1) % 4], w[(i + 2) % 4], w[(i + 3) % 4]);
			rounds(&abef, &cdgh, w[i % 4], 4 * i);
		}
		abef = _mm_add_epi32(abef, old_abef);
		cdgh = _mm_add_epi32(cdgh, old_cdgh);
	}
	hgfe = _mm_shuffle_epi32(cdgh, 0xb1);
	badc = _mm_shuffle_epi32(abef, 0x1b);
	_mm_storeu_si128(at, _mm_blend_epi16(badc, hgfe, 0xf0));
	_mm_storeu_si128(at + 1, _mm_alignr_epi8(hgfe, badc, 8));
}
#endif

static void blocks(uint32_t state[8], const uint8_t *data, size_t n)
{
#ifdef SHA_X86
	if (CPU_FEATURE_ACTIVE(SHA) && CPU_FEATURE_ACTIVE(SSE4_1) && !forced_plain) {
		blocks_x86(state, data, n);
		return;
	}
#endif
	blocks_plain(state, data, n);
}

void sha_init(struct sha *sha)
{
	static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
					  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

	memcpy(sha->state, start, sizeof(start));
	sha->len = 0;
}

void sha_update(struct sha *sha, const void *data, size_t len)
{
	const uint8_t *p = data;
	size_t have = sha->len % 64, part;

	if (len == 0)
		return;
	sha->len += len;
	if (have) {
		part = len < 64 - have ? len : 64 - have;
		memcpy(sha->block + have, p, part);
		if (have + part < 64)
			return;
		blocks(sha->state, sha->block, 1);
		p += part;
		len -= part;
	}
	if (len >= 64)
		blocks(sha->state, p, len / 64);
	memcpy(sha->block, p + (len & ~(size_t)63), len % 64);
}

void sha_final(struct sha *sha, uint8_t ret[SHA_LEN])
{
	uint64_t bits = sha->len * 8;
	size_t have = sha->len % 64;

	sha->block[have++] = 0x80;
	if (have > 56) {
		memset(sha->block + have, 0, 64 - have);
		blocks(sha->state, sha->block, 1);
		have = 0;
	}
	memset(sha->block + have, 0, 56 - have);
	store_be(sha->block + 56, (uint32_t)(bits >> 32));
	store_be(sha->block + 60, (uint32_t)bits);
	blocks(sha->state, sha->block, 1);
	for (size_t i = 0; i < 8; i++)
		store_be(ret + 4 * i, sha->state[i]);
}

void sha_hex(const uint8_t hash[SHA_LEN], char ret[SHA_HEX + 1])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < SHA_LEN; i++) {
		ret[2 * i] = digits[hash[i] >> 4];
		ret[2 * i + 1] = digits[hash[i] & 15];
	}
	ret[SHA_HEX] = '\0';
}

void sha_final_hex(struct sha *sha, char ret[SHA_HEX + 1])
{
	uint8_t hash[SHA_LEN];

	sha_final(sha, hash);
	sha_hex(hash, ret);
}

int sha_update_fd(struct sha *sha, int fd)
{
	static uint8_t data[1u << 17];
	ssize_t n;

	while ((n = read(fd, data, sizeof(data))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		sha_update(sha, data, (size_t)n);
	}
	return 0;
}

bool sha_file_hex(int fd, uint64_t *left, char ret[SHA_HEX + 1])
{
	struct sha sha;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || (uint64_t)st.st_size > *left ||
	    (uint64_t)st.st_size > (uint64_t)st.st_blocks * 512 + SHA_HOLES_MAX)
		return false;
	*left -= (uint64_t)st.st_size;
	sha_init(&sha);
	if (sha_update_fd(&sha, fd) < 0)
		return false;
	sha_final_hex(&sha, ret);
	return true;
}

void sha_prefixed(uint8_t prefix, const void *a, size_t a_len, const void *b, size_t b_len,
		  uint8_t ret[SHA_LEN])
{
	struct sha sha;

	sha_init(&sha);
	sha_update(&sha, &prefix, 1);
	sha_update(&sha, a, a_len);
	sha_update(&sha, b, b_len);
	sha_final(&sha, ret);
}
