/* SPDX-License-Identifier: MIT */
/* position.py once more, to show that it is the same memory: ./position /mnt/sm/tmp/app.key:A [X Y] */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

struct position { uint64_t moves; double x, y; };

int main(int argc, char **argv)
{
	int fd = argc == 2 || argc == 4 ? open(argv[1], O_RDWR) : -1;
	struct position *p = mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED) {
		perror(argc > 1 ? argv[1] : "usage: position FILE [X Y]");
		return 1;
	}
	if (argc == 4) {
		p->x = strtod(argv[2], NULL);
		p->y = strtod(argv[3], NULL);
		p->moves++;
	}
	printf("%ju moves, at %g %g\n", (uintmax_t)p->moves, p->x, p->y);
	return 0;
}
