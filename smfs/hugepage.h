/* SPDX-License-Identifier: MIT */
#ifndef SMFS_HUGEPAGE_H
#define SMFS_HUGEPAGE_H

#include <stddef.h>

/*
 * The size of the huge pages that segment ID is made of, in bytes, or 0 for ordinary ones, without attaching it. As the
 * calling thread: EACCES (may not attach). Other errors: EIDRM and EINVAL (gone).
 */
int hugepage_size(int id, size_t *size);

#endif
