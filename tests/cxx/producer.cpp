// SPDX-License-Identifier: MIT
// Written as programs for the class are: ask for memory, fill it, wait for a key, end. PATH is the key file.
#include <iostream>
#include "SMObject.hpp"
#include "message.hpp"

using namespace SMObjectSpace;

int main(int argc, char *argv[])
{
	if (argc != 2)
		return 2;
	std::string path(argv[1]);
	SMObject shared(path.c_str(), 'P', sizeof(Message));

	if (shared.shmCreate() < 0) {
		shared.pError("producer: no memory to share");
		return EXIT_FAILURE;
	}
	if (shared.shmAccess() < 0) {
		shared.pError("producer: no access");
		return EXIT_FAILURE;
	}

	Message *message = (Message *)shared.pdata_;
	message->number = 3500;
	message->value = 2.5;
	strcpy(message->text, "from the producer");

	std::cout << "ready" << std::endl;
	while (getchar() != '\n')
		;
	return 0;
}
