/* SPDX-License-Identifier: MIT */
/* The kept inputs once more, without a fuzzer: replay DIRECTORY. Each is also tried cut short by a byte. */
#include "fuzz.h"

#include <dirent.h>
#include <string.h>

#define LONGEST 65536

/* libFuzzer calls it where there is one. */
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	return 0;
}

static void replay(const char *directory, const char *name)
{
	static uint8_t bytes[LONGEST];
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", directory, name);

	FILE *f = fopen(path, "rb");

	MUST(f);

	size_t n = fread(bytes, 1, sizeof(bytes), f);

	fclose(f);
	LLVMFuzzerTestOneInput(bytes, n);
	if (n)
		LLVMFuzzerTestOneInput(bytes, n - 1);
}

int main(int argc, char **argv)
{
	unsigned inputs = 0;
	DIR *directory = argc == 2 ? opendir(argv[1]) : NULL;

	if (!directory) {
		fprintf(stderr, "usage: replay DIRECTORY, one of inputs\n");
		return 2;
	}
	LLVMFuzzerInitialize(&argc, &argv);
	for (struct dirent *d; (d = readdir(directory));) {
		if (d->d_name[0] == '.')
			continue;
		replay(argv[1], d->d_name);
		inputs++;
	}
	closedir(directory);
	printf("%u inputs\n", inputs);
	return inputs ? 0 : 1;
}
