/* SPDX-License-Identifier: MIT */
#ifndef SMFS_ATTR_H
#define SMFS_ATTR_H

#include <libsm/sm.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

/*
 * Segment state to struct stat, and the inode numbers: shmids for segments, disjoint ranges above 2^32 for
 * the rest. Pure, but for the clock.
 */

uint64_t attr_ino_refcount(int counter_id);
uint64_t attr_ino_info(int id, bool by_id);	/* by_id: the one in .id */
uint64_t attr_ino_link(key_t key);
uint64_t attr_ino_staged(uint64_t serial);
uint64_t attr_ino_directory(const char *path);	/* below the mount; "" is the root */

/* A segment file. RESIDENT is what its st_blocks say, in bytes. */
void attr_segment(const struct sm_segment *seg, uint64_t resident, struct stat *out);

/* What the files beside a segment have in common with it: owner, times; MODE has the type and bits. */
void attr_beside(const struct sm_segment *seg, uint64_t ino, mode_t mode, uint64_t size, struct stat *out);

/* A directory of the mount that mirrors the real one with stat REAL. */
void attr_directory(const struct stat *real, const char *path, struct stat *out);

/* .id or .key, PATH: they are the mount's own and change all the time. */
void attr_own_directory(const char *path, struct stat *out);

/* A link of .key to SEG's file, and what it says: its length. */
#define ATTR_TARGET_MAX sizeof("../.id/2147483647")
void attr_link(const struct sm_segment *seg, struct stat *out);
int attr_link_target(int id, char target[ATTR_TARGET_MAX]);

/*
 * statvfs: blocks are pages of shared memory against SHMALL, or RAM plus swap (bytes) where that is less; files are
 * segments against SHMMNI.
 */
void attr_statfs(const struct sm_limits *limits, uint64_t memory, struct statvfs *out);

#endif
