/* SPDX-License-Identifier: MIT */
/*
 * SipHash-1-3 (Aumasson, Bernstein: "SipHash: a fast short-input PRF"), as the tables of other languages have it. uthash's own
 * functions have no secret: whoever gives names, or keys, finds as many with one hash as he likes, and a search among those
 * takes as long as there are many, under a lock that everybody needs.
 */
#include "hash.h"

#include <errno.h>
#include <sys/random.h>

static uint64_t secret[2];

struct state { uint64_t a, b, c, d; };

static uint64_t rotate(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static void mix(struct state *s)
{
	s->a += s->b;
	s->b = rotate(s->b, 13) ^ s->a;
	s->a = rotate(s->a, 32);
	s->c += s->d;
	s->d = rotate(s->d, 16) ^ s->c;
	s->a += s->d;
	s->d = rotate(s->d, 21) ^ s->a;
	s->c += s->b;
	s->b = rotate(s->b, 17) ^ s->c;
	s->c = rotate(s->c, 32);
}

static void absorb(struct state *s, uint64_t word)
{
	s->d ^= word;
	mix(s);
	s->a ^= word;
}

/* N bytes, 8 at most, the first one lowest. */
static uint64_t word_of(const unsigned char *bytes, size_t n)
{
	uint64_t word = 0;

	for (size_t i = 0; i < n; i++)
		word |= (uint64_t)bytes[i] << (8 * i);
	return word;
}

int hash_start(void)
{
	return getrandom(secret, sizeof(secret), 0) == sizeof(secret) ? 0 : -errno;
}

uint32_t hash_bytes(const void *bytes, size_t n)
{
	struct state s = {
		secret[0] ^ 0x736f6d6570736575, secret[1] ^ 0x646f72616e646f6d,
		secret[0] ^ 0x6c7967656e657261, secret[1] ^ 0x7465646279746573,
	};
	const unsigned char *at = bytes, *rest = at + n / 8 * 8;

	for (; at < rest; at += 8)
		absorb(&s, word_of(at, 8));
	absorb(&s, word_of(rest, n % 8) | (uint64_t)n << 56);
	s.c ^= 0xff;
	for (int i = 0; i < 3; i++)
		mix(&s);
	return (uint32_t)(s.a ^ s.b ^ s.c ^ s.d);
}
