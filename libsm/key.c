// SPDX-License-Identifier: MIT
/*
 * Path and proj_id to key, and from one half of an object to the other.
 *
 * A key is ftok(3)'s: proj_id << 24 | low 8 bits of st_dev << 16 | low 16 bits of st_ino. 48 bits of the
 * inode number and most of the device number are lost, so two key files can share a key, and no amount of
 * care here can tell them apart. The counter's proj_id is the data's less 58: 'A'..'z' (65..122) becomes
 * 7..64, so no key is ever both halves of something, and neither is 0 (IPC_PRIVATE).
 */
#include "sm.h"

#include <errno.h>

#define COUNTER_OFFSET 58u

static unsigned top_byte(key_t key)
{
	return (uint32_t)key >> 24;
}

key_t sm_key_from_stat(const struct stat *st, char proj_id)
{
	uint32_t proj = (unsigned char)proj_id;

	return (key_t)(proj << 24 | ((uint32_t)st->st_dev & 0xff) << 16 | ((uint32_t)st->st_ino & 0xffff));
}

int sm_key_from_path(const char *path, char proj_id, key_t *key)
{
	struct stat st;

	if (!sm_proj_valid(proj_id))
		return -EINVAL;
	if (stat(path, &st) < 0)
		return -errno;
	*key = sm_key_from_stat(&st, proj_id);
	return 0;
}

bool sm_key_is_data(key_t key)
{
	return top_byte(key) >= SM_PROJ_MIN && top_byte(key) <= SM_PROJ_MAX;
}

bool sm_key_is_counter(key_t key)
{
	return top_byte(key) >= SM_PROJ_MIN - COUNTER_OFFSET && top_byte(key) <= SM_PROJ_MAX - COUNTER_OFFSET;
}

key_t sm_key_counter(key_t data_key)
{
	return (key_t)((uint32_t)data_key - (COUNTER_OFFSET << 24));
}

key_t sm_key_data(key_t counter_key)
{
	return (key_t)((uint32_t)counter_key + (COUNTER_OFFSET << 24));
}

char sm_key_proj(key_t data_key)
{
	return (char)top_byte(data_key);
}
