// SPDX-License-Identifier: MIT
// The same through the C++ class: hello-cpp KEYFILE P TEXT
//     c++ hello.cpp $(pkg-config --cflags --libs libsm) -o hello-cpp
#include <SMObject.hpp>
#include <iostream>

int main(int argc, char *argv[])
{
	if (argc != 4) {
		std::cerr << "usage: hello-cpp KEYFILE P TEXT\n";
		return 2;
	}

	SMObjectSpace::SMObject object(argv[1], argv[2][0], 4096);
	if (object.shmCreate() < 0 || object.shmAccess() < 0) {
		object.pError("hello-cpp");
		return 1;
	}
	char *text = static_cast<char *>(object.pdata_);
	std::cout << "last said: " << text << "\n";
	strncpy(text, argv[3], 4095);
	std::cout.flush();
	std::cin.get();
	return 0;	// the destructor leaves, and the last one frees the memory
}
