// SPDX-License-Identifier: MIT
// What programs of the class do about killed ones: take their references off by hand. PATH, HOW-MANY.
#include "SMObject.hpp"

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	SMObjectSpace::SMObject object(argv[1], 'P', 0);
	for (int left = atoi(argv[2]); left > 0; --left) {
		object.decrementMemCtr();
		if (object.error_handle_) {
			object.pError("forgive");
			return 1;
		}
	}
	return 0;
}
