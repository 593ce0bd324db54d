// SPDX-License-Identifier: MIT
// Every way to be refused, one after the other, in a program that goes on regardless. PATH is a key file.
#include "SMObject.hpp"

using SMObjectSpace::SMObject;

static void attempt(const char *what, SMObject &object)
{
	if (object.shmCreate() < 0)
		object.pError(what);
	if (object.error_handle_ == SMObjectSpace::EBADK)
		printf("%s: custom%s\n", what, SMObjectSpace::errorMapping(object.error_handle_));
	if (object.shmAccess() == 0 || object.pdata_ != nullptr)
		printf("%s: accessed what does not exist\n", what);
	object.decrementMemCtr();
	fflush(stdout);
}

int main(int argc, char *argv[])
{
	if (argc != 2)
		return 2;
	SMObject low(argv[1], 'A' - 1, 16), high(argv[1], 'z' + 1, 16), missing("/nonexistent/app.key", 'A', 16);
	SMObject negative(argv[1], 'A', -1), unnamed, fine(argv[1], 'B', 16);

	attempt("low", low);
	attempt("high", high);
	attempt("missing", missing);
	attempt("negative", negative);
	attempt("unnamed", unnamed);

	fine.pError("nothing wrong");
	fine.pError(nullptr);
	low.pError("");
	if (fine.shmCreate() < 0 || fine.shmAccess() < 0)
		fine.pError("fine");
	puts("still here");
	return 0;
}
