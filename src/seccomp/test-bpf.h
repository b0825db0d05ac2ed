/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * test-bpf.h: a small interpreter of classic BPF as seccomp uses it (the kernel's
 * Documentation/networking/filter.rst), so that the generated programs are judged by what they
 * answer and not by how they look. Anything that the kernel's checker would refuse aborts.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline uint32_t bpf_alu(uint16_t code, uint32_t a, uint32_t k)
{
	if (BPF_OP(code) == BPF_AND)
		return a & k;
	abort();
}

static inline int bpf_jumps(uint16_t code, uint32_t a, uint32_t k)
{
	switch (BPF_OP(code)) {
	case BPF_JEQ:
		return a == k;
	case BPF_JGE:
		return a >= k;
	case BPF_JGT:
		return a > k;
	case BPF_JSET:
		return (a & k) != 0;
	default:
		abort();
	}
}

static inline uint32_t bpf_run(const struct sock_fprog *program, const struct seccomp_data *data)
{
	uint32_t a = 0;

	for (unsigned pc = 0; pc < program->len; pc++) {
		const struct sock_filter *i = &program->filter[pc];

		switch (BPF_CLASS(i->code)) {
		case BPF_LD:
			if (i->code != (BPF_LD | BPF_W | BPF_ABS) || i->k % 4 ||
			    i->k + 4 > sizeof(*data))
				abort();
			memcpy(&a, (const char *)data + i->k, 4);
			break;
		case BPF_ALU:
			a = bpf_alu(i->code, a, i->k);
			break;
		case BPF_JMP:
			pc += bpf_jumps(i->code, a, i->k) ? i->jt : i->jf;
			break;
		case BPF_RET:
			return i->k;
		default:
			abort();
		}
	}
	abort(); /* ran over the end */
}
